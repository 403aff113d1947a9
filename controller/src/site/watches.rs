//! The watches of a site controller that are alike, and what those that keep no copy of their own do with what they see.

use std::sync::Arc;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use tokio_util::sync::CancellationToken;
use yunting_crds::{HallSlice, HallSliceSpec, NodeReport, SliceRecord, VdcSlice, VolumeKey};

use super::isolation::Words;
use super::report::canary::Canary;
use super::usage::Usage;
use super::world::{GATHER_USE, Name, Wakers};
use crate::cache::{Cache, Cached, Tags};
use crate::children::Tally;
use crate::context::Context;
use crate::wire::Read;

/// Starts watches of one cluster.
pub(super) struct Starter<'a> {
    pub(super) client: &'a Client,
    /// Where what lies in namespaces is watched.
    pub(super) namespace: Option<&'a str>,
    pub(super) context: &'a Context,
    pub(super) stop: &'a CancellationToken,
}

impl Starter<'_> {
    /// Objects that lie in no namespace.
    pub(super) fn cluster<K: Cached>(&self, touched: impl Fn(&K) + Send + 'static) -> Cache<K> {
        self.tagged(|_| Vec::new(), touched)
    }

    /// The same, with tags.
    pub(super) fn tagged<K: Cached>(&self, tags: Tags<K>, touched: impl Fn(&K) + Send + 'static) -> Cache<K> {
        let api: Api<Read<K>> = Api::all(self.client.clone());
        Cache::start_tagged(
            api,
            watcher::Config::default(),
            self.context.metrics.clone(),
            self.stop.clone(),
            tags,
            touched,
        )
    }

    /// Objects of the one namespace.
    pub(super) fn namespaced<K>(&self, touched: impl Fn(&K) + Send + 'static) -> Cache<K>
    where
        K: Cached + kube::Resource<Scope = kube::core::NamespaceResourceScope>,
    {
        let api: Api<Read<K>> = Api::namespaced(self.client.clone(), self.namespace.unwrap_or_default());
        Cache::start(
            api,
            watcher::Config::default(),
            self.context.metrics.clone(),
            self.stop.clone(),
            touched,
        )
    }
}

/// Counts what costs, and has a namespace looked at when more is there.
pub(super) fn tally(w: Wakers, usage: Arc<Usage>) -> Tally {
    Arc::new(move |kind, news| {
        if let Some(namespace) = usage.seen(kind, news) {
            w.sweep.wake_after(Name(namespace), GATHER_USE);
        }
    })
}

/// What nodes say; the cache is kept alive by its task. Halls whose replicas wait for a place are looked at again.
pub(super) fn watch_nodes(at_site: &Starter<'_>, w: &Wakers, records: &Cache<SliceRecord>) -> Arc<Words> {
    let words = Arc::new(Words::default());
    let (heard, context, w, records) = (words.clone(), at_site.context.clone(), w.clone(), records.clone());
    let _: Cache<NodeReport> = at_site.cluster(move |r: &NodeReport| {
        let new = heard.seen(r, &context, &w);
        let halls = |which: &dyn Fn(&HallSliceSpec) -> bool| {
            records.select(|r| r.spec.hall.as_ref().is_some_and(which))
        };
        if new.replicas {
            for record in halls(&|h| !h.replicas.is_empty()) {
                w.about(&record.name_any());
            }
        }
        if new.end {
            w.report();
        }
        if new.end || new.tunnel {
            for record in halls(&|h| !h.elsewhere.is_empty()) {
                w.about(&record.name_any());
                record.spec.hall.iter().for_each(|h| w.vdc(&h.vdc.uid));
            }
        }
    });
    words
}

/// Who asks for keys of volumes, by uid of the VDC. An asker also says on which node a volume is, which its hall waits for.
pub(super) fn watch_keys(
    at_site: &Starter<'_>,
    w: &Wakers,
    records: &Cache<SliceRecord>,
) -> Cache<VolumeKey> {
    let (w, records) = (w.clone(), records.clone());
    let vdc = |key: &VolumeKey| vec![key.spec.vdc.clone()];
    at_site.tagged(vdc, move |key: &VolumeKey| {
        w.keys.wake(Name(key.spec.vdc.clone()));
        for record in records.tagged(&key.spec.vdc) {
            w.about(&record.name_any());
        }
    })
}

/// Only that they change matters; the caches are kept alive by their tasks.
pub(super) fn watch_policies(at_site: &Starter<'_>, canary: &Arc<Canary>) {
    let (a, b) = (canary.clone(), canary.clone());
    let _: Cache<ValidatingAdmissionPolicy> =
        at_site.cluster(move |_: &ValidatingAdmissionPolicy| a.policies_changed());
    let _: Cache<ValidatingAdmissionPolicyBinding> =
        at_site.cluster(move |_: &ValidatingAdmissionPolicyBinding| b.policies_changed());
}

/// What waits for the hub's slices to be listed once: the report, and records that no slice asks about.
pub(super) async fn hub_heard(
    w: Wakers,
    records: Cache<SliceRecord>,
    vdcs: Cache<VdcSlice>,
    halls: Cache<HallSlice>,
) {
    vdcs.ready().await;
    halls.ready().await;
    w.report();
    for record in records.all() {
        w.outbox.wake(Name(record.name_any()));
        w.mirror.wake(Name(record.name_any()));
    }
}
