//! What is known of a namespace: its limits as they are enforced, whether it is closed, and what is in it.

use std::collections::BTreeMap;

use yunting_plan::quota::charge::{Resource, Since, Thing};
use yunting_plan::quota::shrink::Shown;
use yunting_plan::quota::sweep::{Limit, limits, strays, sweep};
use yunting_plan::vdc::admission::Admission;
use yunting_plan::vdc::quota;

use crate::site::ensure::{self, namespace_key};
use crate::site::world::World;

/// What is known.
pub(super) struct Seen {
    limits: BTreeMap<Resource, Limit>,
    closed: Option<Since>,
    things: Vec<Thing>,
}

/// Something that leaves.
pub(super) struct Leaf<'a> {
    pub(super) thing: &'a Thing,
    /// Of what there is too much, or `closed`: from a closed set, for the metric.
    pub(super) over: &'static str,
}

/// Gathers it. Nothing is judged by what was written but not seen to stand.
pub(super) fn observe(world: &World, namespace: &str) -> Seen {
    let quota = world.children.get(&quota::key(namespace)).filter(|q| !q.deleting);
    let relied_on = |shown: Shown| world.lowering.relied_on(namespace, shown);
    let limits = quota.map(|q| limits(&relied_on(Shown::read(&q.value())))).unwrap_or_default();
    Seen { limits, closed: closed(world, namespace), things: world.usage.of(namespace) }
}

/// Since when the namespace is closed, if this process closed it. What came by a watch is judged by versions alone.
fn closed(world: &World, namespace: &str) -> Option<Since> {
    let here = world.children.get(&namespace_key(namespace))?;
    let open = ensure::admission_of(&here.value()) == Admission::Open;
    let version = world.closings.version(namespace).filter(|_| !open)?;
    Some(Since { version, at: i64::MAX })
}

impl Seen {
    /// What has to leave.
    pub(super) fn leaves(&self, protected: impl Fn(&Thing) -> bool) -> Vec<Leaf<'_>> {
        let strays = self.closed.map(|since| strays(&self.things, since)).unwrap_or_default();
        let over = sweep(&self.limits, &self.things, protected);
        let above = over
            .into_iter()
            .filter(|t| !strays.iter().any(|s| s.uid == t.thing.uid))
            .map(|t| Leaf { thing: t.thing, over: t.over.key() });
        strays.iter().map(|thing| Leaf { thing, over: "closed" }).chain(above).collect()
    }
}
