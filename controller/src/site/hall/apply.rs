//! Makes a hall's objects stand: first what may stand in a closed namespace, then what runs, in open ones only.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use yunting_crds::labels;
use yunting_plan::hall::grants::aliases;
use yunting_plan::hall::{ValidHallSlice, hall_objects, needs_open};
use yunting_plan::object::{Key, Object};
use yunting_plan::orphans::{self, Standing as Here};
use yunting_plan::scope::Scope;
use yunting_plan::vdc::admission::Admission;

use super::validate::Valid;
use super::{Error, MANAGER, grants, growth, retry, secrets, start};
use crate::site::ensure::{self, label_of, namespace_key};
use crate::site::memory::Standing;
use crate::site::vdc::facts;
use crate::site::world::World;

/// What came of it, for the status.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// What is waited for before anything runs.
    pub(super) waiting: Vec<String>,
    /// What the site lacks for the hall to run.
    pub(super) note: Option<String>,
    /// Volumes that are to grow, and what they wait for.
    pub(super) growing: Vec<String>,
    /// More would have been removed than may go at once.
    pub(super) stopped: Option<orphans::TooMany>,
}

/// Carries out one hall.
pub(super) async fn apply(world: &World, valid: &Valid) -> Result<Done, Error> {
    let Valid { hall, vdc } = valid;
    let scope = Scope::hall(vdc, &hall.uid);
    let mut done = Done::default();
    let used: BTreeSet<&str> = hall.components.iter().map(|c| c.namespace.as_str()).collect();
    let absent: Vec<&str> = used.iter().filter(|n| !exists(world, valid, n)).copied().collect();
    if !absent.is_empty() {
        done.waiting.push(format!("namespaces {} are not there yet", absent.join(", ")));
        return Ok(done);
    }
    let secrets = secrets::gather(world, hall);
    let mut objects = hall_objects(hall, vdc, &facts(world));
    objects.extend(aliases(hall, &grants::peers(world, hall)));
    objects.retain(|o| world.serves_routes || o.key.kind.kind != "HTTPRoute");
    let (late, early): (Vec<&Object>, Vec<&Object>) = objects.iter().partition(|o| needs_open(&o.key.kind));
    let (after, before): (Vec<&Object>, Vec<&Object>) = early.into_iter().partition(|o| leads_in(o));
    ensure::all(world, MANAGER, &scope, &secrets.objects.iter().collect::<Vec<_>>()).await?;
    ensure::all(world, MANAGER, &scope, &before).await?;
    let closed: HashSet<&str> = used.iter().filter(|n| !open(world, n)).copied().collect();
    let unseen: HashSet<&str> = used.iter().filter(|n| !counted(world, valid, n)).copied().collect();
    let shut: HashSet<&str> = closed.union(&unseen).copied().collect();
    let may = |o: &&Object| may_write(world, o, &shut, secrets.missing.is_empty());
    let (mut now, held): (Vec<&Object>, Vec<&Object>) = late.into_iter().partition(may);
    for object in now.clone() {
        let growth = growth::grow(world, hall, object).await?;
        done.growing.extend(growth.waiting);
        if growth.anew {
            now.retain(|o| o.key != object.key);
        }
    }
    let now: Vec<Cow<'_, Object>> = now.into_iter().map(|o| begun(world, hall, o)).collect();
    ensure::all(world, MANAGER, &scope, &now.iter().map(AsRef::as_ref).collect::<Vec<_>>()).await?;
    ensure::all(world, MANAGER, &scope, &after).await?;
    if !held.is_empty() {
        done.waiting = reasons(&closed, &unseen, &secrets.missing);
    }
    opened(world, valid, closed.is_empty()).await?;
    done.note = lacks_class(world, valid);
    done.stopped = remove_orphans(world, valid, &objects, &secrets.keys).await?;
    Ok(done)
}

fn begun<'a>(world: &World, hall: &ValidHallSlice, object: &'a Object) -> Cow<'a, Object> {
    start::with_replicas(world, hall, object).map_or(Cow::Borrowed(object), Cow::Owned)
}

