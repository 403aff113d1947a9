//! Who is no longer a member of a bureau has no right at a site any more, however much else is not as it should be.

use anyhow::ensure;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use yunting_crds::VirtualDataCenter;
use yunting_crds::conditions::find;
use yunting_crds::labels;
use yunting_tests::apiserver::wait;
use yunting_tests::pods::pod;

use super::away::ready;
use super::dump::Names;
use super::life::{Life, vdc_spec};
use super::world::{BUREAU, PATIENCE, World, gone, until};

/// Most namespaces of a VDC.
const NAMESPACES: usize = 8;

fn vdcs(world: &World) -> Api<VirtualDataCenter> {
    Api::namespaced(world.hub.client().clone(), BUREAU)
}

/// Rights in the VDC's namespaces: place and role.
async fn rights(world: &World, uid: &str) -> anyhow::Result<Vec<String>> {
    let all: Api<RoleBinding> = Api::all(world.site.client().clone());
    let of_vdc = ListParams::default().labels(&format!("{}={uid}", labels::VDC_UID));
    let shown = |b: &RoleBinding| format!("{} {}", b.namespace().unwrap_or_default(), b.role_ref.name);
    Ok(all.list(&of_vdc).await?.iter().map(shown).collect())
}

/// Waits until nobody has one of these roles anywhere in the VDC.
async fn withdrawn(world: &World, uid: &str, roles: &[&str]) -> anyhow::Result<()> {
    let mut left = Vec::new();
    let look = async || {
        left = rights(world, uid).await.ok()?;
        left.retain(|right| roles.iter().any(|role| right.ends_with(role)));
        left.is_empty().then_some(())
    };
    let late = wait("rights to be withdrawn", PATIENCE, look).await;
    late.map_err(|late| anyhow::anyhow!("{late}; still there: {}", left.join(", ")))
}

async fn patch(world: &World, vdc: &str, spec: Value) -> anyhow::Result<()> {
    let patch = Patch::Merge(json!({"spec": spec}));
    vdcs(world).patch(vdc, &PatchParams::default(), &patch).await?;
    Ok(())
}

pub fn of_many(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let both = world.controllers().await?;
        world.people(&["Admin", "Operator", "Viewer"]).await?;
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "wide" };
        let mut spec = vdc_spec("8");
        spec["namespaces"] =
            (0..NAMESPACES).map(|n| json!({"name": format!("n{n}"), "access": "Direct"})).collect();
        super::world::apply::<VirtualDataCenter>(world.hub.client(), Some(BUREAU), "wide", spec).await?;
        let uid = ready(world, "wide").await?;
        ensure!(rights(world, &uid).await?.len() == 3 * NAMESPACES, "{:?}", rights(world, &uid).await?);
        world.people(&["Admin"]).await?;
        withdrawn(world, &uid, &["yunting-direct-operator", "yunting-reader"]).await?;
        ensure!(rights(world, &uid).await?.len() == NAMESPACES, "{:?}", rights(world, &uid).await?);
        ready(world, "wide").await?;
        life.end().await
    })
}

pub fn in_a_refused_vdc(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let both = world.controllers().await?;
        world.people(&["Admin", "Viewer"]).await?;
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "refused" };
        life.create_vdc().await?;
        let uid = ready(world, "refused").await?;
        ensure!(rights(world, &uid).await?.iter().any(|r| r.ends_with("yunting-reader")));
        life.resize("100000").await?;
        let refused = |v: &VirtualDataCenter| {
            let conditions = v.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            find(conditions, "Ready").is_some_and(|c| c.reason == "QuotaExceeded")
        };
        until(vdcs(world), "refused", refused).await?;
        world.people(&["Admin"]).await?;
        withdrawn(world, &uid, &["yunting-reader"]).await?;
        // Nothing else of it has come to the site.
        until(vdcs(world), "refused", refused).await?;
        life.resize("2").await?;
        ready(world, "refused").await?;
        life.end().await
    })
}

pub fn in_a_namespace_that_is_kept(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let both = world.controllers().await?;
        world.people(&["Admin", "Viewer"]).await?;
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "kept" };
        life.create_vdc().await?;
        let uid = ready(world, "kept").await?;
        patch(world, "kept", json!({"namespaces": [{"name": "app", "weight": 3}]})).await?;
        ready(world, "kept").await?;
        let sandbox = format!("kept-sandbox-{}", &uid[..8]);
        let there = |all: &[String], role: &str| all.contains(&format!("{sandbox} {role}"));
        let before = rights(world, &uid).await?;
        ensure!(there(&before, "yunting-direct-admin") && there(&before, "yunting-reader"), "{before:?}");
        world.people(&["Admin"]).await?;
        withdrawn(world, &uid, &["yunting-reader"]).await?;
        // Who empties it keeps the right to.
        let after = rights(world, &uid).await?;
        ensure!(there(&after, "yunting-direct-admin"), "{after:?}");
        life.end().await
    })
}

/// A pod that does not end holds up the end of a VDC; nobody has a right in it meanwhile.
pub fn in_a_vdc_that_does_not_end(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let both = world.controllers().await?;
        world.people(&["Admin", "Viewer"]).await?;
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "held" };
        life.create_vdc().await?;
        let uid = ready(world, "held").await?;
        ensure!(!rights(world, &uid).await?.is_empty(), "nobody had a right");
        let place = format!("held-sandbox-{}", &uid[..8]);
        let pods: Api<Pod> = Api::namespaced(world.site.client().clone(), &place);
        pods.create(&PostParams::default(), &held()).await?;
        life.release().await?;
        life.ask_end_of_vdc().await?;
        withdrawn(world, &uid, &[""]).await?;
        ensure!(pods.get_opt("held").await?.is_some(), "nothing held it up");
        let namespaces: Api<Namespace> = Api::all(world.site.client().clone());
        let going = namespaces.get(&place).await?.metadata.deletion_timestamp;
        ensure!(going.is_none(), "Kubernetes took the rights away with the namespace");
        let free = Patch::Merge(json!({"metadata": {"finalizers": []}}));
        pods.patch("held", &PatchParams::default(), &free).await?;
        gone(vdcs(world), "held").await
    })
}

/// A pod that somebody's finalizer holds.
fn held() -> Pod {
    let mut body = pod("held");
    body["metadata"]["finalizers"] = json!(["example.com/held"]);
    serde_json::from_value(body).unwrap()
}
