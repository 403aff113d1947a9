//! Key-encryption keys in the transit engine of a Vault, or of what speaks as it does: one transit key for each VDC and site,
//! whose versions are the generations. No key ever leaves Vault; data keys go there to be wrapped and come back. What becomes
//! of keys at the end of a VDC is noted in files of the site, by their names. Must never: take a Vault that cannot be asked,
//! or has no such engine, for one that has no such key.
//!
//! Nothing is locked between requests: each step says what it wants to be true, and can be repeated after any other.

mod client;

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use yunting_crds::volume_key::WrappedKey;
use yunting_plan::vault::{Key, Step, TYPE, ensure, forget, join, split};
use zeroize::Zeroizing;

pub use client::{Client, Options, Trouble};

use super::ending::{self, Ending, Noted};
use super::files::{self, Notes};
use super::{BYTES, DataKey, KeyError, Place, Provider};
use crate::context::Context;
use client::Answer;

/// Time between two renewals of the token, at least and at most.
const RENEWALS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_hours(6));
/// Time after which it is tried again, and after which a token that cannot be renewed is.
const AGAIN: Duration = Duration::from_secs(30);
const NOT_RENEWED: Duration = Duration::from_hours(1);

/// The provider.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    client: Client,
    /// Other sites may use the same engine: what one destroys must not be another's.
    site: String,
    notes: Arc<Notes>,
    context: Context,
}

/// What `encrypt` is asked.
#[derive(Serialize)]
struct Encrypt<'a> {
    plaintext: &'a str,
    associated_data: &'a str,
    key_version: u32,
}

/// What `encrypt` says.
#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

/// What `decrypt` says.
#[derive(Deserialize)]
struct Decrypted {
    plaintext: Zeroed,
}

/// Text that leaves memory with its owner.
struct Zeroed(Zeroizing<String>);

impl<'de> Deserialize<'de> for Zeroed {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Vault {
    /// Uses that Vault for the VDCs of a site; notes go into a directory, which is made if it is missing. The token is renewed
    /// as long as the provider is there, so a run-time has to be, too.
    pub fn open(client: Client, site: &str, directory: &Path, context: Context) -> std::io::Result<Self> {
        files::open(directory)?;
        let notes = Arc::new(Notes::new(directory, "vault-end"));
        let inner = Arc::new(Inner { client, site: site.to_owned(), notes, context });
        tokio::spawn(renew(Arc::downgrade(&inner)));
        Ok(Self(inner))
    }
}

/// Lets the token live on. One that ends all the same is replaced by whoever writes its file.
async fn renew(inner: Weak<Inner>) {
    loop {
        let Some(vault) = inner.upgrade() else { return };
        let wait = match vault.client.renew().await {
            Ok(seconds) => Duration::from_secs(seconds / 3).clamp(RENEWALS.0, RENEWALS.1),
            Err(error @ Trouble::Answer { .. }) => {
                tracing::info!(%error, "Vault's token is not renewed: its file has to be written anew before it ends");
                NOT_RENEWED
            }
            Err(error) => {
                tracing::warn!(%error, "Vault's token was not renewed");
                AGAIN
            }
        };
        drop(vault);
        tokio::time::sleep(wait).await;
    }
}

impl Inner {
    fn name(&self, vdc: &str) -> String {
        format!("yunting-{}-{vdc}", self.site)
    }

    /// What a version of a key is called. One that was made anew under the same name is another.
    fn kek(&self, vdc: &str, version: u32, made: i64) -> String {
        let text = ["yunting vault kek name v1", &self.name(vdc), &version.to_string(), &made.to_string()];
        HEXLOWER.encode(Sha256::digest(text.join("\0")).get(..8).unwrap_or_default())
    }

    async fn key(&self, vdc: &str) -> Result<Option<Key>, KeyError> {
        let path = format!("keys/{}", self.name(vdc));
        match self.client.read(&path).await.map_err(failed("read", vdc))? {
            Answer::Data(key) => Ok(Some(key)),
            Answer::NoSuchKey => Ok(None),
            Answer::DoesNotOpen => Err(failed("read", vdc)(self.client.odd(&path, "it does not open"))),
        }
    }

