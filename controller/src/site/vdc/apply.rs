//! Makes a VDC's objects stand, stage after stage, and opens its namespaces last. Rights that may not stay are taken
//! away, and what must be closed is closed, before anything else is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use serde_json::Value;
use yunting_plan::object::{Key, Object};
use yunting_plan::orphans::{self, Standing as Here};
use yunting_plan::scope::Scope;
use yunting_plan::vdc::access::{self, Residents};
use yunting_plan::vdc::admission::{Admission, Decision, Facts, QuotaSeen, admission, quota_seen};
use yunting_plan::vdc::cidr::Network;
use yunting_plan::vdc::{SiteFacts, Stage, Staged, ValidVdcSlice, namespace, quota, vdc_objects};

use super::limits::{self, Steps};
use super::{Error, MANAGER, closing};
use crate::children::Child;
use crate::queue::Next;
use crate::site::ensure;
use crate::site::memory::Standing;
use crate::site::world::World;

/// What came of it, for the status.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Each namespace by its name at the site.
    pub(super) decisions: BTreeMap<String, Decision>,
    /// More would have been removed than may go at once.
    pub(super) stopped: Option<orphans::TooMany>,
    /// Namespaces that are no longer asked for and are kept, closed.
    pub(super) left_over: BTreeSet<String>,
    /// Namespaces that are not closed to the end, and what is waited for.
    pub(super) closing: BTreeMap<String, String>,
    /// Some limit is on its way down.
    pub(super) lowering: bool,
    /// Namespaces that are no longer asked for and hold room that others are to have.
    pub(super) holding: Vec<String>,
}

impl Done {
    /// When to look again, for what no watch shows.
    pub(super) fn next(&self, world: &World) -> Next {
        match world.closings.next(self.closing.keys()) {
            Next::Wait if self.lowering || !self.holding.is_empty() => Next::After(LOOK),
            next => next,
        }
    }
}

/// Time after which a limit that does not come down is looked at again, to say so.
const LOOK: Duration = Duration::from_secs(11);

/// Carries out one slice.
pub(super) async fn apply(world: &World, slice: &ValidVdcSlice) -> Result<Done, Error> {
    let scope = Scope::vdc(slice);
    let residents = world.memory.look(slice.owner.uid.as_str(), || residents(world, slice));
    let pass = Pass { world, slice, scope, facts: SiteFacts { residents, ..facts(world) } };
    let (mut now, left_over) = (pass.labels(), pass.left_over());
    let withdrawn = pass.withdraw(&left_over).await;
    let planned = pass.close_what_must(&mut now).await?;
    withdrawn?;
    let steps = limits::steps(world, slice, &left_over, &now).await;
    let objects = pass.limited(planned, &steps);
    for stage in [Stage::Namespaces, Stage::Isolation, Stage::Limits, Stage::Openings, Stage::Access] {
        let some: Vec<&Object> = objects.iter().filter(|s| s.stage == stage).map(|s| &s.object).collect();
        ensure::all(world, MANAGER, &pass.scope, &some).await?;
    }
    pass.lower_left_over(&left_over, &steps).await?;
    let decisions = pass.decide(&objects, &now, true);
    pass.open_what_may(&decisions).await?;
    pass.close_left_over(&left_over).await?;
    let closing = pass.settle(&left_over).await;
    let stopped = pass.remove_orphans(&objects).await?;
    let (lowering, holding) = (steps.unfinished(), steps.holding.clone());
    steps.result()?;
    Ok(Done { decisions, stopped, left_over, closing, lowering, holding })
}

struct Pass<'a> {
    world: &'a World,
    slice: &'a ValidVdcSlice,
    scope: Scope,
    facts: SiteFacts,
}

