//! Carries out what was decided about one `VolumeKey`.

use std::sync::Arc;

use aws_lc_rs::rand;
use kube::ResourceExt;
use serde_json::json;
use yunting_crds::volume_key::{VolumeKeyStatus, WrappedKey};
use yunting_crds::{VolumeKey, VolumeKeySpec};
use yunting_plan::volume_key::Decision;
use zeroize::Zeroizing;

use super::Error;
use crate::error::{Class, Classified, chain};
use crate::keys::chosen::Chosen;
use crate::keys::custody::Custody;
use crate::keys::{BYTES, DataKey, KeyError, Place, Provider, sealing};
use crate::kinds;
use crate::site::world::World;
use crate::writer::key_of;

/// Field manager of the answers.
const MANAGER: &str = "yunting/site-keys";

/// Does it, and answers.
pub(super) async fn apply(
    world: &World,
    asked: &Arc<VolumeKey>,
    decision: Decision,
    store: Option<&Chosen>,
) -> Result<(), Error> {
    let place = Place { vdc: asked.spec.vdc.clone(), volume: asked.name_any() };
    let status = match (decision, store) {
        (Decision::Nothing, _)
        | (Decision::Make | Decision::Prove(_) | Decision::TakeOver(_) | Decision::Open { .. }, None) => {
            return Ok(());
        }
        (Decision::Refuse(why), _) => refused(asked, &why),
        (Decision::Make, Some(store)) => told(asked, make(store, &place, &asked.spec).await)?,
        (Decision::Prove(wrapped), Some(store)) => match store.unwrap(&place, &wrapped).await {
            Ok(_) => return Ok(()),
            Err(error) => told(asked, Err(error))?,
        },
        (Decision::TakeOver(sealed), Some(store)) => {
            told(asked, take_over(store, world.ends.keys.custody.as_ref(), &place, &sealed).await)?
        }
        (Decision::Open { wrapped, origin, rewrap }, Some(store)) => {
            let from = Place { volume: origin.unwrap_or_else(|| place.volume.clone()), ..place.clone() };
            told(asked, open(store, &from, &place, &asked.spec, wrapped, rewrap).await)?
        }
    };
    let (key, version) = (key_of(&kinds::of::<VolumeKey>(), asked.as_ref()), asked.resource_version());
    // With the version that was looked at: an answer to an older question is refused.
    let written = world.ends.writer.status(MANAGER, &key, version.as_deref(), &json!(status)).await?;
    tracing::debug!(volume = place.volume, version = written.metadata.resource_version, "answered");
    Ok(())
}

/// What cannot be helped by trying again is told to who asks.
fn told(asked: &VolumeKey, done: Result<VolumeKeyStatus, KeyError>) -> Result<VolumeKeyStatus, Error> {
    match done {
        Ok(status) => Ok(VolumeKeyStatus { observed_generation: asked.metadata.generation, ..status }),
        Err(error) if error.class() == Class::Terminal => Ok(refused(asked, &chain(&error))),
        Err(error) => Err(error.into()),
    }
}

/// What was wrapped stays: it is the volume's only key.
fn refused(asked: &VolumeKey, why: &str) -> VolumeKeyStatus {
    VolumeKeyStatus {
        observed_generation: asked.metadata.generation,
        wrapped: asked.status.as_ref().and_then(|s| s.wrapped.clone()),
        refused: Some(why.chars().take(1024).collect()),
        ..VolumeKeyStatus::default()
    }
}

async fn make(store: &Chosen, place: &Place, spec: &VolumeKeySpec) -> Result<VolumeKeyStatus, KeyError> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| KeyError::Random)?;
    let key = DataKey::new(bytes.as_slice()).ok_or(KeyError::Random)?;
    let wrapped = store.wrap(place, &key).await?;
    answer(place, spec, &key, wrapped)
}

/// What another site has sealed to this one.
async fn take_over(
    store: &Chosen,
    custody: Option<&Custody>,
    place: &Place,
    sealed: &str,
) -> Result<VolumeKeyStatus, KeyError> {
    let none = || KeyError::Custody { why: "start this site's controller with --custody-key".to_owned() };
    let key = custody.ok_or_else(none)?.open(place, sealed)?;
    let wrapped = store.wrap(place, &key).await?;
    Ok(VolumeKeyStatus { wrapped: Some(wrapped), ..VolumeKeyStatus::default() })
}

async fn open(
    store: &Chosen,
    from: &Place,
    place: &Place,
    spec: &VolumeKeySpec,
    wrapped: WrappedKey,
    rewrap: bool,
) -> Result<VolumeKeyStatus, KeyError> {
    let key = store.unwrap(from, &wrapped).await?;
    let wrapped = if rewrap { store.wrap(place, &key).await? } else { wrapped };
    answer(place, spec, &key, wrapped)
}

fn answer(
    place: &Place,
    spec: &VolumeKeySpec,
    key: &DataKey,
    wrapped: WrappedKey,
) -> Result<VolumeKeyStatus, KeyError> {
    let sealed = spec.recipient.as_deref().map(|r| sealing::seal(place, key, r)).transpose()?;
    Ok(VolumeKeyStatus {
        wrapped: Some(wrapped),
        recipient: spec.recipient.clone(),
        sealed,
        ..VolumeKeyStatus::default()
    })
}