    async fn order(
        &self,
        what: &'static str,
        vdc: &str,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<(), KeyError> {
        let path = format!("keys/{}{path}", self.name(vdc));
        self.client.order(Method::POST, &path, body).await.map_err(failed(what, vdc))
    }

    /// Wraps with one version.
    async fn seal(
        &self,
        place: &Place,
        (version, made): (u32, i64),
        key: &DataKey,
    ) -> Result<WrappedKey, KeyError> {
        let path = format!("encrypt/{}", self.name(&place.vdc));
        let (plaintext, binding) =
            (Zeroizing::new(BASE64.encode(key.bytes())), BASE64.encode(&place.binding()));
        let body = Encrypt { plaintext: &plaintext, associated_data: &binding, key_version: version };
        let failed = failed("use", &place.vdc);
        let odd = |why: &str| self.client.odd(&path, why);
        let answer: Answer<Encrypted> = match self.client.ask(&path, &body).await {
            Ok(answer) => answer,
            Err(trouble) => return Err(failed(trouble)),
        };
        let Answer::Data(encrypted) = answer else { return Err(failed(odd("it has no such key any more"))) };
        match split(&encrypted.ciphertext) {
            Some((v, data)) if v == version => {
                let kek = self.kek(&place.vdc, version, made);
                Ok(WrappedKey { kek, generation: version, data: data.to_owned() })
            }
            _ => Err(failed(odd("what it wrapped is not of the version that was asked for"))),
        }
    }

    async fn unwrap(&self, place: &Place, wrapped: &WrappedKey) -> Result<DataKey, KeyError> {
        let unknown = || KeyError::Unknown {
            vdc: place.vdc.clone(),
            kek: wrapped.kek.clone(),
            generation: wrapped.generation,
        };
        let key = self.key(&place.vdc).await?.ok_or_else(unknown)?;
        // A key that was made anew under the same name has versions of the same numbers.
        let made = key.keys.get(&wrapped.generation).ok_or_else(unknown)?;
        if self.kek(&place.vdc, wrapped.generation, *made) != wrapped.kek {
            return Err(unknown());
        }
        let path = format!("decrypt/{}", self.name(&place.vdc));
        let body = json!({
            "ciphertext": join(wrapped.generation, &wrapped.data),
            "associated_data": BASE64.encode(&place.binding()),
        });
        let wrong = || KeyError::Wrong { vdc: place.vdc.clone(), volume: place.volume.clone() };
        match self.client.ask::<Decrypted>(&path, &body).await.map_err(failed("use", &place.vdc))? {
            Answer::Data(opened) => {
                let bytes = BASE64.decode(opened.plaintext.0.as_bytes()).map(Zeroizing::new);
                bytes.ok().and_then(|bytes| DataKey::new(&bytes)).ok_or_else(wrong)
            }
            Answer::DoesNotOpen => Err(wrong()),
            Answer::NoSuchKey => Err(unknown()),
        }
    }

    async fn destroy(&self, vdc: &str) -> Result<(), KeyError> {
        if self.key(vdc).await?.is_none() {
            return Ok(());
        }
        self.order("destroy", vdc, "/config", &json!({"deletion_allowed": true})).await?;
        let path = format!("keys/{}", self.name(vdc));
        let gone = self.client.order(Method::DELETE, &path, &json!({})).await;
        gone.map_err(failed("destroy", vdc))?;
        match self.key(vdc).await? {
            None => Ok(()),
            Some(_) => Err(KeyError::Still { vdc: vdc.to_owned(), kek: self.name(vdc) }),
        }
    }

    /// Ends what has begun to end, so that a VDC that comes back gets another key.
    async fn end_first(&self, vdc: &str) -> Result<(), KeyError> {
        let Some(ending) = self.noted(vdc).await?.filter(|e| e.done.is_none()) else { return Ok(()) };
        self.destroy(vdc).await?;
        let mut tried = 0;
        for (place, canary) in ending.canaries(vdc) {
            ending::gone(&place, &canary, self.unwrap(&place, &canary).await)?;
            tried += 1;
        }
        self.note(vdc, move |notes, vdc, context| notes.ended(vdc, tried, context)).await.map(drop)
    }

    async fn noted(&self, vdc: &str) -> Result<Option<Ending>, KeyError> {
        self.note(vdc, |notes, vdc, _| notes.read(vdc)).await
    }

    /// Files are synced, which takes its time: not on a thread that others wait for.
    async fn note<T: Send + 'static>(
        &self,
        vdc: &str,
        work: impl FnOnce(&Notes, &str, &Context) -> Result<T, KeyError> + Send + 'static,
    ) -> Result<T, KeyError> {
        let (notes, vdc, context) = (self.notes.clone(), vdc.to_owned(), self.context.clone());
        let task = tokio::task::spawn_blocking(move || work(&notes, &vdc, &context));
        task.await.map_err(|_| KeyError::Stopped)?
    }

