//! Two sites of one node each, a link between their nodes, and the product's tunnel over it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::sync::{oneshot, watch};
use yunting_controller::context::Context;
use yunting_controller::metrics::Metrics;
use yunting_controller::node::tunnel::{Options, Tunnel, WireGuard};
use yunting_controller::node::volume::replica::tls::Machine;
use yunting_crds::tunnel::{TunnelPeer, TunnelState};
use yunting_lab::cmd;
use yunting_lab::pki::{Authority, Subject};
use yunting_lab::spec::Lab;
use yunting_plan::boundary::Facts;

use super::process::eventually;
use super::site::{BETWEEN, SITES, end_address, site_of_two};
use super::world::World;
use crate::netns::within;

/// One of the two.
pub struct Side {
    /// What its boundary knows.
    pub facts: Facts,
    /// Its namespaces.
    pub world: World,
    /// The databases run here.
    pub home: bool,
    machine: Machine,
}

/// Both, with everything that belongs to them.
pub struct Across {
    /// Where the databases run.
    pub home: Side,
    /// Where they are called.
    pub away: Side,
    /// Of their machines.
    pub authority: Authority,
    wire: String,
    files: tempfile::TempDir,
}

impl Drop for Across {
    fn drop(&mut self) {
        if let Err(error) = cmd::run("take the wire away", "ip", ["netns", "del", &self.wire]) {
            eprintln!("{error}");
        }
    }
}

impl Across {
    /// Both sites with the link between their nodes; routes to the other's pods lead over it in the clear, so that only a
    /// boundary keeps packets from it.
    pub fn start() -> anyhow::Result<Self> {
        // Whoever is first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let files = tempfile::tempdir()?;
        let authority = Authority::new("machines")?;
        let side = |home: bool| -> anyhow::Result<Side> {
            let facts = site_of_two(home);
            let name = SITES[usize::from(!home)];
            let machine = machine(&authority, &authority, files.path(), name)?;
            Ok(Side { world: World::start(&facts)?, facts, home, machine })
        };
        let (home, away) = (side(true)?, side(false)?);
        let (a, b) = (home.world.node(), away.world.node());
        let ip = |words: &str| -> anyhow::Result<()> {
            let mut ip = Command::new("ip");
            ip.args(["-batch", "-"]);
            cmd::feed("set up a link", ip, words).map(drop).map_err(Into::into)
        };
        let wire = format!("{a}w");
        ip(&format!("netns add {wire}\n"))?;
        let across = Self { home, away, authority, wire, files };
        let wire = &across.wire;
        ip(&format!(
            "link add name br0 netns {wire} type bridge\nlink add name w1 netns {wire} type veth peer name {BETWEEN} netns {a}\n\
             link add name w2 netns {wire} type veth peer name {BETWEEN} netns {b}\n"
        ))?;
        for link in ["br0", "w1", "w2"] {
            cmd::run("set up the wire", "ip", ["-n", wire, "link", "set", link, "up"])?;
        }
        for link in ["w1", "w2"] {
            cmd::run("set up the wire", "ip", ["-n", wire, "link", "set", link, "master", "br0"])?;
        }
        let (home, away) = (&across.home, &across.away);
        for (side, own, other, pods) in [(home, 1, 2, 12), (away, 2, 1, 11)] {
            let node = side.world.node();
            let words = [
                format!("addr add 192.168.90.{own}/24 dev {BETWEEN}"),
                format!("link set {BETWEEN} up"),
                format!("route add 10.{pods}.0.0/16 via 192.168.90.{other} dev {BETWEEN} metric 1000"),
            ];
            for line in words {
                let all: Vec<&str> = ["ip"].into_iter().chain(line.split(' ')).collect();
                side.world.run(&node, &all)?;
            }
        }
        Ok(across)
    }

    /// Where everything on the wire between the nodes comes by.
    pub fn wire(&self) -> std::path::PathBuf {
        Lab::netns_file(&self.wire)
    }

    /// A machine of a site, as an authority says it.
    pub fn machine(&self, authority: &Authority, site: &str) -> anyhow::Result<Machine> {
        machine(authority, &self.authority, self.files.path(), site)
    }

    /// Boundaries and tunnels at both, once the tunnel works.
    pub fn connected() -> anyhow::Result<(Self, Running, Running)> {
        let across = Self::start()?;
        across.home.guard()?;
        across.away.guard()?;
        let (one, other) = (across.home.tunnel()?, across.away.tunnel()?);
        one.until(TunnelState::Encrypted)?;
        other.until(TunnelState::Encrypted)?;
        Ok((across, one, other))
    }
}

