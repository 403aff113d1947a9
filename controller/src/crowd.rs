//! Those for whom a process works, over all its queues: all of them write to the same API servers. Who asks alone has all
//! there is. Who was served much waits while one who was served little is worked for, between keys and between the writes
//! of a key, so that one who asks for much takes no more of the servers from another's single wish than that. Pure, but
//! for [`give_way`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time after its last key for which a group still counts as asking: one thing that is asked for is many keys, one after
/// another.
pub(crate) const LULL: Duration = Duration::from_secs(1);
/// Time after its last key in which a group that is served little keeps those served much to one key in all queues: the
/// next key of the same wish comes within it.
pub(crate) const NEXT: Duration = Duration::from_millis(250);
/// A group asks for much beside another if it was served more than this many times as often, and this much more: the
/// first keys of all who ask are served side by side. By this alone nobody would ever wait for long, but many who ask for
/// much would each wait for whoever is behind.
const SERVED: (u64, u64) = (2, 16);
/// And if more than this many times as many of its keys wait or are worked on.
const LEFT: usize = 2;
/// Nobody yields to a group of which nothing began or ended for so long: it waits for something else, and what waits for
/// a server that does not answer may not keep others from those that do.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);

/// Longest time for which one write of a group waits for other groups.
const LONGEST: Duration = Duration::from_secs(1);
/// Time after which it is looked again whether the others are still worked for.
pub(crate) const GLANCE: Duration = Duration::from_millis(10);

/// What is known of one group in all queues.
pub(crate) struct Load {
    waiting: usize,
    /// Keys that are worked on.
    pub(crate) running: usize,
    /// Keys since it began to ask.
    served: u64,
    /// When one of its keys last began or ended, or came while there were none.
    moved: Instant,
}

impl Load {
    fn is_there(&self) -> bool {
        self.left() > 0
    }

    fn is_much_beside(&self, other: &Self) -> bool {
        let (times, more) = SERVED;
        self.served > other.served.saturating_mul(times).saturating_add(more)
            && self.left() > other.left().saturating_mul(LEFT)
    }

    fn left(&self) -> usize {
        self.waiting + self.running
    }

    fn asks(&self, now: Instant) -> bool {
        self.is_there() || now.saturating_duration_since(self.moved) < LULL
    }

    fn asks_more(&self, now: Instant) -> bool {
        self.is_there() || now.saturating_duration_since(self.moved) < NEXT
    }

    fn is_worked_for(&self, now: Instant) -> bool {
        self.is_there() && now.saturating_duration_since(self.moved) < PATIENCE
    }
}

/// Those who ask, in all queues of a process that share it.
#[derive(Clone, Default)]
pub struct Crowd(Arc<Mutex<HashMap<String, Load>>>);

impl Crowd {
    /// What is known of every group.
    pub(crate) fn all(&self) -> MutexGuard<'_, HashMap<String, Load>> {
        // Nothing panics while it is held, so a poisoned lock still holds a whole map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key of a group waits.
    pub(crate) fn came(&self, group: &str, now: Instant) {
        let mut all = self.all();
        let load =
            all.entry(group.to_owned()).or_insert(Load { waiting: 0, running: 0, served: 0, moved: now });
        if !load.is_there() {
            load.moved = now;
        }
        load.waiting += 1;
    }

    /// It is worked on.
    pub(crate) fn began(&self, group: &str, now: Instant) {
        if let Some(load) = self.all().get_mut(group) {
            load.waiting = load.waiting.saturating_sub(1);
            load.running += 1;
            load.served += 1;
            load.moved = now;
        }
    }

    /// Whether a group has to wait for one that was served less.
    fn yields(&self, group: &str, now: Instant) -> bool {
        let all = self.all();
        all.get(group).is_some_and(|load| Order::of(&all, now).may(load) == May::None)
    }

