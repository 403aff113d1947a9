//! The hub's and the site's controller, each behind its proxies.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use yunting_faults::proxy::Proxy;

use super::process::Process;
use super::{PATIENCE, Planes, SITE};
use crate::apiserver::{ApiServer, wait};

/// A hub controller and its way to the hub.
pub struct Hub {
    pub end: Proxy,
    pub process: Process,
}

/// A site controller and its ways to the hub and to its own cluster.
pub struct Site {
    pub hub_end: Proxy,
    pub own_end: Proxy,
    pub process: Process,
    /// Address of its health and metrics.
    pub ops: SocketAddr,
}

/// Both.
pub struct Controllers {
    pub hub: Hub,
    pub site: Site,
}

impl Hub {
    /// An instance of that name.
    pub async fn start(world: &Planes, identity: &str) -> anyhow::Result<Self> {
        Self::with(world, identity, &[]).await
    }

    /// A way of an instance to the hub.
    pub async fn way(world: &Planes, identity: &str) -> anyhow::Result<Proxy> {
        proxy(&world.hub, &format!("yunting:hub:{identity}"), "yunting:hubs", world.seed).await
    }

    /// With further ways to the hub, for the kubeconfig.
    pub async fn with(world: &Planes, identity: &str, more: &[&Proxy]) -> anyhow::Result<Self> {
        let end = Self::way(world, identity).await?;
        let place = world.directory.path();
        let ways: Vec<&Proxy> = std::iter::once(&end).chain(more.iter().copied()).collect();
        let kubeconfig = write(place, &format!("hub-{identity}"), &ways)?;
        let arguments =
            ["hub", "--kubeconfig", &kubeconfig, "--identity", identity, "--listen", "127.0.0.1:0"];
        let arguments = arguments.map(str::to_owned).to_vec();
        let process = Process::start(&world.program, arguments, place.join(format!("hub-{identity}.log")));
        end.on_crash(process.crash());
        Ok(Self { end, process })
    }
}

impl Site {
    /// The one of the site.
    pub async fn start(world: &Planes) -> anyhow::Result<Self> {
        Self::with(world, &[], &[]).await
    }

    /// With further ways to the hub and to its own cluster, for the kubeconfigs.
    pub async fn with(world: &Planes, to_hub: &[&Proxy], to_own: &[&Proxy]) -> anyhow::Result<Self> {
        let (hub_end, own_end) = (site_to_hub(world).await?, site_to_own(world).await?);
        let place = world.directory.path();
        let ways = |first, more: &[_]| std::iter::once(first).chain(more.iter().copied()).collect::<Vec<_>>();
        let hub = write(place, "site-hub", &ways(&hub_end, to_hub))?;
        let own = write(place, "site-own", &ways(&own_end, to_own))?;
        let ops = free_address()?;
        let listen = ops.to_string();
        let arguments = [
            "site",
            "--site",
            SITE,
            "--hub-kubeconfig",
            &hub,
            "--site-kubeconfig",
            &own,
            "--listen",
            &listen,
        ];
        let arguments = arguments.map(str::to_owned).to_vec();
        let process = Process::start(&world.program, arguments, place.join("site.log"));
        hub_end.on_crash(process.crash());
        own_end.on_crash(process.crash());
        Ok(Self { hub_end, own_end, process, ops })
    }
}

/// An address that nobody listens on now. The same after each crash, so that it can be asked.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A way of the site to the hub.
pub async fn site_to_hub(world: &Planes) -> anyhow::Result<Proxy> {
    proxy(&world.hub, &format!("yunting:site:{SITE}"), "yunting:sites", world.seed).await
}

/// A way of the site to its own cluster.
pub async fn site_to_own(world: &Planes) -> anyhow::Result<Proxy> {
    proxy(&world.site, "yunting:site-controller", "yunting:site-controllers", world.seed).await
}

async fn proxy(server: &ApiServer, user: &str, group: &str, seed: u64) -> anyhow::Result<Proxy> {
    Ok(Proxy::start(server.client_of(user, &[group]).await?, seed).await?)
}

fn write(place: &Path, name: &str, ways: &[&Proxy]) -> anyhow::Result<String> {
    let file = place.join(format!("{name}.json"));
    std::fs::write(&file, Proxy::kubeconfig(ways).to_string())?;
    file.to_str().map(str::to_owned).context("a path that is no text")
}

impl Controllers {
    /// Starts both and waits for nothing.
    pub async fn start(world: &Planes) -> anyhow::Result<Self> {
        Ok(Self { hub: Hub::start(world, "a").await?, site: Site::start(world).await? })
    }

    /// Every way.
    pub fn ways(&self) -> [&Proxy; 3] {
        [&self.hub.end, &self.site.hub_end, &self.site.own_end]
    }

    /// Waits until nobody has written for so long from now on.
    pub async fn quiet(&self, time: Duration) -> anyhow::Result<()> {
        let since = Instant::now();
        let still = || self.ways().iter().all(|way| way.record().quiet_for() >= time);
        let quiet = async || (since.elapsed() >= time && still()).then_some(());
        wait("quiet", PATIENCE, quiet).await
    }

    /// The ends of both logs.
    pub fn tails(&self) -> String {
        format!("--- hub ---\n{}\n--- site ---\n{}", self.hub.process.tail(15), self.site.process.tail(15))
    }
}
