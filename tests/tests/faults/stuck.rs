//! Finalizers that nobody takes off: what waits for them says so by name, and does not spin.

use anyhow::ensure;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource};
use serde_json::json;
use yunting_crds::conditions::find;
use yunting_crds::names::{SliceKind, slice};
use yunting_crds::{VdcSlice, VirtualDataCenter};

use super::away::ready;
use super::dump::Names;
use super::life::Life;
use super::world::{BUREAU, SITE, World, gone, until};

const STUCK: &str = "example.com/stuck";

pub fn finalizers(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let both = world.controllers().await?;
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "stuck" };
        life.create_vdc().await?;
        let uid = ready(world, "stuck").await?;
        let place = format!("stuck-sandbox-{}", &uid[..8]);
        let maps: Api<ConfigMap> = Api::namespaced(world.site.client().clone(), &place);
        let map = serde_json::from_value(json!({"metadata": {"name": "held", "finalizers": [STUCK]}}))?;
        maps.create(&PostParams::default(), &map).await?;
        let hub = world.hub.client_of("yunting:hub:a", &["yunting:hubs"]).await?;
        let slices: Api<VdcSlice> = Api::namespaced(hub, &format!("site-{SITE}"));
        let name = slice(SliceKind::Vdc, &uid);
        finalize(&slices, &name, json!([STUCK])).await?;
        life.release().await?;
        life.ask_end_of_vdc().await?;
        let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.client().clone(), BUREAU);
        says(&vdcs, &place).await?;
        both.quiet(std::time::Duration::from_secs(2)).await?;
        finalize(&maps, "held", json!([])).await?;
        says(&vdcs, STUCK).await?;
        both.quiet(std::time::Duration::from_secs(2)).await?;
        let asked =
            |e: &yunting_faults::record::Entry| e.call.method == "DELETE" && e.call.path.ends_with(&name);
        let deletions = both.hub.end.record().entries().iter().filter(|e| asked(e)).count();
        ensure!(deletions <= 2, "the slice was deleted {deletions} times");
        finalize(&slices, &name, json!([])).await?;
        gone(vdcs, "stuck").await
    })
}

/// The VDC says what it waits for.
async fn says(vdcs: &Api<VirtualDataCenter>, what: &str) -> anyhow::Result<()> {
    let says = |v: &VirtualDataCenter| {
        let conditions = &v.status.as_ref().map(|s| s.conditions.clone()).unwrap_or_default();
        let sites = v.status.as_ref().map(|s| s.sites.clone()).unwrap_or_default();
        find(conditions, "Ready").is_some_and(|c| c.message.contains(what))
            || sites.iter().any(|s| s.message.contains(what))
    };
    until(vdcs.clone(), "stuck", says).await.map(drop)
}

async fn finalize<K>(api: &Api<K>, name: &str, finalizers: serde_json::Value) -> anyhow::Result<()>
where
    K: Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    api.patch(name, &PatchParams::default(), &patch).await?;
    Ok(())
}
