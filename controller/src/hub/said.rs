//! How the status of what people asked for is written, and what of it is told as an Event.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;
use serde_json::json;
use yunting_crds::{Bureau, BureauStatus, Hall, HallStatus, Site, SiteStatus, VdcStatus, VirtualDataCenter};

use super::world::World;
use crate::events;
use crate::kinds::{self, Ours};
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

/// Writes the status if it says something new, and tells what of it is news.
pub(super) async fn status<K: Said>(
    world: &World,
    manager: &'static str,
    object: &K,
    status: &K::Status,
) -> Result<(), Error> {
    let before = object.status();
    if before == Some(status) {
        return Ok(());
    }
    world.writer.status(manager, &key_of(&kinds::of::<K>(), object), &json!(status)).await?;
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
