//! Replicas of a hall's volumes, as its slice asks for them: objects that nodes carry out, and what is said of them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::{Value, json};
use yunting_crds::conditions::reason;
use yunting_crds::hall_volume::{
    HallClaim, HallVolume, ReplicaState, WantedCopies, WantedCopy, WantedReplica,
};
use yunting_crds::resources::Kind;
use yunting_crds::{VolumeReplica, VolumeReplication, VolumeReplicationSpec, labels};
use yunting_plan::hall::ValidHallSlice;
use yunting_plan::hall::replica::{self as plan, Bound, Kept, Room};
use yunting_plan::object::api_kind;

use super::validate::Valid;
use super::{MANAGER, observe};
use crate::children::Child;
use crate::error::chain;
use crate::kinds::{self, Ours};
use crate::site::world::World;
use crate::writer::{Error, key_of};

/// Who has made a volume, as Kubernetes notes at its claim.
const PROVISIONER: &str = "/metadata/annotations/volume.kubernetes.io~1storage-provisioner";
const DRIVER: &str = crate::node::volume::DRIVER;

/// Most volumes that are sent of which something is said; the field's bound.
const COPIES: usize = 512;

/// What the site says of it.
#[derive(Debug, Default)]
pub(super) struct States {
    /// Volumes that are here; nothing where that cannot be said.
    pub(super) volumes: Option<Vec<HallVolume>>,
    /// Replicas of other sites' volumes; nothing where that cannot be said.
    pub(super) replicas: Option<Vec<ReplicaState>>,
    /// What is sent.
    pub(super) copies: Vec<ReplicaState>,
}

/// Makes both ends stand. What cannot be made keeps nothing else back; the first failure is returned beside what is said.
pub(super) async fn apply(world: &World, seen: &observe::Seen, valid: &Valid) -> (States, Result<(), Error>) {
    let Some(spec) = seen.spec().filter(|_| world.replicas.are_ready()) else {
        return (States::default(), Ok(()));
    };
    let volumes = volumes(world, valid);
    let (replicas, kept) = keep(world, valid, &spec.replicas).await;
    let (mut copies, sent) = match &volumes {
        Some(volumes) => send(world, valid, &spec.copies, volumes).await,
        None => (Vec::new(), Ok(())),
    };
    copies.truncate(COPIES);
    (States { volumes, replicas: Some(replicas), copies }, kept.and(sent))
}

/// Takes everything of it away; whether anything is left.
pub(super) async fn remove(world: &World, hall: &str) -> Result<bool, Error> {
    for object in world.replicas.sent_for(hall).values() {
        delete(world, object).await?;
    }
    for object in world.replicas.kept_for(hall).values() {
        delete(world, object).await?;
    }
    Ok(!world.replicas.none_for(hall))
}

async fn delete<K: Ours>(world: &World, object: &K) -> Result<(), Error> {
    if object.meta().deletion_timestamp.is_some() {
        return Ok(());
    }
    let uid = object.uid().unwrap_or_default();
    world.ends.writer.delete(&key_of(&kinds::of::<K>(), object), &uid).await
}

/// The hall's volumes of our driver. Of one whose node is not known yet it cannot be said that it is not there, and then of
/// none: what is not named loses its replica.
fn volumes(world: &World, valid: &Valid) -> Option<Vec<HallVolume>> {
    let (vdc, hall) = (valid.vdc.owner.uid.as_str(), valid.hall.uid.as_str());
    let claims = world.children.of_hall(vdc, hall);
    let kind = api_kind::<PersistentVolumeClaim>();
    let of = |child: &Child| bound(child, &child.value());
    let all: Vec<(Bound, bool)> =
        claims.iter().filter(|c| c.key.kind == kind).filter_map(|c| of(c)).collect();
    let node = |volume: &str| {
        let key = world.volume_keys.get_cluster(volume).filter(|k| k.spec.vdc == vdc);
        key.map(|k| k.spec.node.clone())
    };
    let known =
        world.volume_keys.is_ready() && all.iter().all(|(b, ours)| !ours || node(&b.volume).is_some());
    known.then(|| plan::volumes(&valid.hall, all.into_iter().map(|(bound, _)| bound), node))
}

/// A claim that is bound, and whether our driver has made its volume.
fn bound(child: &Child, claim: &Value) -> Option<(Bound, bool)> {
    let text = |path: &str| claim.pointer(path).and_then(Value::as_str);
    if text("/status/phase") != Some("Bound") {
        return None;
    }
    let bytes = Kind::Storage.parse(text("/status/capacity/storage")?).ok()?;
    let bound = Bound {
        namespace: child.key.namespace.clone()?,
        name: child.key.name.clone(),
        volume: text("/spec/volumeName")?.to_owned(),
        bytes: i64::try_from(bytes).ok()?,
    };
    Some((bound, text(PROVISIONER) == Some(DRIVER)))
}

