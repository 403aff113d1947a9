//! Who comes next: keys whose time has come, by groups that take turns. As long as only one group asks, it has all there
//! is; beside others, each works on one key at a time, and gives way as the [`Crowd`] says. Pure.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use crate::crowd::{Crowd, May, Order};

/// Keys of one group at once in one queue while another group asks, too. With two, a single VDC beside another bureau's
/// hundred took half as long again as with one; to provision for many bureaus takes the same time with either.
const BESIDE_OTHERS: usize = 1;

/// Keys of one queue whose time has come.
pub(crate) struct Turns<K> {
    crowd: Crowd,
    waiting: HashMap<String, VecDeque<K>>,
    running: HashMap<String, usize>,
    /// Groups with waiting keys, in the order of their turns.
    order: VecDeque<String>,
    yields: bool,
}

impl<K> Turns<K> {
    /// No keys yet; the crowd is shared with the other queues whose keys have the same groups.
    pub(crate) fn new(crowd: Crowd) -> Self {
        Self {
            crowd,
            waiting: HashMap::new(),
            running: HashMap::new(),
            order: VecDeque::new(),
            yields: false,
        }
    }

    /// A key's time has come.
    pub(crate) fn push(&mut self, group: String, key: K, now: Instant) {
        self.crowd.came(&group, now);
        let waiting = self.waiting.entry(group.clone()).or_default();
        if waiting.is_empty() {
            self.order.push_back(group);
        }
        waiting.push_back(key);
    }

    /// The next key, with its group, which is told when it has [`Turns::ended`].
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(String, K)> {
        self.yields = false;
        let at = self.next(now)?;
        let group = self.order.remove(at)?;
        let waiting = self.waiting.get_mut(&group)?;
        let key = waiting.pop_front()?;
        if waiting.is_empty() {
            self.waiting.remove(&group);
        } else {
            self.order.push_back(group.clone());
        }
        *self.running.entry(group.clone()).or_default() += 1;
        self.crowd.began(&group, now);
        Some((group, key))
    }

    /// Place in the order of who is next.
    fn next(&mut self, now: Instant) -> Option<usize> {
        let all = self.crowd.all();
        let order = Order::of(&all, now);
        for (at, group) in self.order.iter().enumerate() {
            let Some(load) = all.get(group) else { return Some(at) };
            let may = order.may(load);
            let is_free = match may {
                May::None => false,
                May::One => load.running == 0,
                May::Some => self.running.get(group).is_none_or(|n| *n < BESIDE_OTHERS),
                May::All => true,
            };
            if is_free {
                return Some(at);
            }
            self.yields |= may != May::Some;
        }
        None
    }

    /// Whether the last [`Turns::pop`] passed over a group because of what another queue does: nothing in this queue tells
    /// when that ends, so it has to look again.
    pub(crate) fn yields(&self) -> bool {
        self.yields
    }

    /// A key of that group is no longer worked on.
    pub(crate) fn ended(&mut self, group: &str, now: Instant) {
        if let Some(running) = self.running.get_mut(group) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(group);
            }
        }
        self.crowd.ended(group, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::{LULL, NEXT, PATIENCE};

    fn filled(keys: &[&'static str], now: Instant) -> Turns<&'static str> {
        filled_in(&Crowd::default(), keys, now)
    }

    fn filled_in(crowd: &Crowd, keys: &[&'static str], now: Instant) -> Turns<&'static str> {
        let mut turns = Turns::new(crowd.clone());
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
        assert_eq!(turns.crowd.all().len(), 1);
        assert!(turns.running.is_empty() && turns.waiting.is_empty());
    }

    /// A queue in which group `a` was served often, alone.
    fn served_much(crowd: &Crowd, now: Instant) -> Turns<&'static str> {
        let mut turns = filled_in(crowd, &["a"; 40], now);
        for _ in 0..20 {
            turns.pop(now).unwrap();
            turns.ended("a", now);
        }
        turns
    }

    #[test]
    fn who_was_served_much_waits_while_another_queue_works_for_one_served_little() {
        let (now, crowd) = (Instant::now(), Crowd::default());
        let (mut here, mut there) = (served_much(&crowd, now), filled_in(&crowd, &["b"], now));
        assert_eq!(here.pop(now), None);
        assert!(here.yields());
        there.pop(now).unwrap();
        assert_eq!(here.pop(now), None);
        there.ended("b", now);
        let mut elsewhere = filled_in(&crowd, &["a"], now);
        assert_eq!(all(&mut here, now), ["a"], "one at a time: the other may go on in a moment");
        assert_eq!(elsewhere.pop(now), None, "in all queues");
        assert!(elsewhere.yields());
        assert_eq!(all(&mut elsewhere, now + NEXT), ["a"], "it does not go on");
    }

    #[test]
    fn nobody_waits_for_one_that_does_not_move() {
        let (now, crowd) = (Instant::now(), Crowd::default());
        let (mut here, mut there) = (served_much(&crowd, now), filled_in(&crowd, &["b", "b"], now));
        there.pop(now).unwrap();
        assert_eq!(here.pop(now), None);
        assert_eq!(all(&mut here, now + PATIENCE), ["a"]);
    }

    #[test]
    fn who_has_caught_up_is_waited_for_no_more() {
        let (now, crowd) = (Instant::now(), Crowd::default());
        let (mut here, mut there) = (served_much(&crowd, now), filled_in(&crowd, &["b"; 9], now));
        let mut served = 0;
        while here.pop(now).is_none() {
            there.pop(now).unwrap();
            there.ended("b", now);
            served += 1;
        }
        assert_eq!(served, 2, "20 are much beside 1, and not beside 2");
    }
}