    /// Something that this version opens now.
    async fn canary(&self, vdc: &str, version: (u32, i64)) -> Result<Noted, KeyError> {
        let place = ending::place(vdc);
        let random = Zeroizing::new(self.context.random(BYTES).map_err(|_| KeyError::Random)?);
        let data = DataKey::new(&random).ok_or(KeyError::Random)?;
        let canary = self.seal(&place, version, &data).await?;
        if self.unwrap(&place, &canary).await? != data {
            return Err(KeyError::Wrong { vdc: place.vdc, volume: place.volume });
        }
        Ok(Noted { name: canary.kek, generation: version.0, canary: canary.data })
    }
}

fn failed(what: &'static str, vdc: &str) -> impl FnOnce(Trouble) -> KeyError {
    let vdc = vdc.to_owned();
    move |source| KeyError::Vault { what, vdc, source: Box::new(source) }
}

impl Provider for Vault {
    async fn ensure(&self, vdc: &str, generation: u32, max_age_days: u32) -> Result<u32, KeyError> {
        let inner = &self.0;
        inner.end_first(vdc).await?;
        // Made, rotated, and then as it is to be.
        for _ in 0..3 {
            let key = inner.key(vdc).await?;
            let now = inner.context.timestamp().as_second();
            match ensure(key.as_ref(), generation, max_age_days, now) {
                Step::Enough(generation) => return Ok(generation),
                Step::Make => {
                    inner.order("make", vdc, "", &json!({"type": TYPE, "exportable": false})).await?;
                }
                Step::Rotate(times) => {
                    for _ in 0..times {
                        inner.order("rotate", vdc, "/rotate", &json!({})).await?;
                    }
                }
                Step::Refuse(why) => {
                    return Err(KeyError::Unfit { vdc: vdc.to_owned(), key: inner.name(vdc), why });
                }
            }
        }
        let path = format!("keys/{}", inner.name(vdc));
        Err(failed("make", vdc)(
            inner.client.odd(&path, "what was asked for did not come to be; see its audit log"),
        ))
    }

    async fn wrap(&self, place: &Place, key: &DataKey) -> Result<WrappedKey, KeyError> {
        let missing = || KeyError::Unknown { vdc: place.vdc.clone(), kek: "any".to_owned(), generation: 0 };
        let kek = self.0.key(&place.vdc).await?.ok_or_else(missing)?;
        if let Some(why) = kek.unfit() {
            return Err(KeyError::Unfit { vdc: place.vdc.clone(), key: self.0.name(&place.vdc), why });
        }
        let made = kek.keys.get(&kek.latest_version).ok_or_else(missing)?;
        self.0.seal(place, (kek.latest_version, *made), key).await
    }

    async fn unwrap(&self, place: &Place, wrapped: &WrappedKey) -> Result<DataKey, KeyError> {
        self.0.unwrap(place, wrapped).await
    }

    /// Older versions open nothing any more, and then Vault throws them away: what opens nothing could be let open again.
    async fn forget(&self, vdc: &str, oldest: u32) -> Result<(), KeyError> {
        let Some(key) = self.0.key(vdc).await? else { return Ok(()) };
        let Some(first) = forget(&key, oldest) else { return Ok(()) };
        let config = json!({"min_decryption_version": first, "min_encryption_version": first});
        self.0.order("end old generations of", vdc, "/config", &config).await?;
        self.0.order("end old generations of", vdc, "/trim", &json!({"min_available_version": first})).await
    }

    async fn begin(&self, vdc: &str) -> Result<Option<Ending>, KeyError> {
        let before = self.0.noted(vdc).await?;
        let Some(key) = self.0.key(vdc).await? else { return Ok(before) };
        let mut ending = before.unwrap_or_default();
        ending.done = None;
        for (version, made) in key.keys {
            let name = self.0.kek(vdc, version, made);
            if !ending.keys.iter().any(|k| k.name == name) {
                ending.keys.push(self.0.canary(vdc, (version, made)).await?);
            }
        }
        let noted = ending.clone();
        self.0.note(vdc, move |notes, vdc, _| notes.write(vdc, &noted)).await?;
        Ok(Some(ending))
    }

    async fn destroy(&self, vdc: &str) -> Result<(), KeyError> {
        self.0.destroy(vdc).await
    }

    async fn ended(&self, vdc: &str, tried: u32) -> Result<Ending, KeyError> {
        self.0.note(vdc, move |notes, vdc, context| notes.ended(vdc, tried, context)).await
    }

    async fn confirmed(&self, vdc: &str) -> Result<(), KeyError> {
        self.0.note(vdc, |notes, vdc, _| notes.remove(vdc)).await
    }
}
