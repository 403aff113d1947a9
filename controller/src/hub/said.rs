//! How the status of what people asked for is written, and what of it is told as an Event.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::json;
use yunting_crds::{Bureau, BureauStatus, Hall, HallStatus, Site, SiteStatus, VdcStatus, VirtualDataCenter};

use super::world::World;
use crate::events;
use crate::kinds::{self, Ours};
use crate::wire::Written;
use crate::writer::{Error, key_of};

/// Who tells, in the Events of the hub.
const REPORTER: &str = "yunting.io/hub";

/// A kind with a status of ours.
pub(super) trait Said: Ours {
    /// Its status.
    type Status: PartialEq + Serialize;
    /// The status as it stands.
    fn status(&self) -> Option<&Self::Status>;
    /// The conditions of a status.
    fn conditions(status: &Self::Status) -> &[Condition];
}

macro_rules! said {
    ($($kind:ident $status:ident),* $(,)?) => {$(
        impl Said for $kind {
            type Status = $status;

            fn status(&self) -> Option<&$status> {
                self.status.as_ref()
            }

            fn conditions(status: &$status) -> &[Condition] {
                &status.conditions
            }
        }
    )*};
}

said! { Site SiteStatus, Bureau BureauStatus, VirtualDataCenter VdcStatus, Hall HallStatus }

/// Versions that our own last writes made, until the watch has brought them: by uid, with the version that was written
/// upon.
#[derive(Default)]
pub(super) struct Versions(Mutex<HashMap<String, (String, String)>>);

impl Versions {
    fn all(&self) -> MutexGuard<'_, HashMap<String, (String, String)>> {
        // Nothing panics while it is held, so a poisoned lock still holds a whole map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version as which an object is known that the watch has brought: that one, or ours upon it.
    fn known(&self, object: &impl ResourceExt) -> Option<String> {
        let (uid, seen) = (object.uid()?, object.resource_version()?);
        let mut all = self.all();
        match all.get(&uid) {
            Some((upon, made)) if *upon == seen => Some(made.clone()),
            _ => {
                all.remove(&uid);
                Some(seen)
            }
        }
    }

    /// An object was written.
    fn made(&self, object: &impl ResourceExt, written: &Written) {
        if let (Some(uid), Some(upon)) = (object.uid(), object.resource_version())
            && let Some(made) = written.metadata.resource_version.clone()
        {
            self.all().insert(uid, (upon, made));
        }
    }

    /// It is gone.
    fn forget(&self, object: &impl ResourceExt) {
        self.all().remove(&object.uid().unwrap_or_default());
    }
}

/// Puts our finalizer on what has none.
pub(super) async fn finalizer<K: Said>(
    world: &World,
    manager: &'static str,
    object: &K,
) -> Result<(), Error> {
    let written = kinds::add_finalizer(&world.writer, &kinds::of::<K>(), object, manager).await?;
    if let Some(written) = written {
        world.versions.made(object, &written);
    }
    Ok(())
}

/// Takes our finalizer off: the object may go.
pub(super) async fn let_go<K: Said>(world: &World, object: &K) -> Result<(), Error> {
    kinds::remove_finalizer(&world.writer, &kinds::of::<K>(), object).await?;
    world.versions.forget(object);
    Ok(())
}

/// Writes the status if it says something new, and tells what of it is news. What was concluded from an object that has
/// changed since is refused, so that a leader who was deposed, or whose write was long on its way, takes nothing back.
pub(super) async fn status<K: Said>(
    world: &World,
    manager: &'static str,
    object: &K,
    status: &K::Status,
) -> Result<(), Error> {
    let (before, version) = (object.status(), world.versions.known(object));
    if before == Some(status) {
        return Ok(());
    }
    let key = key_of(&kinds::of::<K>(), object);
    let written = world.writer.status(manager, &key, version.as_deref(), &json!(status)).await;
    match &written {
        Ok(written) => world.versions.made(object, written),
        Err(_) => world.versions.forget(object),
    }
    written?;
    let before = before.map(K::conditions).unwrap_or_default();
    let teller = events::Teller {
        writer: &world.writer,
        context: &world.context,
        reporter: REPORTER,
        instance: format!("term-{}", world.term),
    };
    teller.tell(object, before, K::conditions(status)).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(version: &str) -> Written {
        serde_json::from_value(json!({"metadata": {"uid": "u", "resourceVersion": version}})).unwrap()
    }

    fn bureau(version: &str) -> Bureau {
        let mut bureau = Bureau::new("b", serde_json::from_value(json!({"displayName": "局"})).unwrap());
        bureau.metadata.uid = Some("u".to_owned());
        bureau.metadata.resource_version = Some(version.to_owned());
        bureau
    }

    #[test]
    fn our_own_write_counts_until_the_watch_brings_another_version() {
        let versions = Versions::default();
        let known = |seen: &str| versions.known(&bureau(seen)).unwrap();
        assert_eq!(known("1"), "1");
        versions.made(&bureau("1"), &object("2"));
        assert_eq!(known("1"), "2", "the watch has not brought it yet");
        versions.made(&bureau("1"), &object("3"));
        assert_eq!(known("1"), "3");
        assert_eq!(known("3"), "3");
        assert!(versions.all().is_empty(), "what the watch has brought needs no memory");
    }

    #[test]
    fn what_failed_or_went_is_forgotten() {
        let versions = Versions::default();
        versions.made(&bureau("1"), &object("2"));
        versions.forget(&bureau("1"));
        assert_eq!(versions.known(&bureau("1")).unwrap(), "1");
    }
}
