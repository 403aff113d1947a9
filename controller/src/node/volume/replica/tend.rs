//! What the node's `VolumeReplica`s ask for: the key that came with one is brought to the site, and one that is to be active
//! becomes a volume.

use kube::ResourceExt;
use serde_json::json;
use yunting_crds::VolumeReplica;
use yunting_crds::conditions::{KEY_READY, READY, State, Statement, conditions, reason, say, state_of};
use yunting_crds::replication::Point;
use yunting_crds::volume_replica::{ReplicaState, VolumeReplicaStatus};

use super::super::error::Error;
use super::disk::Replica;
use super::keep::{MANAGER, World};
use crate::error::chain;
use crate::keys::Place;
use crate::kinds;
use crate::queue::{Next, Waker};
use crate::writer::key_of;

/// One pass over one `VolumeReplica`.
pub(super) async fn reconcile(world: &World, name: &str) -> Result<Next, Error> {
    let Some(object) = world.replicas.get_cluster(name) else { return forget(world, name).await };
    let before = world.disk.replica(name)?;
    if before.is_some_and(|r| !r.is_of(&object.spec.vdc, &object.spec.from)) {
        let _alone = world.receiver.alone(name).await;
        let _turn = world.receiver.settled(name).await;
        world.disk.forget_replica(name).await?;
    }
    // Nothing arrives, and none of its points goes, meanwhile.
    let _turn = world.receiver.settled(name).await;
    let Some(mut replica) = world.disk.replica(name)? else {
        let text = format!("nothing was offered by {} yet", object.spec.from.uri());
        let nothing = |type_| say(type_, State::False, reason::IN_PROGRESS, text.clone());
        return said(world, &object, None, None, &[nothing(READY), nothing(KEY_READY)]).await;
    };
    let key = key(world, name, &mut replica).await;
    let key_said = match &key {
        Ok(true) => say(KEY_READY, State::True, reason::AS_ASKED, "this site's key opens the volume's key"),
        Ok(false) => {
            say(KEY_READY, State::False, reason::IN_PROGRESS, "the site is asked to take the key over")
        }
        Err(error) => say(KEY_READY, State::False, reason::KEY_REFUSED, chain(error)),
    };
    let ready = matches!(key, Ok(true));
    let activated = if object.spec.state == ReplicaState::Active && ready {
        activate(world, &object, name, &replica).await
    } else {
        Ok(object.status.as_ref().and_then(|s| s.activated.clone()))
    };
    let how = how(&object, &replica, ready, &activated);
    let point = activated.as_ref().ok().cloned().flatten();
    let next = said(world, &object, Some(&replica), point, &[how, key_said]).await?;
    activated?;
    match key {
        // The site's word wakes us; what did not get that far is tried again.
        Err(error) if !matches!(error, Error::NoKey { .. }) => Err(error),
        _ => Ok(next),
    }
}

/// Nobody asks for it any more. The volume that it became, if it did, stays.
async fn forget(world: &World, name: &str) -> Result<Next, Error> {
    let _alone = world.receiver.alone(name).await;
    let _turn = world.receiver.settled(name).await;
    if world.replicas.get_cluster(name).is_none() {
        world.disk.forget_replica(name).await?;
        world.driver.forget_unless_here(name).await?;
    }
    Ok(Next::Wait)
}

/// Whether the site has taken the key over. What it has wrapped is kept with the replica.
async fn key(world: &World, name: &str, replica: &mut Replica) -> Result<bool, Error> {
    let place = Place { vdc: replica.vdc.clone(), volume: name.to_owned() };
    let keys = &world.driver.keys;
    let answered = keys.taken_over(&place)?;
    if world.driver.store.find(name)?.is_some() {
        // It is a volume, which keeps its key itself.
        return Ok(true);
    }
    match (answered, &replica.wrapped) {
        (None, None) => keys.take_over(&place, &replica.sealed).await.map(|()| false),
        (None, Some(wrapped)) => keys.kept(&place, wrapped).await.map(|()| true),
        (Some(answered), before) => {
            if before.as_ref() != Some(&answered) {
                replica.wrapped = Some(answered.clone());
                world.disk.keep_replica(name, replica)?;
            }
            keys.kept(&place, &answered).await.map(|()| true)
        }
    }
}

/// Makes a volume of the newest point; which one that was.
async fn activate(
    world: &World,
    object: &VolumeReplica,
    name: &str,
    replica: &Replica,
) -> Result<Option<Point>, Error> {
    if let Some(point) = object.status.as_ref().and_then(|s| s.activated.clone()) {
        return Ok(Some(point));
    }
    let (Some(point), Some(wrapped)) = (replica.received.points.last(), &replica.wrapped) else {
        return Ok(None);
    };
    world.driver.activate(&world.disk, name, &replica.vdc, point, wrapped).await?;
    Ok(Some(point.clone()))
}

fn how(
    object: &VolumeReplica,
    replica: &Replica,
    ready: bool,
    activated: &Result<Option<Point>, Error>,
) -> Statement {
    let no = |reason, text: &str| say(READY, State::False, reason, text);
    match (activated, object.spec.state) {
        (Err(error), _) => no(reason::APPLY_FAILED, &chain(error)),
        (Ok(Some(_)), _) => say(READY, State::True, reason::AS_ASKED, "it is a volume"),
        (Ok(None), _) if replica.received.points.is_empty() => {
            no(reason::REPLICATION_MISSING, "no whole point is here yet")
        }
        (Ok(None), _) if !ready => no(reason::KEY_REFUSED, "its key is not ready; see KeyReady"),
        (Ok(None), ReplicaState::Active) => no(reason::IN_PROGRESS, "it is being activated"),
        (Ok(None), ReplicaState::Receiving) => say(
            READY,
            State::True,
            reason::AS_ASKED,
            "a whole point and its key are here: it can be activated",
        ),
    }
}

/// Says it, where it was not said.
async fn said(
    world: &World,
    object: &VolumeReplica,
    replica: Option<&Replica>,
    activated: Option<Point>,
    statements: &[Statement],
) -> Result<Next, Error> {
    let before = object.status.clone().unwrap_or_default();
    let (generation, now) = (object.metadata.generation, world.context.now());
    let newest = replica.and_then(|r| r.received.points.last().cloned());
    let after = VolumeReplicaStatus {
        observed_generation: generation,
        received_at: if newest == before.newest { before.received_at.clone() } else { Some(now.clone()) },
        newest,
        token: replica.map(|r| r.received.token),
        activated: activated.or_else(|| before.activated.clone()),
        conditions: conditions(&before.conditions, statements, generation, &now),
    };
    if after != before {
        let key = key_of(&kinds::of::<VolumeReplica>(), object);
        world.writer.status(MANAGER, &key, None, &json!(after)).await?;
    }
    Ok(Next::Wait)
}

/// Looks at a replica again when the site has something to say of its key, for ever.
pub(super) async fn follow_keys(world: &World, waker: &Waker<String>) {
    let mut changes = world.driver.keys.follow();
    loop {
        changes.borrow_and_update();
        for asked in world.driver.keys.all() {
            let status = asked.status.as_ref();
            let told = status.is_some_and(|s| s.refused.is_some() || s.wrapped != asked.spec.wrapped);
            let Some(replica) = world.replicas.get_cluster(&asked.name_any()) else { continue };
            let said = replica.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            if told || state_of(said, KEY_READY) != State::True {
                waker.wake(asked.name_any());
            }
        }
        if changes.changed().await.is_err() {
            // The process is ending.
            return std::future::pending().await;
        }
    }
}