impl Side {
    /// Puts its boundary up.
    pub fn guard(&self) -> anyhow::Result<()> {
        self.world.guard(&self.facts)
    }

    /// The place of a pod by the beginning of its name.
    pub fn pod(&self, name: &str) -> usize {
        super::world::named(&self.facts, name).unwrap().0
    }

    /// Its address at a port.
    pub fn at(&self, name: &str, port: u16) -> SocketAddr {
        SocketAddr::new(super::world::named(&self.facts, name).unwrap().1.address.into(), port)
    }

    /// Where the node's namespace is.
    pub fn netns(&self) -> std::path::PathBuf {
        Lab::netns_file(&self.world.node())
    }

    /// Starts its end of the tunnel, as a process of its own would.
    pub fn tunnel(&self) -> anyhow::Result<Running> {
        self.tunnel_as(self.machine.clone())
    }

    /// The same with another machine's files.
    pub fn tunnel_as(&self, machine: Machine) -> anyhow::Result<Running> {
        let address = end_address(self.home).parse()?;
        let pods = format!("10.{}.0.0/16", if self.home { 11 } else { 12 }).parse()?;
        let options =
            Options { machine, listen: address, address, pods: vec![pods], wireguard: WireGuard::Userspace };
        let (halls, abroad) = (self.facts.halls.clone(), self.facts.abroad.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let (sender, states) = watch::channel(Vec::new());
        let (ready, opened) = std::sync::mpsc::channel();
        let work = move || -> anyhow::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let ended: anyhow::Result<()> = runtime.block_on(async move {
                let context = Context::new(Arc::new(Metrics::new()?));
                let open = Tunnel::open(&options, [pods].into(), abroad, context).await;
                let (tunnel, parts) = match open {
                    Ok(opened) => {
                        let _ = ready.send(Ok(()));
                        opened
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                        return Ok(());
                    }
                };
                tunnel.want_of(&halls);
                let watch = async {
                    let mut tick = tokio::time::interval(Duration::from_millis(100));
                    loop {
                        tick.tick().await;
                        sender.send_replace(tunnel.states());
                    }
                };
                tokio::select! {
                    ended = tunnel.clone().run(parts) => ended,
                    () = watch => Ok(()),
                    _ = stopped => Ok(()),
                }
            });
            // What the device does goes on in tasks until the runtime is gone, and the link with it.
            runtime.shutdown_timeout(Duration::from_secs(5));
            ended
        };
        let thread = within(&self.netns(), work)?;
        opened.recv().map_err(|_| anyhow!("the tunnel ended early"))??;
        Ok(Running { stop: Some(stop), states, thread: Some(thread) })
    }
}

/// An end of the tunnel that runs.
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    states: watch::Receiver<Vec<TunnelPeer>>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Running {
    /// Waits until its one peer stands so.
    pub fn until(&self, state: TunnelState) -> anyhow::Result<TunnelPeer> {
        self.wait(&format!("its peer is {state:?}"), |peer| peer.state == state)
    }

    /// Waits until something is said of its one peer.
    pub fn wait(&self, what: &str, look: impl Fn(&TunnelPeer) -> bool) -> anyhow::Result<TunnelPeer> {
        let peer = || self.states.borrow().first().cloned();
        eventually(what, || peer().filter(&look)).with_context(|| format!("{:?}", peer()))
    }

    /// Ends it, as a process that is killed.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.end()
    }

    fn end(&mut self) -> anyhow::Result<()> {
        drop(self.stop.take());
        match self.thread.take() {
            Some(thread) => thread.join().map_err(|_| anyhow!("the tunnel panicked"))?,
            None => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("{error:#}");
        }
    }
}

/// The machine of a site's one node, as an authority says it.
fn machine(authority: &Authority, trusted: &Authority, files: &Path, site: &str) -> anyhow::Result<Machine> {
    let directory = tempfile::tempdir_in(files)?.keep();
    let uri = format!("yunting://site/{site}/node/n-1");
    authority.issue(&Subject::peer("a-node").uri(&uri))?.write(&directory, "machine")?;
    std::fs::write(directory.join("ca.crt"), trusted.cert()).context("cannot write the authority")?;
    let file = |name: &str| directory.join(name);
    Ok(Machine { certificate: file("machine.crt"), key: file("machine.key"), authority: file("ca.crt") })
}
