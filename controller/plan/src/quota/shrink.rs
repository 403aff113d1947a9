//! How a namespace's limits are brought to what they are to be. Growing is one write. Shrinking is not: an API
//! server goes on admitting by its own stale count, so what shrinks is frozen at zero, seen to be zero, counted for
//! real and only then set to its new limit. What was there when it was counted is older than the limit and is never
//! removed for it.
//!
//! Where it stands is written on the ResourceQuota itself, so a new process goes on where the last one stopped.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use yunting_crds::labels;

use super::charge::{Resource, Since, What};

/// A limit per key of a ResourceQuota.
pub type Hard = BTreeMap<String, u64>;

/// What is known of one key's limit besides its number. A key without a mark has held its limit or a lower one
/// since the namespace was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It is being lowered: zero is only a step on the way.
    Frozen {
        /// What it was before: what may be enforced until zero is seen.
        from: u64,
    },
    /// It was last lowered then.
    Since(Since),
}

/// Marks by key.
pub type Marks = BTreeMap<String, Mark>;

/// What a ResourceQuota is to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// `spec.hard`.
    pub hard: Hard,
    /// In annotation `yunting.io/limits`.
    pub marks: Marks,
}

impl Limits {
    /// Limits of a namespace that never had others.
    pub fn born(target: &Hard) -> Self {
        Self { hard: target.clone(), marks: Marks::new() }
    }

    /// The annotation's text.
    pub fn annotation(&self) -> String {
        let text = |mark: &Mark| match mark {
            Mark::Frozen { from } => format!("frozen@{from}"),
            Mark::Since(Since { version, at }) => format!("{version}@{at}"),
        };
        let all: BTreeMap<&str, String> = self.marks.iter().map(|(k, m)| (k.as_str(), text(m))).collect();
        Value::from_iter(all).to_string()
    }
}

fn mark(text: &str) -> Option<Mark> {
    let (what, number) = text.split_once('@')?;
    if what == "frozen" {
        return Some(Mark::Frozen { from: number.parse().ok()? });
    }
    Some(Mark::Since(Since { version: what.parse().ok()?, at: number.parse().ok()? }))
}

/// A ResourceQuota as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// `spec.hard`, as far as the keys are known.
    pub spec: Hard,
    /// `status.hard`: what is enforced.
    pub status: Hard,
    /// The marks; nothing where the annotation is missing or is none.
    pub marks: Option<Marks>,
}

impl Shown {
    /// Reads it.
    pub fn read(observed: &Value) -> Self {
        let hard = |path: &str| -> Hard {
            let map = observed.pointer(path).and_then(Value::as_object);
            let amount = |(key, value): (&String, &Value)| {
                let unit = Resource::of_key(key)?.unit();
                Some((key.clone(), unit.parse(value.as_str()?).ok()?))
            };
            map.into_iter().flatten().filter_map(amount).collect()
        };
        let text = observed.pointer("/metadata/annotations").and_then(|a| a.get(labels::LIMITS));
        Self { spec: hard("/spec/hard"), status: hard("/status/hard"), marks: text.and_then(marks) }
    }

    fn frozen(&self, key: &str) -> Option<u64> {
        match self.marks.as_ref()?.get(key)? {
            Mark::Frozen { from } => Some(*from),
            Mark::Since(_) => None,
        }
    }

    /// Whether a key's limit is being lowered. Without marks nothing is known, so every one may be.
    pub fn is_frozen(&self, key: &str) -> bool {
        self.marks.is_none() || self.frozen(key).is_some()
    }

    /// Keys that are being lowered.
    pub fn lowering(&self) -> Vec<&str> {
        self.spec.keys().map(String::as_str).filter(|k| self.is_frozen(k)).collect()
    }

    /// What may be enforced, now or before the last write has come through: never less than it is.
    pub fn at_most(&self) -> Hard {
        let mut most = self.spec.clone();
        let frozen = self.spec.keys().filter_map(|k| Some((k, self.frozen(k)?)));
        for (key, amount) in self.status.iter().map(|(k, v)| (k, *v)).chain(frozen) {
            raise(&mut most, key, amount);
        }
        most
    }
}

/// Raises one limit of a bound.
fn raise(most: &mut Hard, key: &str, amount: u64) {
    let slot = most.entry(key.to_owned()).or_default();
    *slot = (*slot).max(amount);
}

/// The larger of both, key by key.
pub fn larger(mut one: Hard, other: &Hard) -> Hard {
    for (key, amount) in other {
        raise(&mut one, key, *amount);
    }
    one
}

fn marks(text: &Value) -> Option<Marks> {
    let map: BTreeMap<String, String> = serde_json::from_str(text.as_str()?).ok()?;
    map.into_iter().map(|(key, text)| Some((key, mark(&text)?))).collect()
}

/// What a LIST of everything that costs found while the limits were frozen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Count {
    /// When, by kind of object: all that the LIST held is older.
    pub since: BTreeMap<What, Since>,
    /// What is really used.
    pub used: BTreeMap<Resource, u64>,
}

