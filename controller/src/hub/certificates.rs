//! The chain of deletion certificates as this leader knows it. Owns: that each certificate is written upon the last one, that
//! VDCs which end at once come one after another, and that no VDC gets two.
//!
//! What is next is found under a lock, from what the watch has shown and what this process wrote since. Two leaders cannot
//! fork the chain: the name of a certificate is its place, and an API server makes a name once. Who comes second is refused,
//! tries again, and finds the other's certificate, by then shown by the watch, as the last one.

use kube::ResourceExt;
use kube::runtime::watcher;
use serde_json::json;
use tokio::sync::Mutex;
use yunting_crds::{DeletionCertificate, DeletionCertificateSpec, labels};
use yunting_plan::certificate::name;
use yunting_plan::object::Object;

use super::world::Starter;
use crate::cache::Cache;
use crate::kinds;
use crate::writer::{Error, Writer};

/// The chain.
pub(super) struct Certificates {
    cache: Cache<DeletionCertificate>,
    /// Written by this process and not shown by the watch yet.
    own: Mutex<Vec<DeletionCertificateSpec>>,
}

impl Certificates {
    /// Watches it.
    pub(super) fn start(start: &Starter<'_>) -> Self {
        Self::of(start.all(watcher::Config::default(), |_: &DeletionCertificate| ()))
    }

    fn of(cache: Cache<DeletionCertificate>) -> Self {
        Self { cache, own: Mutex::default() }
    }

    /// Waits until all were listed: before that nobody knows which is the last.
    pub(super) async fn ready(&self) {
        self.cache.ready().await;
    }

    /// Writes the certificate of a VDC as the next of the chain, unless there is one. `make` makes it upon the last, or says
    /// that there is nothing to certify.
    pub(super) async fn write(
        &self,
        writer: &Writer,
        vdc_uid: &str,
        make: impl FnOnce(Option<&DeletionCertificateSpec>) -> Option<DeletionCertificateSpec>,
    ) -> Result<(), Error> {
        let mut own = self.own.lock().await;
        let shown: Vec<_> = self.cache.all().into_iter().filter(|c| is_ours(c)).collect();
        own.retain(|mine| !shown.iter().any(|c| c.spec.sequence == mine.sequence));
        let all = || shown.iter().map(|c| &c.spec).chain(own.iter());
        if all().any(|spec| spec.uid == vdc_uid) {
            return Ok(());
        }
        let Some(spec) = make(all().max_by_key(|spec| spec.sequence)) else { return Ok(()) };
        writer.create(&object(&spec)).await?;
        tracing::info!(
            vdc = vdc_uid,
            certificate = name(spec.sequence),
            whole = spec.whole,
            hash = spec.hash,
            "the end of a VDC is certified"
        );
        own.push(spec);
        Ok(())
    }
}

/// Elsewhere than in our namespace none counts.
fn is_ours(certificate: &DeletionCertificate) -> bool {
    certificate.namespace().as_deref() == Some(labels::SYSTEM_NAMESPACE)
}

fn object(spec: &DeletionCertificateSpec) -> Object {
    kinds::object::<DeletionCertificate>(json!({
        "metadata": {
            "name": name(spec.sequence),
            "namespace": labels::SYSTEM_NAMESPACE,
            "labels": {
                labels::MANAGED_BY: labels::MANAGER,
                labels::BUREAU: spec.bureau,
                labels::VDC: spec.vdc,
            },
        },
        "spec": spec,
    }))
}

#[cfg(test)]
#[path = "certificates_tests.rs"]
mod tests;
