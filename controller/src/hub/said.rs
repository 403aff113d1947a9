//! How the status of what people asked for is written, and what of it is told as an Event.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::json;
use yunting_crds::{
    AccessGrant, AccessGrantStatus, Bureau, BureauStatus, Hall, HallStatus, SharedService,
    SharedServiceStatus, Site, SiteStatus, VdcStatus, VirtualDataCenter,
};

use super::world::World;
use crate::events;
use crate::kinds::{self, Ours};
use crate::versions::Versions;
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

said! {
    Site SiteStatus, Bureau BureauStatus, VirtualDataCenter VdcStatus, Hall HallStatus,
    SharedService SharedServiceStatus, AccessGrant AccessGrantStatus,
}

impl Versions {
    /// The version as which an object is known that the watch has brought: that one, or ours upon it.
    fn of(&self, object: &impl ResourceExt) -> Option<String> {
        Some(self.known(&object.uid()?, &object.resource_version()?))
    }

    /// An object was written.
    fn wrote(&self, object: &impl ResourceExt, written: &Written) {
        if let (Some(uid), Some(upon)) = (object.uid(), object.resource_version())
            && let Some(made) = &written.metadata.resource_version
        {
            self.made(&uid, &upon, made);
        }
    }

    /// It is gone, or a write of it failed.
    fn forgets(&self, object: &impl ResourceExt) {
        self.forget(&object.uid().unwrap_or_default());
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
        world.versions.wrote(object, &written);
    }
    Ok(())
}

/// Takes our finalizer off: the object may go.
pub(super) async fn let_go<K: Said>(world: &World, object: &K) -> Result<(), Error> {
    kinds::remove_finalizer(&world.writer, &kinds::of::<K>(), object).await?;
    world.versions.forgets(object);
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
    let (before, version) = (object.status(), world.versions.of(object));
    if before == Some(status) {
        return Ok(());
    }
    let key = key_of(&kinds::of::<K>(), object);
    let written = world.writer.status(manager, &key, version.as_deref(), &json!(status)).await;
    match &written {
        Ok(written) => world.versions.wrote(object, written),
        Err(_) => world.versions.forgets(object),
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
