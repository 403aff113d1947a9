//! A hall at two sites whose part that keeps data runs at one of them: it is called from the other through the tunnel, by who
//! declares it and nobody else, and not at all when the tunnel is gone.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;
use yunting_crds::conditions::find;
use yunting_crds::{Hall, VirtualDataCenter, labels};
use yunting_lab::site::parts::NODE_CONTROLLER;
use yunting_tests::netns::{accepts, each, of_pods};

use super::fixture::{PATIENCE, World, namespace_of, until};

const BUREAU: &str = "crossing";
const VDC: &str = "cloud";
const HALL: &str = "two";
/// Where the data is, and where it is called from.
const HOME: &str = "qiaocheng";
const AWAY: &str = "guoyang";

pub fn called(world: &World) -> anyhow::Result<()> {
    let namespace = world.runtime.block_on(made(world))?;
    let target = world.runtime.block_on(service(world, &namespace, "store"))?;
    let at = |component: &str| world.runtime.block_on(netns(world, &namespace, component));
    let (caller, other) = (at("caller")?, at("other")?);
    world.runtime.block_on(async {
        says_hall(world, "CallsConnected", "True", "AsAsked").await?;
        says_vdc(world, "TransportEncrypted", "True", "Verified").await
    })?;
    ensure!(answers(&caller, target)?, "what is declared does not cross");
    ensure!(!answers(&other, target)?, "what is not declared crosses");
    // The other end is gone: nothing passes, and it is told.
    world.lab(&["stop", HOME, NODE_CONTROLLER])?;
    let since = std::time::Instant::now();
    let closed = (|| {
        ensure!(!answers(&caller, target)?, "a call passes without a tunnel");
        world.runtime.block_on(says_vdc(world, "TransportEncrypted", "False", "TunnelMissing"))?;
        println!("told after {:?}", since.elapsed());
        world.runtime.block_on(says_hall(world, "CallsConnected", "False", "TunnelMissing"))
    })();
    world.lab(&["start", HOME, NODE_CONTROLLER])?;
    closed?;
    world.runtime.block_on(says_vdc(world, "TransportEncrypted", "True", "Verified"))?;
    ensure!(answers(&caller, target)?, "the call does not pass again");
    world.runtime.block_on(ended(world))
}

/// The VDC and its hall, once they are ready; the namespace at its sites.
async fn made(world: &World) -> anyhow::Result<String> {
    let bureau = world.bureau(BUREAU).await?;
    let quota = json!({"cpu": "600m", "memory": "900Mi", "pods": 16, "storage": "1Gi"});
    world.vdc_of(&bureau, VDC, &[HOME, AWAY], quota).await?;
    let vdc = world.vdc_ready(&bureau, VDC).await?;
    let image = world.images.get("hall").cloned().unwrap_or_default();
    let component = |name: &str, kind: &str, calls: &[&str]| {
        let calls: Vec<_> = calls.iter().map(|c| json!({"component": c})).collect();
        json!({"name": name, "zone": if kind == "Stateful" { "Data" } else { "Approval" }, "kind": kind, "image": image,
            "resources": {"cpu": "20m", "memory": "48Mi"}, "ports": [{"name": "http", "port": 8080}],
            "probes": {"ready": {"http": "/healthz"}}, "calls": calls,
            "env": [{"name": "HALL_MODE", "value": "approval"}, {"name": "HALL_NAME", "value": "测试厅"}]})
    };
    let components = [
        component("caller", "Stateless", &["store"]),
        component("other", "Stateless", &[]),
        component("store", "Stateful", &[]),
    ];
    let spec = json!({"vdcRef": {"name": VDC}, "displayName": "测试厅", "availabilityClass": "Platinum", "components": components});
    world.apply::<Hall>(Some(&bureau), HALL, spec).await?;
    world.hall_ready(&bureau, HALL).await?;
    Ok(namespace_of(&vdc, "app"))
}

async fn ended(world: &World) -> anyhow::Result<()> {
    let bureau = format!("bureau-{BUREAU}");
    let halls: Api<Hall> = Api::namespaced(world.hub.clone(), &bureau);
    halls.delete(HALL, &kube::api::DeleteParams::default()).await?;
    super::fixture::gone(halls, HALL, PATIENCE).await?;
    world.end_vdc(&bureau, VDC).await
}

async fn says_hall(world: &World, type_: &str, status: &str, reason: &str) -> anyhow::Result<()> {
    let api: Api<Hall> = Api::namespaced(world.hub.clone(), &format!("bureau-{BUREAU}"));
    let said = |h: &Hall| {
        let conditions = h.status.as_ref().map_or(&[][..], |s| &s.conditions);
        find(conditions, type_).is_some_and(|c| c.status == status && c.reason == reason)
    };
    until(api, HALL, PATIENCE, said).await.with_context(|| format!("{type_}={status}")).map(drop)
}

async fn says_vdc(world: &World, type_: &str, status: &str, reason: &str) -> anyhow::Result<()> {
    let api: Api<VirtualDataCenter> = Api::namespaced(world.hub.clone(), &format!("bureau-{BUREAU}"));
    let said = |v: &VirtualDataCenter| {
        let conditions = v.status.as_ref().map_or(&[][..], |s| &s.conditions);
        find(conditions, type_).is_some_and(|c| c.status == status && c.reason == reason)
    };
    until(api, VDC, PATIENCE, said).await.with_context(|| format!("{type_}={status}")).map(drop)
}

/// Where a component's Service is at the site that does not run it.
async fn service(world: &World, namespace: &str, component: &str) -> anyhow::Result<SocketAddr> {
    let services: Api<Service> = Api::namespaced(world.site(AWAY).await?, namespace);
    let labelled = ListParams::default().labels(&format!("{}={component}", labels::COMPONENT));
    let found = services.list(&labelled).await?;
    let spec = found.items.into_iter().find_map(|s| s.spec).context("the component has no Service")?;
    let address: IpAddr = spec.cluster_ip.context("it has no address")?.parse()?;
    Ok(SocketAddr::new(address, 8080))
}

/// The network namespace of a component's pod at the site from which is called.
async fn netns(world: &World, namespace: &str, component: &str) -> anyhow::Result<PathBuf> {
    let pods: Api<Pod> = Api::namespaced(world.site(AWAY).await?, namespace);
    let labelled = ListParams::default().labels(&format!("{}={component}", labels::COMPONENT));
    let pod = pods.list(&labelled).await?.items.into_iter().next().context("the component has no pod")?;
    let address =
        pod.status.as_ref().and_then(|s| s.pod_ip.as_deref()).context("it has no address")?.parse()?;
    let all = of_pods(&world.lab, world.lab.site(AWAY)?)?;
    all.get(&address).cloned().with_context(|| format!("no namespace has {address} of {}", pod.name_any()))
}

/// Whether somebody accepts a connection; what is to pass has several chances.
fn answers(from: &std::path::Path, to: SocketAddr) -> anyhow::Result<bool> {
    for _ in 0..5 {
        if each(from, vec![to], accepts)?.contains(&true) {
            return Ok(true);
        }
    }
    Ok(false)
}
