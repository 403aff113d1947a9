//! What is said of a VDC: summed up from its slices by the plan's rule, never better than they are.

use std::time::Duration;

use kube::ResourceExt;
use yunting_crds::common::Quota;
use yunting_crds::conditions::{
    DELETABLE, FROZEN, NETWORK_ISOLATED, QUOTA_ENFORCED, READY, State, Statement, TRANSPORT_ENCRYPTED,
    VOLUMES_ENCRYPTED, conditions, reason, say,
};
use yunting_crds::resources::Amounts;
use yunting_crds::vdc::{LifecycleState, VdcSiteStatus};
use yunting_crds::{VdcSlice, VdcStatus};
use yunting_plan::slices::share_of;
use yunting_plan::summary::{SliceView, Verdict, progress, sum, table, verdict};

use super::LONGEST_WAIT;
use super::observe::Seen;
use super::reserve::Outcome;
use crate::hub::world::World;
use crate::queue::Next;

/// The status as it is to be.
pub(super) fn status(world: &World, seen: &Seen, outcome: &Outcome) -> VdcStatus {
    let before = seen.vdc.status.clone().unwrap_or_default();
    let now = world.context.now();
    let generation = seen.vdc.metadata.generation;
    let released_at = released_at(seen, &before, &now.0.to_string());
    let mut statements = vec![
        outcome.scheduled.clone(),
        frozen(seen, outcome),
        deletable(world, seen, released_at.as_deref()),
    ];
    let ready = match &outcome.stuck {
        Some(stuck) => stuck.clone(),
        None => overall(seen, outcome, READY),
    };
    statements.extend(progress(&ready, outcome.stalled));
    statements.push(ready);
    for type_ in [QUOTA_ENFORCED, NETWORK_ISOLATED, VOLUMES_ENCRYPTED, TRANSPORT_ENCRYPTED] {
        statements.push(overall(seen, outcome, type_));
    }
    let sites: Vec<VdcSiteStatus> =
        seen.slices.iter().map(|(site, slice)| site_status(seen, site, slice)).collect();
    let used = sites.iter().filter_map(|s| s.used.amounts().ok()).fold(Amounts::new(), |sum, a| sum.plus(&a));
    let limit = outcome.effective.as_ref().and_then(|e| e.quota.amounts().ok()).unwrap_or_default();
    VdcStatus {
        observed_generation: generation,
        conditions: conditions(&before.conditions, &statements, generation, &now),
        active_site: outcome.chosen.first().cloned(),
        standby_site: outcome.chosen.get(1).cloned(),
        effective: outcome.effective.clone(),
        placement: outcome.choices.clone(),
        sites,
        summary: table(&used, &limit),
        released_at,
        left_sites: seen.left(world),
    }
}

/// One condition over all sites where the VDC is to be.
fn overall(seen: &Seen, outcome: &Outcome, type_: &'static str) -> Statement {
    let generation = seen.vdc.metadata.generation.unwrap_or_default();
    let about = |site: &String| match seen.slices.get(site) {
        Some(slice) => verdict(&view(seen, site, slice), type_, generation),
        None => Verdict {
            site: site.clone(),
            state: State::Unknown,
            reason: reason::PENDING.to_owned(),
            message: "its slice is being written".to_owned(),
        },
    };
    let verdicts: Vec<Verdict> = outcome.chosen.iter().map(about).collect();
    sum(type_, &verdicts)
}

fn view<'a>(seen: &Seen, site: &'a str, slice: &'a VdcSlice) -> SliceView<'a> {
    let status = slice.status.as_ref();
    SliceView {
        site,
        source_generation: slice.spec.source.generation,
        generation: slice.metadata.generation.unwrap_or_default(),
        observed_generation: status.and_then(|s| s.observed_generation),
        conditions: status.map(|s| s.conditions.as_slice()).unwrap_or_default(),
        fresh: seen.sites.get(site).is_some_and(|s| s.fresh),
    }
}

fn site_status(seen: &Seen, site: &str, slice: &VdcSlice) -> VdcSiteStatus {
    let generation = seen.vdc.metadata.generation.unwrap_or_default();
    let ready = verdict(&view(seen, site, slice), READY, generation);
    let share = share_of(&slice.spec);
    let namespaces = slice.status.iter().flat_map(|s| &s.namespaces);
    let used =
        namespaces.clone().filter_map(|n| n.used.amounts().ok()).fold(Amounts::new(), |sum, a| sum.plus(&a));
    VdcSiteStatus {
        site: site.to_owned(),
        slice: slice.uid().unwrap_or_default(),
        role: slice.spec.role,
        ready: ready.state.as_str().to_owned(),
        reason: ready.reason,
        message: ready.message.chars().take(1024).collect(),
        quota: Quota::from_amounts(&share.hard),
        reserved: Quota::from_amounts(&share.reserved),
        used: Quota::from_amounts(&used),
        namespaces: namespaces.map(|n| n.namespace.clone()).collect(),
    }
}

/// Frozen is what every site says it is, not what was asked.
fn frozen(seen: &Seen, outcome: &Outcome) -> Statement {
    let state = seen.vdc.spec.lifecycle.state;
    if state == LifecycleState::Active {
        return say(FROZEN, State::False, reason::LIFECYCLE, "");
    }
    let sites = overall(seen, outcome, FROZEN);
    if sites.state != State::True {
        return sites;
    }
    let text = format!("spec.lifecycle.state is {state:?}: nothing new is admitted");
    say(FROZEN, State::True, reason::LIFECYCLE, text)
}

/// When `Released` was first seen; taken back with it.
fn released_at(seen: &Seen, before: &VdcStatus, now: &str) -> Option<String> {
    let released = seen.vdc.spec.lifecycle.state == LifecycleState::Released;
    released.then(|| before.released_at.clone().unwrap_or_else(|| now.to_owned()))
}

/// Time until the VDC has cooled off; `None` while it is not released or its time cannot be read.
fn cooling_left(world: &World, seen: &Seen, released_at: Option<&str>) -> Option<Duration> {
    let since: jiff::Timestamp = released_at?.parse().ok()?;
    let hours = i64::from(seen.vdc.spec.lifecycle.cooling_off_hours);
    let until = since.checked_add(jiff::SignedDuration::from_hours(hours)).ok()?;
    let left = until.duration_since(world.context.timestamp());
    Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
}

fn deletable(world: &World, seen: &Seen, released_at: Option<&str>) -> Statement {
    let no = |text: String| say(DELETABLE, State::False, reason::LIFECYCLE, text);
    let Some(left) = cooling_left(world, seen, released_at) else {
        return no(
            "set spec.lifecycle.state to Released first; it can be taken back until it has cooled off"
                .to_owned(),
        );
    };
    if !seen.halls.is_empty() {
        return no(format!("halls still run in it: {}; delete them first", seen.halls.join(", ")));
    }
    if left.is_zero() {
        return say(DELETABLE, State::True, reason::LIFECYCLE, "released and cooled off");
    }
    let hours = seen.vdc.spec.lifecycle.cooling_off_hours;
    no(format!("released at {}, cools off for {hours} h", released_at.unwrap_or_default()))
}

/// Comes back when cooling off ends: no watch shows that.
pub(super) fn next(world: &World, seen: &Seen, status: &VdcStatus) -> Next {
    match cooling_left(world, seen, status.released_at.as_deref()) {
        Some(left) if !left.is_zero() => Next::After(left.min(LONGEST_WAIT)),
        _ => Next::Wait,
    }
}
