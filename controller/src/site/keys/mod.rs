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
use yunting_crds::vdc::KeyProvider;
use yunting_crds::vdc_slice::VdcSliceSpec;
use yunting_crds::volume_key::WrappedKey;
use yunting_plan::certificate::{doubtful, said};
use yunting_plan::vdc::Uid;
use yunting_plan::volume_key::{VdcKeys, decide, missing, oldest};

use super::Options;
use super::world::{Name, World};
use crate::context::Context;
use crate::error::{Class, Classified, chain};
use crate::keys::chosen::Chosen;
use crate::keys::custody::{Custody, Machines, certificate};
use crate::keys::embedded::Embedded;
use crate::keys::ending::{self, Ending};
use crate::keys::vault::{Client, Vault};
use crate::keys::{KeyError, Place, Provider};
use crate::queue::Next;
use crate::writer;

/// How often it is looked whether a key has become old, while a VDC has volumes.
const AGE: Duration = Duration::from_hours(1);
/// How often it is seen that the keys of a VDC's volumes and replicas open.
const PROOF: Duration = Duration::from_mins(5);
/// Time after which a place of keys that could not be asked is asked again.
const AWAY: Duration = Duration::from_secs(10);

/// What the site keeps and opens keys with.
pub(super) struct Store {
    /// The VDCs' keys in files of this site.
    embedded: Option<Chosen>,
    /// The VDCs' keys in Vault.
    vault: Option<Chosen>,
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
        let (mut embedded, mut vault) = (None, None);
        if let Some(directory) = &options.keys {
            let failed = || format!("cannot keep keys in {}", directory.display());
            let opened = Embedded::open(directory.clone(), context.clone()).with_context(failed)?;
            embedded = Some(Chosen::Embedded(opened));
            if let Some(asked) = &options.vault {
                let client = Client::new(asked.clone()).map_err(anyhow::Error::msg)?;
                tracing::info!(vault = client.address(), "keys of VDCs that ask for it are in Vault");
                let opened = Vault::open(client, &options.site, directory, context.clone());
                vault = Some(Chosen::Vault(opened.with_context(failed)?));
            }
        }
        Ok(Self {
            embedded,
            vault,
            custody: options.custody_key.as_deref().map(Custody::read).transpose()?,
            certificate: options.custody_cert.clone(),
            machines: options.machine_ca.as_deref().map(Machines::read).transpose()?,
            proved: Mutex::default(),
        })
    }

    /// Where keys are that a VDC asks for there; nothing where this site has no such place.
    pub(super) fn of(&self, provider: KeyProvider) -> Option<&Chosen> {
        match provider {
            KeyProvider::Embedded => self.embedded.as_ref(),
            KeyProvider::Vault => self.vault.as_ref(),
        }
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
    let (found, away) = match keys(world, &name.0).await {
        Ok(found) => (Ok(found), false),
        Err(NoKeys { why, away }) => (Err(why), away),
    };
    let store = found.as_ref().ok().map(|(store, _)| *store);
    let vdc = found.as_ref().map(|(_, vdc)| *vdc).map_err(String::as_str);
    let (mut first, prove) = (Ok(()), world.ends.keys.proof_is_due(&name.0));
    for volume in &asked {
        let decision = decide(volume.metadata.generation, &volume.spec, volume.status.as_ref(), vdc, prove);
        // One that cannot be answered keeps no other waiting.
        let done = apply::apply(world, volume, decision, store).await;
        first = first.and(done);
    }
    for replication in &replicated {
        first = first.and(seal::seal(world, replication, vdc, store).await);
    }
    first?;
    if away {
        return Ok(Next::After(AWAY));
    }
    if prove {
        world.ends.keys.proved(&name.0);
    }
    if let (Ok(vdc), Some(store)) = (vdc, store)
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
    let store = world.ends.keys.of(vdc.key_provider);
    let ending = destroy(store, vdc, &known).await?;
    let destroyed = ending.as_ref().and_then(Ending::shown);
    let now = said(vdc, store.is_some(), destroyed, known.len());
    Ok(doubtful(world.outbox.keys(world, &slice(SliceKind::Vdc, uid)).as_ref(), now))
}

/// The hub knows how the VDC's keys ended, or wants to know nothing of it: what was kept for it goes. Keys that are there
/// still end first.
pub(super) async fn last(world: &World, vdc: &VdcSliceSpec) -> Result<(), KeyError> {
    let (uid, store) = (vdc.source.uid.as_str(), world.ends.keys.of(vdc.key_provider));
    destroy(store, vdc, &known(world, uid)).await?;
    match store {
        Some(store) => store.confirmed(uid).await,
        None => Ok(()),
    }
}

async fn destroy(
    store: Option<&Chosen>,
    vdc: &VdcSliceSpec,
    known: &[(Place, WrappedKey)],
) -> Result<Option<Ending>, KeyError> {
    let uid = vdc.source.uid.as_str();
    let Some(store) = store else {
        let start = match vdc.key_provider {
            KeyProvider::Embedded => "--keys and their directory",
            KeyProvider::Vault => "--vault-address and the Vault that has them",
        };
        let closed = || KeyError::Closed { vdc: uid.to_owned(), start };
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

/// Why a VDC has no keys, and whether it may have them when it is asked again.
struct NoKeys {
    why: String,
    away: bool,
}

/// What the site has for the VDC and where it keeps it, or why it has nothing.
async fn keys<'a>(world: &'a World, uid: &str) -> Result<(&'a Chosen, VdcKeys), NoKeys> {
    let no = |why: String| NoKeys { why, away: false };
    let gone = || no(format!("VDC {uid} is not at this site, or is being taken away"));
    Uid::new(uid).map_err(|_| gone())?;
    let record = world.record(SliceKind::Vdc, uid).filter(|r| !r.spec.absent()).ok_or_else(gone)?;
    let slice = record.spec.vdc.as_ref().ok_or_else(gone)?;
    // Before a key is made that nobody wants.
    let Some(store) = world.ends.keys.of(slice.key_provider) else {
        return Err(no(missing(slice.key_provider).to_owned()));
    };
    let ensured = store.ensure(uid, slice.key_generation, slice.key_rotation_days).await;
    let told = |error: KeyError| {
        let (why, away) = (chain(&error), error.class() != Class::Terminal);
        tracing::error!(vdc = uid, record = record.name_any(), error = why, "a VDC has no keys");
        NoKeys { why, away }
    };
    ensured.map(|generation| (store, VdcKeys { generation })).map_err(told)
}
