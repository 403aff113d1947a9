//! What is sent to and kept of other sites here: both ends of replication, found by the hall that they were made for.

use std::collections::BTreeMap;

use kube::{Resource, ResourceExt};
use yunting_crds::{VolumeReplica, VolumeReplication, labels};

use super::watches::Starter;
use super::world::{GATHER, Name, Wakers};
use crate::cache::{Cache, Cached};

/// Both ends.
pub(super) struct Replicas {
    /// Replicas of volumes of other sites.
    pub(super) kept: Cache<VolumeReplica>,
    /// Volumes that are replicated to other sites; also by uid of the VDC.
    pub(super) sent: Cache<VolumeReplication>,
}

impl Replicas {
    /// Starts the watches. What changes wakes the hall that it was made for, and who seals keys.
    pub(super) fn start(at_site: &Starter<'_>, w: &Wakers) -> Self {
        let wake = w.clone();
        let kept = at_site.tagged(of_hall::<VolumeReplica>, move |r| wake_hall(&wake, r));
        let wake = w.clone();
        let tags = |r: &VolumeReplication| {
            let mut all = of_hall(r);
            all.push(r.spec.vdc.clone());
            all
        };
        let sent = at_site.tagged(tags, move |r| {
            wake_hall(&wake, r);
            wake.keys.wake(Name(r.spec.vdc.clone()));
        });
        Self { kept, sent }
    }

    /// Both have been listed once.
    pub(super) fn are_ready(&self) -> bool {
        self.kept.is_ready() && self.sent.is_ready()
    }

    /// Replicas that were made for a hall, by name.
    pub(super) fn kept_for(&self, hall: &str) -> BTreeMap<String, VolumeReplica> {
        by_name(&self.kept, hall)
    }

    /// What sends points of a hall's volumes, by name.
    pub(super) fn sent_for(&self, hall: &str) -> BTreeMap<String, VolumeReplication> {
        by_name(&self.sent, hall)
    }

    /// Nothing stands that was made for a hall.
    pub(super) fn none_for(&self, hall: &str) -> bool {
        self.kept.tagged(&tag(hall)).is_empty() && self.sent.tagged(&tag(hall)).is_empty()
    }
}

fn tag(hall: &str) -> String {
    format!("hall-{hall}")
}

fn of_hall<K: Resource>(object: &K) -> Vec<String> {
    object.labels().get(labels::HALL_UID).map(|uid| tag(uid)).into_iter().collect()
}

fn by_name<K: Cached>(cache: &Cache<K>, hall: &str) -> BTreeMap<String, K> {
    cache.tagged(&tag(hall)).into_iter().map(|one| (one.name_any(), one.as_ref().clone())).collect()
}

fn wake_hall<K: Resource>(w: &Wakers, object: &K) {
    if let Some(uid) = object.labels().get(labels::HALL_UID) {
        w.halls.wake_after(Name(uid.clone()), GATHER);
    }
}
