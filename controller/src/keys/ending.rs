//! How the keys of a VDC end: noted, destroyed, and seen to open nothing any more, in this order. Whatever stops the process
//! in between, the next one goes on from what was noted: no key that was destroyed is forgotten, and none is called
//! destroyed that was not seen to be gone.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};
use yunting_crds::deletion_certificate::{DestroyedKey, KEYS, KeysDestroyed};
use yunting_crds::volume_key::WrappedKey;

use super::{DataKey, KeyError, Place, Provider};

/// What a provider notes of keys that end. No key is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ending {
    /// Every key that was there since the VDC came.
    pub keys: Vec<Noted>,
    /// Set once all of them were seen to be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Done>,
}

/// A key by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Noted {
    /// Beginning of a hash of it.
    pub name: String,
    /// Its generation.
    pub generation: u32,
    /// A random data key that belongs to nothing, wrapped with it; it opened when it was made.
    pub canary: String,
}

/// How keys were seen to be gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Done {
    /// When, RFC 3339.
    pub at: String,
    /// How many wrapped keys were tried and did not open.
    pub tried: u32,
}

/// What canaries are wrapped for. No volume has such a name.
pub(super) fn place(vdc: &str) -> Place {
    Place { vdc: vdc.to_owned(), volume: "/canary".to_owned() }
}

impl Ending {
    /// The canaries, as what they were wrapped for.
    pub(super) fn canaries(&self, vdc: &str) -> impl Iterator<Item = (Place, WrappedKey)> {
        self.keys.iter().map(move |k| {
            let wrapped =
                WrappedKey { kek: k.name.clone(), generation: k.generation, data: k.canary.clone() };
            (place(vdc), wrapped)
        })
    }

    /// What is said of it, once it is done.
    pub fn shown(&self) -> Option<KeysDestroyed> {
        let done = self.done.as_ref()?;
        let key = |k: &Noted| DestroyedKey { name: k.name.clone(), generation: k.generation };
        let mut keys: Vec<DestroyedKey> = self.keys.iter().map(key).collect();
        keys.sort_by_key(|k| Reverse((k.generation, k.name.clone())));
        let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        keys.truncate(KEYS);
        let (at, tried) = (done.at.clone(), done.tried);
        // `done` is set by nobody who saw one open, or a file that is still there.
        Some(KeysDestroyed { at, count, keys, read_back: true, tried, opened: 0 })
    }
}

/// Ends the keys of a VDC. `known` are wrapped keys of its volumes that are still known. Nothing where the VDC has no key
/// here and had none that somebody has still to hear of.
pub async fn end<P: Provider>(
    provider: &P,
    vdc: &str,
    known: &[(Place, WrappedKey)],
) -> Result<Option<Ending>, KeyError> {
    let ending = provider.begin(vdc).await?;
    if let Some(done) = ending.as_ref().filter(|e| e.done.is_some()) {
        return Ok(Some(done.clone()));
    }
    // Also where none is noted: one that was being made when the power failed has wrapped nothing, and goes, too.
    provider.destroy(vdc).await?;
    let Some(ending) = ending else { return Ok(None) };
    let tried = read_back(provider, vdc, &ending, known).await?;
    provider.ended(vdc, tried).await.map(Some)
}

/// Tries whatever may open, and says how many were tried. The first that opens, or could not be tried, ends it.
async fn read_back<P: Provider>(
    provider: &P,
    vdc: &str,
    ending: &Ending,
    known: &[(Place, WrappedKey)],
) -> Result<u32, KeyError> {
    let mut tried = 0;
    for (place, wrapped) in ending.canaries(vdc).chain(known.iter().cloned()) {
        gone(&place, &wrapped, provider.unwrap(&place, &wrapped).await)?;
        tried += 1;
    }
    Ok(tried)
}

/// Whether an answer shows that the key is gone. Only the provider's word that it has no such key does: a key that does not
/// fit is there, and what could not be asked shows nothing.
pub(super) fn gone(
    place: &Place,
    wrapped: &WrappedKey,
    answer: Result<DataKey, KeyError>,
) -> Result<(), KeyError> {
    match answer {
        Err(KeyError::Unknown { .. }) => Ok(()),
        Ok(_) | Err(KeyError::Wrong { .. }) => {
            Err(KeyError::Still { vdc: place.vdc.clone(), kek: wrapped.kek.clone() })
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "ending_tests.rs"]
mod tests;
