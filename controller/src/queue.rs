//! Work queue of a controller: a key is worked on by one task at a time, woken keys are merged, concurrency is
//! bounded, failures come back later and later. Keys of different groups take turns, so that who asks for much
//! does not keep the others waiting.
//!
//! kube-runtime's `applier` was not taken: it knows only keys of one kind whose objects exist, and a record or
//! slice must also be worked on when what woke it has gone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::crowd::{Crowd, GLANCE, on_behalf};
use crate::error::{Class, Classified, backoff, chain};
use crate::metrics::Metrics;
use crate::turns::Turns;

/// What a reconcile asks of the queue when it ends well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: a watch will wake the key.
    Wait,
    /// The key again after this time, for what no watch shows.
    After(Duration),
}

/// Sending side: wakes keys.
#[derive(Debug)]
pub struct Waker<K>(mpsc::UnboundedSender<(K, Duration)>);

impl<K> Clone for Waker<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Waker<K> {
    /// Wakes a key. A queue that has ended has nothing to wake.
    pub fn wake(&self, key: K) {
        self.wake_after(key, Duration::ZERO);
    }

    /// Wakes a key after a while, so that what comes in between is worked on once. An earlier wake wins.
    pub fn wake_after(&self, key: K, after: Duration) {
        let _ = self.0.send((key, after));
    }
}

/// Says to which group a key belongs.
type Group<K> = Box<dyn Fn(&K) -> String + Send>;

/// Receiving side: runs reconciles.
pub struct Queue<K> {
    name: &'static str,
    receiver: mpsc::UnboundedReceiver<(K, Duration)>,
    group: Group<K>,
    crowd: Crowd,
}

impl<K> Queue<K> {
    /// Groups of keys take turns, those of all queues with the same crowd together; without this all keys are one group.
    #[must_use]
    pub fn by_turns(self, crowd: &Crowd, group: impl Fn(&K) -> String + Send + 'static) -> Self {
        Self { group: Box::new(group), crowd: crowd.clone(), ..self }
    }
}

/// A queue and its waker.
pub fn queue<K>(name: &'static str) -> (Waker<K>, Queue<K>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Waker(sender), Queue { name, receiver, group: Box::new(|_| String::new()), crowd: Crowd::default() })
}

struct State<K> {
    /// Every key that waits, with its place in `order`.
    due: HashMap<K, (Instant, u64)>,
    /// Keys whose time has not come yet.
    order: BTreeMap<(Instant, u64), K>,
    turns: Turns<K>,
    /// Keys that are worked on, with their groups.
    running: HashMap<K, String>,
    woken: HashSet<K>,
    attempts: HashMap<K, u32>,
    sequence: u64,
}

impl<K: Clone + Eq + Hash> State<K> {
    fn new(crowd: Crowd) -> Self {
        Self {
            due: HashMap::new(),
            order: BTreeMap::new(),
            turns: Turns::new(crowd),
            running: HashMap::new(),
            woken: HashSet::new(),
            attempts: HashMap::new(),
            sequence: 0,
        }
    }

    /// The earlier time wins; a key that runs is remembered and runs once more.
    fn schedule(&mut self, key: K, at: Instant) {
        if self.running.contains_key(&key) {
            self.woken.insert(key);
            return;
        }
        if self.due.get(&key).is_some_and(|(due, _)| *due <= at) {
            return;
        }
        self.sequence += 1;
        let place = (at, self.sequence);
        if let Some(before) = self.due.insert(key.clone(), place) {
            self.order.remove(&before);
        }
        self.order.insert(place, key);
    }

    /// When to look again, if nothing comes before.
    fn next_look(&self, now: Instant) -> Option<Instant> {
        let due = self.order.keys().next().map(|(at, _)| *at);
        let glance = self.turns.yields().then(|| now + GLANCE);
        due.into_iter().chain(glance).min()
    }

    fn take(&mut self, now: Instant, group: &dyn Fn(&K) -> String) -> Option<(String, K)> {
        while let Some(entry) = self.order.first_entry().filter(|e| e.key().0 <= now) {
            let key = entry.remove();
            self.turns.push(group(&key), key, now);
        }
        let (group, key) = self.turns.pop(now)?;
        self.due.remove(&key);
        self.running.insert(key.clone(), group.clone());
        Some((group, key))
    }

    fn finished(&mut self, key: K, next: Option<Duration>, now: Instant) {
        if let Some(group) = self.running.remove(&key) {
            self.turns.ended(&group, now);
        }
        if self.woken.remove(&key) {
            self.schedule(key, now);
        } else if let Some(after) = next {
            self.schedule(key, now + after);
        }
    }
}

