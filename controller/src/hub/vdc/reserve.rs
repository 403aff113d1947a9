//! Finds a place and reserves room, in one step under the ledger's lock, so that two VDCs never get the same room.
//! Calls the pure plan; what comes out is what will be written.

use std::collections::BTreeMap;
use std::sync::Arc;

use yunting_crds::VdcSlice;
use yunting_crds::common::{Desired, Quota};
use yunting_crds::conditions::{SCHEDULED, State, Statement, reason, say};
use yunting_crds::resources::Amounts;
use yunting_crds::vdc::{Effective, SiteChoice, SiteRole};
use yunting_crds::vdc_slice::VdcSliceSpec;
use yunting_plan::placement::{self, Placement, SiteView, place, role};
use yunting_plan::quota::ledger::{Grant, Ledger};
use yunting_plan::quota::split::{Share, split};
use yunting_plan::quota::transfer::{Held, step};
use yunting_plan::slices::{VdcInput, room, share_of, vdc_slice};
use yunting_plan::summary::not_ready;

use super::observe::{Seen, SeenSite};
use super::validate::Valid;
use crate::hub::world::World;

/// What is to be written for a VDC, and what is to be said of it.
pub(super) struct Outcome {
    /// Slices by site.
    pub(super) slices: Vec<(String, VdcSliceSpec)>,
    /// Sites that it leaves.
    pub(super) leaving: Vec<String>,
    /// `Scheduled`.
    pub(super) scheduled: Statement,
    /// Why it is not carried out.
    pub(super) stuck: Option<Statement>,
    /// Only a change of an object can help, not time alone.
    pub(super) stalled: bool,
    /// Reasons for every site; none when placement was not asked.
    pub(super) choices: Vec<SiteChoice>,
    /// Values in force, where they are known.
    pub(super) effective: Option<Effective>,
    /// Sites in the order of their roles.
    pub(super) chosen: Vec<String>,
}

impl Outcome {
    /// What stands, stays, but for the people: who is a member is the bureau's word, whatever becomes of its VDC.
    pub(super) fn refused(term: i64, seen: &Seen, statement: Statement) -> Self {
        let status = seen.vdc.status.as_ref();
        Self {
            slices: with_members(term, seen),
            leaving: Vec::new(),
            scheduled: Statement { type_: SCHEDULED, ..statement.clone() },
            stuck: Some(statement),
            stalled: true,
            choices: status.map(|s| s.placement.clone()).unwrap_or_default(),
            effective: status.and_then(|s| s.effective.clone()),
            chosen: current(seen),
        }
    }
}

/// Decides and reserves.
pub(super) fn reserve(world: &World, seen: &Seen, valid: &Valid) -> Outcome {
    let mut ledger = world.ledger();
    if let Some(refused) = above_bureau(&ledger, seen, valid) {
        return Outcome::refused(world.term, seen, refused);
    }
    let views: Vec<SiteView> = seen.sites.iter().map(|(name, s)| view(&ledger, seen, name, s)).collect();
    let current = current(seen);
    let request = placement::Request {
        sites: &seen.vdc.spec.sites,
        quota: &valid.quota,
        reserve: &valid.reserve,
        current: &current,
    };
    let placement = place(&request, &views);
    if let Some(failure) = placement.failure {
        let mut outcome = Outcome::refused(world.term, seen, not_ready(reason::NO_PLACE, failure));
        // A site that is silent now may be back in a moment.
        outcome.stalled = !placement.choices.iter().any(|c| c.reason == "NotReady");
        outcome.choices = placement.choices;
        return outcome;
    }
    let held = held(seen);
    let shares = split(&valid.quota, placement.chosen.len(), &valid.reserve);
    let targets: Vec<(String, Share)> = placement.chosen.iter().cloned().zip(shares).collect();
    let next = step(&valid.quota, &targets, &held);
    if let Some(refused) = above_sites(&views, seen, &next) {
        return Outcome::refused(world.term, seen, refused);
    }
    let grant = grant(seen, valid, &next);
    let gives_back = ledger.get(&seen.uid).is_some_and(|before| before.gives_back(&grant));
    let moved = ledger.set(&seen.uid, grant);
    drop(ledger);
    world.promise_moved(&seen.bureau_name, &moved, gives_back);
    outcome(world, seen, valid, placement, &next)
}

/// The slices as they stand, with the bureau's people as they are now. Where there is no bureau, nobody has said that
/// they are no members any more.
fn with_members(term: i64, seen: &Seen) -> Vec<(String, VdcSliceSpec)> {
    let Some(bureau) = &seen.bureau else { return Vec::new() };
    let present = seen.slices.iter().filter(|(_, slice)| slice.spec.desired == Desired::Present);
    let of = |(site, slice): (&String, &Arc<VdcSlice>)| {
        let members = bureau.spec.members.clone();
        (site.clone(), VdcSliceSpec { term, members, ..slice.spec.clone() })
    };
    present.map(of).collect()
}

/// Sites chosen before, in the order of their roles, as the slices themselves say.
fn current(seen: &Seen) -> Vec<String> {
    let present = |s: &VdcSliceSpec| s.desired == Desired::Present;
    let mut sites: Vec<(SiteRole, String)> = seen
        .slices
        .iter()
        .filter(|(_, slice)| present(&slice.spec))
        .map(|(site, slice)| (slice.spec.role, site.clone()))
        .collect();
    sites.sort();
    sites.into_iter().map(|(_, site)| site).collect()
}

