//! In place of kubelets and a provisioner: every pod of the site is ready as soon as it is there, every claim gets a
//! volume. Without it no rollout would come to an end, and what stands would tell of its history.

use futures::{StreamExt, future, join};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Writes at once.
const AT_ONCE: usize = 8;
/// Tries of a write that a busy server does not answer.
const TRIES: usize = 5;

/// It works until its value goes.
pub struct Kubelet(JoinHandle<()>);

impl Kubelet {
    /// Makes the site's StorageClass and begins.
    pub async fn start(client: &Client) -> anyhow::Result<Self> {
        let class = serde_json::from_value(json!({"metadata": {"name": "local-path"},
            "provisioner": "rancher.io/local-path", "allowVolumeExpansion": true, "volumeBindingMode": "Immediate"}))?;
        Api::<StorageClass>::all(client.clone()).create(&PostParams::default(), &class).await?;
        let client = client.clone();
        Ok(Self(tokio::spawn(async move {
            join!(pods(&client), claims(&client));
        })))
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// By watches: to list every pod again and again was what the control planes were busy with.
async fn pods(client: &Client) {
    let all = watcher(Api::<Pod>::all(client.clone()), watcher::Config::default());
    let idle =
        all.default_backoff().applied_objects().filter_map(|pod| future::ready(pod.ok().filter(is_idle)));
    idle.for_each_concurrent(AT_ONCE, |pod| start(client, pod)).await;
}

fn is_idle(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && !conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

async fn start(client: &Client, pod: Pod) {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let yes = |what: &str| json!({"type": what, "status": "True"});
    let status =
        json!({"status": {"phase": "Running", "conditions": [yes("Ready"), yes("ContainersReady")]}});
    for _ in 0..TRIES {
        match api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&status)).await {
            Ok(_) => return,
            // What is gone needs nothing any more.
            Err(kube::Error::Api(status)) if status.code == 404 => return,
            Err(_) => (),
        }
    }
}

async fn claims(client: &Client) {
    let all = watcher(Api::<PersistentVolumeClaim>::all(client.clone()), watcher::Config::default());
    let unbound = |c: &PersistentVolumeClaim| c.spec.as_ref().is_some_and(|s| s.volume_name.is_none());
    let waiting =
        all.default_backoff().applied_objects().filter_map(|c| future::ready(c.ok().filter(unbound)));
    waiting.for_each_concurrent(AT_ONCE, |claim| provide(client, claim)).await;
}

async fn provide(client: &Client, claim: PersistentVolumeClaim) {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let Ok(volume) = serde_json::from_value(volume(&claim)) else { return };
    for _ in 0..TRIES {
        match volumes.create(&PostParams::default(), &volume).await {
            Ok(_) => return,
            // One that is there already waits to be bound.
            Err(kube::Error::Api(status)) if status.code == 409 => return,
            Err(_) => (),
        }
    }
}

fn volume(claim: &PersistentVolumeClaim) -> Value {
    let class = claim.spec.as_ref().and_then(|s| s.storage_class_name.clone());
    let uid = claim.uid().unwrap_or_default();
    json!({"metadata": {"name": format!("pv-{uid}")}, "spec": {
        "capacity": {"storage": "1Ti"}, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
        "hostPath": {"path": "/nowhere"},
        "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.namespace(),
            "name": claim.name_any(), "uid": uid}}})
}