/// Replicas of other sites' volumes.
async fn keep(
    world: &World,
    valid: &Valid,
    wanted: &[WantedReplica],
) -> (Vec<ReplicaState>, Result<(), Error>) {
    let hall = valid.hall.uid.as_str();
    let standing = world.replicas.kept_for(hall);
    let rooms = world.words.rooms();
    let decided = decide(world, valid, wanted, &standing, &rooms);
    let (mut states, mut first) = (Vec::new(), Ok(()));
    for (wanted, decision) in decided {
        let name = &wanted.from.volume;
        let there = standing.get(name);
        let done = match (&decision, there) {
            (Kept::Make(spec), _) => {
                write::<VolumeReplica>(world, &valid.hall, &wanted.claim, name, spec).await
            }
            (Kept::Nothing, _) => continue,
            (Kept::Replace | Kept::Remove, Some(object)) => delete(world, object).await,
            _ => Ok(()),
        };
        let how = match (&decision, &done) {
            (_, Err(error)) => Err((reason::APPLY_FAILED, chain(error))),
            (Kept::No(reason, why), _) => Err((*reason, why.clone())),
            (Kept::Stands | Kept::Remove, _) => Ok(there),
            (Kept::Make(_) | Kept::Replace | Kept::Nothing, _) => Ok(None),
        };
        let how = how.as_ref().map(|r| *r).map_err(|(reason, why)| (*reason, why.as_str()));
        states.push(plan::kept_state(&wanted, how, &rooms));
        first = first.and(done);
    }
    (states, first)
}

fn decide(
    world: &World,
    valid: &Valid,
    wanted: &[WantedReplica],
    standing: &BTreeMap<String, VolumeReplica>,
    rooms: &[Room],
) -> Vec<(WantedReplica, Kept)> {
    let taken = |name: &str| {
        let other = world.replicas.kept.get_cluster(name)?;
        let whose = other.labels().get(labels::HALL_UID).cloned();
        let whose = whose.map_or_else(|| "a person".to_owned(), |uid| format!("the hall of uid {uid}"));
        Some(format!("VolumeReplica {name} was made by {whose}; remove it if nobody needs it"))
    };
    plan::keep(valid.vdc.owner.uid.as_str(), world.site.as_str(), wanted, standing, taken, rooms.to_vec())
}

/// What sends points to other sites.
async fn send(
    world: &World,
    valid: &Valid,
    wanted: &[WantedCopies],
    volumes: &[HallVolume],
) -> (Vec<ReplicaState>, Result<(), Error>) {
    let mut standing = world.replicas.sent_for(valid.hall.uid.as_str());
    let (mut states, mut first) = (Vec::new(), Ok(()));
    let each: Vec<_> = wanted.iter().flat_map(|to| to.volumes.iter().map(move |copy| (to, copy))).collect();
    for (to, copy) in each {
        let name = plan::replication_name(&copy.name, &to.site);
        let there = standing.remove(&name);
        let (done, how) = one(world, valid, (to, copy), volumes, &name, there.as_ref()).await;
        states.push(plan::sent_state(
            &to.site,
            copy,
            how.as_ref().map(|()| there.as_ref()).map_err(String::as_str),
        ));
        first = first.and(done);
    }
    for object in standing.values() {
        first = first.and(delete(world, object).await);
    }
    (states, first)
}

/// One of them; whether it was written, and what is wrong with it.
async fn one(
    world: &World,
    valid: &Valid,
    (to, copy): (&WantedCopies, &WantedCopy),
    volumes: &[HallVolume],
    name: &str,
    there: Option<&VolumeReplication>,
) -> (Result<(), Error>, Result<(), String>) {
    let vdc = valid.vdc.owner.uid.as_str();
    let spec = match plan::send(vdc, to, copy, volumes, there) {
        Ok(spec) => spec,
        Err(why) => return (Ok(()), Err(why)),
    };
    if there.is_none() && world.replicas.sent.get_cluster(name).is_some() {
        let why = format!("VolumeReplication {name} was made by somebody else; remove it if nobody needs it");
        return (Ok(()), Err(why));
    }
    let done = match there {
        Some(object) if plan::other_way(&object.spec, &spec) => delete(world, object).await,
        Some(object) if object.spec == spec => Ok(()),
        _ => write::<VolumeReplication>(world, &valid.hall, &copy.claim, name, &ours(&spec)).await,
    };
    let how = done.as_ref().copied().map_err(|e| chain(e));
    (done, how)
}

/// The fields that are ours to say: what is sent now is said by whoever moves the hall.
fn ours(spec: &VolumeReplicationSpec) -> Value {
    let mut body = json!(spec);
    if let Some(fields) = body.as_object_mut() {
        fields.remove("mode");
    }
    body
}

async fn write<K: Ours>(
    world: &World,
    hall: &ValidHallSlice,
    claim: &HallClaim,
    name: &str,
    spec: &impl Serialize,
) -> Result<(), Error> {
    let mut marks: BTreeMap<String, String> = hall.labels();
    marks.insert(labels::COMPONENT.to_owned(), claim.component.clone());
    let object = kinds::object::<K>(json!({"metadata": {"name": name, "labels": marks}, "spec": spec}));
    world.ends.writer.apply(MANAGER, &object).await.map(drop)
}