fn above_bureau(ledger: &Ledger, seen: &Seen, valid: &Valid) -> Option<Statement> {
    let bureau = &seen.bureau_name;
    let known = ledger.get(&seen.uid).is_some();
    let others = ledger.count(bureau, &seen.uid);
    if let Some(most) =
        valid.bureau_vdcs.and_then(|m| usize::try_from(m).ok()).filter(|m| !known && others >= *m)
    {
        let text = format!(
            "bureau {bureau} may have {most} VDCs and has {others}: release one or ask for more (spec.quota.vdcs of the bureau)"
        );
        return Some(not_ready(reason::QUOTA_EXCEEDED, text));
    }
    let others = ledger.of_bureau(bureau, &seen.uid);
    let excess = others.clone().plus(&valid.quota).first_above(&valid.bureau_quota)?;
    // Shrinking is never refused, also while the bureau's own limit is passed already.
    if ledger.get(&seen.uid).is_some_and(|g| valid.quota.first_above(&g.quota).is_none()) {
        return None;
    }
    let asked = valid.quota.amount(excess.kind);
    let (kind, taken) = (excess.kind, others.amount(excess.kind));
    let text = format!(
        "spec.quota.{kind} {} does not fit bureau {bureau}: its other VDCs have {} of {}; ask for less, lower another VDC or have the bureau's quota raised",
        kind.print(asked),
        kind.print(taken),
        kind.print(excess.limit)
    );
    Some(not_ready(reason::QUOTA_EXCEEDED, text))
}

fn view(ledger: &Ledger, seen: &Seen, name: &str, seen_site: &SeenSite) -> SiteView {
    let spec = &seen_site.site.spec;
    let allocatable = seen_site.site.status.as_ref().and_then(|s| s.allocatable.amounts().ok());
    let declared = spec.capacity.declared.as_ref().and_then(|d| d.amounts().ok());
    SiteView {
        name: name.to_owned(),
        region: spec.region.clone(),
        failure_domain: spec.failure_domain.clone(),
        state: spec.state,
        ready: seen_site.ready,
        room: room(spec, &allocatable.or(declared).unwrap_or_default()),
        dr_reserve_percent: spec.capacity.dr_reserve_percent,
        promised: ledger.at_site(name, &seen.uid),
    }
}

/// What each site may still be enforcing.
fn held(seen: &Seen) -> BTreeMap<String, Held> {
    let held = |(site, slice): (&String, &Arc<VdcSlice>)| {
        let share = share_of(&slice.spec);
        let hard = slice.status.iter().flat_map(|s| &s.namespaces).filter_map(|n| n.hard.amounts().ok());
        let confirmed = hard.fold(Amounts::new(), |sum, a| sum.plus(&a));
        let observed = slice.status.as_ref().and_then(|s| s.observed_generation);
        let settled = observed == slice.metadata.generation;
        (site.clone(), Held { written: share.hard, confirmed, reserved: share.reserved, settled })
    };
    seen.slices.iter().map(held).collect()
}

/// A VDC that stays at its sites may grow only as far as they have room.
fn above_sites(views: &[SiteView], seen: &Seen, next: &[(String, Share)]) -> Option<Statement> {
    for (site, share) in next {
        let view = views.iter().find(|v| v.name == *site)?;
        let before = seen.slices.get(site).map(|s| share_of(&s.spec).total()).unwrap_or_default();
        let grows = share.total().first_above(&before).is_some() || !seen.slices.contains_key(site);
        let excess = view.promised.total().plus(&share.total()).first_above(&view.room);
        if let Some(excess) = excess.filter(|_| grows) {
            let text = format!(
                "site {site} has too little room: {excess} in all with this VDC; ask for less or move it to other sites"
            );
            return Some(not_ready(reason::QUOTA_EXCEEDED, text));
        }
    }
    None
}

fn grant(seen: &Seen, valid: &Valid, next: &[(String, Share)]) -> Grant {
    let leaving = seen.slices.iter().map(|(site, slice)| (site.clone(), share_of(&slice.spec)));
    let mut sites: BTreeMap<String, Share> = leaving.collect();
    sites.extend(next.iter().cloned());
    Grant { bureau: seen.bureau_name.clone(), quota: valid.quota.clone(), sites }
}

fn outcome(
    world: &World,
    seen: &Seen,
    valid: &Valid,
    placement: Placement,
    next: &[(String, Share)],
) -> Outcome {
    let members = seen.bureau.as_ref().map(|b| b.spec.members.clone()).unwrap_or_default();
    let effective = Effective { quota: Quota::from_amounts(&valid.quota), ..valid.effective.clone() };
    let input = VdcInput {
        term: world.term,
        identity: &valid.identity,
        spec: &seen.vdc.spec,
        effective: &effective,
        members: &members,
    };
    let slice = |(index, (site, share)): (usize, &(String, Share))| {
        let spec = &seen.sites.get(site)?.site.spec;
        Some((site.clone(), vdc_slice(&input, spec, role(index), share)))
    };
    let slices = next.iter().enumerate().filter_map(slice).collect();
    let leaving = seen.slices.keys().filter(|s| !placement.chosen.contains(s)).cloned().collect();
    let message = format!("at {}", placement.chosen.join(", "));
    Outcome {
        slices,
        leaving,
        scheduled: say(SCHEDULED, State::True, reason::AS_ASKED, message),
        stuck: None,
        stalled: false,
        choices: remembered(seen, placement.choices),
        effective: Some(effective),
        chosen: placement.chosen,
    }
}

/// A site that is kept keeps the reason for which it was chosen.
fn remembered(seen: &Seen, choices: Vec<SiteChoice>) -> Vec<SiteChoice> {
    let before = seen.vdc.status.as_ref().map(|s| s.placement.as_slice()).unwrap_or_default();
    let first = |c: SiteChoice| {
        before
            .iter()
            .find(|b| c.reason == "Kept" && b.site == c.site && b.role == c.role)
            .cloned()
            .unwrap_or(c)
    };
    choices.into_iter().map(first).collect()
}
