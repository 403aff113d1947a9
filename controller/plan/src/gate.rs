//! What a node does with its gate: whose pods it holds closed, which rights it takes, and what happens to their links when
//! it no longer stands.
//!
//! Must never: leave a protected pod's link up that nobody holds closed, or take a right without an end that is near.

pub mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::vdc::Uid;

/// The longest right that is taken: what is further away is a mistake of who asks, not a deadline. Rights last seconds.
pub const LONGEST: Duration = Duration::from_mins(10);

/// A label that names no group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("protection group {0:?} is no UUID")]
pub struct NotAGroup(String);

/// Reads the label of a protected pod; nothing where the pod is not protected.
pub fn group(label: Option<&str>) -> Result<Option<Uid>, NotAGroup> {
    let Some(text) = label else { return Ok(None) };
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    let plain = text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let refused = || NotAGroup(text.chars().take(80).collect());
    if digits != 32 || !plain {
        return Err(refused());
    }
    Uid::new(&text.to_ascii_lowercase()).map(Some).map_err(|_| refused())
}

/// How the gate of a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Its program is where it belongs, and a self-test has shown that it does what it is for.
    Armed,
    /// It is not, or has not; links of protected pods that nobody holds closed are down.
    Broken,
    /// This node has none.
    Absent,
}

/// Why a group is not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A deadline that is none.
    #[error("deadline 0 is no deadline; say `close` to close")]
    Zero,
    /// It has gone by.
    #[error("the deadline passed {0:?} ago: a right that comes late opens nothing")]
    Past(Duration),
    /// It is too far away.
    #[error("the deadline is {0:?} ahead; nobody has a right for more than {LONGEST:?}")]
    TooFar(Duration),
    /// Nobody of that group is here.
    #[error("no pod of group {0} is on this node")]
    Unknown(String),
    /// The gate does not do what it is for.
    #[error("the gate of this node is not armed: {0}")]
    NotArmed(String),
}

/// Whether a right may be written, in nanoseconds of the same clock.
pub fn may_open(deadline: u64, now: u64) -> Result<(), Refusal> {
    if deadline == 0 {
        return Err(Refusal::Zero);
    }
    let ahead = Duration::from_nanos(deadline.saturating_sub(now));
    if ahead.is_zero() {
        return Err(Refusal::Past(Duration::from_nanos(now.saturating_sub(deadline))));
    }
    if ahead > LONGEST { Err(Refusal::TooFar(ahead)) } else { Ok(()) }
}

/// A protected pod's link, by its number, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// Its group.
    pub group: Uid,
    /// What is missing of the gate on it; nothing where it stands.
    pub missing: Vec<String>,
    /// Whether it was taken down by us.
    pub down: bool,
}

/// What was seen of a node's gate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Why there is no gate at all, where there is none.
    pub absent: Option<String>,
    /// What is missing that every link needs.
    pub missing: Vec<String>,
    /// What the last self-test has shown to be wrong.
    pub failed: Option<String>,
    /// Whether a self-test has passed since the last time that something was missing or wrong.
    pub tested: bool,
    /// The links of protected pods.
    pub links: BTreeMap<u32, Guarded>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How it is called.
    pub state: State,
    /// What is missing or wrong, for people; empty when nothing is.
    pub detail: String,
    /// Links that have to be down and are not.
    pub down: BTreeSet<u32>,
    /// Groups that lose the right they have.
    pub close: BTreeSet<Uid>,
    /// Links that may be up again, once their groups read closed.
    pub up: BTreeSet<u32>,
}

