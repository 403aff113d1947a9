//! What becomes of the events of a watch, line by line. Pure.
//!
//! One watch of a real API server never loses, doubles or reorders the events of one object; between objects, and
//! between two watches, nothing is promised. Events of different objects change places here; losing one is worse
//! than any server does, and is put right only by the next LIST.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dice;

/// What is done to the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WatchFault {
    /// All are kept until they are let go, and the end of the watch with them.
    Hold,
    /// So many in a hundred never come.
    Drop(u8),
    /// So many in a hundred come twice.
    Duplicate(u8),
    /// So many in a hundred come after the next event, if that is about another object.
    Reorder(u8),
    /// The server says 410 after so many events, and ends.
    Expire(u32),
}

/// The events of one watch on their way.
#[derive(Debug)]
pub struct Shuffle {
    fault: Option<WatchFault>,
    seed: u64,
    about: String,
    count: u64,
    late: Option<String>,
    held: VecDeque<String>,
    ended: bool,
}

/// What a server says of a revision that it no longer has.
pub const GONE: &str = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}"#;

impl Shuffle {
    /// For the watch at that path.
    pub fn new(fault: Option<WatchFault>, seed: u64, about: &str) -> Self {
        Self {
            fault,
            seed,
            about: about.to_owned(),
            count: 0,
            late: None,
            held: VecDeque::new(),
            ended: false,
        }
    }

    /// An event came, without its line end: what goes on now. `frozen` is the newest revision that may be seen.
    pub fn push(&mut self, line: String, frozen: Option<u64>) -> Vec<String> {
        if self.ended {
            return Vec::new();
        }
        let too_new = frozen.is_some_and(|at| revision(&line).is_none_or(|r| r > at));
        if too_new || !self.held.is_empty() || self.holds() {
            self.held.push_back(line);
            return Vec::new();
        }
        self.count += 1;
        self.disturb(line)
    }

    fn disturb(&mut self, line: String) -> Vec<String> {
        let happens = |percent| dice::happens(percent, self.seed, &self.about, self.count);
        let mut out = Vec::new();
        match self.fault {
            Some(WatchFault::Drop(percent)) if happens(percent) => (),
            Some(WatchFault::Duplicate(percent)) if happens(percent) => {
                out.extend([line.clone(), line]);
            }
            Some(WatchFault::Reorder(percent)) if self.late.is_none() && happens(percent) => {
                self.late = Some(line);
            }
            Some(WatchFault::Expire(after)) if self.count > u64::from(after) => out = self.expire(),
            Some(WatchFault::Reorder(_)) if self.late.as_deref().is_some_and(|l| uid(l) == uid(&line)) => {
                out.extend(self.late.take());
                out.push(line);
            }
            _ => {
                out.push(line);
                out.extend(self.late.take());
            }
        }
        out
    }

    /// The server says that it no longer has the revision, and ends the watch; what was held is lost with it.
    pub fn expire(&mut self) -> Vec<String> {
        self.ended = true;
        vec![GONE.to_owned()]
    }

    /// What was held goes on.
    pub fn release(&mut self) -> Vec<String> {
        if self.holds() {
            self.fault = None;
        }
        self.held.drain(..).chain(self.late.take()).collect()
    }

    /// Everything is kept.
    pub fn holds(&self) -> bool {
        self.fault == Some(WatchFault::Hold)
    }

    /// An event waits for another that may never come.
    pub fn waits(&self) -> bool {
        self.late.is_some()
    }

    /// The late one need wait no longer.
    pub fn settle(&mut self) -> Option<String> {
        self.late.take()
    }

    /// The watch has ended.
    pub fn ended(&self) -> bool {
        self.ended
    }
}

fn object(line: &str) -> Option<Value> {
    serde_json::from_str::<Value>(line).ok().map(|mut v| v["object"].take())
}

/// Revision of an event's object.
pub fn revision(line: &str) -> Option<u64> {
    object(line)?.pointer("/metadata/resourceVersion")?.as_str()?.parse().ok()
}

fn uid(line: &str) -> Option<String> {
    object(line)?.pointer("/metadata/uid")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(uid: &str, version: u64) -> String {
        serde_json::json!({"type": "MODIFIED", "object": {"metadata": {"uid": uid, "resourceVersion": version.to_string()}}})
            .to_string()
    }

    fn run(fault: WatchFault, events: &[String]) -> Vec<u64> {
        let mut shuffle = Shuffle::new(Some(fault), 3, "/watch");
        let mut out: Vec<String> = events.iter().flat_map(|e| shuffle.push(e.clone(), None)).collect();
        out.extend(shuffle.settle());
        out.iter().map(|e| revision(e).unwrap_or_default()).collect()
    }

    fn many() -> Vec<String> {
        (1..=40).map(|n| event(if n % 2 == 0 { "a" } else { "b" }, n)).collect()
    }

    #[test]
    fn held_events_come_in_their_order_when_they_are_let_go() {
        let mut shuffle = Shuffle::new(Some(WatchFault::Hold), 0, "");
        assert!(shuffle.push(event("a", 1), None).is_empty());
        assert!(shuffle.push(event("a", 2), None).is_empty());
        assert_eq!(shuffle.release(), [event("a", 1), event("a", 2)]);
        assert_eq!(shuffle.push(event("a", 3), None), [event("a", 3)]);
    }

    #[test]
    fn a_frozen_view_shows_nothing_newer() {
        let mut shuffle = Shuffle::new(None, 0, "");
        assert_eq!(shuffle.push(event("a", 5), Some(5)).len(), 1);
        assert!(shuffle.push(event("a", 6), Some(5)).is_empty());
        // What is held stays in order also after the thaw, until it is let go.
        assert!(shuffle.push(event("b", 7), None).is_empty());
        assert_eq!(shuffle.release().len(), 2);
    }

    #[test]
    fn dropped_events_are_missing_and_doubled_ones_come_twice() {
        let dropped = run(WatchFault::Drop(50), &many());
        assert!((5..35).contains(&dropped.len()), "{dropped:?}");
        let doubled = run(WatchFault::Duplicate(50), &many());
        assert!(doubled.len() > 45, "{doubled:?}");
        assert!((1..=40).all(|n| doubled.contains(&n)));
    }

    #[test]
    fn reordering_loses_nothing_and_keeps_each_objects_order() {
        let out = run(WatchFault::Reorder(50), &many());
        let mut sorted = out.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (1..=40).collect::<Vec<_>>());
        assert_ne!(out, sorted);
        for parity in [0, 1] {
            let one: Vec<u64> = out.iter().copied().filter(|n| n % 2 == parity).collect();
            assert!(one.is_sorted(), "{out:?}");
        }
    }

    #[test]
    fn an_expired_watch_says_so_and_ends() {
        let mut shuffle = Shuffle::new(Some(WatchFault::Expire(1)), 0, "");
        assert_eq!(shuffle.push(event("a", 1), None).len(), 1);
        assert_eq!(shuffle.push(event("a", 2), None), [GONE]);
        assert!(shuffle.ended());
        assert!(shuffle.push(event("a", 3), None).is_empty());
    }
}
