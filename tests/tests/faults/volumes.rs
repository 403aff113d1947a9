//! Volumes that are to grow before anything has made them.

use anyhow::ensure;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use yunting_crds::Hall;
use yunting_crds::conditions::find;
use yunting_tests::apiserver::wait;

use super::away::ready;
use super::dump::Names;
use super::life::{Life, hall_spec};
use super::world::{BUREAU, PATIENCE, World, apply, until};

const CLASS: &str = "local-path";

fn size(claim: &PersistentVolumeClaim) -> Option<String> {
    Some(claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage")?.0.clone())
}

/// The claim of the hall's database, once it is there.
async fn claim(claims: &Api<PersistentVolumeClaim>) -> anyhow::Result<PersistentVolumeClaim> {
    let found = async || claims.list(&ListParams::default()).await.ok()?.items.pop();
    wait("the claim", PATIENCE, found).await
}

/// Makes the volume of a claim, as a provisioner does.
async fn provide(world: &World, claim: &PersistentVolumeClaim) -> anyhow::Result<String> {
    let name = format!("pv-{}", claim.uid().unwrap_or_default());
    let volume = serde_json::from_value(json!({"metadata": {"name": name}, "spec": {
        "capacity": {"storage": "1Ti"}, "accessModes": ["ReadWriteOnce"], "storageClassName": CLASS,
        "hostPath": {"path": "/nowhere"},
        "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.namespace(),
            "name": claim.name_any(), "uid": claim.uid()}}}))?;
    let volumes: Api<PersistentVolume> = Api::all(world.site.client().clone());
    volumes.create(&PostParams::default(), &volume).await?;
    Ok(name)
}

pub fn grow_once_they_are_bound(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let classes: Api<StorageClass> = Api::all(world.site.client().clone());
        let class = serde_json::from_value(json!({"metadata": {"name": CLASS},
            "provisioner": "rancher.io/local-path", "allowVolumeExpansion": true, "volumeBindingMode": "Immediate"}))?;
        classes.create(&PostParams::default(), &class).await?;
        let both = world.controllers().await?;
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "grows" };
        life.create().await?;
        let uid = ready(world, "grows").await?;
        let claims: Api<PersistentVolumeClaim> =
            Api::namespaced(world.site.client().clone(), &format!("grows-app-{}", &uid[..8]));
        let unbound = claim(&claims).await?;
        let mut spec = hall_spec("grows", "grows-hall");
        spec["components"][2]["volumes"][0]["size"] = json!("2Gi");
        apply::<Hall>(world.hub.client(), Some(BUREAU), "grows-hall", spec).await?;
        let halls: Api<Hall> = Api::namespaced(world.hub.client().clone(), BUREAU);
        let waits = |h: &Hall| {
            let conditions = h.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            find(conditions, "Ready").is_some_and(|c| c.message.contains("is not bound"))
        };
        until(halls, "grows-hall", waits).await?;
        let still = claims.get(&unbound.name_any()).await?;
        ensure!(size(&still).as_deref() == Some("1Gi"), "{:?}", size(&still));
        let volume = provide(world, &unbound).await?;
        until(claims.clone(), &unbound.name_any(), |c| size(c).as_deref() == Some("2Gi")).await?;
        life.end().await?;
        let volumes: Api<PersistentVolume> = Api::all(world.site.client().clone());
        volumes.delete(&volume, &DeleteParams::default()).await?;
        classes.delete(CLASS, &DeleteParams::default()).await?;
        Ok(())
    })
}
