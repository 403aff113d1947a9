//! A VDC's quota that is lowered below what its hall asks: nothing is stopped, and the hall is cared for as before.

use anyhow::ensure;
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use yunting_crds::conditions::find;
use yunting_crds::names::{SliceKind, slice};
use yunting_crds::{Hall, HallSlice};
use yunting_tests::apiserver::wait;

use super::away::ready;
use super::dump::Names;
use super::life::Life;
use super::world::{BUREAU, PATIENCE, SITE, World, until};

pub fn stops_nothing(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let both = world.controllers().await?;
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "lowered" };
        life.create().await?;
        let uid = ready(world, "lowered").await?;
        let halls: Api<Hall> = Api::namespaced(world.hub.client().clone(), BUREAU);
        let hall = halls.get("lowered-hall").await?.uid().unwrap_or_default();
        let slices: Api<HallSlice> = Api::namespaced(world.hub.client().clone(), &format!("site-{SITE}"));
        let whole = |s: &HallSlice| s.status.as_ref().is_some_and(|s| s.components.len() == 3);
        let name = slice(SliceKind::Hall, &hall);
        until(slices.clone(), &name, whole).await?;
        // Of these the hall's namespace gets three; the hall asks five.
        life.patch(json!({"quota": {"pods": 4}})).await?;
        let told = |h: &Hall| {
            let conditions = h.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            find(conditions, "Ready").is_some_and(|c| c.reason == "QuotaExceeded")
        };
        until(halls, "lowered-hall", told).await?;
        ready(world, "lowered").await?;
        both.quiet(super::life::QUIET).await?;
        // Nobody else may delete it.
        let own = world.site.client_of("yunting:site-controller", &["yunting:site-controllers"]).await?;
        let services: Api<Service> = Api::namespaced(own, &format!("lowered-app-{}", &uid[..8]));
        let all = services.list(&ListParams::default()).await?;
        ensure!(!all.items.is_empty(), "the hall has no service");
        let gone = &all.items[0];
        services.delete(&gone.name_any(), &DeleteParams::default()).await?;
        let again = async || services.get_opt(&gone.name_any()).await.ok()?.filter(|s| s.uid() != gone.uid());
        wait("a service of the hall to come back", PATIENCE, again).await?;
        let now = slices.get(&name).await?;
        ensure!(whole(&now), "the site no longer says what runs: {:?}", now.status);
        life.end().await
    })
}
