//! What the nodes' controllers have seen of the isolation of VDCs, and how fresh it is.
//!
//! Age counts from when a report was seen to change, so that nodes' clocks decide nothing; only of a report that was there
//! at the start its own time says how old it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::ResourceExt;
use tokio::time::Instant;
use yunting_crds::{NodeReport, NodeReportStatus, SliceRecord};
use yunting_plan::hall::replica::Room;
use yunting_plan::vdc::isolation::{FRESH, Isolation, Word, judge};

use super::world::{Wakers, World};
use crate::context::Context;

/// How often it is looked whether a report has become old, or a node has come or gone.
const LOOK: Duration = Duration::from_secs(5);

/// A node's last word.
struct Heard {
    version: Option<String>,
    at: Instant,
    report: NodeReportStatus,
}

/// The last words of all nodes.
#[derive(Default)]
pub(super) struct Words(Mutex<BTreeMap<String, Heard>>);

impl Words {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Heard>> {
        // Nothing panics while it is held, so a poisoned lock still holds a whole map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A report came or changed; those it says something new of are looked at again. Whether it says another thing of
    /// replicas than before.
    pub(super) fn seen(&self, report: &NodeReport, context: &Context, wakers: &Wakers) -> bool {
        let node = report.name_any();
        let Some(status) = &report.status else { return false };
        let mut all = self.all();
        if all.get(&node).is_some_and(|h| h.version == report.resource_version()) {
            return false;
        }
        let written = context.timestamp().duration_since(status.observed_at.0);
        let age = Duration::try_from(written).unwrap_or_default();
        let now = Instant::now();
        let at = now.checked_sub(age).unwrap_or(now);
        // What says something else, such as how the gate stands, makes no older word of this new.
        let same = all.get(&node).filter(|h| h.report.observed_at == status.observed_at);
        let at = same.map_or(at, |h| h.at);
        let heard = Heard { version: report.resource_version(), at, report: status.clone() };
        let before = all.insert(node, heard);
        drop(all);
        let moved = before.as_ref().and_then(|h| h.report.replicas.as_ref()) != status.replicas.as_ref();
        let old = before.filter(|h| h.at.elapsed() <= FRESH).map(|h| h.report.isolation).unwrap_or_default();
        let new = &status.isolation;
        let changed = new.iter().filter(|i| !old.contains(i)).chain(old.iter().filter(|i| !new.contains(i)));
        let vdcs: BTreeSet<&str> = changed.map(|i| i.vdc.as_str()).collect();
        for uid in vdcs {
            wakers.vdc(uid);
        }
        moved
    }

    /// How a VDC stands.
    pub(super) fn judge(&self, world: &World, vdc: &str) -> Isolation {
        let all = self.all();
        let words: Vec<Word<'_>> = all
            .iter()
            .map(|(node, heard)| Word { node, age: heard.at.elapsed(), report: &heard.report })
            .collect();
        judge(vdc, &nodes(world), &words)
    }

    /// Nodes that take points of other sites' volumes, as far as they spoke lately, by name.
    pub(super) fn rooms(&self) -> Vec<Room> {
        let all = self.all();
        let fresh = all.iter().filter(|(_, h)| h.at.elapsed() <= FRESH);
        let room = |(node, heard): (&String, &Heard)| {
            let room = heard.report.replicas.as_ref()?;
            Some(Room { node: node.clone(), address: room.address.clone(), free: room.free_bytes })
        };
        fresh.filter_map(room).collect()
    }

    /// Nodes with a fresh word.
    fn fresh(&self) -> BTreeSet<String> {
        let all = self.all();
        all.iter().filter(|(_, h)| h.at.elapsed() <= FRESH).map(|(node, _)| node.clone()).collect()
    }
}

fn nodes(world: &World) -> BTreeSet<String> {
    world.nodes.all().iter().map(|n| n.name_any()).collect()
}

/// Has every VDC looked at again when a node falls silent, speaks again, comes or goes.
pub(super) async fn watch_over(world: Arc<World>) {
    let mut tick = tokio::time::interval(LOOK);
    let mut before = None;
    loop {
        tick.tick().await;
        let now = Some((nodes(&world), world.words.fresh()));
        if before != now {
            let records = world.records.all();
            let concerned = |r: &&Arc<SliceRecord>| match &r.spec.hall {
                Some(hall) => !hall.replicas.is_empty(),
                None => true,
            };
            records.iter().filter(concerned).for_each(|r| world.wakers.about(&r.name_any()));
            before = now;
        }
    }
}
