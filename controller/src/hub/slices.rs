//! How slices of VDCs and halls are written and taken away: the same for both.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;
use serde_json::{Map, Value, json};
use yunting_crds::common::Desired;
use yunting_crds::conditions::{GONE, State, state_of};
use yunting_crds::hall_slice::HallSliceSpec;
use yunting_crds::names::{SITE_NAMESPACE_PREFIX, SliceKind, slice};
use yunting_crds::site::SiteState;
use yunting_crds::vdc_slice::VdcSliceSpec;
use yunting_crds::{HallSlice, VdcSlice, labels};
use yunting_plan::object::Object;
use yunting_plan::slices::{absent_hall, absent_vdc};

use super::world::World;
use crate::kinds::{self, Ours};
use crate::writer::{Error, key_of};

/// A slice, as far as its writing is concerned.
pub(super) trait Slice: Ours {
    /// Its spec.
    type Spec: Clone + PartialEq + Serialize;
    /// What is asked of the site.
    fn spec(&self) -> &Self::Spec;
    /// Generation that the site has looked at, and what it says.
    fn said(&self) -> (Option<i64>, &[Condition]);
    /// Name of the slice of that spec.
    fn name(spec: &Self::Spec) -> String;
    /// Its labels, beside ours.
    fn labels(spec: &Self::Spec) -> Vec<(&'static str, &str)>;
    /// Whether it is to be there.
    fn desired(spec: &Self::Spec) -> Desired;
    /// The same, as a leader of that term would write it.
    fn of_term(spec: &Self::Spec, term: i64) -> Self::Spec;
    /// Term in which it was written.
    fn term(spec: &Self::Spec) -> i64;
    /// The same, to be taken away.
    fn absent(spec: &Self::Spec, term: i64) -> Self::Spec;
}

impl Slice for VdcSlice {
    type Spec = VdcSliceSpec;

    fn spec(&self) -> &VdcSliceSpec {
        &self.spec
    }

    fn said(&self) -> (Option<i64>, &[Condition]) {
        self.status.as_ref().map_or((None, &[]), |s| (s.observed_generation, s.conditions.as_slice()))
    }

    fn name(spec: &VdcSliceSpec) -> String {
        slice(SliceKind::Vdc, &spec.source.uid)
    }

    fn labels(spec: &VdcSliceSpec) -> Vec<(&'static str, &str)> {
        let source = &spec.source;
        vec![(labels::BUREAU, &source.bureau), (labels::VDC, &source.name), (labels::VDC_UID, &source.uid)]
    }

    fn desired(spec: &VdcSliceSpec) -> Desired {
        spec.desired
    }

    fn of_term(spec: &VdcSliceSpec, term: i64) -> VdcSliceSpec {
        VdcSliceSpec { term, ..spec.clone() }
    }

    fn term(spec: &VdcSliceSpec) -> i64 {
        spec.term
    }

    fn absent(spec: &VdcSliceSpec, term: i64) -> VdcSliceSpec {
        absent_vdc(spec, term)
    }
}

impl Slice for HallSlice {
    type Spec = HallSliceSpec;

    fn spec(&self) -> &HallSliceSpec {
        &self.spec
    }

    fn said(&self) -> (Option<i64>, &[Condition]) {
        self.status.as_ref().map_or((None, &[]), |s| (s.observed_generation, s.conditions.as_slice()))
    }

    fn name(spec: &HallSliceSpec) -> String {
        slice(SliceKind::Hall, &spec.source.uid)
    }

    fn labels(spec: &HallSliceSpec) -> Vec<(&'static str, &str)> {
        let HallSliceSpec { source, vdc, .. } = spec;
        vec![
            (labels::BUREAU, &source.bureau),
            (labels::VDC, &vdc.name),
            (labels::VDC_UID, &vdc.uid),
            (labels::HALL, &source.name),
            (labels::HALL_UID, &source.uid),
        ]
    }

    fn desired(spec: &HallSliceSpec) -> Desired {
        spec.desired
    }

    fn of_term(spec: &HallSliceSpec, term: i64) -> HallSliceSpec {
        HallSliceSpec { term, ..spec.clone() }
    }

    fn term(spec: &HallSliceSpec) -> i64 {
        spec.term
    }

    fn absent(spec: &HallSliceSpec, term: i64) -> HallSliceSpec {
        absent_hall(spec, term)
    }
}

/// Writes slices that do not stand; says whether there were any. A new leader's term alone is no reason to write.
pub(super) async fn write<S: Slice>(
    world: &World,
    manager: &'static str,
    standing: &BTreeMap<String, Arc<S>>,
    wanted: &[(String, S::Spec)],
) -> Result<bool, Error> {
    let mut wrote = false;
    for (site, spec) in wanted {
        let same = |s: &Arc<S>| S::of_term(s.spec(), S::term(spec)) == *spec;
        if !standing.get(site).is_some_and(same) {
            apply::<S>(world, manager, site, spec).await?;
            wrote = true;
        }
    }
    Ok(wrote)
}

async fn apply<S: Slice>(
    world: &World,
    manager: &'static str,
    site: &str,
    spec: &S::Spec,
) -> Result<(), Error> {
    world.writer.apply(manager, &object::<S>(site, spec)).await.map(drop)
}

fn object<S: Slice>(site: &str, spec: &S::Spec) -> Object {
    let mut all: Map<String, Value> =
        S::labels(spec).into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    all.insert(labels::MANAGED_BY.to_owned(), json!(labels::MANAGER));
    let namespace = format!("{SITE_NAMESPACE_PREFIX}{site}");
    kinds::object::<S>(json!({
        "metadata": {"name": S::name(spec), "namespace": namespace, "labels": all},
        "spec": spec,
    }))
}

/// Takes slices away from sites: `Absent`, then the slice itself once the site says `Gone` or has been given up.
/// Returns the sites that remain.
pub(super) async fn take_away<S: Slice>(
    world: &World,
    manager: &'static str,
    standing: &BTreeMap<String, Arc<S>>,
    leaving: &[String],
) -> Result<Vec<String>, Error> {
    let mut remaining = Vec::new();
    for site in leaving {
        let Some(slice) = standing.get(site) else { continue };
        // Asked for already: it goes when what holds it lets it.
        if slice.meta().deletion_timestamp.is_some() {
            continue;
        }
        let absent = S::desired(slice.spec()) == Desired::Absent;
        if absent && (gone(slice.as_ref()) || given_up(world, site)) {
            let uid = slice.meta().uid.as_deref().unwrap_or_default();
            world.writer.delete(&key_of(&kinds::of::<S>(), slice.as_ref()), uid).await?;
            continue;
        }
        remaining.push(site.clone());
        if !absent {
            apply::<S>(world, manager, site, &S::absent(slice.spec(), world.term)).await?;
        }
    }
    Ok(remaining)
}

fn gone<S: Slice>(slice: &S) -> bool {
    let (observed, conditions) = slice.said();
    observed == slice.meta().generation && state_of(conditions, GONE) == State::True
}

/// Whether a site's word is not waited for any more.
pub(super) fn given_up(world: &World, site: &str) -> bool {
    world.sites.get_cluster(site).is_none_or(|s| s.spec.state == SiteState::Forgotten)
}
