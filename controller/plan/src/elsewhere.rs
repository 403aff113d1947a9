//! What the sites of a hall are told of each other's pods and ends of the tunnel, by what each site has said.
//!
//! The hub only passes on what sites say, and to a site only what it has to do with: of another site the pods of components that
//! it may call there, and of those that may call it here. What the hub did not hear, or heard of another generation, changes
//! nothing. Who may call whom is not decided here: each site knows that from its own slice.

use std::collections::{BTreeMap, BTreeSet};

use yunting_crds::HallSlice;
use yunting_crds::hall::{AvailabilityClass, ComponentKind, HallRole, HallSpec};
use yunting_crds::hall_slice::{HallSliceSpec, SliceComponent};
use yunting_crds::tunnel::{ENDS, Elsewhere, HallPod, PODS, SITES, TunnelEnd};

/// A site of the hall.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The hall's slice for it, as it stands.
    pub slice: Option<&'a HallSlice>,
    /// Its ends of the tunnel; nothing where the site was not heard.
    pub ends: Option<&'a [TunnelEnd]>,
}

impl<'a> Place<'a> {
    /// Pods, if they are said of the slice as it stands.
    fn pods(&self) -> Option<&'a [HallPod]> {
        let slice = self.slice?;
        let status = slice.status.as_ref().filter(|s| s.observed_generation == slice.metadata.generation);
        status?.pods.as_deref()
    }

    /// What this site was told of another one before.
    fn before(&self, site: &str) -> Option<&'a Elsewhere> {
        self.slice?.spec.elsewhere.iter().find(|e| e.site == site)
    }
}

/// Writes into slices what each site is to know of the others.
pub fn fill(spec: &HallSpec, slices: &mut [(String, HallSliceSpec)], places: &BTreeMap<String, Place<'_>>) {
    let found: Vec<Vec<Elsewhere>> =
        slices.iter().map(|(site, _)| told(spec, site, slices, places)).collect();
    for ((_, slice), elsewhere) in slices.iter_mut().zip(found) {
        slice.elsewhere = elsewhere;
    }
}

fn told(
    spec: &HallSpec,
    site: &str,
    slices: &[(String, HallSliceSpec)],
    places: &BTreeMap<String, Place<'_>>,
) -> Vec<Elsewhere> {
    let here = slices.iter().find(|(s, _)| s == site).map(|(_, slice)| slice);
    let (Some(here), AvailabilityClass::Platinum) = (here, spec.availability_class) else {
        return Vec::new();
    };
    let of = |(other, there): &(String, HallSliceSpec)| {
        // Called there from here, and calling from there what is here.
        let called = crossing(here, there);
        let calls = callers(&crossing(there, here), there);
        let known: BTreeSet<&str> = called.into_iter().chain(calls).collect();
        if other == site || known.is_empty() {
            return None;
        }
        let place = places.get(other);
        let before = places.get(site).and_then(|p| p.before(other));
        let mut ends = match place.and_then(|p| p.ends) {
            Some(ends) => ends.to_vec(),
            None => before.map(|b| b.ends.clone()).unwrap_or_default(),
        };
        let pods = match place.and_then(Place::pods) {
            Some(pods) => pods.to_vec(),
            None => before.map(|b| b.pods.clone()).unwrap_or_default(),
        };
        let mut pods: Vec<HallPod> =
            pods.into_iter().filter(|p| known.contains(p.component.as_str())).collect();
        ends.truncate(ENDS);
        pods.truncate(PODS);
        Some(Elsewhere { site: other.clone(), ends, pods })
    };
    slices.iter().filter_map(of).take(SITES).collect()
}

/// Components that are called at one site and run at another: what keeps data runs at one site only.
fn crossing<'a>(from: &'a HallSliceSpec, to: &'a HallSliceSpec) -> BTreeSet<&'a str> {
    let of = |slice: &HallSliceSpec, name: &str, role: HallRole| {
        slice.components.iter().any(|c| c.component.name == name && c.role == role)
    };
    let calls = |name: &str| {
        let caller = |c: &SliceComponent| {
            stateless(c) && c.component.calls.iter().any(|call| call.component.as_deref() == Some(name))
        };
        from.components.iter().any(|c| c.role == HallRole::Active && caller(c))
    };
    let crosses = |c: &&SliceComponent| {
        let name = c.component.name.as_str();
        !stateless(c) && c.role == HallRole::Active && of(from, name, HallRole::Standby) && calls(name)
    };
    to.components.iter().filter(crosses).map(|c| c.component.name.as_str()).collect()
}

/// Who of a site calls one of these.
fn callers<'a>(called: &BTreeSet<&str>, at: &'a HallSliceSpec) -> Vec<&'a str> {
    let calls = |c: &&SliceComponent| {
        let one = c
            .component
            .calls
            .iter()
            .any(|call| call.component.as_deref().is_some_and(|n| called.contains(n)));
        stateless(c) && c.role == HallRole::Active && one
    };
    at.components.iter().filter(calls).map(|c| c.component.name.as_str()).collect()
}

fn stateless(c: &SliceComponent) -> bool {
    c.component.kind != ComponentKind::Stateful
}

#[cfg(test)]
mod tests;