impl<K: Clone + Eq + Hash + Display + Send + 'static> Queue<K> {
    /// Runs until cancelled or until a reconcile panics, then lets running reconciles end.
    pub async fn run<F, Fut, E>(
        mut self,
        concurrency: usize,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
        reconcile: F,
    ) where
        F: Fn(K) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Next, E>> + Send + 'static,
        E: Classified + Send + 'static,
    {
        let mut state: State<K> = State::new(self.crowd.clone());
        let mut tasks: JoinSet<(K, Result<Next, E>, Duration)> = JoinSet::new();
        loop {
            while tasks.len() < concurrency
                && let Some((group, key)) = state.take(Instant::now(), &self.group)
            {
                let work = on_behalf(self.crowd.clone(), group, reconcile(key.clone()));
                tasks.spawn(async move {
                    let began = Instant::now();
                    let result = work.await;
                    (key, result, began.elapsed())
                });
            }
            metrics
                .queue
                .with_label_values(&[self.name])
                .set(i64::try_from(state.due.len()).unwrap_or(i64::MAX));
            let wait = state.next_look(Instant::now()).filter(|_| tasks.len() < concurrency);
            tokio::select! {
                () = stop.cancelled() => break,
                key = self.receiver.recv() => match key {
                    Some((key, after)) => state.schedule(key, Instant::now() + after),
                    None => break,
                },
                Some(done) = tasks.join_next() => if !self.end(&mut state, &metrics, done) { break },
                () = sleep_until(wait), if wait.is_some() => (),
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    fn end<E: Classified>(
        &self,
        state: &mut State<K>,
        metrics: &Metrics,
        done: Result<(K, Result<Next, E>, Duration), tokio::task::JoinError>,
    ) -> bool {
        let Ok((key, result, took)) = done else {
            // Its key would never be worked on again, so the process must not go on as if well.
            tracing::error!(controller = self.name, "a reconcile panicked; the controller stops");
            metrics.reconciles.with_label_values(&[self.name, "panic"]).inc();
            return false;
        };
        metrics.duration.with_label_values(&[self.name]).observe(took.as_secs_f64());
        let next = match result {
            Ok(next) => {
                state.attempts.remove(&key);
                metrics.reconciles.with_label_values(&[self.name, "ok"]).inc();
                match next {
                    Next::Wait => None,
                    Next::After(after) => Some(after),
                }
            }
            Err(error) => {
                let attempt = state.attempts.entry(key.clone()).or_default();
                let after = backoff(error.class(), *attempt);
                *attempt = attempt.saturating_add(1);
                metrics.reconciles.with_label_values(&[self.name, error.label()]).inc();
                self.tell(&key, &error, after);
                after
            }
        };
        state.finished(key, next, Instant::now());
        true
    }

    fn tell<E: Classified>(&self, key: &K, error: &E, retry: Option<Duration>) {
        let (controller, text) = (self.name, chain(error));
        // Somebody wrote at the same time: nothing is wrong, and the next try is made of what is there now.
        if error.class() == Class::Conflict {
            tracing::debug!(controller, object = %key, error = text, ?retry, "reconcile is repeated");
        } else {
            tracing::warn!(controller, object = %key, error = text, ?retry, "reconcile failed");
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(_: &&'static str) -> String {
        String::new()
    }

    fn take(state: &mut State<&'static str>, now: Instant) -> Option<&'static str> {
        state.take(now, &one).map(|(_, key)| key)
    }

    #[test]
    fn a_key_waits_once_at_its_earliest_time() {
        let (mut state, now) = (State::new(Crowd::default()), Instant::now());
        state.schedule("a", now + Duration::from_secs(5));
        state.schedule("a", now);
        state.schedule("a", now + Duration::from_secs(9));
        assert_eq!(take(&mut state, now), Some("a"));
        assert_eq!(take(&mut state, now + Duration::from_secs(10)), None);
    }

    #[test]
    fn a_key_woken_while_it_runs_runs_once_more() {
        let (mut state, now) = (State::new(Crowd::default()), Instant::now());
        state.schedule("a", now);
        assert_eq!(take(&mut state, now), Some("a"));
        state.schedule("a", now);
        state.schedule("a", now);
        assert_eq!(take(&mut state, now), None);
        state.finished("a", None, now);
        assert_eq!(take(&mut state, now), Some("a"));
        state.finished("a", None, now);
        assert_eq!(take(&mut state, now), None);
    }

    #[test]
    fn a_single_key_does_not_wait_for_all_of_another_group() {
        let (mut state, now) = (State::new(Crowd::default()), Instant::now());
        let group = |key: &&'static str| key[..1].to_owned();
        for key in ["a1", "a2", "a3", "b1"] {
            state.schedule(key, now);
        }
        let taken: Vec<_> = std::iter::from_fn(|| state.take(now, &group).map(|(_, key)| key)).collect();
        assert_eq!(taken, ["a1", "b1"]);
        state.finished("a1", None, now);
        assert_eq!(state.take(now, &group), Some(("a".to_owned(), "a2")));
    }

    #[test]
    fn a_key_whose_turn_is_near_keeps_it_when_it_is_woken_again() {
        let (mut state, now) = (State::new(Crowd::default()), Instant::now());
        state.schedule("a", now);
        state.schedule("b", now);
        assert_eq!(take(&mut state, now), Some("a"));
        state.schedule("b", now + Duration::from_secs(1));
        assert_eq!(take(&mut state, now), Some("b"));
        assert_eq!(take(&mut state, now + Duration::from_secs(2)), None);
    }
}
