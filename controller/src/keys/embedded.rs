//! Key-encryption keys in files of the site's own, outside etcd, one file per VDC, so that destroying one destroys what all
//! backups of etcd hold. Whoever reads this directory reads every VDC's keys at this site: its host is trusted, and its
//! copies are destroyed by whoever made them. What becomes of keys at the end of a VDC is noted beside them, by their names,
//! before they are destroyed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use yunting_crds::volume_key::WrappedKey;

use super::ending::{self, Ending, Noted};
use super::files::{self, Notes};
use super::{BYTES, DataKey, KeyError, Place, Provider};
use crate::context::Context;

/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;

/// A key-encryption key as its file has it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kek {
    generation: u32,
    /// Seconds since 1970 when it was made.
    made: i64,
    /// The key as base64.
    key: String,
}

impl Drop for Kek {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Kek {
    fn bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        BASE64.decode(self.key.as_bytes()).ok().map(Zeroizing::new).filter(|k| k.len() == BYTES)
    }

    fn name(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"yunting kek name v1");
        hash.update(self.key.as_bytes());
        HEXLOWER.encode(&hash.finalize()[..8])
    }

    fn cipher(&self, vdc: &str) -> Result<LessSafeKey, KeyError> {
        let damaged = || KeyError::Damaged { vdc: vdc.to_owned(), why: "a key is none".to_owned() };
        let bytes = self.bytes().ok_or_else(damaged)?;
        UnboundKey::new(&AES_256_GCM, &bytes).map(LessSafeKey::new).map_err(|_| damaged())
    }
}

/// Keys of one VDC, newest last.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ring {
    keks: Vec<Kek>,
}

/// The provider.
#[derive(Clone)]
pub struct Embedded(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    notes: Notes,
    context: Context,
    /// One at a time: a ring is read, changed and written.
    turn: Mutex<()>,
}

impl Embedded {
    /// Keeps keys below this directory, which is made if it is missing, for its owner alone.
    pub fn open(directory: PathBuf, context: Context) -> io::Result<Self> {
        files::open(&directory)?;
        let notes = Notes::new(&directory, "end");
        Ok(Self(Arc::new(Inner { directory, notes, context, turn: Mutex::new(()) })))
    }

    /// Files are synced, which takes its time: not on a thread that others wait for.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, KeyError> + Send + 'static,
    ) -> Result<T, KeyError> {
        let inner = self.0.clone();
        let task = tokio::task::spawn_blocking(move || {
            // A ring is written whole or not at all, so whoever panicked left a good one.
            let _turn = inner.turn.lock().unwrap_or_else(PoisonError::into_inner);
            work(&inner)
        });
        task.await.map_err(|_| KeyError::Stopped)?
    }
}

impl Provider for Embedded {
    async fn ensure(&self, vdc: &str, generation: u32, max_age_days: u32) -> Result<u32, KeyError> {
        let vdc = vdc.to_owned();
        self.work(move |inner| inner.ensure(&vdc, generation, max_age_days)).await
    }

    async fn wrap(&self, place: &Place, key: &DataKey) -> Result<WrappedKey, KeyError> {
        let (place, key) = (place.clone(), key.clone());
        self.work(move |inner| inner.wrap(&place, &key)).await
    }

    async fn unwrap(&self, place: &Place, wrapped: &WrappedKey) -> Result<DataKey, KeyError> {
        let (place, wrapped) = (place.clone(), wrapped.clone());
        self.work(move |inner| inner.unwrap(&place, &wrapped)).await
    }

    async fn forget(&self, vdc: &str, oldest: u32) -> Result<(), KeyError> {
        let vdc = vdc.to_owned();
        self.work(move |inner| inner.forget(&vdc, oldest)).await
    }

    async fn begin(&self, vdc: &str) -> Result<Option<Ending>, KeyError> {
        let vdc = vdc.to_owned();
        self.work(move |inner| inner.begin(&vdc)).await
    }

