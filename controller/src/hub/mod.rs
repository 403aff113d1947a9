//! The hub's controllers: sites, bureaus, VDCs, halls, and what bureaus share. One of all running instances is active.

mod bureau;
mod certificates;
mod grant;
mod hall;
mod liveness;
mod rights;
mod said;
mod secrets;
mod service;
mod sharing;
mod site;
mod slices;
mod standing;
mod vdc;
mod wake;
mod world;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use yunting_crds::labels;

use crate::context::Context;
use crate::crowd::Crowd;
use crate::hub_client::Servers;
use crate::lease::Elector;
use crate::metrics::Metrics;
use crate::ops::{self, Readiness};
use crate::queue::{Queue, queue};
use crate::watchdog;
use crate::writer::Writer;
use sharing::Shared;
use world::{ObjectKey, Wakers, World};

/// How a hub controller is started.
pub struct Options {
    /// Kubeconfig of the hub, one context per API server.
    pub kubeconfig: PathBuf,
    /// Name in the leader Lease.
    pub identity: String,
    /// Address of metrics and health.
    pub listen: SocketAddr,
}

/// Reconciles at once per controller.
const CONCURRENCY: usize = 8;
/// Name of the leader Lease in `yunting-system`.
const LEASE: &str = "yunting-hub";

struct Queues {
    sites: Queue<ObjectKey>,
    bureaus: Queue<ObjectKey>,
    vdcs: Queue<ObjectKey>,
    halls: Queue<ObjectKey>,
    grants: Queue<ObjectKey>,
    services: Queue<ObjectKey>,
}

/// Runs until stopped or until the lead is lost.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    tokio::spawn(ops::stop_on_signal(stop.clone()));
    let metrics = Arc::new(Metrics::new()?);
    let context = Context::new(metrics.clone());
    let servers = Servers::open("hub", &options.kubeconfig, metrics.clone()).await?;
    let readiness = Readiness::new(vec![servers.watchdog()]);
    let serve = ops::serve(options.listen, metrics.clone(), readiness.clone(), stop.clone());
    let serve = tokio::spawn(serve);
    tokio::spawn(watchdog::watch_over(vec![servers.watchdog()], metrics.clone()));
    let writer = Writer::new(servers.client.clone(), metrics);
    let elector = Elector::new(
        servers.client.clone(),
        writer.clone(),
        context.clone(),
        labels::SYSTEM_NAMESPACE,
        LEASE,
        &options.identity,
    );
    let leave = || servers.leave();
    let leadership = tokio::select! {
        leadership = elector.lead(&leave) => leadership,
        () = stop.cancelled() => return Ok(()),
        served = serve => return served?.with_context(|| format!("cannot serve on {}", options.listen)),
    };
    let work = work(&servers, writer, context, leadership.term, readiness, &stop);
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
    servers: &Servers,
    writer: Writer,
    context: Context,
    term: i64,
    readiness: Readiness,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let (sites_waker, sites) = queue("hub-site");
    let (bureaus_waker, bureaus) = queue("hub-bureau");
    let (vdcs_waker, vdcs) = queue("hub-vdc");
    let (halls_waker, halls) = queue("hub-hall");
    let (grants_waker, grants) = queue("hub-grant");
    let (services_waker, services) = queue("hub-service");
    let wakers = Wakers {
        sites: sites_waker,
        bureaus: bureaus_waker,
        vdcs: vdcs_waker,
        halls: halls_waker,
        grants: grants_waker,
        services: services_waker,
        sharing: Shared::default(),
    };
    // Bureaus take turns.
    let (crowd, of_bureau) = (Crowd::default(), |key: &ObjectKey| key.namespace.clone());
    let (vdcs, halls) = (vdcs.by_turns(&crowd, of_bureau), halls.by_turns(&crowd, of_bureau));
    let queues = Queues { sites, bureaus, vdcs, halls, grants, services };
    let world = World::start(&servers.client, writer, context, term, wakers, stop).await?;
    readiness.set(true);
    tracing::info!("caches are filled");
    run_queues(Arc::new(world), queues, stop).await;
    if stop.is_cancelled() {
        // The queues ended because they were asked to: who asked goes on with the orderly stop.
        std::future::pending::<()>().await;
    }
    anyhow::bail!("a controller stopped")
}

async fn run_queues(world: Arc<World>, queues: Queues, stop: &CancellationToken) {
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
        () = reconcile!(queues.sites, site) => (),
        () = reconcile!(queues.bureaus, bureau) => (),
        () = reconcile!(queues.vdcs, vdc) => (),
        () = reconcile!(queues.halls, hall) => (),
        () = reconcile!(queues.grants, grant) => (),
        () = reconcile!(queues.services, service) => (),
        () = liveness::watch_over(world.clone()) => (),
    }
}