impl Pass<'_> {
    /// What the namespaces' labels say now.
    fn labels(&self) -> BTreeMap<String, Admission> {
        let each = self.slice.namespaces.iter().map(|n| (n.at_site.clone(), self.label(&n.at_site)));
        each.collect()
    }

    fn label(&self, name: &str) -> Admission {
        ensure::admission(self.world, name)
    }

    /// What is to stand now: every object as planned, the limits as far as they have come.
    fn limited(&self, mut all: Vec<Staged>, steps: &Steps) -> Vec<Staged> {
        for n in &self.slice.namespaces {
            let Some(step) = steps.by_namespace.get(&n.at_site) else { continue };
            let object = quota::object(self.slice, &n.at_site, &step.limits);
            all.iter_mut().filter(|s| s.object.key == object.key).for_each(|s| s.object = object.clone());
        }
        all
    }

    /// Judges every namespace by how its objects stand.
    fn decide(
        &self,
        objects: &[Staged],
        now: &BTreeMap<String, Admission>,
        complete: bool,
    ) -> BTreeMap<String, Decision> {
        let verified = self.world.canary.verified();
        let doubt = (!verified).then(|| self.world.canary.statement().message);
        let verdict = doubt.as_deref().map_or(Ok(()), Err);
        let judge = |n: &yunting_plan::vdc::ValidNamespace| {
            let facts = self.facts_of(&n.at_site, objects, now, complete);
            let decision = admission(self.slice.state, verdict, &facts);
            (n.at_site.clone(), decision)
        };
        self.slice.namespaces.iter().map(judge).collect()
    }

    fn facts_of(
        &self,
        name: &str,
        objects: &[Staged],
        now: &BTreeMap<String, Admission>,
        complete: bool,
    ) -> Facts {
        let of = |stage: Stage| {
            objects
                .iter()
                .filter(move |s| s.stage == stage && s.object.key.namespace.as_deref() == Some(name))
        };
        let quota = of(Stage::Limits).find(|s| s.object.key.kind.kind == "ResourceQuota");
        let quota = quota.map_or(QuotaSeen::Missing, |s| match ensure::standing(self.world, &s.object) {
            Standing::Missing | Standing::Deleting => QuotaSeen::Missing,
            Standing::Differs(_) => QuotaSeen::Unconfirmed,
            Standing::Stands => {
                quota_seen(self.world.memory.value(&self.world.children, &s.object.key).as_deref())
            }
        });
        Facts {
            now: now.get(name).copied().unwrap_or(Admission::Closed),
            isolated: of(Stage::Isolation).all(|s| self.isolates(&s.object)),
            quota,
            complete,
        }
    }

    /// Whether a policy is there with exactly the planned rules. A label of another version of ours is put right
    /// without closing.
    fn isolates(&self, policy: &Object) -> bool {
        match ensure::standing(self.world, policy) {
            Standing::Stands => true,
            Standing::Missing | Standing::Deleting => false,
            Standing::Differs(child) => child.value().get("spec") == policy.body.get("spec"),
        }
    }

    /// Whoever has a right no more loses it. Vendors read nothing of halls that they are not named for: those that came
    /// may start once this is done. Only this pass grants anything in the VDC, and it grants by the same residents.
    async fn withdraw(&self, left_over: &BTreeSet<String>) -> Result<(), Error> {
        let uid = self.slice.owner.uid.as_str();
        let standing = |key: &Key| self.world.memory.value(&self.world.children, key).as_deref().cloned();
        let narrowed = access::withdrawals(self.slice, left_over, &self.facts.residents, standing);
        let kept = |o: &&Object| o.key.namespace.as_ref().is_some_and(|n| left_over.contains(n));
        let (kept, asked): (Vec<&Object>, Vec<&Object>) = narrowed.iter().partition(kept);
        ensure::all(self.world, MANAGER, &self.scope, &asked).await?;
        ensure::all(self.world, MANAGER, &Scope::left_over(self.slice, left_over), &kept).await?;
        if self.world.memory.count(uid, self.facts.residents.clone()) {
            self.world.halls_of(uid).iter().for_each(|r| self.world.wakers.about(&r.name_any()));
        }
        Ok(())
    }

    /// Closes open namespaces that may not stay so; a namespace that is not there yet has nothing to close. The plan
    /// by what the labels say afterwards.
    async fn close_what_must(&self, now: &mut BTreeMap<String, Admission>) -> Result<Vec<Staged>, Error> {
        let objects = vdc_objects(self.slice, &self.facts, now);
        let before = now.clone();
        for (name, decision) in self.decide(&objects, now, false) {
            let Decision::Closed(reasons) = decision else { continue };
            if now.get(&name) != Some(&Admission::Open) {
                continue;
            }
            tracing::warn!(namespace = name, reasons = reasons.join("; "), "namespace is closed");
            let closing = Admission::Closing(self.world.context.timestamp().as_second());
            now.insert(name.clone(), closing);
            if let Some(version) = self.write(&name, closing).await? {
                self.world.closings.closed(&name, version);
            }
        }
        Ok(if *now == before { objects } else { vdc_objects(self.slice, &self.facts, now) })
    }

    async fn open_what_may(&self, decisions: &BTreeMap<String, Decision>) -> Result<(), Error> {
        for (name, decision) in decisions {
            if *decision == Decision::Open {
                self.world.closings.forget(name);
                self.write(name, Admission::Open).await?;
            }
        }
        Ok(())
    }

    /// Writes a namespace's label; the version that this made, if it had to be written.
    async fn write(&self, name: &str, admission: Admission) -> Result<Option<u64>, Error> {
        let Some(n) = self.slice.namespaces.iter().find(|n| n.at_site == name) else { return Ok(None) };
        let object = namespace::object(self.slice, n, admission);
        Ok(ensure::one(self.world, MANAGER, &self.scope, &object).await?)
    }

    /// Brings every closing to its end that has not come to it.
    async fn settle(&self, left_over: &BTreeSet<String>) -> BTreeMap<String, String> {
        let mut closing = BTreeMap::new();
        for name in self.slice.namespaces.iter().map(|n| &n.at_site).chain(left_over) {
            if let Admission::Closing(at) = self.label(name)
                && let Some(why) = closing::settle(self.world, name, at).await
            {
                closing.insert(name.clone(), why);
            }
        }
        closing
    }

    /// Namespaces that the slice no longer names.
    fn left_over(&self) -> BTreeSet<String> {
        let mut all = super::teardown::namespaces(self.world, self.slice.owner.uid.as_str());
        all.retain(|name| !self.slice.namespaces.iter().any(|n| n.at_site == *name));
        all
    }

    /// They are closed and kept: what is in them may be data.
    async fn close_left_over(&self, left_over: &BTreeSet<String>) -> Result<(), Error> {
        for name in left_over {
            super::teardown::close(self.world, name).await?;
        }
        Ok(())
    }

    /// Once nothing is in them any more, others get their room.
    async fn lower_left_over(&self, left_over: &BTreeSet<String>, steps: &Steps) -> Result<(), Error> {
        let steps = left_over.iter().filter_map(|name| Some((name, steps.by_namespace.get(name)?)));
        let objects: Vec<Object> =
            steps.map(|(name, step)| quota::object(self.slice, name, &step.limits)).collect();
        let scope = Scope::left_over(self.slice, left_over);
        ensure::all(self.world, MANAGER, &scope, &objects.iter().collect::<Vec<_>>()).await?;
        Ok(())
    }

    /// Removes what stands in the VDC's namespaces for itself and is no longer planned. Bindings were taken from whoever
    /// they named before, and go however many they are: what stops a removal protects data, not rights.
    async fn remove_orphans(&self, objects: &[Staged]) -> Result<Option<orphans::TooMany>, Error> {
        let desired: BTreeSet<&Key> = objects.iter().map(|s| &s.object.key).collect();
        let children = self.world.children.of_vdc(self.slice.owner.uid.as_str());
        let own = |namespace: Option<&str>| {
            self.slice.namespaces.iter().any(|n| Some(n.at_site.as_str()) == namespace)
        };
        let for_itself = children.iter().filter(|c| c.hall_uid.is_none());
        let here = for_itself.filter(|c| own(c.key.namespace.as_deref()) || names_nobody(c));
        let leaving = orphans::leaving(here.map(|c| Here { key: &c.key, deleting: c.deleting }), &desired);
        let gone = children.iter().filter(|c| leaving.contains(&c.key)).cloned();
        let (rights, rest): (Vec<_>, Vec<_>) = gone.partition(|c| is_right(c));
        ensure::remove(self.world, &rights).await?;
        if let Err(stopped) = orphans::breaker(rest.len(), children.len()) {
            tracing::error!(%stopped, "removal stopped");
            return Ok(Some(stopped));
        }
        ensure::remove(self.world, &rest).await?;
        Ok(None)
    }
}