    async fn destroy(&self, vdc: &str) -> Result<(), KeyError> {
        let vdc = vdc.to_owned();
        self.work(move |inner| inner.destroy(&vdc)).await
    }

    async fn ended(&self, vdc: &str, tried: u32) -> Result<Ending, KeyError> {
        let vdc = vdc.to_owned();
        self.work(move |inner| inner.notes.ended(&vdc, tried, &inner.context)).await
    }

    async fn confirmed(&self, vdc: &str) -> Result<(), KeyError> {
        let vdc = vdc.to_owned();
        self.work(move |inner| inner.notes.remove(&vdc)).await
    }
}

impl Inner {
    /// A uid has no `/` and no leading dot; the plan has checked it.
    fn file(&self, vdc: &str) -> PathBuf {
        self.directory.join(format!("{vdc}.json"))
    }

    fn read(&self, vdc: &str) -> Result<Ring, KeyError> {
        Ok(files::parse(vdc, &self.file(vdc))?.unwrap_or_default())
    }

    fn write(&self, vdc: &str, ring: &Ring) -> Result<(), KeyError> {
        files::put(vdc, &self.file(vdc), "new", ring)
    }

    fn ensure(&self, vdc: &str, generation: u32, max_age_days: u32) -> Result<u32, KeyError> {
        if let Some(ending) = self.notes.read(vdc)?.filter(|e| e.done.is_none()) {
            // What has begun to be destroyed is destroyed, whoever wants a key meanwhile.
            self.destroy(vdc)?;
            let tried = ending
                .canaries(vdc)
                .map(|(place, canary)| ending::gone(&place, &canary, self.unwrap(&place, &canary)));
            let tried = tried.collect::<Result<Vec<()>, _>>()?;
            self.notes.ended(vdc, u32::try_from(tried.len()).unwrap_or(u32::MAX), &self.context)?;
        }
        let mut ring = self.read(vdc)?;
        let now = self.context.timestamp().as_second();
        let newest = ring.keks.last().map_or(0, |k| k.generation);
        let old = ring.keks.last().is_some_and(|k| now - k.made >= i64::from(max_age_days.max(1)) * DAY);
        if newest >= generation.max(1) && !old {
            return Ok(newest);
        }
        let key = self.context.random(BYTES).map_err(|_| KeyError::Random)?;
        let key = BASE64.encode(&Zeroizing::new(key));
        let generation = generation.max(newest.saturating_add(1));
        ring.keks.push(Kek { generation, made: now, key });
        self.write(vdc, &ring)?;
        Ok(generation)
    }

    fn wrap(&self, place: &Place, key: &DataKey) -> Result<WrappedKey, KeyError> {
        let ring = self.read(&place.vdc)?;
        let missing = || KeyError::Unknown { vdc: place.vdc.clone(), kek: "any".to_owned(), generation: 0 };
        self.seal(ring.keks.last().ok_or_else(missing)?, place, key)
    }

    fn seal(&self, kek: &Kek, place: &Place, key: &DataKey) -> Result<WrappedKey, KeyError> {
        let nonce = self.context.random(NONCE_LEN).map_err(|_| KeyError::Random)?;
        let mut text = Zeroizing::new(key.bytes().to_vec());
        let unique = Nonce::try_assume_unique_for_key(&nonce).map_err(|_| KeyError::Random)?;
        let sealed =
            kek.cipher(&place.vdc)?.seal_in_place_append_tag(unique, Aad::from(place.binding()), &mut *text);
        sealed.map_err(|_| wrong(place))?;
        let data = BASE64.encode(&[nonce.as_slice(), text.as_slice()].concat());
        Ok(WrappedKey { kek: kek.name(), generation: kek.generation, data })
    }

