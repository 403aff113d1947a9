//! What was just written and may not have come back through a watch yet: no object is written twice because news is
//! late, and one that the server prints in another text than ours is not written again and again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use yunting_crds::names::HallName;
use yunting_plan::object::{Key, Object};
use yunting_plan::vdc::access::Residents;

use crate::children::{Child, Children};

/// Time for which an object is believed to be there that no watch has shown. It may have been removed before its
/// write was answered; a needless write is the worst of being wrong.
const BELIEVED: Duration = Duration::from_secs(5);

/// How a desired object stands.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// As desired.
    Stands,
    /// Not there.
    Missing,
    /// There, but different.
    Differs(Arc<Child>),
    /// On its way out.
    Deleting,
}

struct Wrote {
    version: u64,
    at: Instant,
    hash: String,
    /// As written; given up when the watch has shown it.
    body: Option<Arc<Value>>,
}

/// The writes of this process.
#[derive(Default)]
pub(super) struct Memory {
    wrote: Mutex<HashMap<Key, Wrote>>,
    /// Whether a hall's namespaces were all open when it was last worked on.
    open: Mutex<HashMap<String, bool>>,
    /// Halls with something in the namespaces of a VDC, as its vendors' rights were last made right for.
    counted: Mutex<HashMap<String, Residents>>,
    /// Generation of the record by which halls last saw their VDC, or a hall that they may call.
    shown: Mutex<HashMap<String, i64>>,
}

impl Memory {
    fn wrote(&self) -> MutexGuard<'_, HashMap<Key, Wrote>> {
        // Nothing panics while it is held, so a poisoned lock still holds a whole map.
        self.wrote.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a desired object stands, by the watch and by what was written since.
    pub(super) fn standing(&self, children: &Children, object: &Object) -> Standing {
        let child = children.get(&object.key);
        let seen = child.as_ref().map(|c| c.version);
        if self.settled(object, seen) && child.as_ref().is_none_or(|c| !c.deleting) {
            return Standing::Stands;
        }
        match child {
            None => Standing::Missing,
            Some(child) if child.deleting => Standing::Deleting,
            Some(child) if object.stands_in(&child.value()) => Standing::Stands,
            Some(child) => Standing::Differs(child),
        }
    }

    /// Whether the last thing known of the object is that exactly this was written. The write's own version in the
    /// watch is the object as written, whatever it looks like there; a later one has to be looked at.
    fn settled(&self, object: &Object, seen: Option<u64>) -> bool {
        let mut all = self.wrote();
        let Some(wrote) = all.get_mut(&object.key) else { return false };
        match seen {
            Some(seen) if seen > wrote.version => {
                all.remove(&object.key);
                return false;
            }
            Some(seen) if seen == wrote.version => wrote.body = None,
            None if wrote.at.elapsed() > BELIEVED => {
                all.remove(&object.key);
                return false;
            }
            _ => (),
        }
        wrote.hash == object.hash
    }

    /// A watch showed an object, or its end.
    pub(super) fn seen(&self, child: &Child) {
        let mut all = self.wrote();
        if child.gone && all.get(&child.key).is_some_and(|w| w.version <= child.version) {
            all.remove(&child.key);
        }
    }

    /// The object: as written where the watch is behind, otherwise as the watch shows it.
    pub(super) fn value(&self, children: &Children, key: &Key) -> Option<Arc<Value>> {
        let child = children.get(key);
        let seen = child.as_ref().map(|c| c.version).unwrap_or_default();
        let ahead = self.wrote().get(key).filter(|w| w.version > seen).and_then(|w| w.body.clone());
        ahead.or_else(|| child.map(|c| Arc::new(c.value())))
    }

    /// Remembers a write and the version it made.
    pub(super) fn remember(&self, object: &Object, version: Option<&str>) {
        let Some(version) = version.and_then(|v| v.parse().ok()) else { return };
        let wrote = Wrote {
            version,
            at: Instant::now(),
            hash: object.hash.clone(),
            body: Some(Arc::new(object.body.clone())),
        };
        self.wrote().insert(object.key.clone(), wrote);
    }

    /// The object has gone, or is written by other means: what was written before no longer counts.
    pub(super) fn forget(&self, key: &Key) {
        self.wrote().remove(key);
    }

    /// Whether a hall's namespaces were all open at the last pass, if there was one.
    pub(super) fn was_open(&self, hall_uid: &str) -> Option<bool> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(hall_uid).copied()
    }

    /// Remembers whether they are.
    pub(super) fn open(&self, hall_uid: &str, open: bool) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(hall_uid.to_owned(), open);
    }

    /// Forgets a hall that is gone.
    pub(super) fn forget_hall(&self, hall_uid: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(hall_uid);
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).remove(hall_uid);
    }

    fn all_counted(&self) -> MutexGuard<'_, HashMap<String, Residents>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks who is in a VDC now, for a pass that will give rights by it. Who is no longer there is no longer counted,
    /// and that in one step with the look: a hall that comes after it waits for the next pass.
    pub(super) fn look(&self, vdc_uid: &str, residents: impl FnOnce() -> Residents) -> Residents {
        let mut all = self.all_counted();
        let now = residents();
        if let Some(counted) = all.get_mut(vdc_uid) {
            *counted = counted.common(&now);
        }
        now
    }

    /// No vendor has a right that these residents forbid; whether that is news.
    pub(super) fn count(&self, vdc_uid: &str, residents: Residents) -> bool {
        let mut all = self.all_counted();
        let news = all.get(vdc_uid) != Some(&residents);
        all.insert(vdc_uid.to_owned(), residents);
        news
    }

    /// Whether a hall may start something in a namespace: no vendor who is not named for it reads there.
    pub(super) fn counts(&self, vdc_uid: &str, namespace: &str, hall: &HallName) -> bool {
        self.all_counted().get(vdc_uid).is_some_and(|r| r.holds(namespace, hall))
    }

    /// Forgets who was in a VDC that is gone.
    pub(super) fn forget_vdc(&self, vdc_uid: &str) {
        self.all_counted().remove(vdc_uid);
    }

    /// Whether a record, by the uid of its VDC or hall, is another than those who go by it were last woken for.
    pub(super) fn is_news(&self, uid: &str, generation: i64) -> bool {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.insert(uid.to_owned(), generation) != Some(generation)
    }
}

#[cfg(test)]
mod tests;
