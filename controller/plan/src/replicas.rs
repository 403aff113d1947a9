//! Which sites of a hall keep replicas of whose volumes, by what each site has said; and whether every volume has one.
//!
//! The hub only passes on what sites say. What it did not hear, or heard of another generation, changes nothing: a replica is
//! given up only when the site that has the volumes says that a volume is not there any more.

mod kept;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use yunting_crds::HallSlice;
use yunting_crds::conditions::{REPLICATED, State, Statement, reason, say};
use yunting_crds::hall::{AvailabilityClass, ComponentKind, HallRole, HallSpec};
use yunting_crds::hall_slice::HallSliceSpec;
use yunting_crds::hall_volume::{
    HallClaim, HallVolume, ReplicaState, WantedCopies, WantedCopy, WantedReplica,
};

use crate::summary::known;

/// Most volumes of a list; the fields' bound.
const VOLUMES: usize = 256;
/// Most sites that points go to; the field's bound.
const SITES: usize = 8;
/// Most volumes that a message names.
const NAMED: usize = 3;

/// A site of the hall.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The hall's slice for it, as it stands.
    pub slice: Option<&'a HallSlice>,
    /// Its volumes can be replicated by Yunting's own driver.
    pub native: bool,
    /// Certificate of its custody key.
    pub custody: Option<&'a str>,
    /// Its beat is fresh.
    pub fresh: bool,
}

impl<'a> Place<'a> {
    /// The status, if it is of the slice as it stands.
    fn current(&self) -> Option<&'a yunting_crds::HallSliceStatus> {
        let slice = self.slice?;
        slice.status.as_ref().filter(|s| s.observed_generation == slice.metadata.generation)
    }

    fn volumes(&self) -> Option<&'a [HallVolume]> {
        self.current()?.volumes.as_deref()
    }

    fn replicas(&self) -> Option<&'a [ReplicaState]> {
        self.current()?.replicas.as_deref()
    }
}

/// The objective of a hall in seconds.
pub fn rpo(spec: &HallSpec) -> u32 {
    spec.rpo_seconds.unwrap_or(match spec.availability_class {
        AvailabilityClass::Bronze | AvailabilityClass::Silver => 300,
        AvailabilityClass::Gold | AvailabilityClass::Platinum => 60,
    })
}

/// Components with volumes, and what the slice has them be.
fn stateful(slice: &HallSliceSpec, role: HallRole) -> impl Iterator<Item = &str> {
    let keeps = move |c: &&yunting_crds::hall_slice::SliceComponent| {
        c.role == role && c.component.kind == ComponentKind::Stateful && !c.component.volumes.is_empty()
    };
    slice.components.iter().filter(keeps).map(|c| c.component.name.as_str())
}

/// Writes into slices what is to be replicated.
pub fn fill(
    spec: &HallSpec,
    slices: &mut [(String, HallSliceSpec)],
    places: &BTreeMap<String, Place<'_>>,
    now: &Time,
) {
    let found: Vec<(Vec<WantedReplica>, Vec<WantedCopies>)> = slices
        .iter()
        .map(|(site, _)| {
            (kept::replicas(site, &claims(spec), slices, places, now), copies(site, spec, slices, places))
        })
        .collect();
    for ((_, slice), (replicas, copies)) in slices.iter_mut().zip(found) {
        (slice.replicas, slice.copies) = (replicas, copies);
    }
}

fn native(places: &BTreeMap<String, Place<'_>>, site: &str) -> bool {
    places.get(site).is_some_and(|p| p.native)
}

/// The site where a component runs.
fn active<'a>(slices: &'a [(String, HallSliceSpec)], component: &str) -> Option<&'a str> {
    let runs = |(_, s): &&(String, HallSliceSpec)| stateful(s, HallRole::Active).any(|c| c == component);
    slices.iter().find(runs).map(|(site, _)| site.as_str())
}

