//! What the node's `VolumeReplication`s ask for: points are made and sent, one after the other, and how far it is is said.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kube::runtime::watcher;
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use yunting_crds::conditions::{READY, State, Statement, conditions, reason, say};
use yunting_crds::replication::Point;
use yunting_crds::volume_replication::{Divergent, ReplicationMode, VolumeReplicationStatus};
use yunting_crds::{VolumeReplica, VolumeReplication, VolumeReplicationSpec};
use yunting_plan::replication::{Sending, Step, Wanted, next};

use super::super::Lent;
use super::super::driver::Driver;
use super::super::error::Error;
use super::super::store::Store;
use super::disk::Disk;
use super::receiver::Receiver;
use super::sender::{Order, Sender};
use super::{Options, service};
use crate::cache::Cache;
use crate::context::Context;
use crate::error::chain;
use crate::kinds;
use crate::queue::{Next, queue};
use crate::wire::Read;
use crate::writer::{Writer, key_of};

/// Field manager of what is said of replication.
pub(super) const MANAGER: &str = "yunting/node-replication";
/// Points sent at once, and replicas seen to at once.
const CONCURRENCY: usize = 4;
/// Time until it is looked again whether a volume is closed.
const CLOSED: Duration = Duration::from_secs(1);

/// What both ends of a node work with.
pub(super) struct World {
    pub(super) driver: Arc<Driver>,
    pub(super) disk: Disk,
    pub(super) receiver: Arc<Receiver>,
    pub(super) replicas: Cache<VolumeReplica>,
    pub(super) writer: Writer,
    pub(super) context: Context,
    sender: Sender,
    outgoing: Cache<VolumeReplication>,
}

/// Serves both ends until it cannot.
pub(in crate::node::volume) async fn serve(
    options: &Options,
    driver: Arc<Driver>,
    store: Arc<Store>,
    disk: Disk,
    lent: &Lent<'_>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let (to_send, outbound) = queue::<String>("replication");
    let (waker, inbound) = queue::<String>("replica");
    let own = watcher::Config::default().fields(&format!("spec.node={}", lent.node));
    let api: Api<Read<VolumeReplication>> = Api::all(lent.client.clone());
    let wake = to_send.clone();
    let woken = move |object: &VolumeReplication| wake.wake(object.name_any());
    let outgoing = Cache::start(api, own.clone(), lent.metrics.clone(), stop.clone(), woken);
    let api: Api<Read<VolumeReplica>> = Api::all(lent.client.clone());
    let wake = waker.clone();
    let woken = move |object: &VolumeReplica| wake.wake(object.name_any());
    let replicas = Cache::start(api, own, lent.metrics.clone(), stop.clone(), woken);
    outgoing.ready().await;
    replicas.ready().await;
    // What is on the disk and is not asked for any more is removed.
    disk.replications().context("points on the disk")?.into_iter().for_each(|name| to_send.wake(name));
    disk.replicas().context("replicas on the disk")?.into_iter().for_each(|name| waker.wake(name));
    let of = replicas.clone();
    let wanted = Box::new(move |name: &str| of.get_cluster(name).map(|object| object.spec.clone()));
    let wake = waker.clone();
    let changed = Box::new(move |name: &str| wake.wake(name.to_owned()));
    let receiver = Arc::new(Receiver::new(disk.clone(), store.clone(), wanted, changed));
    let world = Arc::new(World {
        driver,
        sender: Sender::new(disk.clone(), options.machine.clone(), options.bytes_per_second),
        disk,
        receiver: receiver.clone(),
        outgoing,
        replicas,
        writer: lent.writer.clone(),
        context: Context::new(lent.metrics.clone()),
    });
    let (metrics, of) = (lent.metrics.clone(), world.clone());
    let send = outbound.run(CONCURRENCY, metrics.clone(), stop.clone(), move |name| {
        let world = of.clone();
        async move { reconcile(&world, &name).await }
    });
    let of = world.clone();
    let tend = inbound.run(CONCURRENCY, metrics, stop.clone(), move |name| {
        let world = of.clone();
        async move { super::tend::reconcile(&world, &name).await }
    });
    tokio::select! {
        () = send => Ok(()),
        () = tend => Ok(()),
        () = super::tend::follow_keys(&world, &waker) => Ok(()),
        () = super::room::tell(&options.address, &store, lent) => Ok(()),
        ended = service::serve(receiver, options.machine.clone(), options.listen) => ended,
    }
}