    /// It is no longer worked on.
    pub(crate) fn ended(&self, group: &str, now: Instant) {
        let mut all = self.all();
        if let Some(load) = all.get_mut(group) {
            load.running = load.running.saturating_sub(1);
            load.moved = now;
        }
        all.retain(|_, load| load.asks(now));
    }
}

tokio::task_local! {
    /// For whom the task works.
    static GROUP: (Crowd, String);
}

/// Does a group's work: what is in it may [`give_way`].
pub(crate) async fn on_behalf<F: Future>(crowd: Crowd, group: String, work: F) -> F::Output {
    GROUP.scope((crowd, group), work).await
}

/// Waits, in the midst of a group's work, while one that was served less is worked for: keys that a group began while it
/// was alone would otherwise take all of the API servers until they end. No longer than [`LONGEST`].
pub(crate) async fn give_way() {
    let until = Instant::now() + LONGEST;
    let yields =
        |now| now < until && GROUP.try_with(|(crowd, group)| crowd.yields(group, now)).unwrap_or(false);
    while yields(Instant::now()) {
        tokio::time::sleep(GLANCE).await;
    }
}

/// Who may have a key worked on now.
pub(crate) struct Order<'a> {
    alone: bool,
    all: &'a HashMap<String, Load>,
    now: Instant,
}

/// How many keys of a group may be worked on.
#[derive(Debug, PartialEq)]
pub(crate) enum May {
    None,
    /// One in all queues.
    One,
    /// As many in each queue as beside others.
    Some,
    All,
}

impl<'a> Order<'a> {
    /// By what is known of all.
    pub(crate) fn of(all: &'a HashMap<String, Load>, now: Instant) -> Self {
        Self { alone: all.values().filter(|load| load.asks(now)).nth(1).is_none(), all, now }
    }

    /// How many keys of a group.
    pub(crate) fn may(&self, load: &Load) -> May {
        let beside = |of: fn(&Load, Instant) -> bool| {
            self.all.values().any(|other| load.is_much_beside(other) && of(other, self.now))
        };
        if self.alone {
            May::All
        } else if beside(Load::is_worked_for) {
            May::None
        } else if beside(Load::asks_more) {
            May::One
        } else {
            May::Some
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn works_on(crowd: &Crowd, group: &str) {
        crowd.came(group, Instant::now());
        crowd.began(group, Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_gives_way_while_one_served_little_is_worked_for_and_not_for_ever() {
        let (began, crowd) = (Instant::now(), Crowd::default());
        for _ in 0..20 {
            works_on(&crowd, "a");
            crowd.ended("a", began);
        }
        (0..4).for_each(|_| works_on(&crowd, "a"));
        give_way().await;
        crowd.came("b", began);
        assert_eq!(began.elapsed(), Duration::ZERO, "work for nobody waits for nobody");
        let writes = on_behalf(crowd.clone(), "a".to_owned(), give_way());
        let works = async {
            for _ in 0..2 {
                works_on(&crowd, "b");
                tokio::time::sleep(Duration::from_millis(100)).await;
                crowd.ended("b", Instant::now());
            }
        };
        tokio::join!(writes, works);
        assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
        let hangs = Instant::now();
        on_behalf(crowd.clone(), "a".to_owned(), give_way()).await;
        assert!(hangs.elapsed() < PATIENCE + GLANCE * 2, "{:?}", hangs.elapsed());
    }

    #[test]
    fn who_asks_for_much_waits_for_nobody_who_asks_for_as_much() {
        let crowd = Crowd::default();
        for group in ["a", "b"] {
            (0..9).for_each(|_| crowd.came(group, Instant::now()));
        }
        for _ in 0..40 {
            works_on(&crowd, "a");
            crowd.ended("a", Instant::now());
        }
        assert!(!crowd.yields("a", Instant::now()), "b was served less, and asks for as much");
        crowd.came("c", Instant::now());
        assert!(crowd.yields("a", Instant::now()), "c asks for one thing");
    }
}
