//! As which version an object is known of which our own last write may be newer than what the watch has brought. A write
//! that demands this version takes back nothing that it has not seen.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Writes of ours, one upon the other.
struct Own {
    /// What they were written upon: a version that the watch had brought, then our own, which it may bring one by one.
    upon: Vec<String>,
    /// What the last one made.
    made: String,
}

/// Writes of which the watch has brought none, at most; it is never that far behind.
const BEHIND: usize = 16;

/// Versions that our own last writes made, until the watch has brought them, by any name of the object.
#[derive(Default)]
pub(crate) struct Versions(Mutex<HashMap<String, Own>>);

impl Versions {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Own>> {
        // Nothing panics while it is held, so a poisoned lock still holds a whole map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version as which an object is known that the watch has brought as `seen`: that one, or ours upon it.
    pub(crate) fn known(&self, name: &str, seen: &str) -> String {
        let mut all = self.all();
        match all.get(name) {
            Some(own) if own.upon.iter().any(|v| v == seen) => own.made.clone(),
            _ => {
                all.remove(name);
                seen.to_owned()
            }
        }
    }

    /// An object that the watch had brought as `upon` was written. Versions are never compared by size: a hub that was
    /// restored counts again from where it was.
    pub(crate) fn made(&self, name: &str, upon: &str, made: &str) {
        let mut all = self.all();
        let own = all.remove(name);
        let mut before = own
            .filter(|o| o.upon.iter().any(|v| v == upon))
            .map_or_else(|| vec![upon.to_owned()], |own| own.upon.into_iter().chain([own.made]).collect());
        before.drain(..before.len().saturating_sub(BEHIND));
        all.insert(name.to_owned(), Own { upon: before, made: made.to_owned() });
    }

    /// Whether the watch has still to bring our own write upon `seen`.
    pub(crate) fn awaited(&self, name: &str, seen: &str) -> bool {
        self.all().get(name).is_some_and(|own| own.upon.iter().any(|v| v == seen))
    }

    /// It is gone, or a write of it failed.
    pub(crate) fn forget(&self, name: &str) {
        self.all().remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_write_counts_until_the_watch_brings_another_version() {
        let versions = Versions::default();
        assert_eq!(versions.known("u", "1"), "1");
        assert!(!versions.awaited("u", "1"));
        versions.made("u", "1", "2");
        assert_eq!(versions.known("u", "1"), "2", "the watch has not brought it yet");
        assert!(versions.awaited("u", "1"));
        versions.made("u", "1", "3");
        assert_eq!(versions.known("u", "1"), "3");
        assert_eq!(versions.known("u", "2"), "3", "the watch has brought the first of our two");
        assert!(versions.awaited("u", "2"));
        assert!(!versions.awaited("u", "3"));
        assert_eq!(versions.known("u", "3"), "3");
        assert!(versions.all().is_empty(), "what the watch has brought needs no memory");
    }

    #[test]
    fn what_failed_or_went_is_forgotten() {
        let versions = Versions::default();
        versions.made("u", "1", "2");
        versions.forget("u");
        assert_eq!(versions.known("u", "1"), "1");
    }

    #[test]
    fn a_hub_that_was_restored_is_believed() {
        let versions = Versions::default();
        versions.made("u", "8", "9");
        assert_eq!(versions.known("u", "5"), "5", "less than ours, and what is there");
        assert!(!versions.awaited("u", "5"));
    }
}
