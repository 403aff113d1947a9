//! Who is woken by a change of something else, beyond the object that changed: those whose state or right follows from
//! it, and those who wait for what it gives back. Nothing is decided here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::ResourceExt;
use yunting_crds::common::Quota;
use yunting_crds::conditions::{QUOTA_ENFORCED, READY, State, find, reason, state_of};
use yunting_crds::tunnel::TunnelEnd;
use yunting_crds::{Bureau, Hall, Site, SiteReport, VdcTemplate, VirtualDataCenter, labels, names};

use super::world::{GATHER, GATHER_SUMS, Wakers, cluster, key, tag};
use crate::cache::{Cache, Cached};

/// A cache that begins after those whose wakers need it.
pub(super) struct Late<K: Cached>(Arc<OnceLock<Cache<K>>>);

impl<K: Cached> Default for Late<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Cached> Clone for Late<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Cached> Late<K> {
    /// From here on it is known.
    pub(super) fn set(&self, cache: Cache<K>) {
        let _ = self.0.set(cache);
    }

    /// Those with a tag. Those not known yet wake by themselves.
    fn tagged(&self, tag: &str) -> Vec<Arc<K>> {
        self.0.get().map(|cache| cache.tagged(tag)).unwrap_or_default()
    }

    fn select(&self, predicate: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        self.0.get().map(|cache| cache.select(predicate)).unwrap_or_default()
    }

    fn is_gone(&self, name: &str) -> bool {
        self.0.get().is_some_and(|cache| cache.is_ready() && cache.get_cluster(name).is_none())
    }
}

/// What was last seen of objects whose changes wake many others: only such a change wakes them, not each status.
pub(super) struct Seen<T>(Mutex<HashMap<String, T>>);

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// How an object was before.
enum Before<T> {
    /// Never seen.
    Unknown,
    /// As it is now.
    Same,
    /// Otherwise.
    Other(T),
}

impl<T: PartialEq> Seen<T> {
    fn before(&self, name: &str, now: T) -> Before<T> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(name) {
            Some(before) if *before == now => return Before::Same,
            _ => (),
        }
        seen.insert(name.to_owned(), now).map_or(Before::Unknown, Before::Other)
    }
}

/// What others go by of a site's report: its custody key, and its ends of the tunnel.
pub(super) type SeenReport = (Option<String>, Vec<TunnelEnd>);

/// Generation of a site, whether it works, and how much there is: nodes that come change neither of the others.
type Offer = (Option<i64>, bool, Quota);

fn offer(site: &Site) -> Offer {
    let ready = site.status.as_ref().is_some_and(|s| state_of(&s.conditions, READY) == State::True);
    let room = site.status.as_ref().map(|s| s.allocatable.clone()).unwrap_or_default();
    (site.metadata.generation, ready, room)
}

/// A VDC changed or its status did: its halls wait for its place and its namespaces.
pub(super) fn vdc_touched(w: &Wakers, halls: &Late<Hall>, vdc: &VirtualDataCenter) {
    w.vdcs.wake(key(vdc));
    halls_of(w, halls, vdc);
    w.bureau_of(&vdc.namespace().unwrap_or_default());
}

fn halls_of(w: &Wakers, halls: &Late<Hall>, vdc: &VirtualDataCenter) {
    let in_it = tag::in_vdc(&vdc.namespace().unwrap_or_default(), &vdc.name_any());
    for hall in halls.tagged(&in_it) {
        let key = key(hall.as_ref());
        w.grants_of(&key.namespace, &key.name);
        w.halls.wake_after(key, GATHER);
    }
}

/// A hall that leaves or asks for something else may give back its host, its room and its VDC.
pub(super) fn hall_touched(
    w: &Wakers,
    vdcs: &Cache<VirtualDataCenter>,
    halls: &Late<Hall>,
    seen: &Seen<Option<i64>>,
    hall: &Hall,
) {
    w.halls.wake(key(hall));
    let before = seen.before(&key(hall).to_string(), hall.metadata.generation);
    if hall.metadata.deletion_timestamp.is_some() || matches!(before, Before::Other(_)) {
        gives_back(w, vdcs, halls, hall);
    }
    if hall.metadata.deletion_timestamp.is_some() || !matches!(before, Before::Same) {
        w.grants_of(&hall.namespace().unwrap_or_default(), &hall.name_any());
    }
    w.bureau_of(&hall.namespace().unwrap_or_default());
}

