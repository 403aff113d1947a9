//! What becomes of which call: rules, tried in their order, and a sweep that crashes at each write once. Pure: the
//! same seed, rules and calls give the same faults.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::call::{Call, Kind};
use crate::dice;
use crate::watch::WatchFault;

/// When a process dies at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Moment {
    /// Before the server gets it.
    Before,
    /// After the server has committed it, before the process is told.
    AfterCommit,
    /// After the process was told.
    AfterAnswer,
}

impl Moment {
    const ALL: [Self; 3] = [Self::Before, Self::AfterCommit, Self::AfterAnswer];
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The process is killed.
    Crash(Moment),
    /// This answer instead of the server's.
    Answer {
        /// HTTP status.
        code: u16,
        /// `Retry-After`, in seconds.
        #[serde(default)]
        retry_after: Option<u32>,
        /// The server gets the call all the same.
        #[serde(default)]
        committed: bool,
    },
    /// The server's answer ends in the middle.
    Truncate,
    /// No answer ever comes; the server never gets the call.
    Stall,
    /// The answer stops in the middle and never goes on.
    StallBody,
    /// The call is kept until it is let go, then goes to the server.
    Hold,
    /// The events of a watch.
    Watch(WatchFault),
}

/// Which calls are meant; what is not said fits all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// Of this kind.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// By this method.
    #[serde(default)]
    pub method: Option<String>,
    /// With this in the path.
    #[serde(default)]
    pub path: Option<String>,
    /// By this field manager.
    #[serde(default)]
    pub manager: Option<String>,
    /// With this number among those of its kind.
    #[serde(default)]
    pub number: Option<u64>,
}

impl Match {
    /// Every call of a kind.
    pub fn kind(kind: Kind) -> Self {
        Self { kind: Some(kind), ..Self::default() }
    }

    /// Only those with this in the path.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    fn fits(&self, call: &Call) -> bool {
        self.kind.is_none_or(|k| k == call.kind)
            && self.method.as_ref().is_none_or(|m| *m == call.method)
            && self.path.as_ref().is_none_or(|p| call.path.contains(p.as_str()))
            && self.manager.as_ref().is_none_or(|m| Some(m) == call.manager.as_ref())
            && self.number.is_none_or(|n| n == call.number)
    }
}

/// A fault for some calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Which calls.
    pub on: Match,
    /// What becomes of them.
    pub fault: Fault,
    /// So many pass first.
    #[serde(default)]
    pub skip: u64,
    /// So many are hit; none means all.
    #[serde(default)]
    pub times: Option<u64>,
    /// Of those that are meant, so many in a hundred, chosen by the seed.
    #[serde(default = "all")]
    pub percent: u8,
}

fn all() -> u8 {
    100
}

impl Rule {
    /// For every call that fits.
    pub fn new(on: Match, fault: Fault) -> Self {
        Self { on, fault, skip: 0, times: None, percent: all() }
    }

    /// For so many calls only.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }
}

/// Crashes at each write once, at one of the three moments; in three turns with the same seed at all of them.
///
/// A write is known by its signature, not by its number: a process does many things at once, so that numbers move
/// from run to run. Signatures that hold names of one run are made comparable by whoever makes them.
#[derive(Debug, Clone)]
pub struct Sweep {
    seed: u64,
    every: u64,
    turn: u64,
    met: BTreeSet<String>,
    crashed: BTreeMap<Moment, u64>,
}

impl Sweep {
    /// At every `every`-th write that the seed chooses.
    pub fn new(seed: u64, every: u64, turn: u64) -> Self {
        Self { seed, every: every.max(1), turn, met: BTreeSet::new(), crashed: BTreeMap::new() }
    }

    /// Where the process dies at this write, if it does.
    pub fn decide(&mut self, signature: &str) -> Option<Moment> {
        if !self.met.insert(signature.to_owned()) {
            return None;
        }
        let roll = dice::roll(self.seed, signature, 0);
        if !roll.is_multiple_of(self.every) {
            return None;
        }
        let moment = Moment::ALL[usize::try_from((roll / self.every + self.turn) % 3).unwrap_or_default()];
        *self.crashed.entry(moment).or_default() += 1;
        Some(moment)
    }

    /// Writes met and not met before.
    pub fn met(&self) -> usize {
        self.met.len()
    }

    /// Crashes so far.
    pub fn crashes(&self) -> u64 {
        self.crashed.values().sum()
    }
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, turn {}: {} different writes met", self.seed, self.turn, self.met.len())?;
        self.crashed.iter().try_for_each(|(moment, count)| write!(f, ", {count} crashes {moment:?}"))
    }
}

