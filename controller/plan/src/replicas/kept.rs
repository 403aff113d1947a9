//! Which replicas a site keeps. Owns: what becomes of one whose volume is not there any more.
//! Must never: let a replica go because nobody named it, or because its volume went: a claim that was deleted by mistake comes
//! back empty, and a site whose etcd was restored knows its newer volumes no more. The copy may be the last one then.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::SignedDuration;
use yunting_crds::common::Desired;
use yunting_crds::hall::HallRole;
use yunting_crds::hall_slice::HallSliceSpec;
use yunting_crds::hall_volume::{HallClaim, HallVolume, WantedReplica};
use yunting_crds::replication::Remote;

use super::{NAMED, Place, VOLUMES, active, native, spec_of, stateful};

/// How long the last points of a volume that is gone are kept, as those that diverged.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Replicas that a site keeps: those of the volumes that stand, then those that it has of others.
pub(super) fn replicas(
    site: &str,
    asked: &[HallClaim],
    slices: &[(String, HallSliceSpec)],
    places: &BTreeMap<String, Place<'_>>,
    now: &Time,
) -> Vec<WantedReplica> {
    let Some(slice) = spec_of(slices, site) else { return Vec::new() };
    let place = places.get(site);
    let before = place.and_then(|p| p.slice).map(|s| s.spec.replicas.as_slice()).unwrap_or_default();
    let reported = |component: &str| {
        let from = active(slices, component).filter(|from| native(places, site) && native(places, from))?;
        places.get(from).and_then(Place::volumes).map(|volumes| (from, volumes))
    };
    let standing = stateful(slice, HallRole::Standby).filter_map(|c| reported(c).map(|found| (c, found)));
    let mut all: Vec<WantedReplica> = standing
        .flat_map(|(component, (from, volumes))| {
            let of = volumes.iter().filter(move |v| v.claim.component == component);
            of.map(|v| wanted(from, v))
        })
        .collect();
    let names: BTreeSet<String> = all.iter().map(|w| w.from.volume.clone()).collect();
    let old = Old { slice, asked, now };
    all.extend(before.iter().filter(|w| !names.contains(&w.from.volume)).filter_map(|w| {
        let here = place.and_then(Place::replicas).map(|kept| kept.iter().any(|k| k.name == w.from.volume));
        old.becomes(w, reported(&w.claim.component).is_some(), here)
    }));
    all.truncate(VOLUMES);
    all
}

fn wanted(site: &str, v: &HallVolume) -> WantedReplica {
    let from = Remote { site: site.to_owned(), node: v.node.clone(), volume: v.name.clone() };
    WantedReplica {
        claim: v.claim.clone(),
        from,
        bytes: v.bytes,
        desired: Desired::Present,
        volume_gone_at: None,
    }
}

/// Decides about replicas whose volumes are not among those that stand.
struct Old<'a> {
    slice: &'a HallSliceSpec,
    asked: &'a [HallClaim],
    now: &'a Time,
}

impl Old<'_> {
    /// What becomes of one; nothing where its site has nothing of it any more. `reported`: the volumes that stand are known.
    /// `here`: whether its site has something of it, where that is known.
    fn becomes(&self, w: &WantedReplica, reported: bool, here: Option<bool>) -> Option<WantedReplica> {
        // It runs here now: what was kept for it is told by whoever moves halls.
        if stateful(self.slice, HallRole::Active).any(|c| c == w.claim.component) {
            return None;
        }
        let ends = w.desired == Desired::Absent || w.volume_gone_at.is_some();
        // A person has taken it away, or the site has because it was told.
        if ends && here == Some(false) {
            return None;
        }
        let standby = stateful(self.slice, HallRole::Standby).any(|c| c == w.claim.component);
        if !standby || !self.asked.contains(&w.claim) {
            return Some(WantedReplica { desired: Desired::Absent, ..w.clone() });
        }
        if !reported {
            return Some(w.clone());
        }
        let since = w.volume_gone_at.clone().unwrap_or_else(|| self.now.clone());
        let over = self.now.0.duration_since(since.0) > KEPT;
        let desired = if over { Desired::Absent } else { Desired::Present };
        Some(WantedReplica { desired, volume_gone_at: Some(since), ..w.clone() })
    }
}

/// What is kept of volumes that are gone, as the end of a sentence; nothing where there is none.
pub(super) fn told(slices: &[(String, HallSliceSpec)]) -> String {
    let of = |(site, slice): &(String, HallSliceSpec)| {
        let gone = |w: &&WantedReplica| w.volume_gone_at.is_some() && w.desired == Desired::Present;
        let one = |w: &WantedReplica| format!("{} of {} at {site}", w.from.volume, w.claim);
        slice.replicas.iter().filter(gone).map(one).collect::<Vec<_>>()
    };
    let all: Vec<String> = slices.iter().flat_map(of).collect();
    if all.is_empty() {
        return String::new();
    }
    let more = all.len().saturating_sub(NAMED);
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    let named = all.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    format!("; the last points of volumes that are gone are kept: {named}{rest}")
}
