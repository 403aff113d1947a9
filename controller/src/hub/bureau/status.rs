//! What is said of a bureau.

use std::sync::Arc;

use yunting_crds::common::Quota;
use yunting_crds::conditions::{DELETABLE, QUOTA_ENFORCED, READY, State, Statement, conditions, reason, say};
use yunting_crds::resources::Amounts;
use yunting_crds::{Bureau, BureauStatus};
use yunting_plan::summary::{progress, table};

use super::observe::Seen;
use crate::hub::world::World;

/// The status as it is to be.
pub(super) fn status(world: &World, seen: &Seen) -> BureauStatus {
    let before = seen.bureau.status.clone().unwrap_or_default();
    let generation = seen.bureau.metadata.generation;
    let limit = seen.bureau.spec.quota.amounts().unwrap_or_default();
    let promised = seen.promised.clone().plus(&limits(&seen.children));
    let quota = quota(seen, &limit, &promised);
    let ready = ready(seen, &quota);
    let mut statements = progress(&ready, quota.state == State::False);
    statements.extend([ready, quota, deletable(seen)]);
    BureauStatus {
        observed_generation: generation,
        conditions: conditions(&before.conditions, &statements, generation, &world.context.now()),
        namespace: Some(seen.namespace_name.clone()),
        vdcs: count(seen.vdcs),
        halls: count(seen.halls),
        allocated: Quota::from_amounts(&promised),
        summary: table(&promised, &limit),
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn limits(bureaus: &[Arc<Bureau>]) -> Amounts {
    let limits = bureaus.iter().filter_map(|b| b.spec.quota.amounts().ok());
    limits.fold(Amounts::new(), |sum, a| sum.plus(&a))
}

/// The bureau's own limit against what it promised, and its parent's against what is carved from it.
fn quota(seen: &Seen, limit: &Amounts, promised: &Amounts) -> Statement {
    let no = |why, text| say(QUOTA_ENFORCED, State::False, why, text);
    if let Some(excess) = promised.first_above(limit) {
        let text =
            format!("more is promised than spec.quota allows: {excess}; nothing is stopped, nothing grows");
        return no(reason::OVER_LIMIT, text);
    }
    let Some(wanted) = &seen.bureau.spec.parent_ref else {
        return say(QUOTA_ENFORCED, State::True, reason::AS_ASKED, "");
    };
    let Some(parent) = &seen.parent else {
        return no(
            reason::REFERENCE,
            format!("spec.parentRef.name {:?} is no Bureau; create it or correct the name", wanted.name),
        );
    };
    let of_parent = parent.spec.quota.amounts().unwrap_or_default();
    match limits(&seen.siblings).plus(limit).first_above(&of_parent) {
        Some(excess) => no(
            reason::QUOTA_EXCEEDED,
            format!(
                "the bureaus under {} are promised more than it has: {excess}; lower spec.quota here or raise it there",
                wanted.name
            ),
        ),
        None => say(QUOTA_ENFORCED, State::True, reason::AS_ASKED, ""),
    }
}

fn ready(seen: &Seen, quota: &Statement) -> Statement {
    if seen.namespace.is_none() {
        return say(
            READY,
            State::False,
            reason::IN_PROGRESS,
            format!("namespace {} is being made", seen.namespace_name),
        );
    }
    match quota.state {
        State::True => say(READY, State::True, reason::AS_ASKED, ""),
        state => say(READY, state, quota.reason, quota.message.clone()),
    }
}

fn deletable(seen: &Seen) -> Statement {
    if seen.vdcs == 0 && seen.halls == 0 && seen.children.is_empty() {
        return say(DELETABLE, State::True, reason::LIFECYCLE, "it holds nothing");
    }
    let text = format!(
        "it still holds {} VDCs, {} halls and {} child bureaus: remove them first",
        seen.vdcs,
        seen.halls,
        seen.children.len()
    );
    say(DELETABLE, State::False, reason::LIFECYCLE, text)
}
