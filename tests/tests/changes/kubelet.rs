//! In place of kubelets and a provisioner: every pod of the site is ready as soon as it is there, every claim gets a
//! volume. Without it no rollout would come to an end, and what stands would tell of its history.

use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(150);
/// Writes at once.
const AT_ONCE: usize = 8;

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
            let mut tick = tokio::time::interval(LOOK);
            loop {
                tick.tick().await;
                // A failed look is followed by the next.
                let _ = pods(&client).await;
                let _ = claims(&client).await;
            }
        })))
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn pods(client: &Client) -> kube::Result<()> {
    let all = Api::<Pod>::all(client.clone()).list(&ListParams::default()).await?;
    let idle = |pod: &Pod| {
        let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
        pod.metadata.deletion_timestamp.is_none()
            && !conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
    };
    let waiting = all.items.into_iter().filter(idle);
    stream::iter(waiting).for_each_concurrent(AT_ONCE, |pod| start(client, pod)).await;
    Ok(())
}

async fn start(client: &Client, pod: Pod) {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let yes = |what: &str| json!({"type": what, "status": "True"});
    let status =
        json!({"status": {"phase": "Running", "conditions": [yes("Ready"), yes("ContainersReady")]}});
    let _ = api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await;
}

async fn claims(client: &Client) -> kube::Result<()> {
    let all = Api::<PersistentVolumeClaim>::all(client.clone()).list(&ListParams::default()).await?;
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let unbound = |c: &&PersistentVolumeClaim| c.spec.as_ref().is_some_and(|s| s.volume_name.is_none());
    for claim in all.items.iter().filter(unbound) {
        if let Ok(volume) = serde_json::from_value(volume(claim)) {
            // One that is there already waits to be bound.
            let _ = volumes.create(&PostParams::default(), &volume).await;
        }
    }
    Ok(())
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
