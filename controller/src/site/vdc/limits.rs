//! Brings the limits of a VDC's namespaces to what they are to be, step by step as the plan says; between two steps
//! a watch wakes us. What is used is listed only while a lowered limit is frozen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Api;
use kube::api::ListParams;
use kube::core::DynamicObject;
use tokio::time::Instant;
use yunting_plan::quota::charge::{Since, What, cost};
use yunting_plan::quota::shrink::{Count, Hard, Shown, Step, Want, larger, next, paced};
use yunting_plan::vdc::admission::Admission;
use yunting_plan::vdc::{ValidVdcSlice, quota};

use super::Error;
use crate::site::usage;
use crate::site::world::World;
use crate::writer::resource;

/// Time after which a limit that does not come through is said to be stuck.
const LONG: Duration = Duration::from_secs(10);

/// What this process is about to write, or has written, as limits; and since when some are being lowered.
#[derive(Default)]
pub(in crate::site) struct Lowering(Mutex<HashMap<String, Intent>>);

struct Intent {
    hard: Hard,
    lowering: Option<Instant>,
}

impl Lowering {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Intent>> {
        // Nothing panics while it is held, so a poisoned lock still holds a whole map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Said before it is written: from then on what a watch shows may be out of date.
    fn intend(&self, namespace: &str, step: &Step) {
        let mut all = self.all();
        let before = all.get(namespace).and_then(|i| i.lowering);
        let lowering = (step.want != Want::Nothing).then(|| before.unwrap_or_else(Instant::now));
        all.insert(namespace.to_owned(), Intent { hard: step.limits.hard.clone(), lowering });
    }

    /// A quota as it can be relied on: limits that this process means to change count as not confirmed.
    pub(in crate::site) fn relied_on(&self, namespace: &str, mut shown: Shown) -> Shown {
        if let Some(intent) = self.all().get(namespace) {
            shown.status.retain(|key, hard| intent.hard.get(key).is_none_or(|meant| meant == hard));
        }
        shown
    }

    /// A namespace is gone.
    pub(super) fn forget(&self, namespace: &str) {
        self.all().remove(namespace);
    }

    /// For how long limits of a namespace have been on their way down.
    fn since(&self, namespace: &str) -> Option<Duration> {
        Some(self.all().get(namespace)?.lowering?.elapsed())
    }

    /// Why the limits of a namespace are not yet what they are to be, if some are being lowered.
    pub(super) fn why(&self, namespace: &str, shown: &Shown) -> Option<String> {
        let keys = shown.lowering();
        let took = self.since(namespace).filter(|_| !keys.is_empty())?;
        let late = if took < LONG {
            String::new()
        } else {
            format!(
                ", for more than {} s: does the quota controller of kube-controller-manager run?",
                LONG.as_secs()
            )
        };
        Some(format!(
            "{} of {namespace} being lowered, nothing is admitted of it meanwhile{late}",
            keys.join(", ")
        ))
    }
}

/// One step for every namespace, and what hindered the next.
pub(super) struct Steps {
    /// By name at the site.
    pub(super) by_namespace: BTreeMap<String, Step>,
    /// Namespaces that are no longer asked for and hold room that others are to have.
    pub(super) holding: Vec<String>,
    failed: Option<Error>,
}

impl Steps {
    /// Some limit is on its way down.
    pub(super) fn unfinished(&self) -> bool {
        self.by_namespace.values().any(|s| s.want != Want::Nothing)
    }

    /// What hindered a step, said when all else is done.
    pub(super) fn result(self) -> Result<(), Error> {
        self.failed.map_or(Ok(()), Err)
    }
}

/// One namespace, and where its limits are to go.
struct Place<'a> {
    at_site: &'a str,
    target: Hard,
    seen: Option<Shown>,
    /// It is no longer asked for.
    left_over: bool,
}

impl Place<'_> {
    /// What is in a namespace that is no longer asked for runs on: until it is empty, its limits stay as they are and
    /// nobody else gets its room.
    fn stays(&self, world: &World) -> bool {
        self.left_over && (self.seen.is_none() || !world.usage.is_empty(self.at_site))
    }

    fn holds(&self) -> bool {
        self.seen.as_ref().is_some_and(|s| s.at_most().values().any(|amount| *amount > 0))
    }
}

