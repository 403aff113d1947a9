//! Asks for each hall through the site's front door, as a resident's browser would, and tells the hall when the
//! answer changes. What an answer means is decided in [`yunting_plan::hall::door`].

mod knock;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::sync::Notify;
use tokio::time::Instant;
use yunting_plan::hall::door::{self, Door, Knock, Target};

use super::world::{Name, World};

/// Requests at once.
const CONCURRENCY: usize = 8;
/// How often it is looked whether a request is due; one timer for all doors.
const LOOK: Duration = Duration::from_millis(250);

struct Entry {
    target: Target,
    door: Door,
    due: Instant,
}

/// The doors of the halls that run here, by the halls' uids.
#[derive(Default)]
pub(super) struct Doors {
    known: Mutex<HashMap<String, Entry>>,
    added: Notify,
}

impl Doors {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Nothing panics while it is held, so a poisoned lock still holds a whole map.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a hall is reached, if it has been asked for since it is wanted there. From now on it is.
    pub(super) fn watch(&self, hall_uid: &str, target: &Target) -> Option<Result<(), String>> {
        let mut known = self.known();
        if let Some(entry) = known.get(hall_uid).filter(|e| e.target == *target) {
            return entry.door.open();
        }
        let entry = Entry { target: target.clone(), door: Door::default(), due: Instant::now() };
        known.insert(hall_uid.to_owned(), entry);
        drop(known);
        self.added.notify_one();
        None
    }

    /// A hall has no door here any more.
    pub(super) fn forget(&self, hall_uid: &str) {
        self.known().remove(hall_uid);
    }

    fn due(&self) -> Vec<(String, Target)> {
        let now = Instant::now();
        let known = self.known();
        known.iter().filter(|(_, e)| e.due <= now).map(|(uid, e)| (uid.clone(), e.target.clone())).collect()
    }

    /// Learns from a request. Says whether what is told of the door has changed.
    fn learn(&self, hall_uid: &str, target: &Target, knock: Knock) -> bool {
        let mut known = self.known();
        let Some(entry) = known.get_mut(hall_uid).filter(|e| e.target == *target) else { return false };
        let before = entry.door.open();
        entry.door = std::mem::take(&mut entry.door).after(knock);
        entry.due = Instant::now() + entry.door.next();
        entry.door.open() != before
    }
}

/// Address of the site's front door, if it has one that answers plain HTTP.
pub(super) fn address(world: &World) -> Option<SocketAddr> {
    let gateway = world.children.get(&door::gateway_key())?;
    door::address(&gateway.value())
}

/// Asks for ever.
pub(super) async fn watch_over(world: Arc<World>) {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => (),
            () = world.doors.added.notified() => (),
        }
        let due = world.doors.due();
        let Some(address) = (!due.is_empty()).then(|| address(&world)).flatten() else { continue };
        let asked = stream::iter(due).map(|(uid, target)| async move {
            let knock = knock::knock(address, &target).await;
            (uid, target, knock)
        });
        let mut answers = asked.buffer_unordered(CONCURRENCY);
        while let Some((uid, target, knock)) = answers.next().await {
            if world.doors.learn(&uid, &target, knock) {
                world.wakers.halls.wake(Name(uid));
            }
        }
    }
}