fn gives_back(w: &Wakers, vdcs: &Cache<VirtualDataCenter>, halls: &Late<Hall>, hall: &Hall) {
    if let Some(vdc) = vdcs.get(&hall.namespace().unwrap_or_default(), &hall.spec.vdc_ref.name) {
        w.vdcs.wake_after(key(vdc.as_ref()), GATHER);
        halls_of(w, halls, &vdc);
    }
    // Of other VDCs and bureaus, too: which host it had is known to nobody any more.
    let waits = |h: &Hall| {
        let ready = h.status.as_ref().and_then(|s| find(&s.conditions, READY));
        ready.is_some_and(|c| c.reason == reason::HOST_CONFLICT)
    };
    halls.select(waits).iter().for_each(|h| w.halls.wake_after(key(h.as_ref()), GATHER));
}

/// A template changed: VDCs that name it take other values from it.
pub(super) fn template_touched(w: &Wakers, vdcs: &Cache<VirtualDataCenter>, template: &VdcTemplate) {
    let name = template.name_any();
    let uses = |v: &VirtualDataCenter| v.spec.template_ref.as_ref().is_some_and(|t| t.name == name);
    vdcs.select(uses).iter().for_each(|v| w.vdcs.wake(key(v.as_ref())));
}

/// A site that begins or ends to offer itself, or offers something else, matters to its VDCs and to those without a
/// place.
pub(super) fn site_touched(
    w: &Wakers,
    vdcs: &Cache<VirtualDataCenter>,
    halls: &Late<Hall>,
    seen: &Seen<Offer>,
    site: &Site,
) {
    w.sites.wake(key(site));
    let name = site.name_any();
    if !matches!(seen.before(&name, offer(site)), Before::Same) {
        let concerned = |v: &VirtualDataCenter| {
            let status = v.status.as_ref();
            status.is_none_or(|s| s.active_site.is_none() || s.sites.iter().any(|x| x.site == name))
        };
        vdcs.select(concerned).iter().for_each(|v| w.vdcs.wake(key(v.as_ref())));
        halls_at(w, halls, &name);
    }
}

/// A site has another key that keys of volumes are sealed for, or other ends of the tunnel: what other sites are told names
/// both.
pub(super) fn report_touched(w: &Wakers, halls: &Late<Hall>, seen: &Seen<SeenReport>, report: &SiteReport) {
    let site = &report.spec.site;
    w.sites.wake(cluster(site));
    let now = report.status.as_ref().map(|s| (s.custody.clone(), s.tunnel.clone())).unwrap_or_default();
    if !matches!(seen.before(site, now), Before::Same) {
        halls_at(w, halls, site);
    }
}

/// Halls that a site does something for.
fn halls_at(w: &Wakers, halls: &Late<Hall>, site: &str) {
    let there = |h: &Hall| h.status.as_ref().is_some_and(|s| s.sites.iter().any(|x| x.site == site));
    halls.select(there).iter().for_each(|h| w.halls.wake_after(key(h.as_ref()), GATHER));
}

/// What others go by of a bureau.
#[derive(Clone, PartialEq)]
pub(super) struct SeenBureau {
    generation: Option<i64>,
    /// Its promises fit its quota.
    fits: bool,
    parent: Option<String>,
    gone: bool,
}