fn places<'a>(world: &World, slice: &'a ValidVdcSlice, left_over: &'a BTreeSet<String>) -> Vec<Place<'a>> {
    let asked = slice.namespaces.iter().map(|n| {
        let seen = written(world, &n.at_site);
        Place { at_site: &n.at_site, target: quota::target(slice, n), seen, left_over: false }
    });
    let kept = left_over.iter().map(|at_site| {
        let seen = written(world, at_site);
        let target = seen.as_ref().map(quota::nothing).unwrap_or_default();
        Place { at_site, target, seen, left_over: true }
    });
    asked.chain(kept).collect()
}

/// Where the limits of a VDC go next, those of namespaces that it no longer asks for among them.
pub(super) async fn steps(
    world: &World,
    slice: &ValidVdcSlice,
    left_over: &BTreeSet<String>,
    now: &BTreeMap<String, Admission>,
) -> Steps {
    let places = places(world, slice, left_over);
    let targets: Vec<Hard> = places.iter().map(|p| p.target.clone()).collect();
    let seen: Vec<Option<Shown>> = places.iter().map(|p| p.seen.clone()).collect();
    let paced = paced(&targets, &seen);
    let mut steps = Steps { by_namespace: BTreeMap::new(), holding: Vec::new(), failed: None };
    if places.iter().zip(&paced).any(|(place, target)| !place.left_over && *target != place.target) {
        let holding = places.iter().filter(|p| p.left_over && p.holds());
        steps.holding = holding.map(|p| p.at_site.to_owned()).collect();
    }
    for (place, target) in places.iter().zip(&paced).filter(|(place, _)| !place.stays(world)) {
        let closed = now.get(place.at_site) != Some(&Admission::Open);
        let fresh = !place.left_over && closed && world.usage.is_empty(place.at_site);
        let step = match one(world, place, target, fresh).await {
            Ok(step) => step,
            Err(error) => {
                steps.failed = Some(error);
                next(place.seen.as_ref(), target, fresh, None)
            }
        };
        world.lowering.intend(place.at_site, &step);
        steps.by_namespace.insert(place.at_site.to_owned(), step);
    }
    steps
}

async fn one(world: &World, place: &Place<'_>, target: &Hard, fresh: bool) -> Result<Step, Error> {
    let seen = place.seen.as_ref();
    let step = next(seen, target, fresh, None);
    let Want::Count(kinds) = &step.want else { return Ok(step) };
    let count = count(world, place.at_site, kinds).await?;
    tracing::info!(namespace = place.at_site, used = ?count.used, "limits are lowered");
    Ok(next(seen, target, fresh, Some(&count)))
}

/// The quota as last written or seen; its status is missing while the watch is behind.
fn written(world: &World, namespace: &str) -> Option<Shown> {
    let value = world.memory.value(&world.children, &quota::key(namespace))?;
    Some(Shown::read(&value))
}

/// What may be enforced in a namespace: by what was written, by what was seen, and by what is still to be written.
pub(super) fn at_most(world: &World, namespace: &str, target: Option<&Hard>) -> Hard {
    let seen = world.children.get(&quota::key(namespace)).map(|c| Shown::read(&c.value()));
    let both = [seen, written(world, namespace)].into_iter().flatten().map(|s| s.at_most());
    both.fold(target.cloned().unwrap_or_default(), |most, one| larger(most, &one))
}

/// Lists everything of these kinds in a namespace, from a quorum.
async fn count(world: &World, namespace: &str, kinds: &BTreeSet<What>) -> Result<Count, Error> {
    let mut count = Count::default();
    for what in kinds {
        let kind = resource(&usage::kind(*what));
        let api: Api<DynamicObject> = Api::namespaced_with(world.ends.own.client.clone(), namespace, &kind);
        let list = api.list(&ListParams::default()).await;
        let list = list.map_err(|source| Error::List { namespace: namespace.to_owned(), source })?;
        let newest = list.items.iter().map(usage::created).max().unwrap_or(i64::MIN + 1);
        let version =
            list.metadata.resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or(u64::MAX);
        count.since.insert(*what, Since { version, at: newest });
        for object in &list.items {
            let cost = cost(*what, &object.data);
            for (resource, amount) in cost.charges.iter().filter(|_| !cost.ended) {
                let slot: &mut u64 = count.used.entry(*resource).or_default();
                *slot = slot.saturating_add(*amount);
            }
        }
    }
    Ok(count)
}
