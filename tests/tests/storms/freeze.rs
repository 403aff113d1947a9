//! A VDC that is frozen while clients create in it: when it says frozen, it is.

use std::sync::atomic::Ordering;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use yunting_tests::apiserver::wait;

use super::clients::{Deeds, Storm};
use super::judge::closing;
use super::record::{Change, Recorder, What};
use super::world::{PATIENCE, SiteEnd, World};

pub fn under_load(world: &World) -> anyhow::Result<()> {
    world.runtime.block_on(async {
        let spec = |state| world.vdc(world.size.pods * 4, 0, state);
        let vdc = world.change(spec("Active")).await?;
        let namespaces = world.namespaces(&vdc);
        let recorders = Recorder::all(world).await?;
        let storm = Storm::start(&world.people().await?, &namespaces, world.size.clients);
        let deeds = storm.deeds.clone();
        let busy = async || (deeds.created.load(Ordering::Relaxed) > world.size.clients * 2).then_some(());
        wait("a storm", PATIENCE, busy).await?;
        world.write(spec("Frozen")).await?;
        world.until("Frozen").await?;
        deeds.closed();
        let before = deeds.refused.load(Ordering::Relaxed);
        let hammered =
            async || (deeds.refused.load(Ordering::Relaxed) > before + world.size.clients * 4).then_some(());
        wait("refusals", PATIENCE, hammered).await?;
        let deeds = storm.stop().await;
        let late = deeds.late.load(Ordering::Relaxed);
        ensure!(late == 0, "{late} creations were accepted after the VDC had said that it is frozen");
        for (site, recorder) in world.sites.iter().zip(&recorders) {
            recorder.log.catch_up(site.server.client()).await?;
            frozen(site, &recorder.log.changes(), &namespaces, &deeds).await?;
        }
        // And back: what was frozen works again.
        world.change(spec("Active")).await?;
        let again = Storm::start(&world.people().await?, &namespaces, world.size.clients / 4);
        let works = async || (again.deeds.created.load(Ordering::Relaxed) > 0).then_some(());
        wait("a pod after thawing", PATIENCE, works).await?;
        again.stop().await;
        Ok(())
    })
}

/// Nothing is in a site's closed namespaces that came after the closing write, and nothing is gone that was before.
async fn frozen(
    site: &SiteEnd,
    changes: &[Change],
    namespaces: &[String],
    deeds: &Deeds,
) -> anyhow::Result<()> {
    let deleted = deeds.deleted.lock().unwrap().clone();
    let (came, went, removed) = closing(changes, namespaces, &deleted);
    println!("{}: {removed} pods came while it closed and were removed", site.name);
    ensure!(came.is_empty(), "in closed namespaces of {}: {came:?}", site.name);
    ensure!(went.is_empty(), "removed though they were there before, at {}: {went:?}", site.name);
    for namespace in namespaces {
        let services = services_after(site.server.client(), namespace, changes).await?;
        ensure!(services.is_empty(), "Services in closed {namespace}: {services:?}");
    }
    Ok(())
}

/// Services that were created after a namespace was last closed. Nothing changes a Service here: its version is that
/// of its creation.
async fn services_after(client: &Client, namespace: &str, changes: &[Change]) -> anyhow::Result<Vec<String>> {
    let closed = changes.iter().rev().filter(|c| c.namespace == namespace);
    let open = |c: &&Change| matches!(c.what, What::Namespace { open: true });
    let closing = closed.take_while(|c| !open(c)).filter(|c| matches!(c.what, What::Namespace { .. })).last();
    let closed = closing.context("never closed")?.revision;
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let list = services.list_metadata(&ListParams::default()).await?;
    let version = |s: &str| s.parse::<u64>().unwrap_or_default();
    let after = list.items.iter().filter(|s| s.resource_version().is_some_and(|v| version(&v) > closed));
    Ok(after.map(ResourceExt::name_any).collect())
}
