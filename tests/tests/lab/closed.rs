//! Isolation exists before anything is admitted: a tenant asks for pods from the first moment of a VDC's life,
//! while the controllers are stopped and let go again and again.

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

use super::fixture::{PATIENCE, World, namespace_of, until};

const REPEATS: usize = 5;
const SITE: &str = "guoyang";

pub fn tenant_loop(world: &World) -> anyhow::Result<()> {
    let bureau = world.runtime.block_on(world.bureau("hasty"))?;
    let token = world.token("hasty.person", "hasty-admins")?;
    for repeat in 0..REPEATS {
        once(world, &bureau, &token, &format!("v{repeat}")).with_context(|| format!("repeat {repeat}"))?;
    }
    Ok(())
}

fn once(world: &World, bureau: &str, token: &str, name: &str) -> anyhow::Result<()> {
    let (done, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let vdc = world.runtime.block_on(async {
        world.small_vdc(bureau, name, &[SITE]).await?;
        let api: Api<VirtualDataCenter> = Api::namespaced(world.hub.clone(), bureau);
        until(api, name, PATIENCE, |v: &VirtualDataCenter| v.uid().is_some()).await
    })?;
    let namespace = namespace_of(&vdc, "sandbox");
    let tenant = world.runtime.block_on(world.as_person(SITE, token))?;
    let hammer = world.runtime.spawn(hammer(tenant, namespace.clone(), done.clone(), refused.clone()));
    // Slow controllers: stopped and let go while the VDC comes.
    for _ in 0..6 {
        world.lab(&["pause", SITE, "site-controller"])?;
        world.lab(&["resume", SITE, "site-controller"])?;
    }
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