fn spec_of<'a>(slices: &'a [(String, HallSliceSpec)], site: &str) -> Option<&'a HallSliceSpec> {
    slices.iter().find(|(s, _)| s == site).map(|(_, spec)| spec)
}

/// Sites that get points of the volumes of a site.
fn copies(
    site: &str,
    spec: &HallSpec,
    slices: &[(String, HallSliceSpec)],
    places: &BTreeMap<String, Place<'_>>,
) -> Vec<WantedCopies> {
    let Some(slice) = spec_of(slices, site) else { return Vec::new() };
    let here: Vec<&str> = stateful(slice, HallRole::Active).collect();
    let before = places.get(site).and_then(|p| p.slice).map(|s| s.spec.copies.as_slice()).unwrap_or_default();
    let to = |(other, standby): &(String, HallSliceSpec)| {
        let place = places.get(other).filter(|p| p.native && native(places, site))?;
        let both: Vec<&str> = stateful(standby, HallRole::Standby).filter(|c| here.contains(c)).collect();
        let before = before.iter().find(|c| c.site == *other);
        let sent = before.map(|c| c.volumes.as_slice()).unwrap_or_default();
        let volumes = match (place.replicas(), places.get(site).and_then(Place::volumes)) {
            (Some(kept), Some(volumes)) => going(&both, kept, volumes, sent),
            _ => sent.to_vec(),
        };
        let custody = place.custody.map(str::to_owned).or_else(|| before.map(|c| c.custody.clone()))?;
        let copies = WantedCopies { site: other.clone(), custody, rpo_seconds: rpo(spec), volumes };
        (other != site && !copies.volumes.is_empty()).then_some(copies)
    };
    slices.iter().filter_map(to).take(SITES).collect()
}

/// Volumes whose replicas have a node. One that is silent is where it was: what it has received is not given up for that.
fn going(
    components: &[&str],
    kept: &[ReplicaState],
    volumes: &[HallVolume],
    before: &[WantedCopy],
) -> Vec<WantedCopy> {
    let of = |v: &HallVolume| {
        let kept = kept.iter().find(|k| k.name == v.name && k.claim == v.claim)?;
        let node = kept.node.clone()?;
        let was = || before.iter().find(|b| b.name == v.name && b.node == node).map(|b| b.address.clone());
        let address = kept.address.clone().or_else(was)?;
        Some(WantedCopy { claim: v.claim.clone(), name: v.name.clone(), node, address })
    };
    let ours = volumes.iter().filter(|v| components.contains(&v.claim.component.as_str()));
    ours.filter_map(of).take(VOLUMES).collect()
}

/// Whether each volume of the hall has a replica that could be activated, within the objective. Nothing is said of a hall that
/// keeps no data or lives at one site.
pub fn replicated(
    spec: &HallSpec,
    slices: &[(String, HallSliceSpec)],
    places: &BTreeMap<String, Place<'_>>,
) -> Option<Statement> {
    let claims = claims(spec);
    if claims.is_empty() || spec.availability_class == AvailabilityClass::Bronze {
        return None;
    }
    let no = |reason, text: String| Some(say(REPLICATED, State::False, reason, text));
    let mut lacking: Vec<Lack> = Vec::new();
    let mut at: Vec<&str> = Vec::new();
    for claim in &claims {
        let Some(from) = active(slices, &claim.component) else {
            return no(reason::REPLICATION_MISSING, format!("component {} runs at no site", claim.component));
        };
        let standby =
            |(_, s): &&(String, HallSliceSpec)| stateful(s, HallRole::Standby).any(|c| c == claim.component);
        let mut tried =
            slices.iter().filter(standby).map(|(to, _)| (to.as_str(), judge(claim, from, to, places)));
        let Some(first) = tried.next() else {
            let text = format!("the VDC has no standby site for component {}", claim.component);
            return no(reason::SINGLE_SITE, text);
        };
        match std::iter::once(first.clone()).chain(tried).find(|(_, how)| how.is_ok()) {
            Some((to, _)) if at.contains(&to) => (),
            Some((to, _)) => at.push(to),
            None => lacking.extend(first.1.err()),
        }
    }
    // What is known to lack counts before what is not known.
    lacking.sort_by_key(|l| l.state == State::Unknown);
    Some(match lacking.first() {
        None => {
            let text = format!(
                "each of {} has a replica at {}, no older than {} s{}",
                count(claims.len()),
                at.join(", "),
                rpo(spec),
                kept::told(slices)
            );
            say(REPLICATED, State::True, reason::AS_ASKED, text)
        }
        Some(worst) => {
            say(REPLICATED, worst.state, worst.reason, format!("{}{}", list(&lacking), kept::told(slices)))
        }
    })
}