/// What is needed before it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// Nothing: the limits are as they are to be.
    Nothing,
    /// The API server has to show zero for these keys.
    Zero(Vec<String>),
    /// What costs these kinds has to be listed.
    Count(BTreeSet<What>),
}

/// One step: what is to stand, and what is needed for the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is to be written, if it does not stand.
    pub limits: Limits,
    /// What comes after.
    pub want: Want,
}

/// One step towards `target`. `fresh` says that nothing can have been created before: a quota that is missing where
/// something may be is treated as a limit that was lost.
pub fn next(shown: Option<&Shown>, target: &Hard, fresh: bool, count: Option<&Count>) -> Step {
    let Some(shown) = shown else {
        let born = Limits::born(target);
        let limits = if fresh { born } else { frozen(&born) };
        return Step { limits, want: Want::Nothing };
    };
    let mut limits = Limits::default();
    let (mut zero, mut ready) = (Vec::new(), BTreeSet::new());
    for (key, wanted) in target {
        let (hard, mark) = standing(shown, key, *wanted);
        if let Some(Mark::Frozen { .. }) = mark {
            let seen = shown.spec.get(key) == Some(&0) && shown.status.get(key) == Some(&0);
            if seen && shown.is_frozen(key) {
                ready.insert(key)
            } else {
                zero.push(key.clone());
                true
            };
        }
        limits.hard.insert(key.clone(), hard);
        limits.marks.extend(mark.map(|m| (key.clone(), m)));
    }
    if !zero.is_empty() {
        return Step { limits, want: Want::Zero(zero) };
    }
    release(limits, target, &ready, count)
}

/// What a key is to say while nothing new is known of it.
fn standing(shown: &Shown, key: &str, wanted: u64) -> (u64, Option<Mark>) {
    let now = shown.spec.get(key).copied();
    let from = || now.unwrap_or(wanted).max(shown.status.get(key).copied().unwrap_or(0));
    let Some(marks) = &shown.marks else { return (0, Some(Mark::Frozen { from: from() })) };
    match (marks.get(key), now) {
        (Some(frozen @ Mark::Frozen { .. }), _) => (0, Some(*frozen)),
        (_, Some(now)) if now <= wanted => (wanted, marks.get(key).copied()),
        // Above what is wanted, or not limited at all.
        _ => (0, Some(Mark::Frozen { from: from() })),
    }
}

/// Everything that was frozen is seen to be zero: counted, it gets its limit.
fn release(mut limits: Limits, target: &Hard, ready: &BTreeSet<&String>, count: Option<&Count>) -> Step {
    if ready.is_empty() {
        return Step { limits, want: Want::Nothing };
    }
    let kinds: BTreeSet<What> = ready.iter().filter_map(|k| Resource::of_key(k)).map(Resource::of).collect();
    let Some(count) = count.filter(|c| kinds.iter().all(|kind| c.since.contains_key(kind))) else {
        return Step { limits, want: Want::Count(kinds) };
    };
    for key in ready {
        let since = Resource::of_key(key).and_then(|r| count.since.get(&r.of()));
        if let (Some(since), Some(wanted)) = (since, target.get(*key)) {
            limits.hard.insert((*key).clone(), *wanted);
            limits.marks.insert((*key).clone(), Mark::Since(*since));
        }
    }
    Step { limits, want: Want::Nothing }
}

fn frozen(limits: &Limits) -> Limits {
    let mark = |(key, from): (&String, &u64)| (key.clone(), Mark::Frozen { from: *from });
    Limits {
        hard: limits.hard.keys().map(|k| (k.clone(), 0)).collect(),
        marks: limits.hard.iter().map(mark).collect(),
    }
}

/// Targets of the namespaces of one VDC, as far as they may be gone for now: while one of them still has to give,
/// none takes more of the same than it has. `seen` is what each may be enforcing, in the same order.
pub fn paced(targets: &[Hard], seen: &[Option<Shown>]) -> Vec<Hard> {
    let most: Vec<Hard> = seen.iter().map(|s| s.as_ref().map(Shown::at_most).unwrap_or_default()).collect();
    let gives: BTreeSet<&String> = targets
        .iter()
        .zip(&most)
        .flat_map(|(target, most)| target.iter().filter(|(k, v)| most.get(*k).is_some_and(|m| m > *v)))
        .map(|(key, _)| key)
        .collect();
    let bounded = |(target, seen): (&Hard, &Option<Shown>)| {
        let now = |key: &str| seen.as_ref().and_then(|s| s.spec.get(key).copied()).unwrap_or(0);
        let frozen = |key: &str| seen.as_ref().is_some_and(|s| s.is_frozen(key));
        let one = |(key, wanted): (&String, &u64)| {
            // What is being lowered goes on; that is what the others wait for.
            let may = if gives.contains(key) && !frozen(key) { (*wanted).min(now(key)) } else { *wanted };
            (key.clone(), may)
        };
        target.iter().map(one).collect()
    };
    targets.iter().zip(seen).map(bounded).collect()
}

#[cfg(test)]
mod tests;
