//! The keys of a VDC's volumes at this site: every `VolumeKey` of the VDC is answered, keys of volumes that are replicated
//! are sealed to the sites that they go to, and a generation of its
//! key-encryption key that wraps nothing any more is destroyed. May it have a key at all? The plan decides. With the VDC all
//! its keys end, and what became of them is told.

mod apply;
mod seal;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use kube::ResourceExt;
use tokio::time::Instant;
use yunting_crds::deletion_certificate::KeysEnd;
use yunting_crds::names::{SliceKind, slice};
use yunting_crds::vdc_slice::VdcSliceSpec;
use yunting_crds::volume_key::WrappedKey;
use yunting_plan::certificate::{doubtful, said};
use yunting_plan::vdc::Uid;
use yunting_plan::volume_key::{VdcKeys, decide, elsewhere, oldest};

use super::Options;
use super::world::{Name, World};
use crate::context::Context;
use crate::error::{Class, Classified};
use crate::keys::custody::{Custody, Machines, certificate};
use crate::keys::embedded::Embedded;
use crate::keys::ending::{self, Ending};
use crate::keys::{KeyError, Place, Provider};
use crate::queue::Next;
use crate::writer;

/// How often it is looked whether a key has become old, while a VDC has volumes.
const AGE: Duration = Duration::from_hours(1);
/// How often it is seen that the keys of a VDC's volumes and replicas open.
const PROOF: Duration = Duration::from_mins(5);

/// What the site keeps and opens keys with.
pub(super) struct Store {
    /// The VDCs' keys.
    pub(super) embedded: Option<Embedded>,
    /// What other sites seal for.
    pub(super) custody: Option<Custody>,
    /// Certificate (PEM) of its key.
    certificate: Option<PathBuf>,
    /// Who says which key is which site's.
    pub(super) machines: Option<Machines>,
    /// When keys of a VDC were last seen to open.
    proved: Mutex<BTreeMap<String, Instant>>,
}

impl Store {
    /// As it was asked for. What cannot be read is said at once.
    pub(super) fn open(options: &Options, context: &Context) -> anyhow::Result<Self> {
        let embedded = options.keys.as_ref().map(|directory| {
            let opened = Embedded::open(directory.clone(), context.clone());
            opened.with_context(|| format!("cannot keep keys in {}", directory.display()))
        });
        Ok(Self {
            embedded: embedded.transpose()?,
            custody: options.custody_key.as_deref().map(Custody::read).transpose()?,
            certificate: options.custody_cert.clone(),
            machines: options.machine_ca.as_deref().map(Machines::read).transpose()?,
            proved: Mutex::default(),
        })
    }

    /// What other sites seal for. Read anew each time, as certificates are renewed; one that cannot be read is told in the
    /// log.
    pub(super) fn certificate(&self) -> Option<String> {
        let read = certificate(self.certificate.as_deref()?);
        read.inspect_err(|error| tracing::error!(%error, "no site can seal a key for this one")).ok()
    }

    fn proof_is_due(&self, vdc: &str) -> bool {
        let proved = self.proved.lock().unwrap_or_else(PoisonError::into_inner);
        proved.get(vdc).is_none_or(|at| at.elapsed() >= PROOF)
    }

    fn proved(&self, vdc: &str) {
        let mut proved = self.proved.lock().unwrap_or_else(PoisonError::into_inner);
        proved.retain(|other, at| other == vdc || at.elapsed() < AGE);
        proved.insert(vdc.to_owned(), Instant::now());
    }
}

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
    let (asked, replicated) = (world.volume_keys.tagged(&name.0), world.replicas.sent.tagged(&name.0));
    if asked.is_empty() && replicated.is_empty() {
        return Ok(Next::Wait);
    }
    let vdc = keys(world, &name.0).await;
    let (mut first, prove) = (Ok(()), world.ends.keys.proof_is_due(&name.0));
    for volume in &asked {
        let vdc = vdc.as_ref().copied().map_err(String::as_str);
        let decision = decide(volume.metadata.generation, &volume.spec, volume.status.as_ref(), vdc, prove);
        // One that cannot be answered keeps no other waiting.
        let done = apply::apply(world, volume, decision).await;
        first = first.and(done);
    }
    for replication in &replicated {
        let vdc = vdc.as_ref().copied().map_err(String::as_str);
        first = first.and(seal::seal(world, replication, vdc).await);
    }
    first?;
    if prove {
        world.ends.keys.proved(&name.0);
    }
    if let (Ok(vdc), Some(store)) = (vdc, &world.ends.keys.embedded)
        && let Some(oldest) = oldest(asked.iter().map(|v| &v.spec), vdc.generation)
    {
        store.forget(&name.0, oldest).await?;
    }
    Ok(Next::After(AGE.min(PROOF)))
}

/// Destroys every key of the VDC at this site, and says what became of them: what is left of its volumes, here and in
/// backups, opens no more. That some node has not removed a volume yet keeps no key alive.
pub(super) async fn end(world: &World, vdc: &VdcSliceSpec) -> Result<KeysEnd, KeyError> {
    let uid = vdc.source.uid.as_str();
    let known = known(world, uid);
    let (store, ending) = (&world.ends.keys.embedded, destroy(world, uid, &known).await?);
    let destroyed = ending.as_ref().and_then(Ending::shown);
    let now = said(vdc, store.is_some(), destroyed, known.len());
    Ok(doubtful(world.outbox.keys(world, &slice(SliceKind::Vdc, uid)).as_ref(), now))
}

/// The hub knows how the VDC's keys ended, or wants to know nothing of it: what was kept for it goes. Keys that are there
/// still end first.
pub(super) async fn last(world: &World, uid: &str) -> Result<(), KeyError> {
    destroy(world, uid, &known(world, uid)).await?;
    match &world.ends.keys.embedded {
        Some(store) => store.confirmed(uid).await,
        None => Ok(()),
    }
}

async fn destroy(
    world: &World,
    uid: &str,
    known: &[(Place, WrappedKey)],
) -> Result<Option<Ending>, KeyError> {
    let Some(store) = &world.ends.keys.embedded else {
        let closed = || KeyError::Closed { vdc: uid.to_owned() };
        return if known.is_empty() { Ok(None) } else { Err(closed()) };
    };
    ending::end(store, uid, known).await
}

/// Wrapped keys of the VDC's volumes, as far as they are still known.
fn known(world: &World, uid: &str) -> Vec<(Place, WrappedKey)> {
    let mut all = Vec::new();
    for key in world.volume_keys.tagged(uid) {
        let (kept, name) = (key.spec.wrapped.clone(), key.name_any());
        let answered =
            key.status.as_ref().and_then(|s| s.wrapped.clone()).filter(|w| Some(w) != kept.as_ref());
        let of = |volume: &str| Place { vdc: uid.to_owned(), volume: volume.to_owned() };
        all.extend(kept.map(|wrapped| (of(key.spec.origin.as_deref().unwrap_or(&name)), wrapped)));
        all.extend(answered.map(|wrapped| (of(&name), wrapped)));
    }
    all
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
    let Some(store) = &world.ends.keys.embedded else {
        return Err("this site keeps no keys: start its controller with --keys".to_owned());
    };
    let ensured = store.ensure(uid, slice.key_generation, slice.key_rotation_days).await;
    let told = |error: KeyError| {
        tracing::error!(vdc = uid, record = record.name_any(), %error, "a VDC has no keys");
        error.to_string()
    };
    ensured.map(|generation| VdcKeys { generation }).map_err(told)
}