/// Judges. A link without its program goes down, and its group is closed for all its pods here. What every link needs, or
/// a test that failed, takes all of them down. They come up after a test that passed, closed.
pub fn judge(seen: &Seen) -> Verdict {
    let of_all: Vec<String> = seen.missing.iter().chain(&seen.failed).cloned().collect();
    let all = seen.absent.is_some() || !of_all.is_empty();
    let bad = |g: &Guarded| all || !g.missing.is_empty();
    let broken: Vec<(&u32, &Guarded)> = seen.links.iter().filter(|(_, g)| bad(g)).collect();
    let of_links = seen.links.iter().filter(|(_, g)| !g.missing.is_empty());
    let named = of_links.map(|(number, g)| format!("link {number}: {}", g.missing.join(", ")));
    let details: Vec<String> = of_all.into_iter().chain(named).collect();
    let state = match (&seen.absent, details.is_empty() && seen.tested) {
        (Some(_), _) => State::Absent,
        (None, true) => State::Armed,
        (None, false) => State::Broken,
    };
    let untested = || "no self-test has passed yet".to_owned();
    let said = if details.is_empty() && !seen.tested { untested() } else { details.join("; ") };
    let back = seen.links.iter().filter(|(_, g)| state == State::Armed && g.down);
    Verdict {
        state,
        detail: seen.absent.clone().unwrap_or(said),
        down: broken.iter().filter(|(_, g)| !g.down).map(|(number, _)| **number).collect(),
        close: broken.iter().map(|(_, g)| g.group.clone()).collect(),
        up: back.map(|(number, _)| *number).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "9c444840-9dc0-11d1-b245-5ffdce74fad2";
    const OTHER: &str = "ac444840-9dc0-11d1-b245-5ffdce74fad2";

    fn uid(text: &str) -> Uid {
        Uid::new(text).unwrap()
    }

    fn seen(missing: &[&[&str]]) -> Seen {
        let link = |(number, missing): (u32, &&[&str])| {
            let group = uid(if number == 0 { GROUP } else { OTHER });
            let missing = missing.iter().map(|m| (*m).to_owned()).collect();
            (number, Guarded { group, missing, down: false })
        };
        Seen { tested: true, links: (0..).zip(missing).map(link).collect(), ..Seen::default() }
    }

    #[test]
    fn a_label_names_a_group_or_is_refused() {
        assert_eq!(group(None), Ok(None));
        assert_eq!(group(Some(GROUP)), Ok(Some(uid(GROUP))));
        assert_eq!(group(Some(&GROUP.to_uppercase())), Ok(Some(uid(GROUP))));
        for bad in
            ["", "gold", "9c444840-9dc0-11d1-b245-5ffdce74fad", "9c444840-9dc0-11d1-b245-5ffdce74fad2z"]
        {
            assert!(group(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_deadline_that_is_near_is_taken() {
        let second = 1_000_000_000;
        let longest = u64::try_from(LONGEST.as_nanos()).unwrap();
        assert_eq!(may_open(0, 0), Err(Refusal::Zero));
        assert_eq!(may_open(second, second), Err(Refusal::Past(Duration::ZERO)));
        assert_eq!(may_open(second, 3 * second), Err(Refusal::Past(Duration::from_secs(2))));
        assert_eq!(may_open(second + 1, second), Ok(()));
        assert_eq!(may_open(second + longest, second), Ok(()));
        assert!(matches!(may_open(second + longest + 1, second), Err(Refusal::TooFar(_))));
        assert!(matches!(may_open(u64::MAX, second), Err(Refusal::TooFar(_))));
    }

    #[test]
    fn where_all_stands_nothing_is_done() {
        let verdict = judge(&seen(&[&[], &[]]));
        assert_eq!((verdict.state, verdict.detail.as_str()), (State::Armed, ""));
        assert!(verdict.down.is_empty() && verdict.close.is_empty() && verdict.up.is_empty());
    }

    #[test]
    fn a_link_without_its_program_goes_down_and_its_group_closes() {
        let verdict = judge(&seen(&[&["ingress"], &[]]));
        assert_eq!((verdict.state, verdict.detail.as_str()), (State::Broken, "link 0: ingress"));
        assert_eq!((verdict.down, verdict.close), (BTreeSet::from([0]), BTreeSet::from([uid(GROUP)])));
    }

    #[test]
    fn what_all_need_takes_all_down() {
        let cases = [
            (Seen { missing: vec!["map deadlines".to_owned()], ..seen(&[&[], &[]]) }, State::Broken),
            (Seen { failed: Some("a packet passed".to_owned()), ..seen(&[&[], &[]]) }, State::Broken),
            (Seen { absent: Some("no BPF".to_owned()), ..seen(&[&[], &[]]) }, State::Absent),
        ];
        for (seen, state) in cases {
            let verdict = judge(&seen);
            assert_eq!((verdict.state, verdict.down), (state, BTreeSet::from([0, 1])));
            assert_eq!(verdict.close.len(), 2);
            assert!(!verdict.detail.is_empty());
        }
    }

    #[test]
    fn a_link_comes_up_only_after_a_test_that_passed() {
        let mut down = seen(&[&[], &[]]);
        down.links.get_mut(&0).unwrap().down = true;
        down.tested = false;
        let verdict = judge(&down);
        assert_eq!(verdict.state, State::Broken);
        assert!(verdict.up.is_empty() && verdict.down.is_empty() && !verdict.detail.is_empty());
        down.tested = true;
        assert_eq!(judge(&down).up, BTreeSet::from([0]));
        down.links.get_mut(&1).unwrap().missing.push("egress".to_owned());
        assert!(judge(&down).up.is_empty(), "something else is missing");
    }
}
