//! What stands above a limit and has to go. An API server's quota is no hard cap while objects come and go: this is
//! what stands behind it. It takes as little as it can, the newest first, what has not started before what runs, and
//! never what is older than the limit: lowering a limit stops nothing.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::charge::{Resource, Since, Thing};
use super::shrink::{Mark, Shown};

/// A limit that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How much.
    pub hard: u64,
    /// Since when it, or a lower one, has held.
    pub since: Since,
}

/// Limits that hold: confirmed by the API server and not on their way down.
pub fn limits(shown: &Shown) -> BTreeMap<Resource, Limit> {
    let mut all: BTreeMap<Resource, Limit> = BTreeMap::new();
    for (key, hard) in &shown.spec {
        let (Some(resource), Some(marks)) = (Resource::of_key(key), &shown.marks) else { continue };
        let since = match marks.get(key) {
            Some(Mark::Frozen { .. }) => continue,
            Some(Mark::Since(since)) => *since,
            None => Since::BIRTH,
        };
        if shown.status.get(key) != Some(hard) {
            continue;
        }
        // Space has two keys, one of them for its class: both say the same once they are through.
        let limit = Limit { hard: *hard, since };
        all.entry(resource).and_modify(|l| *l = stricter(*l, limit)).or_insert(limit);
    }
    all
}

/// Of two limits of one resource the one that takes less: the larger, and the later.
fn stricter(one: Limit, other: Limit) -> Limit {
    let since = if other.since.version > one.since.version { other.since } else { one.since };
    Limit { hard: one.hard.max(other.hard), since }
}

/// Something that has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken<'a> {
    /// What.
    pub thing: &'a Thing,
    /// Of what there is too much.
    pub over: Resource,
}

/// What has to go so that nothing stands above its limit, as far as anything may be taken at all.
pub fn sweep<'a>(
    limits: &BTreeMap<Resource, Limit>,
    things: &'a [Thing],
    protected: impl Fn(&Thing) -> bool,
) -> Vec<Taken<'a>> {
    let mut here: Vec<&Thing> = things.iter().filter(|t| !t.leaving).collect();
    here.sort_by_key(|t| (t.started, Reverse(t.born), &t.uid));
    let may = |t: &Thing, r: Resource, l: &Limit| t.charge(r) > 0 && t.born.after(l.since) && !protected(t);
    // What may not be taken is borne with, but nothing comes on top of it.
    let bound = |(r, l): (&Resource, &Limit)| {
        let fixed = here.iter().filter(|t| !may(t, *r, l)).map(|t| t.charge(*r)).fold(0, u64::saturating_add);
        (*r, l.hard.max(fixed))
    };
    let bounds: BTreeMap<Resource, u64> = limits.iter().map(bound).collect();
    let mut used = used(&here, &bounds);
    let mut taken: Vec<Taken<'a>> = Vec::new();
    for (over, limit) in limits {
        for thing in &here {
            if used[over] <= bounds[over] {
                break;
            }
            if may(thing, *over, limit) && !taken.iter().any(|t| std::ptr::eq(t.thing, *thing)) {
                for (r, u) in &mut used {
                    *u = u.saturating_sub(thing.charge(*r));
                }
                taken.push(Taken { thing, over: *over });
            }
        }
    }
    spare(taken, &mut used, &bounds)
}

fn used(here: &[&Thing], bounds: &BTreeMap<Resource, u64>) -> BTreeMap<Resource, u64> {
    let sum = |r: Resource| here.iter().map(|t| t.charge(r)).fold(0, u64::saturating_add);
    bounds.keys().map(|r| (*r, sum(*r))).collect()
}

/// Gives back what need not have gone, the oldest first: a large newer thing may have made room for it.
fn spare<'a>(
    taken: Vec<Taken<'a>>,
    used: &mut BTreeMap<Resource, u64>,
    bounds: &BTreeMap<Resource, u64>,
) -> Vec<Taken<'a>> {
    let mut order: Vec<usize> = (0..taken.len()).collect();
    order.sort_by_key(|i| (Reverse(taken[*i].thing.started), taken[*i].thing.born));
    let mut spared = vec![false; taken.len()];
    for i in order {
        let thing = taken[i].thing;
        if used.iter().all(|(r, u)| u.saturating_add(thing.charge(*r)) <= bounds[r]) {
            for (r, u) in used.iter_mut() {
                *u = u.saturating_add(thing.charge(*r));
            }
            spared[i] = true;
        }
    }
    taken.into_iter().zip(spared).filter(|(_, spared)| !spared).map(|(t, _)| t).collect()
}

/// What came into a namespace after it was closed: creations that were on their way when it closed.
pub fn strays(things: &[Thing], closed: Since) -> Vec<&Thing> {
    things.iter().filter(|t| !t.leaving && t.born.after(closed)).collect()
}

#[cfg(test)]
mod tests;
