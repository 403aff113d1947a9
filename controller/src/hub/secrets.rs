//! The keyed hash by which slices name a Secret's content without telling anything of it.

use std::collections::BTreeMap;

use anyhow::Context as _;
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, Mac};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client};
use sha2::Sha256;
use yunting_crds::labels;
use yunting_plan::object::Object;

use crate::context::Context;
use crate::writer::Writer;

const NAME: &str = "yunting-hash-key";
const KEY: &str = "key";

/// Key of the hub's keyed hashes.
pub(super) struct HashKey(Vec<u8>);

impl HashKey {
    /// Reads the key, or makes it. The one GET of the start.
    pub(super) async fn open(client: &Client, writer: &Writer, context: &Context) -> anyhow::Result<Self> {
        let api: Api<Secret> = Api::namespaced(client.clone(), labels::SYSTEM_NAMESPACE);
        if let Some(key) = Self::read(&api).await? {
            return Ok(key);
        }
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(labels::SYSTEM_NAMESPACE.to_owned()),
                ..ObjectMeta::default()
            },
            data: Some([(KEY.to_owned(), ByteString(context.random(32)?))].into()),
            ..Secret::default()
        };
        // Whoever created it first has it: it is read again in any case.
        if let Err(error) = writer.create(&Object::new(&secret)).await {
            tracing::info!(error = crate::error::chain(&error), "the hash key was not created here");
        }
        Self::read(&api)
            .await?
            .with_context(|| format!("Secret {}/{NAME} has no {KEY:?}", labels::SYSTEM_NAMESPACE))
    }

    async fn read(api: &Api<Secret>) -> anyhow::Result<Option<Self>> {
        let secret = api
            .get_opt(NAME)
            .await
            .with_context(|| format!("cannot read Secret {}/{NAME}", labels::SYSTEM_NAMESPACE))?;
        let key = secret.and_then(|s| s.data).and_then(|mut d| d.remove(KEY)).map(|b| b.0);
        Ok(key.filter(|k| k.len() >= 32).map(Self))
    }

    /// Keyed hash of a Secret's content, 26 characters. The same content has the same hash at this hub only.
    pub(super) fn hash(&self, data: &BTreeMap<String, ByteString>) -> String {
        // An HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        for (name, value) in data {
            mac.update(&(name.len() as u64).to_be_bytes());
            mac.update(name.as_bytes());
            mac.update(&(value.0.len() as u64).to_be_bytes());
            mac.update(&value.0);
        }
        let mut text = BASE32_NOPAD.encode(&mac.finalize().into_bytes()).to_ascii_lowercase();
        text.truncate(26);
        text
    }
}
