//! The keys of a VDC's volumes at this site: every `VolumeKey` of the VDC is answered, and a generation of its
//! key-encryption key that wraps nothing any more is destroyed. May it have a key at all? The plan decides.

mod apply;

use std::time::Duration;

use kube::ResourceExt;
use yunting_crds::names::SliceKind;
use yunting_plan::vdc::Uid;
use yunting_plan::volume_key::{VdcKeys, decide, elsewhere, oldest};

use super::world::{Name, World};
use crate::error::{Class, Classified};
use crate::keys::{KeyError, Provider};
use crate::queue::Next;
use crate::writer;

/// How often it is looked whether a key has become old, while a VDC has volumes.
const AGE: Duration = Duration::from_hours(1);

/// Why a VDC's keys could not be seen to.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// There is no key to give.
    #[error("cannot give keys")]
    Key(#[from] KeyError),
    /// An answer did not arrive.
    #[error("cannot answer who asks for a key")]
    Answer(#[from] writer::Error),
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            // What is told in the object is tried again when it changes.
            Self::Key(error) => error.class(),
            Self::Answer(error) => error.class(),
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Key(error) => error.label(),
            Self::Answer(error) => error.label(),
        }
    }
}

/// One pass over the volumes of one VDC, by its uid.
pub(super) async fn reconcile(world: &World, name: &Name) -> Result<Next, Error> {
    let asked = world.volume_keys.tagged(&name.0);
    if asked.is_empty() {
        return Ok(Next::Wait);
    }
    let vdc = keys(world, &name.0).await;
    let mut first = Ok(());
    for volume in &asked {
        let vdc = vdc.as_ref().copied().map_err(String::as_str);
        let decision = decide(volume.metadata.generation, &volume.spec, volume.status.as_ref(), vdc);
        // One that cannot be answered keeps no other waiting.
        let done = apply::apply(world, volume, decision).await;
        first = first.and(done);
    }
    first?;
    if let (Ok(vdc), Some(store)) = (vdc, &world.keys)
        && let Some(oldest) = oldest(asked.iter().map(|v| &v.spec), vdc.generation)
    {
        store.forget(&name.0, oldest).await?;
    }
    Ok(Next::After(AGE))
}

/// What the site has for the VDC, or why it has nothing.
async fn keys(world: &World, uid: &str) -> Result<VdcKeys, String> {
    let gone = || format!("VDC {uid} is not at this site, or is being taken away");
    Uid::new(uid).map_err(|_| gone())?;
    let record = world.record(SliceKind::Vdc, uid).filter(|r| !r.spec.absent()).ok_or_else(gone)?;
    let slice = record.spec.vdc.as_ref().ok_or_else(gone)?;
    // Before a key is made that nobody wants.
    if let Some(why) = elsewhere(slice.key_provider) {
        return Err(why.to_owned());
    }
    let Some(store) = &world.keys else {
        return Err("this site keeps no keys: start its controller with --keys".to_owned());
    };
    let ensured = store.ensure(uid, slice.key_generation, slice.key_rotation_days).await;
    let told = |error: KeyError| {
        tracing::error!(vdc = uid, record = record.name_any(), %error, "a VDC has no keys");
        error.to_string()
    };
    ensured.map(|generation| VdcKeys { generation }).map_err(told)
}
