//! What stands and is no longer asked for, and how much of it may go at once.

use std::collections::BTreeSet;

use crate::object::Key;

/// Most units that may go at once whatever there is.
const AT_ONCE: usize = 10;
/// Most units that may go at once, in percent of what there is, where that is more.
const PERCENT: usize = 5;

/// Something that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing<'a> {
    /// Which.
    pub key: &'a Key,
    /// It is on its way out already.
    pub deleting: bool,
}

/// Kinds that are never removed because a plan does not name them: they hold data, or go with what made them.
const KEPT: [&str; 3] = ["Namespace", "PersistentVolumeClaim", "Pod"];

/// Keys of what is no longer asked for, in order.
pub fn leaving<'a>(standing: impl IntoIterator<Item = Standing<'a>>, desired: &BTreeSet<&Key>) -> Vec<Key> {
    let gone = |s: &Standing<'_>| !s.deleting && !KEPT.contains(&s.key.kind.kind) && !desired.contains(s.key);
    let mut keys: Vec<Key> = standing.into_iter().filter(gone).map(|s| s.key.clone()).collect();
    keys.sort();
    keys
}

/// Too much would go at once: a fault is more likely than a wish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{leaving} of {all} objects would be removed at once, more than {allowed}: nothing is removed. If it is meant, take them away in smaller steps"
)]
pub struct TooMany {
    /// How many would go.
    pub leaving: usize,
    /// How many there are.
    pub all: usize,
    /// How many may go.
    pub allowed: usize,
}

/// Stops what would take away more than ten units and more than 5 % of all.
pub fn breaker(leaving: usize, all: usize) -> Result<(), TooMany> {
    let allowed = AT_ONCE.max(all.saturating_mul(PERCENT) / 100);
    if leaving > allowed { Err(TooMany { leaving, all, allowed }) } else { Ok(()) }
}

/// The hub lost too much at once to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{lost} of {all} records have no slice at the hub: it was more likely restored from an old copy than asked to end them all, and is not believed when it says that something is to go. Bring their objects back at the hub, or delete the records of those that are given up"
)]
pub struct Lost {
    /// Records without a slice.
    pub lost: usize,
    /// Records that are to be there.
    pub all: usize,
}

/// Stops at ten at once, and at more than 5 % of all where that is more than one.
pub fn lost_at_once(lost: usize, all: usize) -> Result<(), Lost> {
    let many = lost >= AT_ONCE || (lost > 1 && lost.saturating_mul(100) > all.saturating_mul(PERCENT));
    if many { Err(Lost { lost, all }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::api_kind;
    use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};

    fn key(name: &str) -> Key {
        Key { kind: api_kind::<ConfigMap>(), namespace: Some("n".into()), name: name.into() }
    }

    #[test]
    fn what_is_asked_for_or_going_or_holds_data_stays() {
        let (a, b, c) = (key("a"), key("b"), key("c"));
        let claim = Key { kind: api_kind::<PersistentVolumeClaim>(), ..key("d") };
        let standing = [(&a, false), (&b, false), (&c, true), (&claim, false)]
            .map(|(key, deleting)| Standing { key, deleting });
        assert_eq!(leaving(standing, &BTreeSet::from([&a])), [b]);
    }

    #[test]
    fn a_hub_that_lost_much_is_not_believed() {
        for (lost, all, good) in [
            (0, 0, true),
            (1, 1, true),
            (2, 10, false),
            (5, 100, true),
            (6, 100, false),
            (9, 1000, true),
            (10, 1000, false),
        ] {
            assert_eq!(lost_at_once(lost, all).is_ok(), good, "{lost} of {all}");
        }
    }

    #[test]
    fn the_breaker_lets_little_through() {
        for (leaving, all, good) in [
            (10, 10, true),
            (11, 100, false),
            (11, 220, true),
            (50, 1000, true),
            (51, 1000, false),
            (0, 0, true),
        ] {
            assert_eq!(breaker(leaving, all).is_ok(), good, "{leaving} of {all}");
        }
    }
}
