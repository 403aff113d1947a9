//! Holds pods that are protected and were not held at their birth: those that were there before their node had a gate, or
//! that no plugin handed over.

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use yunting_crds::labels;
use yunting_plan::gate;

use super::links::{PodName, routes};
use super::world::World;

/// Does so whenever something changes, until nobody watches any more.
pub(super) async fn keep(world: &World) -> anyhow::Result<()> {
    let mut changes = world.changes.follow();
    loop {
        changes.borrow_and_update();
        let pods = world.pods.all();
        let here = |p: &&std::sync::Arc<Pod>| {
            let spec = p.spec.as_ref();
            spec.and_then(|s| s.node_name.as_deref()) == Some(&world.node)
                && spec.is_some_and(|s| s.host_network != Some(true))
                && p.labels().contains_key(labels::PROTECTION_GROUP)
        };
        for pod in pods.iter().filter(here) {
            if let Err(why) = hold(world, pod) {
                let pod = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
                tracing::error!(pod, why, "a protected pod is not held");
            }
        }
        changes.changed().await.context("nobody watches any more")?;
    }
}

/// One pod, where a link leads to it. Which group it belongs to was decided at its birth: who is held stays held so.
fn hold(world: &World, pod: &Pod) -> Result<(), String> {
    let name = PodName { namespace: pod.namespace().unwrap_or_default(), name: pod.name_any() };
    let kept = world.links.of(&name, &pod.uid().unwrap_or_default());
    let told = || pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok();
    let routed = || {
        let address = told()?;
        Some((routes().get(&address)?.clone(), address))
    };
    let found = kept.as_ref().map(|k| (k.link.clone(), k.address)).or_else(routed);
    let Some((link, address)) = found.filter(|(link, _)| !world.gates.holds(link)) else { return Ok(()) };
    let label = pod.labels().get(labels::PROTECTION_GROUP).map(String::as_str);
    let Some(group) = gate::group(label).map_err(|e| e.to_string())? else { return Ok(()) };
    let held = world.gates.hold(&group, &link, address)?;
    tracing::warn!(link = %link, group = group.as_str(), "a protected pod was not held; it is now, closed");
    let Some(mut kept) = kept else { return Ok(()) };
    kept.held = Some(held);
    world.links.add(name, kept).map_err(|e| format!("it cannot be kept: {e}"))
}
