//! Seals the keys of volumes that are replicated to the sites that they are replicated to.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use serde_json::json;
use yunting_crds::VolumeReplication;
use yunting_crds::volume_replication::VolumeReplicationStatus;
use yunting_plan::volume_key::{Sealing, VdcKeys, sealing};

use super::Error;
use crate::error::{Class, Classified};
use crate::keys::chosen::Chosen;
use crate::keys::custody::fingerprint;
use crate::keys::{KeyError, Place, Provider};
use crate::kinds;
use crate::site::world::World;
use crate::writer::key_of;

/// Field manager of what is sealed.
const MANAGER: &str = "yunting/site-keys";

/// One replication of a VDC's volume.
pub(super) async fn seal(
    world: &World,
    object: &Arc<VolumeReplication>,
    vdc: Result<VdcKeys, &str>,
    store: Option<&Chosen>,
) -> Result<(), Error> {
    let (spec, fingerprint) = (&object.spec, fingerprint(&object.spec.custody));
    let key = world.volume_keys.get_cluster(&spec.volume);
    let decided = sealing(spec, object.status.as_ref(), key.as_ref().map(|k| &k.spec), &fingerprint, vdc);
    let told = match decided {
        Sealing::Nothing => return Ok(()),
        Sealing::Refuse(why) => Err(why),
        Sealing::Seal(wrapped) => match sealed(world, object, &wrapped, store).await {
            Ok(sealed) => Ok(sealed),
            Err(error) if error.class() == Class::Terminal => Err(error.to_string()),
            Err(error) => return Err(error.into()),
        },
    };
    let status = match told {
        Ok(sealed) => VolumeReplicationStatus {
            sealed: Some(sealed),
            sealed_for: Some(fingerprint),
            ..VolumeReplicationStatus::default()
        },
        Err(why) => VolumeReplicationStatus {
            refused: Some(why.chars().take(1024).collect()),
            ..VolumeReplicationStatus::default()
        },
    };
    let before = object.status.clone().unwrap_or_default();
    if (&before.sealed_for, &before.refused) == (&status.sealed_for, &status.refused) {
        return Ok(());
    }
    let (key, version) =
        (key_of(&kinds::of::<VolumeReplication>(), object.as_ref()), object.resource_version());
    world.ends.writer.status(MANAGER, &key, version.as_deref(), &json!(status)).await?;
    Ok(())
}

async fn sealed(
    world: &World,
    object: &VolumeReplication,
    wrapped: &yunting_crds::volume_key::WrappedKey,
    store: Option<&Chosen>,
) -> Result<String, KeyError> {
    let none = |what: &str| KeyError::Custody { why: format!("start this site's controller with {what}") };
    let store = store.ok_or_else(|| none("--keys"))?;
    let machines = world.ends.keys.machines.as_ref().ok_or_else(|| none("--machine-ca"))?;
    let spec = &object.spec;
    let here = Place { vdc: spec.vdc.clone(), volume: spec.volume.clone() };
    let there = Place { vdc: spec.vdc.clone(), volume: spec.to.volume.clone() };
    let key = store.unwrap(&here, wrapped).await?;
    let now = u64::try_from(world.context.timestamp().as_second()).unwrap_or_default();
    machines.seal(&there, &key, &spec.to.site, &spec.custody, Duration::from_secs(now))
}
