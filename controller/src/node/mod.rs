//! The node's controller: what a site's specs say of its network, enforced by the kernel of one node.
//!
//! `links` knows which pod has which address on which link, by the CNI plugin ([`cni`], served by `server`) or by the
//! node's routes; `facts` turns what is seen into what the plan decides upon; `kernel` brings the plan's table into the
//! kernel and sees that it stays there. `prober` looks from inside pods whether that holds. `gate` holds the links of
//! protected pods closed, from their birth (`server`) or from when they are seen (`protect`). `tunnel` leads to the nodes of other
//! sites, `machines` is how nodes reach each other to say who they are. It
//! writes nothing to an API server but its own `NodeReport` and the `VolumeKey`s of its volumes, which [`volume`] serves.
//!
//! A restart opens no hole: the table stays in the kernel, and the new process replaces it whole, in one transaction,
//! once it has seen everything. The gate is the kernel's, too: it closes at its deadlines whatever becomes of the process.

pub mod cni;
pub mod facts;
pub mod gate;
mod kernel;
pub mod links;
mod machines;
mod probe;
mod prober;
mod protect;
mod server;
pub mod tunnel;
pub mod volume;
mod world;

use std::net::{SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kube::Client;
use tokio_util::sync::CancellationToken;
use yunting_plan::boundary::Link;
use yunting_plan::vdc::cidr::Network;

use crate::context::Context;
use crate::hub_client::Servers;
use crate::metrics::Metrics;
use crate::ops::{self, Readiness};
use crate::watchdog;
use crate::writer::Writer;
use world::World;

/// Time for which changes of peers are gathered.
const GATHER: Duration = Duration::from_millis(200);

/// How a node's controller is started.
pub struct Options {
    /// Name of the Node.
    pub node: String,
    /// Kubeconfig of the site's cluster; each of its contexts is one API server.
    pub kubeconfig: PathBuf,
    /// Links that lead to no pod.
    pub outer: Vec<Link>,
    /// Networks inside the cloud that no declared egress reaches into, besides the addresses of nodes.
    pub inside: Vec<Network>,
    /// Networks of all other sites' pods: only the tunnel leads there.
    pub abroad: Vec<Network>,
    /// The node's end of the tunnel to other sites; without it nothing crosses sites from here.
    pub tunnel: Option<tunnel::Options>,
    /// Namespaces of the platform.
    pub platform: Vec<String>,
    /// Ends besides pods and nodes that a VDC's pods must not reach unless it declares them: they are tried.
    pub beyond: Vec<SocketAddrV4>,
    /// Where the CNI plugin asks; the authority's client asks beside it.
    pub socket: PathBuf,
    /// Where volumes are kept; without it the node serves none.
    pub volumes: Option<volume::Options>,
    /// Directory on a BPF file system where the gate is pinned; where it is on none, one is mounted there.
    pub gate_pins: PathBuf,
    /// Address of metrics and health.
    pub listen: SocketAddr,
}

/// Runs until stopped.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    tokio::spawn(ops::stop_on_signal(stop.clone()));
    let metrics = Arc::new(Metrics::new()?);
    let own = Servers::open("site", &options.kubeconfig, metrics.clone()).await?;
    let watchdogs = vec![own.watchdog()];
    let readiness = Readiness::new(watchdogs.clone());
    let listen = options.listen;
    let serve = tokio::spawn(ops::serve(listen, metrics.clone(), readiness.clone(), stop.clone()));
    tokio::spawn(watchdog::watch_over(watchdogs, metrics.clone()));
    let context = Context::new(metrics.clone());
    let world = Arc::new(World::start(&options, &own.client, &context, &stop).await?);
    tracing::info!("caches of the node are filled");
    let writer = Writer::new(own.client.clone(), metrics.clone());
    let beyond: Vec<_> = options.beyond.iter().map(|a| (*a.ip(), a.port())).collect();
    let (report, gate_socket) = (prober::report(&world).key, gate::local::socket(&options.socket));
    tokio::select! {
        () = gate::test_now_and_then(&world.gates, &context) => Ok(()),
        () = gate::report(&world.gates, &report, &writer, &context) => Ok(()),
        ended = gate::local::serve(world.gates.clone(), &gate_socket) => ended,
        ended = protect::keep(&world) => ended,
        () = prober::keep(&world, &beyond, &writer, &context) => Ok(()),
        ended = kernel::keep(&world, &readiness) => ended,
        ended = server::serve(world.clone(), &options.socket) => ended,
        ended = cross(&options, &world, &writer, &context) => ended,
        ended = volumes(&options, &world, &own.client, &writer, &context, &stop) => ended,
        served = serve => served?.with_context(|| format!("cannot serve on {listen}")),
        () = stop.cancelled() => Ok(()),
    }
}

/// The tunnel to other sites, where this node has an end of it.
async fn cross(options: &Options, world: &World, writer: &Writer, context: &Context) -> anyhow::Result<()> {
    let report = prober::report(world).key;
    let Some(own) = &options.tunnel else {
        tunnel::withdraw(&report, writer).await;
        return std::future::pending().await;
    };
    let pods = if own.pods.is_empty() { world.own_pods() } else { own.pods.iter().copied().collect() };
    let (tunnel, parts) = tunnel::Tunnel::open(own, pods, world.abroad.clone(), context.clone()).await?;
    tokio::select! {
        ended = tunnel.clone().run(parts) => ended,
        ended = peers(world, &tunnel) => ended,
        () = tunnel::tell(&tunnel, own, &report, writer, context) => Ok(()),
    }
}

/// Has the tunnel know who is a peer, by what slices say.
async fn peers(world: &World, tunnel: &tunnel::Tunnel) -> anyhow::Result<()> {
    let mut changes = world.changes.follow();
    loop {
        changes.borrow_and_update();
        tunnel.want_of(&world.facts().halls);
        changes.changed().await.context("nobody watches any more")?;
        // Many things change together.
        tokio::time::sleep(GATHER).await;
    }
}

/// Volumes, where this node has a place for them.
async fn volumes(
    options: &Options,
    world: &World,
    client: &Client,
    writer: &Writer,
    context: &Context,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(volumes) = &options.volumes else { return std::future::pending().await };
    let run = options.socket.parent().unwrap_or(Path::new("/run/yunting"));
    let (node, records, metrics) = (options.node.as_str(), &world.records, &context.metrics);
    let report = &prober::report(world).key;
    let lent = volume::Lent { node, client, writer, metrics, records, context, report, run };
    // Larger than a future that lies on a stack should be.
    Box::pin(volume::serve(volumes, lent, stop)).await
}
