//! Isolation exists before anything is admitted: a tenant asks for pods from the first moment of a VDC's life,
//! while the controllers are stopped and let go again and again, or killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{LimitRange, Pod, ResourceQuota};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use yunting_crds::VirtualDataCenter;
use yunting_lab::site::control::{Request, ask};
use yunting_tests::apiserver::wait;

use super::fixture::{PATIENCE, World, namespace_of, until};

/// Repeats; `YUNTING_LAB=full` makes them a hundred.
const REPEATS: usize = 5;
const MANY_REPEATS: usize = 100;
const SITE: &str = "guoyang";
/// As the lab calls it.
const CONTROLLER: &str = "site-controller";

pub fn tenant_loop(world: &World) -> anyhow::Result<()> {
    let bureau = world.runtime.block_on(world.bureau("hasty"))?;
    let token = world.token("hasty.person", "hasty-admins")?;
    let repeats = if world.full { MANY_REPEATS } else { REPEATS };
    for repeat in 0..repeats {
        let name = format!("v{repeat}");
        let trouble = if repeat % 2 == 0 { slowed } else { killed };
        once(world, &bureau, &token, &name, trouble).with_context(|| format!("repeat {repeat}"))?;
        // The bureau's quota has no room for a hundred.
        if world.full {
            world.runtime.block_on(world.end_vdc(&bureau, &name))?;
        }
    }
    println!("{repeats} VDCs; nothing was admitted before its isolation stood");
    Ok(())
}

/// The controller is stopped and let go while the VDC comes.
fn slowed(world: &World) -> anyhow::Result<()> {
    for _ in 0..6 {
        world.lab(&["pause", SITE, CONTROLLER])?;
        world.lab(&["resume", SITE, CONTROLLER])?;
    }
    Ok(())
}

/// The controller is killed while the VDC comes, each time as soon as it runs again.
fn killed(world: &World) -> anyhow::Result<()> {
    let site = world.lab.site_dir(world.lab.site(SITE)?);
    let kill = async || ask(&site, &Request::Kill(CONTROLLER.to_owned())).ok().map(drop);
    for _ in 0..3 {
        world.runtime.block_on(wait("the site's controller to run", PATIENCE, kill))?;
    }
    Ok(())
}

fn once(
    world: &World,
    bureau: &str,
    token: &str,
    name: &str,
    trouble: fn(&World) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (done, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let vdc = world.runtime.block_on(async {
        world.small_vdc(bureau, name, &[SITE]).await?;
        let api: Api<VirtualDataCenter> = Api::namespaced(world.hub.clone(), bureau);
        until(api, name, PATIENCE, |v: &VirtualDataCenter| v.uid().is_some()).await
    })?;
    let namespace = namespace_of(&vdc, "sandbox");
    let tenant = world.runtime.block_on(world.as_person(SITE, token))?;
    let hammer = world.runtime.spawn(hammer(tenant, namespace.clone(), done.clone(), refused.clone()));
    trouble(world)?;
    let first = world.runtime.block_on(async { tokio::time::timeout(PATIENCE, hammer).await });
    done.store(true, Ordering::Relaxed);
    let pod = first.context("no pod was ever admitted")???;
    ensure!(refused.load(Ordering::Relaxed) > 0, "the tenant was not early enough to prove anything");
    world.runtime.block_on(stood_before(world, &namespace, &pod))
}

/// Asks until one is accepted; gives that pod back.
async fn hammer(
    tenant: Client,
    namespace: String,
    done: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
) -> anyhow::Result<Pod> {
    let api: Api<Pod> = Api::namespaced(tenant, &namespace);
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "early"}, "spec": {
        "automountServiceAccountToken": false,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "c", "image": format!("localhost/none@sha256:{}", "0".repeat(64)),
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "10m", "memory": "16Mi"}},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}))?;
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    while !done.load(Ordering::Relaxed) {
        match api.create(&PostParams::default(), &pod).await {
            Ok(pod) => return Ok(pod),
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404 | 422) => {
                refused.fetch_add(1, Ordering::Relaxed)
            }
            Err(error) => return Err(error.into()),
        };
        pace.tick().await;
    }
    anyhow::bail!("stopped before a pod was admitted")
}

/// What isolates the namespace is older than the first pod in it, and the pod is counted.
async fn stood_before(world: &World, namespace: &str, pod: &Pod) -> anyhow::Result<()> {
    let client = world.site(SITE).await?;
    let born = pod.creation_timestamp().context("the pod has no birth")?;
    let all = ListParams::default();
    let quotas = Api::<ResourceQuota>::namespaced(client.clone(), namespace).list(&all).await?;
    let policies = Api::<NetworkPolicy>::namespaced(client.clone(), namespace).list(&all).await?;
    let ranges = Api::<LimitRange>::namespaced(client, namespace).list(&all).await?;
    ensure!(
        !quotas.items.is_empty() && !policies.items.is_empty() && !ranges.items.is_empty(),
        "something is missing"
    );
    let births = quotas
        .iter()
        .map(ResourceExt::creation_timestamp)
        .chain(policies.iter().map(ResourceExt::creation_timestamp));
    for birth in births.chain(ranges.iter().map(ResourceExt::creation_timestamp)) {
        ensure!(birth.is_some_and(|b| b <= born), "isolation is younger than the first pod");
    }
    let status = quotas.items[0].status.as_ref().context("the quota has no status")?;
    ensure!(
        status.hard == quotas.items[0].spec.as_ref().and_then(|s| s.hard.clone()),
        "the quota is not enforced"
    );
    Ok(())
}
