//! A VDC that is frozen while clients create in it, or while an API server does not refuse yet: when it says frozen, it
//! is.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use yunting_crds::labels;
use yunting_tests::apiserver::wait;
use yunting_tests::pods::pod;

use super::clients::{Deeds, Storm, cron_job};
use super::judge::{Closed, closing};
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

/// A VDC that is frozen while its sites' API servers do not refuse yet: what comes in meanwhile is removed before a
/// namespace is said to be closed.
pub fn while_a_policy_sleeps(world: &World) -> anyhow::Result<()> {
    world.runtime.block_on(async {
        let spec = |state| world.vdc(world.size.pods * 4, 0, state);
        let namespaces = world.namespaces(&world.change(spec("Active")).await?);
        let recorders = Recorder::all(world).await?;
        for site in &world.sites {
            policy_acts(site.server.client(), false).await?;
        }
        world.write(spec("Frozen")).await?;
        let mut strays = Vec::new();
        for site in &world.sites {
            let mut here = HashSet::new();
            for namespace in &namespaces {
                here.extend(slip_in(site.server.client(), namespace).await?);
            }
            strays.push(here);
        }
        for site in &world.sites {
            policy_acts(site.server.client(), true).await?;
        }
        world.until("Frozen").await?;
        for ((site, recorder), came) in world.sites.iter().zip(&recorders).zip(&strays) {
            recorder.log.catch_up(site.server.client()).await?;
            let removed = frozen(site, &recorder.log.changes(), &namespaces, &Deeds::default()).await?;
            // More may have come: a Deployment of an earlier storm makes pods as long as it is not refused them.
            let left: Vec<_> = came.difference(&removed).collect();
            ensure!(left.is_empty(), "not removed at {}, of {}: {left:?}", site.name, came.len());
        }
        world.change(spec("Active")).await.map(drop)
    })
}

/// Of each kind that come into each namespace while it closes: the sweeper sees pods by itself, of cron jobs only the
/// closing knows.
const STRAYS: usize = 3;
const POLICY: &str = "yunting-closed-namespace";

/// Lets the policy of closed namespaces refuse, or only take notes; waits until the API server does so.
async fn policy_acts(admin: &Client, acts: bool) -> anyhow::Result<()> {
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(admin.clone());
    let actions = json!({"spec": {"validationActions": [if acts { "Deny" } else { "Audit" }]}});
    bindings.patch(POLICY, &PatchParams::default(), &Patch::Merge(&actions)).await?;
    let pods: Api<Pod> = Api::namespaced(admin.clone(), "yunting-canary");
    let body: Pod = serde_json::from_value(pod("asks"))?;
    let asked = async || {
        let answer = pods.create(&PostParams { dry_run: true, ..PostParams::default() }, &body).await;
        let refused = answer.is_err_and(|e| e.to_string().contains(POLICY));
        (refused == acts).then_some(())
    };
    wait("the policy", PATIENCE, asked).await
}

/// Creates pods and cron jobs in a namespace as soon as its label says closed; their uids.
async fn slip_in(admin: &Client, namespace: &str) -> anyhow::Result<Vec<String>> {
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let closed = async || {
        let label = namespaces.get(namespace).await.ok()?.labels().get(labels::ADMISSION).cloned();
        (label.as_deref() == Some("closed")).then_some(())
    };
    wait("a closing namespace", PATIENCE, closed).await?;
    let pods: Api<Pod> = Api::namespaced(admin.clone(), namespace);
    let jobs: Api<CronJob> = Api::namespaced(admin.clone(), namespace);
    let mut uids = Vec::new();
    for index in 0..STRAYS {
        let (name, how) = (format!("stray{index}"), PostParams::default());
        let came = pods.create(&how, &serde_json::from_value(pod(&name))?).await.context("a pod")?;
        uids.extend(came.uid());
        let came =
            jobs.create(&how, &serde_json::from_value(cron_job(&name))?).await.context("a cron job")?;
        uids.extend(came.uid());
    }
    ensure!(uids.len() == STRAYS * 2, "without a uid in {namespace}: {uids:?}");
    Ok(uids)
}

/// Nothing is in a site's closed namespaces that came after the closing write, and nothing is gone that was before; the
/// uids of what came and was removed.
async fn frozen(
    site: &SiteEnd,
    changes: &[Change],
    namespaces: &[String],
    deeds: &Deeds,
) -> anyhow::Result<HashSet<String>> {
    let deleted = deeds.deleted.lock().unwrap().clone();
    let Closed { came, early, went, removed } = closing(changes, namespaces, &deleted);
    println!("{}: {} pods and cron jobs came while it closed and were removed", site.name, removed.len());
    ensure!(came.is_empty(), "in closed namespaces of {}: {came:?}", site.name);
    ensure!(
        early.is_empty(),
        "said to be closed with what came while it closed, at {}: {early:?}",
        site.name
    );
    ensure!(went.is_empty(), "removed though they were there before, at {}: {went:?}", site.name);
    for namespace in namespaces {
        let services = services_after(site.server.client(), namespace, changes).await?;
        ensure!(services.is_empty(), "Services in closed {namespace}: {services:?}");
    }
    Ok(removed)
}

/// Services that were created after a namespace was last closed. Nothing changes a Service here: its version is that
/// of its creation.
async fn services_after(client: &Client, namespace: &str, changes: &[Change]) -> anyhow::Result<Vec<String>> {
    let closed = changes.iter().rev().filter(|c| c.namespace == namespace);
    let open = |c: &&Change| matches!(c.what, What::Namespace { open: true, .. });
    let closing = closed.take_while(|c| !open(c)).filter(|c| matches!(c.what, What::Namespace { .. })).last();
    let closed = closing.context("never closed")?.revision;
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let list = services.list_metadata(&ListParams::default()).await?;
    let version = |s: &str| s.parse::<u64>().unwrap_or_default();
    let after = list.items.iter().filter(|s| s.resource_version().is_some_and(|v| version(&v) > closed));
    Ok(after.map(ResourceExt::name_any).collect())
}