fn count(volumes: usize) -> String {
    if volumes == 1 { "1 volume".to_owned() } else { format!("{volumes} volumes") }
}

/// Why a volume has no replica.
#[derive(Debug, Clone)]
struct Lack {
    state: State,
    reason: &'static str,
    message: String,
}

fn list(lacking: &[Lack]) -> String {
    let named: Vec<&str> = lacking.iter().take(NAMED).map(|l| l.message.as_str()).collect();
    let more = lacking.len().saturating_sub(NAMED);
    let text = named.join("; ");
    if more == 0 { text } else { format!("{text}; and {more} more") }
}

/// Volumes that the hall is to have.
fn claims(spec: &HallSpec) -> Vec<HallClaim> {
    let keeps = spec.components.iter().filter(|c| c.kind == ComponentKind::Stateful);
    let of = |c: &yunting_crds::hall::Component| -> Vec<HallClaim> {
        let each = |ordinal| {
            let claim = move |v: &yunting_crds::hall::Volume| HallClaim {
                component: c.name.clone(),
                volume: v.name.clone(),
                ordinal,
            };
            c.volumes.iter().map(claim)
        };
        (0..c.replicas).flat_map(each).collect()
    };
    keeps.flat_map(of).collect()
}

fn judge(claim: &HallClaim, from: &str, to: &str, places: &BTreeMap<String, Place<'_>>) -> Result<(), Lack> {
    let no = |reason, text: String| Lack { state: State::False, reason, message: format!("{claim}: {text}") };
    let unknown = |reason, text: String| Lack { state: State::Unknown, ..no(reason, text) };
    let mut both = Vec::new();
    for site in [from, to] {
        let place = places
            .get(site)
            .ok_or_else(|| unknown(reason::NOT_OBSERVED, format!("site {site} is not known")))?;
        if !place.native {
            let text = format!(
                "the storage of site {site} replicates nothing: the first of spec.providers.storage of the Site needs driver volumes.yunting.io and replication: Native, which no other driver has"
            );
            return Err(no(reason::PROVIDER_MISSING, text));
        }
        if !place.fresh {
            return Err(unknown(reason::SITE_SILENT, format!("site {site} does not answer")));
        }
        let status = place.current();
        both.push(
            status
                .ok_or_else(|| unknown(reason::NOT_OBSERVED, format!("site {site} has not seen it yet")))?,
        );
    }
    let [home, abroad] = both.as_slice() else { return Ok(()) };
    let here = home.volumes.iter().flatten().find(|v| v.claim == *claim);
    let volume =
        here.ok_or_else(|| no(reason::REPLICATION_MISSING, format!("it has no volume at {from} yet")))?;
    let of = |states: &[ReplicaState], site: &str, what: &str| {
        let state = states.iter().find(|s| s.name == volume.name && s.site == site);
        let missing = || no(reason::REPLICATION_MISSING, format!("{what} is not asked for yet"));
        let state = state.ok_or_else(missing)?;
        if state.ready == State::True.as_str() {
            return Ok(());
        }
        Err(no(known(&state.reason), format!("{what}: {}", state.message)))
    };
    of(abroad.replicas.as_deref().unwrap_or_default(), from, &format!("its replica at {to}"))?;
    of(&home.copies, to, &format!("its points to {to}"))
}

#[cfg(test)]
mod tests;