fn is_right(child: &Child) -> bool {
    child.key.kind.kind == "RoleBinding"
}

/// A binding that gives nobody anything, wherever in the VDC it is.
fn names_nobody(child: &Child) -> bool {
    let subjects = |v: &Value| v["subjects"].as_array().is_some_and(|s| !s.is_empty());
    is_right(child) && !subjects(&child.value())
}

/// Halls that have a record here, or something that runs.
fn residents(world: &World, slice: &ValidVdcSlice) -> Residents {
    let uid = slice.owner.uid.as_str();
    let records = world.halls_of(uid);
    let children = world.children.of_vdc(uid);
    let runs = |c: &&Arc<Child>| ["Pod", "Deployment", "StatefulSet"].contains(&c.key.kind.kind);
    let standing = children.iter().filter(runs);
    let standing = standing.filter_map(|c| Some((c.key.namespace.as_deref()?, c.hall_uid.as_deref()?)));
    Residents::new(slice, records.iter().filter_map(|r| r.spec.hall.as_ref()), standing)
}

/// What plans are told of the site.
pub(in crate::site) fn facts(world: &World) -> SiteFacts {
    let mut facts = SiteFacts::new(world.site.clone());
    let nodes = world.nodes.all();
    let addresses = nodes.iter().filter_map(|n| n.status.as_ref()?.addresses.as_ref()).flatten();
    facts.forbidden.extend(addresses.filter_map(|a| a.address.parse().ok()).map(Network::host));
    facts
}