    fn unwrap(&self, place: &Place, wrapped: &WrappedKey) -> Result<DataKey, KeyError> {
        let ring = self.read(&place.vdc)?;
        let kek = ring.keks.iter().find(|k| k.name() == wrapped.kek).ok_or_else(|| KeyError::Unknown {
            vdc: place.vdc.clone(),
            kek: wrapped.kek.clone(),
            generation: wrapped.generation,
        })?;
        let bytes = BASE64.decode(wrapped.data.as_bytes()).map_err(|_| wrong(place))?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN).ok_or_else(|| wrong(place))?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| wrong(place))?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = kek.cipher(&place.vdc)?.open_in_place(nonce, Aad::from(place.binding()), &mut text);
        let key = opened.map_err(|_| wrong(place))?;
        DataKey::new(key).ok_or_else(|| wrong(place))
    }

    /// A file that goes for good is overwritten first; what a file system keeps of it elsewhere is not in our hands.
    fn forget(&self, vdc: &str, oldest: u32) -> Result<(), KeyError> {
        let ring = self.read(vdc)?;
        let kept: Vec<Kek> = ring.keks.iter().filter(|k| k.generation >= oldest).cloned().collect();
        if kept.is_empty() || kept.len() == ring.keks.len() {
            return Ok(());
        }
        self.write(vdc, &Ring { keks: kept })
    }

    fn destroy(&self, vdc: &str) -> Result<(), KeyError> {
        let failed = |source| KeyError::Store { what: "destroy", vdc: vdc.to_owned(), source };
        let rings = [self.file(vdc), self.file(vdc).with_extension("new")];
        for file in &rings {
            shred(file).map_err(failed)?;
        }
        files::sync(&self.file(vdc)).map_err(failed)?;
        for file in &rings {
            if file.try_exists().map_err(failed)? {
                return Err(KeyError::Still { vdc: vdc.to_owned(), kek: "in a file".to_owned() });
            }
        }
        Ok(())
    }

    fn begin(&self, vdc: &str) -> Result<Option<Ending>, KeyError> {
        let before = self.notes.read(vdc)?;
        let ring = match self.read(vdc) {
            // Ours: it was being overwritten when the power failed. All that was in it is noted.
            Err(KeyError::Damaged { .. }) if before.as_ref().is_some_and(|e| e.done.is_none()) => {
                Ring::default()
            }
            ring => ring?,
        };
        if ring.keks.is_empty() {
            return Ok(before);
        }
        let mut ending = before.unwrap_or_default();
        ending.done = None;
        for kek in &ring.keks {
            if !ending.keys.iter().any(|k| k.name == kek.name()) {
                ending.keys.push(self.canary(vdc, kek)?);
            }
        }
        self.notes.write(vdc, &ending)?;
        Ok(Some(ending))
    }

    /// Something that this key opens now.
    fn canary(&self, vdc: &str, kek: &Kek) -> Result<Noted, KeyError> {
        let place = ending::place(vdc);
        let random = Zeroizing::new(self.context.random(BYTES).map_err(|_| KeyError::Random)?);
        let data = DataKey::new(&random).ok_or(KeyError::Random)?;
        let canary = self.seal(kek, &place, &data)?;
        if self.unwrap(&place, &canary)? != data {
            return Err(wrong(&place));
        }
        Ok(Noted { name: kek.name(), generation: kek.generation, canary: canary.data })
    }
}

fn wrong(place: &Place) -> KeyError {
    KeyError::Wrong { vdc: place.vdc.clone(), volume: place.volume.clone() }
}

fn shred(file: &Path) -> io::Result<()> {
    let mut open = match OpenOptions::new().write(true).open(file) {
        Ok(open) => open,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let bytes = usize::try_from(open.metadata()?.len()).unwrap_or(usize::MAX);
    open.write_all(&vec![0; bytes])?;
    open.sync_all()?;
    fs::remove_file(file)
}

#[cfg(test)]
#[path = "embedded_tests.rs"]
mod tests;
