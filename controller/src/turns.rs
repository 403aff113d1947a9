//! Who comes next: keys whose time has come, by groups that take turns. As long as only one group asks, it has all there
//! is; beside others, each works on one key at a time, so that one who asks for much takes no more of the API servers
//! from another's single key than that. Pure.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// Keys of one group at once while another group asks, too. With two, a single VDC beside another bureau's hundred took
/// half as long again as with one; to provision for many bureaus takes the same time with either.
const BESIDE_OTHERS: usize = 1;
/// Time after its last key for which a group still counts as asking: one thing that is asked for is many keys, one after
/// another.
const LULL: Duration = Duration::from_secs(1);

/// One group.
struct Of<K> {
    waiting: VecDeque<K>,
    running: usize,
    last: Instant,
}

impl<K> Of<K> {
    fn asks(&self, now: Instant) -> bool {
        !self.waiting.is_empty() || self.running > 0 || now.saturating_duration_since(self.last) < LULL
    }
}

/// Keys whose time has come.
pub(crate) struct Turns<K> {
    groups: HashMap<String, Of<K>>,
    /// Groups with waiting keys, in the order of their turns.
    order: VecDeque<String>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { groups: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K> Turns<K> {
    /// A key's time has come.
    pub(crate) fn push(&mut self, group: String, key: K, now: Instant) {
        let of = self.groups.entry(group.clone()).or_insert_with(|| Of {
            waiting: VecDeque::new(),
            running: 0,
            last: now,
        });
        if of.waiting.is_empty() {
            self.order.push_back(group);
        }
        of.waiting.push_back(key);
    }

    /// The next key, with its group, which is told when it has [`Turns::ended`].
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(String, K)> {
        let alone = self.groups.values().filter(|of| of.asks(now)).nth(1).is_none();
        let may = |of: &Of<K>| alone || of.running < BESIDE_OTHERS;
        let at = self.order.iter().position(|group| self.groups.get(group).is_some_and(may))?;
        let group = self.order.remove(at)?;
        let of = self.groups.get_mut(&group)?;
        let key = of.waiting.pop_front()?;
        of.running += 1;
        if !of.waiting.is_empty() {
            self.order.push_back(group.clone());
        }
        Some((group, key))
    }

    /// A key of that group is no longer worked on.
    pub(crate) fn ended(&mut self, group: &str, now: Instant) {
        if let Some(of) = self.groups.get_mut(group) {
            of.running = of.running.saturating_sub(1);
            of.last = now;
        }
        self.groups.retain(|_, of| of.asks(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(keys: &[&'static str], now: Instant) -> Turns<&'static str> {
        let mut turns = Turns::default();
        for key in keys {
            turns.push(key[..1].to_owned(), *key, now);
        }
        turns
    }

    fn all(turns: &mut Turns<&'static str>, now: Instant) -> Vec<&'static str> {
        std::iter::from_fn(|| turns.pop(now).map(|(_, key)| key)).collect()
    }

    #[test]
    fn a_group_that_asks_alone_has_all() {
        let now = Instant::now();
        assert_eq!(all(&mut filled(&["a1", "a2", "a3", "a4"], now), now).len(), 4);
    }

    #[test]
    fn groups_take_turns_and_beside_others_each_has_one_at_a_time() {
        let now = Instant::now();
        let mut turns = filled(&["a1", "a2", "a3", "a4", "b1"], now);
        assert_eq!(all(&mut turns, now), ["a1", "b1"]);
        turns.ended("a", now);
        assert_eq!(all(&mut turns, now), ["a2"], "the other still works");
    }

    #[test]
    fn who_asked_a_moment_ago_may_ask_again() {
        let now = Instant::now();
        let mut turns = filled(&["b1", "a1", "a2", "a3", "a4"], now);
        assert_eq!(all(&mut turns, now), ["b1", "a1"]);
        turns.ended("b", now);
        assert_eq!(turns.pop(now), None);
        turns.ended("a", now + LULL);
        assert_eq!(all(&mut turns, now + LULL), ["a2", "a3", "a4"]);
    }

    #[test]
    fn groups_that_ask_no_more_are_forgotten() {
        let now = Instant::now();
        let mut turns = filled(&["a1", "b1"], now);
        all(&mut turns, now);
        turns.ended("a", now);
        turns.ended("b", now + LULL * 2);
        assert_eq!(turns.groups.len(), 1);
    }
}
