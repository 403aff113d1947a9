//! The keys of a VDC's volumes at this site: every `VolumeKey` of the VDC is answered, and a generation of its
//! key-encryption key that wraps nothing any more is destroyed. May it have a key at all? The plan decides.

mod apply;

use std::time::Duration;

use kube::ResourceExt;
use yunting_crds::SliceRecord;
use yunting_crds::names::SliceKind;
use yunting_plan::vdc::Uid;
use yunting_plan::volume_key::{Decision, VdcKeys, decide, oldest};

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
        let known = vdc.as_ref().map_or(Ok(None), |v| v.as_ref().map(|v| Some(*v)));
        let decision = match known {
            Ok(vdc) => decide(volume.metadata.generation, &volume.spec, volume.status.as_ref(), vdc),
            Err(why) => Decision::Refuse(why.clone()),
        };
        // One that cannot be answered keeps no other waiting.
        let done = apply::apply(world, volume, decision).await;
        first = first.and(done);
    }
    first?;
    if let (Some(Ok(vdc)), Some(store)) = (vdc, &world.keys)
        && let Some(oldest) = oldest(asked.iter().map(|v| &v.spec), vdc.generation)
    {
        store.forget(&name.0, oldest).await?;
    }
    Ok(Next::After(AGE))
}

/// What the site has for the VDC: nothing where it is not here, or why there are no keys.
async fn keys(world: &World, uid: &str) -> Option<Result<VdcKeys, String>> {
    Uid::new(uid).ok()?;
    let record = world.record(SliceKind::Vdc, uid).filter(|r| !r.spec.absent())?;
    let slice = record.spec.vdc.as_ref()?;
    let Some(store) = &world.keys else {
        return Some(Err("this site keeps no keys: start its controller with --keys".to_owned()));
    };
    let ensured = store.ensure(uid, slice.key_generation, slice.key_rotation_days).await;
    if let Err(error) = &ensured {
        tracing::error!(vdc = uid, record = record_name(&record), %error, "a VDC has no keys");
    }
    let keys = |generation| VdcKeys { provider: slice.key_provider, generation };
    Some(ensured.map(keys).map_err(|error| error.to_string()))
}

fn record_name(record: &SliceRecord) -> String {
    record.name_any()
}
