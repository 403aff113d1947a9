//! One step at a time for each volume; steps of different volumes do not wait for each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// Locks by name.
#[derive(Default)]
pub struct Locks(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Locks {
    /// Waits for its turn.
    pub async fn take(&self, name: &str) -> OwnedMutexGuard<()> {
        self.of(name).lock_owned().await
    }

    /// Its turn, if nobody else has it.
    pub fn take_free(&self, name: &str) -> Option<OwnedMutexGuard<()>> {
        self.of(name).try_lock_owned().ok()
    }

    /// Whether somebody waits for the one who holds it.
    pub fn wanted(&self, name: &str) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's own, the holder's, and one of each who waits.
        all.get(name).is_some_and(|lock| Arc::strong_count(lock) > 2)
    }

    fn of(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody holds or waits for are not kept.
        all.retain(|other, lock| other == name || Arc::strong_count(lock) > 1);
        all.entry(name.to_owned()).or_default().clone()
    }
}