/// A bureau changed: its VDCs and halls have other people, limits and domains, and its relatives other sums.
pub(super) fn bureau_touched(
    w: &Wakers,
    vdcs: &Cache<VirtualDataCenter>,
    halls: &Late<Hall>,
    bureaus: &Late<Bureau>,
    seen: &Seen<SeenBureau>,
    bureau: &Bureau,
) {
    w.bureaus.wake(key(bureau));
    let name = bureau.name_any();
    let now = SeenBureau {
        generation: bureau.metadata.generation,
        fits: bureau.status.as_ref().is_some_and(|s| state_of(&s.conditions, QUOTA_ENFORCED) == State::True),
        parent: bureau.spec.parent_ref.as_ref().map(|p| p.name.clone()),
        gone: bureaus.is_gone(&name),
    };
    let parent = now.parent.clone();
    if let Some(parent) = &parent {
        w.bureaus.wake_after(cluster(parent), GATHER_SUMS);
    }
    let before = seen.before(&name, now.clone());
    if !matches!(before, Before::Same) {
        let namespace = format!("{}{name}", names::BUREAU_NAMESPACE_PREFIX);
        vdcs.tagged(&namespace).iter().for_each(|v| w.vdcs.wake(key(v.as_ref())));
        halls.tagged(&namespace).iter().for_each(|h| w.halls.wake_after(key(h.as_ref()), GATHER));
    }
    if let Before::Other(before) = before
        && (before.generation, before.gone) != (now.generation, now.gone)
    {
        relatives(w, vdcs, bureaus, &name, [before.parent, parent]);
    }
}

/// Bureaus carved from this one are measured by its quota, those beside it by what is left of their parent's, and the
/// parents' own VDCs wait for the same.
fn relatives(
    w: &Wakers,
    vdcs: &Cache<VirtualDataCenter>,
    bureaus: &Late<Bureau>,
    name: &str,
    parents: [Option<String>; 2],
) {
    let wake = |b: &Arc<Bureau>| w.bureaus.wake_after(key(b.as_ref()), GATHER_SUMS);
    bureaus.tagged(name).iter().for_each(wake);
    for parent in parents.into_iter().flatten() {
        w.bureaus.wake_after(cluster(&parent), GATHER_SUMS);
        bureaus.tagged(&parent).iter().for_each(wake);
        let namespace = format!("{}{parent}", names::BUREAU_NAMESPACE_PREFIX);
        vdcs.tagged(&namespace).iter().for_each(|v| w.vdcs.wake_after(key(v.as_ref()), GATHER));
    }
}

/// A namespace of a site or bureau changed.
pub(super) fn namespace_touched(w: &Wakers, namespace: &Namespace) {
    let name = namespace.name_any();
    if let Some(site) = names::SiteName::from_namespace(&name) {
        w.sites.wake(cluster(site.as_str()));
    } else if let Some(bureau) = names::BureauName::from_namespace(&name) {
        w.bureaus.wake(cluster(bureau.as_str()));
    }
}

/// A Secret of a bureau wakes the bureau's halls that read it; a copy of ours wakes all halls of its VDC.
pub(super) fn secret_touched(w: &Wakers, halls: &Cache<Hall>, secret: &Secret) {
    let (namespace, name) = (secret.namespace().unwrap_or_default(), secret.name_any());
    let copy_of = secret.labels().get(labels::VDC_UID);
    let bureau = secret.labels().get(labels::BUREAU);
    let reads = |h: &Hall| match (copy_of, bureau) {
        (Some(_), Some(bureau)) => {
            h.namespace() == Some(format!("{}{bureau}", names::BUREAU_NAMESPACE_PREFIX))
        }
        _ => {
            h.namespace().as_deref() == Some(&namespace)
                && h.spec.components.iter().any(|c| c.secret_refs.iter().any(|r| r.name == name))
        }
    };
    halls.select(reads).iter().for_each(|h| w.halls.wake_after(key(h.as_ref()), GATHER));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn site(status: &Value) -> Site {
        let spec = json!({"displayName": "One", "region": "one", "failureDomain": "one"});
        serde_json::from_value(json!({"apiVersion": "yunting.io/v1alpha1", "kind": "Site",
            "metadata": {"name": "one", "generation": 1}, "spec": spec, "status": status}))
        .unwrap()
    }

    #[test]
    fn nodes_that_come_are_another_offer_and_a_beat_is_not() {
        let (seen, ready) = (
            Seen::default(),
            json!([{"type": "Ready", "status": "True", "reason": "Ok",
            "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]),
        );
        let of = |cpu: &str, allocated: &str| {
            offer(&site(
                &json!({"conditions": ready, "allocatable": {"cpu": cpu}, "allocated": {"cpu": allocated}}),
            ))
        };
        assert!(matches!(seen.before("one", of("8", "1")), Before::Unknown));
        assert!(matches!(seen.before("one", of("8", "2")), Before::Same));
        assert!(matches!(seen.before("one", of("16", "2")), Before::Other(_)));
    }
}