/// Numbers calls and decides about them.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    seed: u64,
    rules: Vec<(Rule, u64, u64)>,
    numbers: BTreeMap<Kind, u64>,
}

impl Plan {
    /// These rules, with chance from this seed.
    pub fn new(seed: u64, rules: Vec<Rule>) -> Self {
        Self { seed, rules: rules.into_iter().map(|r| (r, 0, 0)).collect(), numbers: BTreeMap::new() }
    }

    /// Other rules from now on; numbers go on.
    pub fn replace(&mut self, rules: Vec<Rule>) {
        self.rules = rules.into_iter().map(|r| (r, 0, 0)).collect();
    }

    /// Numbers the call and says what becomes of it: the first rule that fits and still has something to do.
    pub fn decide(&mut self, call: &mut Call) -> Option<Fault> {
        let number = self.numbers.entry(call.kind).or_default();
        *number += 1;
        call.number = *number;
        for (index, (rule, fitted, hit)) in self.rules.iter_mut().enumerate() {
            if !rule.on.fits(call) {
                continue;
            }
            *fitted += 1;
            let chosen = *fitted > rule.skip
                && rule.times.is_none_or(|t| *hit < t)
                && dice::happens(rule.percent, self.seed, &index.to_string(), *fitted);
            if chosen {
                *hit += 1;
                return Some(rule.fault.clone());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &str) -> Call {
        Call::new("PATCH", path, "fieldManager=m", b"x")
    }

    fn refused() -> Fault {
        Fault::Answer { code: 409, retry_after: None, committed: false }
    }

    #[test]
    fn kinds_are_numbered_apart() {
        let mut plan = Plan::new(0, Vec::new());
        let mut lease = Call::new("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/b", "", b"");
        let (mut one, mut two) = (write("/a"), write("/b"));
        for call in [&mut one, &mut lease, &mut two] {
            assert_eq!(plan.decide(call), None);
        }
        assert_eq!((one.number, lease.number, two.number), (1, 1, 2));
    }

    #[test]
    fn a_rule_skips_hits_and_is_done() {
        let rule =
            Rule { skip: 1, times: Some(2), ..Rule::new(Match::kind(Kind::Write).path("/a"), refused()) };
        let mut plan = Plan::new(0, vec![rule]);
        let hits: Vec<bool> =
            ["/a", "/b", "/a", "/a", "/a"].iter().map(|p| plan.decide(&mut write(p)).is_some()).collect();
        assert_eq!(hits, [false, false, true, true, false]);
    }

    #[test]
    fn the_kth_write_can_be_chosen() {
        let on = Match { number: Some(3), ..Match::kind(Kind::Write) };
        let mut plan = Plan::new(0, vec![Rule::new(on, Fault::Crash(Moment::AfterCommit))]);
        let hits: Vec<bool> = (0..5).map(|_| plan.decide(&mut write("/a")).is_some()).collect();
        assert_eq!(hits, [false, false, true, false, false]);
    }

    #[test]
    fn the_same_seed_is_the_same_plan() {
        let run = |seed| {
            let rule = Rule { percent: 30, ..Rule::new(Match::kind(Kind::Write), refused()) };
            let mut plan = Plan::new(seed, vec![rule]);
            (0..100).map(|_| plan.decide(&mut write("/a")).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert!((15..45).contains(&run(1).iter().filter(|h| **h).count()));
    }

    #[test]
    fn three_turns_of_a_sweep_crash_at_every_write_at_every_moment() {
        let signatures: Vec<String> = (0..40).map(|i| format!("PATCH /object-{i}")).collect();
        let mut hit: BTreeSet<(String, Moment)> = BTreeSet::new();
        for turn in 0..3 {
            let mut sweep = Sweep::new(5, 1, turn);
            for signature in signatures.iter().chain(&signatures) {
                if let Some(moment) = sweep.decide(signature) {
                    hit.insert((signature.clone(), moment));
                }
            }
            assert_eq!(sweep.crashes(), 40, "each once a turn");
        }
        assert_eq!(hit.len(), 120);
    }

    #[test]
    fn a_sparse_sweep_does_not_depend_on_the_order_of_calls() {
        let signatures: Vec<String> = (0..40).map(|i| format!("PATCH /object-{i}")).collect();
        let run = |order: Vec<&String>| {
            let mut sweep = Sweep::new(5, 4, 1);
            order.into_iter().filter_map(|s| sweep.decide(s).map(|m| (s.clone(), m))).collect::<BTreeSet<_>>()
        };
        let forward = run(signatures.iter().collect());
        assert_eq!(forward, run(signatures.iter().rev().collect()));
        assert!((3..20).contains(&forward.len()), "{}", forward.len());
    }
}