async fn opened(world: &World, valid: &Valid, open: bool) -> Result<(), Error> {
    if open {
        return retry::after_opening(world, &valid.hall).await;
    }
    world.memory.open(valid.hall.uid.as_str(), false);
    Ok(())
}

/// Its VDC has taken from vendors what they may not see of it.
fn counted(world: &World, valid: &Valid, namespace: &str) -> bool {
    world.memory.counts(valid.vdc.owner.uid.as_str(), namespace, &valid.hall.name)
}

/// Volumes that nothing at the site will make.
fn lacks_class(world: &World, valid: &Valid) -> Option<String> {
    let needed = valid.hall.components.iter().any(|c| c.active && !c.volumes.is_empty());
    let Some(class) = valid.vdc.storage_class.as_deref().filter(|_| needed) else {
        return needed.then(|| "the site offers no StorageClass for volumes".to_owned());
    };
    let there = world.storage_classes.get_cluster(class).is_some();
    (!there).then(|| format!("StorageClass {class} is not at this site; its volumes wait for it"))
}

/// What leads to a workload or acts on it comes after it.
fn leads_in(object: &Object) -> bool {
    matches!(object.key.kind.kind, "HTTPRoute" | "HorizontalPodAutoscaler")
}

fn reasons(closed: &HashSet<&str>, unseen: &HashSet<&str>, missing: &[String]) -> Vec<String> {
    let sorted = |names: &HashSet<&str>| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
    let closed = sorted(closed).into_iter();
    let mut all: Vec<String> =
        closed.map(|n| format!("namespace {n} is closed; see the conditions of its VDC")).collect();
    let unseen = sorted(unseen).into_iter();
    all.extend(unseen.map(|n| format!("who may read in namespace {n} is being looked at; see its VDC")));
    all.extend(missing.iter().map(|s| format!("Secret {s} has not come from the hub as it is meant")));
    all
}

/// Stopping passes always. What would start pods waits for a namespace that is not shut, and for its Secrets.
fn may_write(world: &World, object: &Object, shut: &HashSet<&str>, secrets: bool) -> bool {
    if matches!(ensure::standing(world, object), Standing::Stands) {
        return true;
    }
    let there = world.children.get(&object.key).is_some();
    if there && object.body.pointer("/spec/replicas").and_then(serde_json::Value::as_u64) == Some(0) {
        return true;
    }
    let starts = object.key.kind.kind != "Service";
    let in_shut = object.key.namespace.as_deref().is_some_and(|n| shut.contains(n));
    !in_shut && (secrets || !starts)
}

fn exists(world: &World, valid: &Valid, name: &str) -> bool {
    let child = world.children.get(&namespace_key(name));
    child.is_some_and(|c| !c.deleting && c.vdc_uid.as_deref() == Some(valid.vdc.owner.uid.as_str()))
}

fn open(world: &World, name: &str) -> bool {
    let child = world.children.get(&namespace_key(name));
    child.is_some_and(|c| ensure::admission_of(&c.value()) == Admission::Open)
}

async fn remove_orphans(
    world: &World,
    valid: &Valid,
    objects: &[Object],
    secrets: &[Key],
) -> Result<Option<orphans::TooMany>, Error> {
    let desired: BTreeSet<&Key> = objects.iter().map(|o| &o.key).chain(secrets).collect();
    let children = world.children.of_hall(valid.vdc.owner.uid.as_str(), valid.hall.uid.as_str());
    let leaving =
        orphans::leaving(children.iter().map(|c| Here { key: &c.key, deleting: c.deleting }), &desired);
    // A component has up to nine objects; it is components that are counted.
    let gone: Vec<_> = children.iter().filter(|c| leaving.contains(&c.key)).cloned().collect();
    let units: BTreeSet<Option<String>> =
        gone.iter().map(|c| label_of(&c.value(), labels::COMPONENT)).collect();
    if let Err(stopped) = orphans::breaker(units.len(), children.len()) {
        tracing::error!(hall = %valid.hall.name, %stopped, "removal stopped");
        return Ok(Some(stopped));
    }
    ensure::remove(world, &gone).await?;
    Ok(None)
}
