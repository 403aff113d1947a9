//! Whether a hall can be carried out, and with what.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use yunting_crds::common::Desired;
use yunting_crds::conditions::{Statement, reason};
use yunting_crds::hall_slice::{HallSliceSpec, SliceSecret};
use yunting_crds::names::{ComponentName, HallName};
use yunting_crds::resources::Amounts;
use yunting_crds::vdc::{LifecycleState, SiteRole};
use yunting_crds::{VdcSlice, VirtualDataCenter};
use yunting_plan::demand::{Refusal, at_site, fits, host_allowed, references};
use yunting_plan::slices::{HallInput, Identity, hall_slice};
use yunting_plan::summary::not_ready;
use yunting_plan::{elsewhere, grants, replicas};

use super::observe::Seen;

/// A hall that can be carried out.
pub(super) struct Valid {
    identity: Identity,
    /// Uid of its VDC.
    pub(super) vdc_uid: String,
    first_namespace: String,
    /// Sites of the VDC with their roles.
    pub(super) places: BTreeMap<String, SiteRole>,
}

impl Valid {
    /// The slices by site.
    pub(super) fn slices(
        &self,
        term: i64,
        seen: &Seen,
        secrets: &[SliceSecret],
        now: &Time,
    ) -> Vec<(String, HallSliceSpec)> {
        let input = HallInput {
            term,
            identity: &self.identity,
            spec: &seen.hall.spec,
            vdc_uid: &self.vdc_uid,
            first_namespace: &self.first_namespace,
            secrets,
            host_is_ours: seen.host_owner.is_none(),
        };
        let slice = |(site, role): (&String, &SiteRole)| hall_slice(&input, *role).map(|s| (site.clone(), s));
        let mut all: Vec<(String, HallSliceSpec)> = self.places.iter().filter_map(slice).collect();
        replicas::fill(&seen.hall.spec, &mut all, &seen.places(), now);
        elsewhere::fill(&seen.hall.spec, &mut all, &seen.known());
        grants::fill(&mut all, &seen.grants);
        all
    }
}

/// Checks everything, the cheapest first.
pub(super) fn validate(seen: &Seen) -> Result<Valid, Statement> {
    let name = seen.hall.name_any();
    let invalid = |e: &dyn std::fmt::Display| not_ready(reason::INVALID, e.to_string());
    HallName::new(&name).map_err(|e| invalid(&e))?;
    for component in &seen.hall.spec.components {
        ComponentName::new(&component.name).map_err(|e| invalid(&e))?;
    }
    let vdc = vdc(seen)?;
    references(&seen.hall.spec, &vdc.spec).map_err(statement)?;
    host(seen)?;
    let places = places(seen, vdc)?;
    room(seen, vdc, &places).map_err(statement)?;
    Ok(Valid {
        identity: Identity {
            bureau: seen.bureau_name.clone(),
            name,
            uid: seen.uid.clone(),
            generation: seen.hall.metadata.generation.unwrap_or_default(),
        },
        vdc_uid: vdc.uid().unwrap_or_default(),
        first_namespace: vdc.spec.namespaces.first().map(|n| n.name.clone()).unwrap_or_default(),
        places,
    })
}

fn statement(refusal: Refusal) -> Statement {
    not_ready(refusal.reason, refusal.message)
}

fn vdc(seen: &Seen) -> Result<&VirtualDataCenter, Statement> {
    let wanted = &seen.hall.spec.vdc_ref.name;
    let Some(vdc) = seen.vdc.as_deref() else {
        let text = format!(
            "spec.vdcRef.name {wanted:?} is no VirtualDataCenter of bureau {}; a hall runs only in a VDC of its own bureau",
            seen.bureau_name
        );
        return Err(not_ready(reason::REFERENCE, text));
    };
    if vdc.metadata.deletion_timestamp.is_some() {
        return Err(not_ready(
            reason::DELETING,
            format!("VDC {wanted} is being deleted: nothing new runs in it"),
        ));
    }
    // What runs in a frozen VDC stays; only what is new is refused.
    if vdc.spec.lifecycle.state != LifecycleState::Active && seen.slices.is_empty() {
        return Err(not_ready(
            reason::LIFECYCLE,
            format!("VDC {wanted} is {:?}: set its spec.lifecycle.state to Active", vdc.spec.lifecycle.state),
        ));
    }
    Ok(vdc)
}

fn host(seen: &Seen) -> Result<(), Statement> {
    let Some(portal) = &seen.hall.spec.portal else { return Ok(()) };
    let domains = seen.bureau.as_ref().map(|b| b.spec.domains.clone()).unwrap_or_default();
    if host_allowed(&portal.host, &domains) {
        return Ok(());
    }
    let known =
        if domains.is_empty() { "it has none".to_owned() } else { format!("it has {}", domains.join(", ")) };
    let text = format!(
        "spec.portal.host {:?} is under none of the domains of bureau {}: {known}",
        portal.host, seen.bureau_name
    );
    Err(not_ready(reason::INVALID, text))
}

/// The VDC's sites, as its slices say; a VDC without a place gives none.
fn places(seen: &Seen, vdc: &VirtualDataCenter) -> Result<BTreeMap<String, SiteRole>, Statement> {
    let present = |(site, slice): (&String, &std::sync::Arc<VdcSlice>)| {
        (slice.spec.desired == Desired::Present).then(|| (site.clone(), slice.spec.role))
    };
    let places: BTreeMap<String, SiteRole> = seen.vdc_slices.iter().filter_map(present).collect();
    if places.is_empty() {
        return Err(not_ready(
            reason::VDC_NOT_READY,
            format!("VDC {} has no site yet; see its conditions", vdc.name_any()),
        ));
    }
    Ok(places)
}

fn room(seen: &Seen, vdc: &VirtualDataCenter, places: &BTreeMap<String, SiteRole>) -> Result<(), Refusal> {
    for (site, role) in places {
        let Some(slice) = seen.vdc_slices.get(site) else { continue };
        let limits: BTreeMap<String, Amounts> = slice
            .spec
            .namespaces
            .iter()
            .filter_map(|n| n.quota.amounts().ok().map(|a| (n.name.clone(), a)))
            .collect();
        let mut others: BTreeMap<String, Amounts> = BTreeMap::new();
        for hall in &seen.older {
            for (namespace, amounts) in at_site(&hall.spec, &vdc.spec, *role) {
                let sum = others.remove(&namespace).unwrap_or_default();
                others.insert(namespace, sum.plus(&amounts));
            }
        }
        fits(site, &at_site(&seen.hall.spec, &vdc.spec, *role), &others, &limits)?;
    }
    Ok(())
}
