//! Whose beats are missing. Every hub candidate watches, so that detection does not begin anew with a leader.
//!
//! Must never: count time in which no beat could have been written.

use std::collections::BTreeMap;

use super::timing::Millis;
use super::token::{BootId, BootTime, Node, Site};

/// The last beat of a node, and for how long it counts as missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Last {
    boot: BootId,
    sequence: u64,
    missing: u64,
}

/// What a candidate has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detector {
    last: BTreeMap<(Site, Node), Last>,
    /// When time was last counted.
    counted: Option<BootTime>,
    /// Since when the quorum commits, without a break; none while it does not.
    since: Option<BootTime>,
}

impl Detector {
    /// A node's beat is there, old or new.
    pub fn beat(&mut self, site: &Site, node: &Node, boot: BootId, sequence: u64) {
        let new = Last { boot, sequence, missing: 0 };
        let last = self.last.entry((site.clone(), node.clone())).or_insert(new);
        if last.boot != boot || last.sequence < sequence {
            *last = new;
        }
    }

    /// A node was forgotten.
    pub fn forgotten(&mut self, site: &Site, node: &Node) {
        self.last.remove(&(site.clone(), node.clone()));
    }

    /// The clock went on, and the quorum has committed something since the last look or has not. Age grows only while it
    /// does; after it came back, nodes first have the time of two renewals.
    pub fn passed(&mut self, now: BootTime, commits: bool, renew: Millis) {
        let before = self.counted.replace(now);
        if !commits {
            self.since = None;
            return;
        }
        let since = *self.since.get_or_insert(now);
        let Some(before) = before else { return };
        let from = before.max(since + Millis(renew.0.saturating_mul(2)));
        let passed = now.since(from);
        for last in self.last.values_mut() {
            last.missing = last.missing.saturating_add(passed);
        }
    }

    /// For how long a node's beat is missing; none where it never had one.
    pub fn missing(&self, site: &Site, node: &Node) -> Option<Millis> {
        let last = self.last.get(&(site.clone(), node.clone()))?;
        Some(Millis(u32::try_from(last.missing / Millis(1).nanoseconds()).unwrap_or(u32::MAX)))
    }

    /// For how long no node that runs a group has beaten: the shortest of them. None where nobody is known to run it, which
    /// is no sign of a loss.
    pub fn silence<'a>(&self, site: &Site, nodes: impl Iterator<Item = &'a Node>) -> Option<Millis> {
        nodes.map(|node| self.missing(site, node)).min_by_key(|m| m.map_or(0, |m| m.0)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: Millis = Millis(1_000);

    fn at(ms: u32) -> BootTime {
        BootTime(0) + Millis(ms)
    }

    fn names() -> (Site, Node, Node) {
        ("guoyang".parse().unwrap(), "n0".parse().unwrap(), "n1".parse().unwrap())
    }

    fn watched() -> Detector {
        let (site, node, _) = names();
        let mut detector = Detector::default();
        detector.passed(at(0), true, R);
        detector.beat(&site, &node, BootId(1), 1);
        detector
    }

    #[test]
    fn silence_is_counted_only_while_somebody_could_have_been_heard() {
        let (site, node, _) = names();
        let mut detector = watched();
        detector.passed(at(2_000), true, R);
        assert_eq!(detector.missing(&site, &node), Some(Millis(0)), "two renewals after the first look");
        detector.passed(at(3_000), true, R);
        assert_eq!(detector.missing(&site, &node), Some(Millis(1_000)));
        detector.passed(at(9_000), false, R);
        detector.passed(at(10_000), true, R);
        detector.passed(at(12_000), true, R);
        assert_eq!(detector.missing(&site, &node), Some(Millis(1_000)), "no quorum, and two renewals after");
        detector.passed(at(12_500), true, R);
        assert_eq!(detector.missing(&site, &node), Some(Millis(1_500)));
    }

    #[test]
    fn only_a_new_beat_ends_it() {
        let (site, node, _) = names();
        let mut detector = watched();
        detector.passed(at(5_000), true, R);
        detector.beat(&site, &node, BootId(1), 1);
        assert_eq!(detector.missing(&site, &node), Some(Millis(3_000)));
        detector.beat(&site, &node, BootId(1), 2);
        assert_eq!(detector.missing(&site, &node), Some(Millis(0)));
        detector.passed(at(6_000), true, R);
        detector.beat(&site, &node, BootId(2), 1);
        assert_eq!(detector.missing(&site, &node), Some(Millis(0)), "a boot counts anew");
        detector.forgotten(&site, &node);
        assert_eq!(detector.missing(&site, &node), None);
    }

    #[test]
    fn a_group_is_missing_when_nobody_who_runs_it_beats() {
        let (site, node, other) = names();
        let mut detector = watched();
        detector.passed(at(5_000), true, R);
        detector.beat(&site, &other, BootId(1), 1);
        assert_eq!(detector.silence(&site, [&node].into_iter()), Some(Millis(3_000)));
        assert_eq!(detector.silence(&site, [&node, &other].into_iter()), Some(Millis(0)));
        assert_eq!(detector.silence(&site, [].into_iter()), None);
        let unknown = "n9".parse().unwrap();
        assert_eq!(detector.silence(&site, [&node, &unknown].into_iter()), None, "never seen: no sign");
    }
}
