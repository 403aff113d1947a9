//! Replays the revisions of a site and says what was wrong in them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use yunting_plan::quota::shrink::{Mark, Shown};

use super::record::{Change, What};

const PODS: &str = "pods";

/// What a replay found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Revisions in which the sum of limits was above the site's share.
    pub above_share: Vec<String>,
    /// Pods that were removed though they were older than the limit.
    pub wrongly: Vec<String>,
    /// How often use stood above a limit, and for how long at most.
    pub excesses: usize,
    pub longest: Duration,
    /// Pods removed by nobody of the clients.
    pub swept: usize,
    /// Revisions of quotas that were looked at, and how often a limit was frozen.
    pub quotas: usize,
    pub frozen: usize,
    /// Namespaces that end above a limit, or with a limit on its way.
    pub unfinished: Vec<String>,
}

#[derive(Default)]
struct Place {
    quota: Option<Shown>,
    /// Uid and revision of birth of what is there.
    pods: HashMap<String, u64>,
    since: u64,
    since_before: u64,
    excess: Option<Instant>,
}

impl Place {
    /// The limit, where one holds.
    fn limit(&self) -> Option<u64> {
        let quota = self.quota.as_ref().filter(|q| !q.is_frozen(PODS))?;
        let hard = quota.status.get(PODS)?;
        (quota.spec.get(PODS) == Some(hard)).then_some(*hard)
    }

    /// How many stand above it, those that were there before left aside.
    fn above(&self) -> bool {
        let older = self.pods.values().filter(|born| **born <= self.since).count();
        self.limit()
            .is_some_and(|limit| self.pods.len() > usize::try_from(limit).unwrap_or(usize::MAX).max(older))
    }

    fn quota(&mut self, shown: Shown, verdict: &mut Verdict) {
        let was = self.quota.as_ref().is_some_and(|q| q.is_frozen(PODS));
        verdict.frozen += usize::from(!was && shown.is_frozen(PODS));
        if let Some(Mark::Since(since)) = shown.marks.as_ref().and_then(|m| m.get(PODS))
            && since.version != self.since
        {
            self.since_before = std::mem::replace(&mut self.since, since.version);
        }
        self.quota = Some(shown);
    }
}

/// Replays a site's revisions.
pub fn replay(changes: &[Change], namespaces: &[String], share: u64, deleted: &HashSet<String>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut places: BTreeMap<&str, Place> =
        namespaces.iter().map(|n| (n.as_str(), Place::default())).collect();
    for change in changes {
        let Some(place) = places.get_mut(change.namespace.as_str()) else { continue };
        match &change.what {
            What::Quota(shown) => place.quota(shown.clone(), &mut verdict),
            What::Pod { uid } => {
                place.pods.entry(uid.clone()).or_insert(change.revision);
            }
            What::NoPod { uid } => {
                let born = place.pods.remove(uid);
                if let Some(born) = born.filter(|_| !deleted.contains(uid)) {
                    verdict.swept += 1;
                    // It may have been taken for the limit before, just when a new one came.
                    if born <= place.since.min(place.since_before) && place.since > 0 {
                        verdict.wrongly.push(format!("{uid} of {born} in {}", change.namespace));
                    }
                }
            }
            What::Namespace { .. } | What::Other { .. } | What::NoOther { .. } => continue,
        }
        excess(place, change.at, &mut verdict);
        if matches!(change.what, What::Quota(_)) {
            sum(&places, change, share, &mut verdict);
        }
    }
    for (name, place) in &places {
        if place.above() || place.limit().is_none() {
            verdict.unfinished.push(format!("{name}: {} pods, {:?}", place.pods.len(), place.quota));
        }
    }
    verdict
}

fn excess(place: &mut Place, at: Instant, verdict: &mut Verdict) {
    match (place.above(), place.excess) {
        (true, None) => {
            verdict.excesses += 1;
            place.excess = Some(at);
        }
        (false, Some(since)) => {
            verdict.longest = verdict.longest.max(at.saturating_duration_since(since));
            place.excess = None;
        }
        _ => (),
    }
}

fn sum(places: &BTreeMap<&str, Place>, change: &Change, share: u64, verdict: &mut Verdict) {
    verdict.quotas += 1;
    let hard = |p: &Place| p.quota.as_ref().and_then(|q| q.status.get(PODS).copied()).unwrap_or(0);
    let sum: u64 = places.values().map(hard).sum();
    if sum > share {
        verdict.above_share.push(format!("revision {}: {sum} of {share}", change.revision));
    }
}

/// What a replay of closings found.
#[derive(Debug, Default)]
pub struct Closed {
    /// What came into closed namespaces and is still there.
    pub came: Vec<String>,
    /// What had come and was there when the namespace was said to be closed.
    pub early: Vec<String>,
    /// What was there before and is gone though nobody of the clients took it.
    pub went: Vec<String>,
    /// Uids of what came and was removed.
    pub removed: HashSet<String>,
}

/// One namespace while it is replayed.
#[derive(Default)]
struct Door<'a> {
    open: bool,
    closing: bool,
    /// Revision of the closing write.
    closed: Option<u64>,
    things: HashMap<&'a str, u64>,
}

impl Door<'_> {
    /// What came after the closing write and is there.
    fn strays(&self, namespace: &str) -> Vec<String> {
        let late = |born: u64| self.closed.is_some_and(|closed| born > closed);
        self.things
            .iter()
            .filter(|(_, b)| late(**b))
            .map(|(u, b)| format!("{u} of {b} in {namespace}"))
            .collect()
    }

    fn moves(&mut self, open: bool, closing: bool, revision: u64) -> bool {
        if self.open && !open {
            self.closed = Some(revision);
        }
        let said = self.closing && !closing && !open;
        (self.open, self.closing) = (open, closing);
        said
    }
}

/// Replays how namespaces were closed.
pub fn closing(changes: &[Change], namespaces: &[String], deleted: &HashSet<String>) -> Closed {
    let mut found = Closed::default();
    for namespace in namespaces {
        let mut door = Door::default();
        for change in changes.iter().filter(|c| c.namespace == *namespace) {
            match &change.what {
                What::Namespace { open, closing } => {
                    if door.moves(*open, *closing, change.revision) {
                        found.early.extend(door.strays(namespace));
                    }
                }
                What::Pod { uid } | What::Other { uid } => {
                    door.things.entry(uid).or_insert(change.revision);
                }
                What::NoPod { uid } | What::NoOther { uid } => {
                    let born = door.things.remove(uid.as_str());
                    match door.closed.zip(born).filter(|_| !deleted.contains(uid)) {
                        None => (),
                        Some((closed, born)) if born > closed => {
                            found.removed.insert(uid.clone());
                        }
                        Some(_) => found.went.push(format!("{uid} in {namespace}")),
                    }
                }
                What::Quota(_) => (),
            }
        }
        found.came.extend(door.strays(namespace));
        if door.closed.is_none() {
            found.came.push(format!("{namespace} was never closed"));
        }
    }
    found
}
