//! Whatever is changed or taken from what Yunting made at a site comes back as it was.

use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, LimitRange, ResourceQuota, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use yunting_crds::{VirtualDataCenter, labels};

use super::fixture::{World, namespace_of};
use super::provision::BUREAU;

const SITE: &str = "qiaocheng";
/// The bar is a second per drift on an idle machine; here only that it is undone, with room for two busy cores.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn undone(world: &World) -> anyhow::Result<()> {
    world.runtime.block_on(async {
        let bureau = format!("bureau-{BUREAU}");
        let vdc: VirtualDataCenter = Api::namespaced(world.hub.clone(), &bureau).get("cloud").await?;
        let namespace = namespace_of(&vdc, "app");
        let client = world.as_site_controller(SITE).await?;
        let route = ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(
            "gateway.networking.k8s.io",
            "v1",
            "HTTPRoute",
        ));
        let kinds = [
            ApiResource::erase::<NetworkPolicy>(&()),
            ApiResource::erase::<ResourceQuota>(&()),
            ApiResource::erase::<LimitRange>(&()),
            ApiResource::erase::<RoleBinding>(&()),
            ApiResource::erase::<ServiceAccount>(&()),
            ApiResource::erase::<Secret>(&()),
            ApiResource::erase::<Service>(&()),
            ApiResource::erase::<Deployment>(&()),
            ApiResource::erase::<StatefulSet>(&()),
            ApiResource::erase::<PodDisruptionBudget>(&()),
            ApiResource::erase::<ConfigMap>(&()),
            route,
        ];
        let mut seen = 0;
        for kind in &kinds {
            seen += usize::from(
                kind_is_repaired(&client, &namespace, kind).await.with_context(|| kind.kind.clone())?,
            );
        }
        ensure!(seen >= 9, "only {seen} kinds were there to be changed");
        Ok(())
    })
}

/// Changes a label and deletes each; whether there was one of that kind.
async fn kind_is_repaired(client: &Client, namespace: &str, kind: &ApiResource) -> anyhow::Result<bool> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, kind);
    let ours = ListParams::default().labels(&format!("{}={}", labels::MANAGED_BY, labels::MANAGER));
    let Some(object) = api.list(&ours).await?.items.into_iter().next() else { return Ok(false) };
    let name = object.name_any();
    let label = object.labels().get(labels::VDC_UID).cloned().context("it carries no VDC")?;
    let drift = json!({"metadata": {"labels": {labels::BUREAU: "somebody-else"}}});
    api.patch(&name, &PatchParams::default(), &Patch::Merge(&drift))
        .await
        .context("the drift could not be made")?;
    await_as(&api, &name, |o| o.labels().get(labels::BUREAU).map(String::as_str) == Some(BUREAU))
        .await
        .context("changed")?;
    let uid = object.uid();
    api.delete(&name, &DeleteParams::background()).await.context("it could not be deleted")?;
    // A quota comes back as nothing at first, and as it was once the use that is there has been counted.
    let wanted = spec(&object);
    await_as(&api, &name, |o| o.uid() != uid && o.metadata.deletion_timestamp.is_none() && spec(o) == wanted)
        .await
        .context("deleted")?;
    let back = api.get(&name).await?;
    ensure!(back.labels().get(labels::VDC_UID) == Some(&label), "it came back for another VDC");
    Ok(true)
}

/// What Yunting says of it; the server's own fields are left out. Of a quota all but its annotations: they also tell since
/// when its limits hold, which is another time for one that was made anew.
fn spec(object: &DynamicObject) -> Option<Value> {
    if object.data["spec"]["hard"].is_object() {
        return Some(json!({"spec": object.data["spec"], "labels": object.labels()}));
    }
    object.annotations().get(labels::DESIRED_HASH).map(|h| json!(h))
}

async fn await_as(
    api: &Api<DynamicObject>,
    name: &str,
    wanted: impl Fn(&DynamicObject) -> bool,
) -> anyhow::Result<()> {
    let wait = await_condition(api.clone(), name, |o: Option<&DynamicObject>| o.is_some_and(&wanted));
    tokio::time::timeout(PATIENCE, wait).await.context("it was not undone in time")??;
    Ok(())
}