impl World {
    /// Counts when the oldest of the newest points was begun: the lag of the volume that is furthest behind.
    fn oldest(&self) {
        let all = self.outgoing.all();
        let confirmed = all.iter().filter_map(|o| o.status.as_ref()?.confirmed.as_ref());
        let oldest = confirmed.map(|point| point.begun_at.0.as_second()).min();
        self.context.metrics.oldest_point.set(oldest.unwrap_or_default());
    }
}

/// One pass over one `VolumeReplication`.
async fn reconcile(world: &World, name: &str) -> Result<Next, Error> {
    let Some(object) = world.outgoing.get_cluster(name) else {
        world.disk.forget_sending(name).await?;
        return Ok(Next::Wait);
    };
    let mut last = Last::default();
    let done = tokio::select! {
        done = advance(world, &object, &mut last) => done,
        never = grow_old(world, name, &object) => match never {},
    };
    // What was said meanwhile is in it.
    let object = world.outgoing.get_cluster(name).unwrap_or(object);
    let before = object.status.as_ref().and_then(|s| s.divergent.clone());
    last.divergent = match &done {
        Ok(_) => None,
        Err(Error::Over(_)) => divergent(world, name, before).await?,
        Err(_) => before,
    };
    let said = match &done {
        Ok(_) => None,
        Err(Error::NotNow(why)) => Some(say(READY, State::False, reason::IN_PROGRESS, why)),
        Err(error @ Error::Over(_)) => Some(say(READY, State::False, reason::DIVERGENT, chain(error))),
        Err(error @ (Error::Missing(_) | Error::Invalid(_) | Error::Other(_))) => {
            Some(say(READY, State::False, reason::REFERENCE, chain(error)))
        }
        Err(error) => Some(say(READY, State::False, reason::APPLY_FAILED, chain(error))),
    };
    // How far it is has another time now.
    let state = world.disk.sending(name)?;
    let said = said.unwrap_or_else(|| far(world, &object.spec, &state));
    let told = status(world, &object, &state, &last, said).await;
    match (done, told) {
        (Err(Error::NotNow(_)), _) => Ok(Next::After(CLOSED)),
        // Points go on while a server cannot be told; the next one is told with them.
        (Ok(Next::After(rest)), Err(error)) => {
            tracing::info!(replication = name, error = chain(&error), "how far it is, is not told yet");
            Ok(Next::After(rest))
        }
        (done, told) => told.and(done),
    }
}

/// Says it when the newest point of the other end becomes too old while the next one is on its way, however long that takes.
async fn grow_old(world: &World, name: &str, object: &VolumeReplication) -> Infallible {
    let rpo = Duration::from_secs(object.spec.rpo_seconds.into());
    loop {
        // What cannot be read is told by who sends.
        let state = world.disk.sending(name).unwrap_or_default();
        let age = age(world, state.confirmed.as_ref()).unwrap_or_default();
        if state.confirmed.is_some() && age > rpo {
            let now = world.outgoing.get_cluster(name);
            let object = now.as_deref().unwrap_or(object);
            let divergent = object.status.as_ref().and_then(|s| s.divergent.clone());
            let (last, said) = (Last { bytes: None, divergent }, far(world, &object.spec, &state));
            // A server that cannot be told stops nothing.
            if let Err(error) = status(world, object, &state, &last, said).await {
                tracing::info!(replication = name, error = chain(&error), "a point grows old, untold");
            }
        }
        tokio::time::sleep(rpo.saturating_sub(age).max(CLOSED)).await;
    }
}

/// What was sent in this pass, and what is not taken any more.
#[derive(Default)]
struct Last {
    bytes: Option<u64>,
    divergent: Option<Divergent>,
}

/// Told once for each point that is refused.
async fn divergent(world: &World, name: &str, before: Option<Divergent>) -> Result<Option<Divergent>, Error> {
    let state = world.disk.sending(name)?;
    match before.filter(|d| Some(&d.point) == state.pending.as_ref()) {
        Some(told) => Ok(Some(told)),
        None => world.sender.divergent(name, &state).await,
    }
}

