//! The site's controllers: they make one site's slices true, also while the hub is away.
//!
//! `mirror` copies slices into records; `vdc` and `hall` act on records alone and leave what they have to say in
//! the `outbox`; `sweep` removes what stands above a limit; `report` tells the hub how the site is. Deletion is said by a slice, never concluded from its absence.

mod door;
mod ensure;
mod hall;
mod isolation;
mod keys;
mod memory;
mod mirror;
mod orphans;
mod outbox;
mod replicas;
mod report;
mod review;
mod sweep;
mod usage;
mod vdc;
mod watches;
mod world;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use yunting_crds::labels;
use yunting_crds::names::{SiteName, SliceKind, slice};

use crate::context::Context;
use crate::crowd::Crowd;
use crate::hub_client::Servers;
use crate::keys::vault;
use crate::lease::Elector;
use crate::metrics::Metrics;
use crate::ops::{self, Readiness};
use crate::queue::{Queue, queue};
use crate::watchdog;
use crate::writer::Writer;
use world::{Ends, Name, Wakers, World};

/// How a site controller is started.
pub struct Options {
    /// Name of the site.
    pub site: String,
    /// Kubeconfig of the hub, one context per API server.
    pub hub_kubeconfig: PathBuf,
    /// Kubeconfig of the own cluster, one context per API server.
    pub site_kubeconfig: PathBuf,
    /// Where the keys of volumes are kept; without it no volume gets a key.
    pub keys: Option<PathBuf>,
    /// The Vault in which the keys of VDCs are that ask for it; needs `keys`, for notes of keys that end.
    pub vault: Option<vault::Options>,
    /// File of the key that other sites seal keys of volumes for; without it no replica here gets a key.
    pub custody_key: Option<PathBuf>,
    /// File of the certificate of that key; other sites seal for it when the hub passes it on.
    pub custody_cert: Option<PathBuf>,
    /// File of the authority of all machines; without it no key is sealed for another site.
    pub machine_ca: Option<PathBuf>,
    /// Address of metrics and health.
    pub listen: SocketAddr,
}

/// Reconciles at once per controller.
const CONCURRENCY: usize = 8;
/// Name of the leader Lease in the site's `yunting-system`.
const LEASE: &str = "yunting-site";

struct Queues {
    mirror: Queue<Name>,
    vdcs: Queue<Name>,
    halls: Queue<Name>,
    outbox: Queue<Name>,
    sweep: Queue<Name>,
    keys: Queue<Name>,
    report: Queue<Name>,
}

/// Runs until stopped or until the lead is lost.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let site = SiteName::new(&options.site)?;
    let stop = CancellationToken::new();
    tokio::spawn(ops::stop_on_signal(stop.clone()));
    let metrics = Arc::new(Metrics::new()?);
    let context = Context::new(metrics.clone());
    let hub = Servers::open("hub", &options.hub_kubeconfig, metrics.clone()).await?;
    let own = Servers::open("site", &options.site_kubeconfig, metrics.clone()).await?;
    let watchdogs = vec![hub.watchdog(), own.watchdog()];
    let readiness = Readiness::new(watchdogs.clone());
    let serve = tokio::spawn(ops::serve(options.listen, metrics.clone(), readiness.clone(), stop.clone()));
    tokio::spawn(watchdog::watch_over(watchdogs, metrics.clone()));
    let writer = Writer::new(own.client.clone(), metrics.clone());
    let identity = site.to_string();
    let elector = Elector::new(
        own.client.clone(),
        writer.clone(),
        context.clone(),
        labels::SYSTEM_NAMESPACE,
        LEASE,
        &identity,
    );
    let leave = || own.leave();
    let store = keys::Store::open(&options, &context)?;
    let leadership = tokio::select! {
        leadership = elector.lead(&leave) => leadership,
        () = stop.cancelled() => return Ok(()),
        served = serve => return served?.with_context(|| format!("cannot serve on {}", options.listen)),
    };
    let ends = Ends {
        hub_writer: Writer::new(hub.client.clone(), metrics),
        hub,
        own: own.clone(),
        writer,
        keys: store,
    };
    let work = work(site, ends, context, readiness, &stop);
    tokio::select! {
        result = work => result,
        () = elector.hold(leadership, leave) => anyhow::bail!("the lead was lost: another instance goes on"),
        () = stop.cancelled() => {
            elector.release().await;
            Ok(())
        }
    }
}

async fn work(
    site: SiteName,
    ends: Ends,
    context: Context,
    readiness: Readiness,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let (mirror_waker, mirror) = queue("site-mirror");
    let (vdcs_waker, vdcs) = queue("site-vdc");
    let (halls_waker, halls) = queue("site-hall");
    let (outbox_waker, outbox) = queue("site-status");
    let (sweep_waker, sweep) = queue("site-sweep");
    let (keys_waker, keys) = queue("site-keys");
    let (report_waker, report) = queue("site-report");
    let wakers = Wakers {
        mirror: mirror_waker,
        vdcs: vdcs_waker,
        halls: halls_waker,
        outbox: outbox_waker,
        sweep: sweep_waker,
        keys: keys_waker,
        report: report_waker,
    };
    let world = World::start(site, ends, context, wakers, stop).await?;
    readiness.set(true);
    tracing::info!("caches of the site are filled");
    run_queues(Arc::new(world), Queues { mirror, vdcs, halls, outbox, sweep, keys, report }, stop).await;
    if stop.is_cancelled() {
        // The queues ended because they were asked to: who asked goes on with the orderly stop.
        std::future::pending::<()>().await;
    }
    anyhow::bail!("a controller stopped")
}

/// Bureaus take turns.
fn by_bureau(world: &Arc<World>, queues: Queues) -> Queues {
    let of = |kind: Option<SliceKind>| {
        let world = world.clone();
        move |name: &Name| match kind {
            Some(kind) => world.bureau(&slice(kind, &name.0)),
            None => world.bureau(&name.0),
        }
    };
    let crowd = Crowd::default();
    Queues {
        mirror: queues.mirror.by_turns(&crowd, of(None)),
        vdcs: queues.vdcs.by_turns(&crowd, of(Some(SliceKind::Vdc))),
        halls: queues.halls.by_turns(&crowd, of(Some(SliceKind::Hall))),
        outbox: queues.outbox.by_turns(&crowd, of(None)),
        sweep: queues.sweep,
        keys: queues.keys,
        report: queues.report,
    }
}

async fn run_queues(world: Arc<World>, queues: Queues, stop: &CancellationToken) {
    let queues = by_bureau(&world, queues);
    let metrics = world.context.metrics.clone();
    macro_rules! reconcile {
        ($queue:expr, $module:ident) => {{
            let world = world.clone();
            $queue.run(CONCURRENCY, metrics.clone(), stop.clone(), move |key| {
                let world = world.clone();
                async move { $module::reconcile(&world, &key).await }
            })
        }};
    }
    tokio::select! {
        () = reconcile!(queues.mirror, mirror) => (),
        () = reconcile!(queues.vdcs, vdc) => (),
        () = reconcile!(queues.halls, hall) => (),
        () = reconcile!(queues.outbox, outbox) => (),
        () = reconcile!(queues.sweep, sweep) => (),
        () = reconcile!(queues.keys, keys) => (),
        () = reconcile!(queues.report, report) => (),
        () = report::beat::beat(world.clone()) => (),
        () = report::canary::watch_over(world.clone()) => (),
        () = door::watch_over(world.clone()) => (),
        () = isolation::watch_over(world.clone()) => (),
    }
}
