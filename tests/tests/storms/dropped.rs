//! A namespace that a VDC no longer asks for: what is in it runs on, and nobody else gets its room before it is empty.

use std::collections::HashSet;

use anyhow::ensure;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use yunting_crds::VdcSlice;
use yunting_crds::conditions::find;
use yunting_plan::quota::shrink::Shown;
use yunting_tests::apiserver::wait;
use yunting_tests::pods::pod;

use super::judge::replay;
use super::record::Recorder;
use super::world::{PATIENCE, World};

pub fn keeps_its_room(world: &World) -> anyhow::Result<()> {
    world.runtime.block_on(async {
        let whole = world.vdc(world.size.pods, 0, "Active");
        let vdc = world.change(whole.clone()).await?;
        world.until("QuotaEnforced").await?;
        let namespaces = world.namespaces(&vdc);
        let people = world.people().await?;
        for person in &people {
            let pods: Api<Pod> = Api::namespaced(person.clone(), &namespaces[0]);
            made(&pods, &serde_json::from_value(pod("runs-on"))?).await?;
        }
        let recorders = Recorder::all(world).await?;
        let mut fewer = whole.clone();
        fewer["namespaces"].as_array_mut().unwrap().remove(0);
        world.write(fewer).await?;
        says_what_holds(world, &namespaces[0]).await?;
        for person in &people {
            ensure!(
                Api::<Pod>::namespaced(person.clone(), &namespaces[0]).get_opt("runs-on").await?.is_some(),
                "a pod went with its namespace's name"
            );
            empty(person, &namespaces[0]).await?;
        }
        world.until("QuotaEnforced").await?;
        let share = world.size.pods / world.sites.len() as u64;
        for (site, recorder) in world.sites.iter().zip(&recorders) {
            let limits = limits(site.server.client(), &namespaces).await?;
            ensure!(
                limits[0] == 0 && limits.iter().sum::<u64>() == share,
                "{}: limits {limits:?}",
                site.name
            );
            recorder.log.catch_up(site.server.client()).await?;
            let verdict = replay(&recorder.log.changes(), &namespaces, share, &HashSet::new());
            println!("{}: limits of pods {limits:?}; {} revisions of quotas", site.name, verdict.quotas);
            ensure!(verdict.quotas > 0, "no quota changed at {}", site.name);
            ensure!(verdict.above_share.is_empty(), "limits above the share: {:?}", verdict.above_share);
        }
        world.change(whole).await.map(drop)
    })
}

/// Makes a pod once there is room: what the tests before this one have left is counted until Kubernetes has counted anew.
async fn made(pods: &Api<Pod>, pod: &Pod) -> anyhow::Result<()> {
    let made = async || pods.create(&PostParams::default(), pod).await.ok().map(drop);
    wait("a pod that runs on", PATIENCE, made).await
}

/// Every site's slice names the namespace that still has room which others are to have.
async fn says_what_holds(world: &World, namespace: &str) -> anyhow::Result<()> {
    for site in &world.sites {
        let slices: Api<VdcSlice> =
            Api::namespaced(world.hub.client().clone(), &format!("site-{}", site.name));
        let says = |s: &VdcSlice| {
            let conditions = s.status.clone().unwrap_or_default().conditions;
            find(&conditions, "QuotaEnforced")
                .is_some_and(|c| c.status == "False" && c.message.contains(namespace))
        };
        let look = async || slices.list(&ListParams::default()).await.ok()?.iter().any(says).then_some(());
        wait(&format!("word of {namespace} at {}", site.name), PATIENCE, look).await?;
    }
    Ok(())
}

/// Its people remove what is in it.
async fn empty(person: &Client, namespace: &str) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(person.clone(), namespace);
    let gone = async || {
        let all = pods.list_metadata(&ListParams::default()).await.ok()?;
        for pod in &all.items {
            let _ = pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await;
        }
        all.items.is_empty().then_some(())
    };
    wait("an empty namespace", PATIENCE, gone).await
}

/// Limits of pods.
async fn limits(admin: &Client, namespaces: &[String]) -> anyhow::Result<Vec<u64>> {
    let mut limits = Vec::new();
    for namespace in namespaces {
        let quota = Api::<ResourceQuota>::namespaced(admin.clone(), namespace).get("yunting-quota").await?;
        limits
            .push(Shown::read(&serde_json::to_value(&quota)?).spec.get("pods").copied().unwrap_or_default());
    }
    Ok(limits)
}