/// Makes and sends until nothing is to be done now.
async fn advance(world: &World, object: &VolumeReplication, last: &mut Last) -> Result<Next, Error> {
    let (name, spec) = (object.name_any(), &object.spec);
    let header = world.driver.header(&spec.volume)?;
    if header.vdc != spec.vdc {
        let text = format!("volume {} is one of VDC {}, and not of {}", spec.volume, header.vdc, spec.vdc);
        return Err(Error::Invalid(text));
    }
    let Some(sealed) = object.status.as_ref().and_then(|s| s.sealed.as_deref()) else {
        return Err(Error::NoKey { volume: spec.volume.clone(), why: not_sealed(object) });
    };
    let rpo = Duration::from_secs(spec.rpo_seconds.into());
    let wanted = Wanted { token: spec.token, mode: spec.mode, rpo };
    loop {
        let mut state = world.disk.sending(&name)?;
        match next(wanted, &state, age(world, state.confirmed.as_ref())) {
            Step::Rest => return Ok(Next::Wait),
            Step::Wait(rest) => return Ok(Next::After(rest)),
            Step::GiveUp => state.pending = None,
            Step::Make { sequence, closed } => {
                let begun_at = world.context.now();
                let point = Point { token: spec.token, sequence, uuid: String::new(), begun_at, closed };
                let at = point.name();
                let uuid = world.driver.point(&world.disk, &spec.volume, &name, &at, closed).await?;
                (state.sequence, state.pending) = (sequence, Some(Point { uuid, ..point }));
            }
            Step::Send(point) => {
                let order = Order { name: &name, spec, size: header.size, sealed };
                let sent = world.sender.send(order, &state, &point).await?;
                last.bytes = Some(sent);
                world.context.metrics.replicated.inc_by(sent);
                (state.confirmed, state.pending) = (Some(point), None);
            }
        }
        world.disk.keep_sending(&name, &state).await?;
    }
}

fn not_sealed(object: &VolumeReplication) -> String {
    let refused = object.status.as_ref().and_then(|s| s.refused.clone());
    refused.unwrap_or_else(|| "the site's controller has not sealed it for the other site yet".to_owned())
}

/// Time since a point was begun; nothing where the clock was set back since.
fn age(world: &World, point: Option<&Point>) -> Option<Duration> {
    let age = world.context.timestamp().duration_since(point?.begun_at.0);
    Duration::try_from(age).ok()
}

/// Whether the newest point of the other end is new enough.
fn far(world: &World, spec: &VolumeReplicationSpec, state: &Sending) -> Statement {
    let Some(point) = &state.confirmed else {
        return say(READY, State::False, reason::IN_PROGRESS, "no point is at the other site yet");
    };
    let age = age(world, Some(point)).unwrap_or_default();
    match spec.mode {
        ReplicationMode::Paused => {
            say(READY, State::False, reason::LIFECYCLE, "spec.mode says that nothing is sent")
        }
        ReplicationMode::Final if point.closed => {
            say(READY, State::True, reason::AS_ASKED, "the final point is at the other site")
        }
        ReplicationMode::Final => {
            say(READY, State::False, reason::IN_PROGRESS, "the final point is not there yet")
        }
        ReplicationMode::Continuous if age > Duration::from_secs(spec.rpo_seconds.into()) => {
            let text =
                "the newest point at the other site is older than spec.rpoSeconds; see status.confirmed";
            say(READY, State::False, reason::REPLICATION_BEHIND, text)
        }
        ReplicationMode::Continuous => {
            say(READY, State::True, reason::AS_ASKED, "the other site has a point that is new enough")
        }
    }
}

/// Says it, where it was not said.
async fn status(
    world: &World,
    object: &VolumeReplication,
    state: &Sending,
    last: &Last,
    said: Statement,
) -> Result<(), Error> {
    let before = object.status.clone().unwrap_or_default();
    let (generation, now) = (object.metadata.generation, world.context.now());
    let newer = before.confirmed != state.confirmed;
    let sent = last.bytes.and_then(|b| i64::try_from(b).ok());
    let after = VolumeReplicationStatus {
        observed_generation: generation,
        confirmed: state.confirmed.clone(),
        confirmed_at: if newer { Some(now.clone()) } else { before.confirmed_at.clone() },
        sent_bytes: if newer { sent } else { before.sent_bytes },
        divergent: last.divergent.clone(),
        conditions: conditions(&before.conditions, &[said], generation, &now),
        // The site's.
        sealed: before.sealed.clone(),
        sealed_for: before.sealed_for.clone(),
        refused: before.refused.clone(),
    };
    if after == before {
        return Ok(());
    }
    let own = VolumeReplicationStatus { sealed: None, sealed_for: None, refused: None, ..after };
    world.oldest();
    let key = key_of(&kinds::of::<VolumeReplication>(), object);
    world.writer.status(MANAGER, &key, None, &json!(own)).await?;
    Ok(())
}
