//! What the plan decides upon, from what was seen.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Container, Node as KubeNode, Pod as KubePod, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use yunting_crds::labels;
use yunting_plan::boundary::{Facts, Link, Node, Pod};
use yunting_plan::hall::ValidHallSlice;
use yunting_plan::vdc::ValidVdcSlice;
use yunting_plan::vdc::cidr::Network;

use super::links::{PodName, routes};
use super::world::World;

/// Label by which the platform's pods are told apart.
const APP: &str = "k8s-app";

/// Puts them together.
pub(super) fn facts(world: &World) -> Facts {
    let records = world.records.all();
    let vdcs: Vec<ValidVdcSlice> = records
        .iter()
        .filter_map(|r| ValidVdcSlice::try_from(r.spec.vdc.as_ref()?).ok())
        .collect();
    let by_uid: HashMap<&str, &ValidVdcSlice> = vdcs.iter().map(|v| (v.owner.uid.as_str(), v)).collect();
    let halls: Vec<ValidHallSlice> = records
        .iter()
        .filter_map(|r| {
            let hall = r.spec.hall.as_ref()?;
            ValidHallSlice::check(hall, by_uid.get(hall.vdc.uid.as_str())?).ok()
        })
        .collect();
    let routes = routes();
    let pods = world.pods.all();
    let pods = pods.iter().filter_map(|p| pod(world, &routes, p)).collect();
    let nodes = world.nodes.all();
    let of_nodes: BTreeSet<Ipv4Addr> = nodes.iter().flat_map(|n| addresses(n)).collect();
    let mut inside = world.inside.clone();
    inside.insert(Network::METADATA);
    inside.extend(of_nodes.into_iter().map(Network::host));
    inside.extend(nodes.iter().flat_map(|n| pod_networks(n)));
    let own = world.nodes.get_cluster(&world.node);
    let node = Node {
        outer: world.outer.clone(),
        addresses: own.iter().flat_map(|n| addresses(n)).collect(),
    };
    Facts { vdcs, halls, platform: world.platform.clone(), pods, node, inside }
}

fn addresses(node: &KubeNode) -> Vec<Ipv4Addr> {
    let all = node.status.iter().flat_map(|s| s.addresses.iter().flatten());
    all.filter_map(|a| a.address.parse().ok()).collect()
}

fn pod_networks(node: &KubeNode) -> Vec<Network> {
    let spec = node.spec.as_ref();
    let all = spec.into_iter().flat_map(|s| s.pod_cidrs.iter().flatten().chain(s.pod_cidr.iter()));
    all.filter_map(|c| c.parse().ok()).collect()
}

/// One that has, or may have, packets of its own. What has ended has given its address back.
fn pod(world: &World, routes: &HashMap<Ipv4Addr, Link>, pod: &KubePod) -> Option<Pod> {
    let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref());
    let phase = status.and_then(|s| s.phase.as_deref()).unwrap_or_default();
    if spec.host_network == Some(true) || matches!(phase, "Succeeded" | "Failed") {
        return None;
    }
    let here = spec.node_name.as_deref() == Some(world.node.as_str());
    let name = PodName { namespace: pod.namespace()?, name: pod.name_any() };
    let attached = world.links.of(&name, &pod.uid()?).filter(|_| here);
    let told = status.and_then(|s| s.pod_ip.as_deref()).and_then(|a| a.parse().ok());
    let (address, link) = match attached {
        Some(attached) => (attached.address, Some(attached.link)),
        None => {
            let address = told?;
            (address, routes.get(&address).filter(|_| here).cloned())
        }
    };
    // Without a link here it would count as one of another node.
    if here && link.is_none() {
        return None;
    }
    let label = |key: &str| pod.labels().get(key).cloned();
    Some(Pod {
        namespace: name.namespace,
        name: name.name,
        hall_uid: label(labels::HALL_UID),
        component: label(labels::COMPONENT),
        app: label(APP),
        address,
        link,
        probes: spec.containers.iter().flat_map(probes).collect(),
    })
}

/// TCP ports at which a container is probed.
fn probes(container: &Container) -> BTreeSet<u16> {
    let named = |name: &str| {
        let port = container.ports.iter().flatten().find(|p| p.name.as_deref() == Some(name));
        port.map(|p| p.container_port)
    };
    let number = |port: &IntOrString| match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => named(name).or_else(|| name.parse().ok()),
    };
    let ports = |probe: &Probe| {
        let http = probe.http_get.as_ref().and_then(|h| number(&h.port));
        let tcp = probe.tcp_socket.as_ref().and_then(|t| number(&t.port));
        [http, tcp, probe.grpc.as_ref().map(|g| g.port)]
    };
    let all = [&container.liveness_probe, &container.readiness_probe, &container.startup_probe];
    let all = all.into_iter().flatten().flat_map(ports).flatten();
    all.filter_map(|port| u16::try_from(port).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn probed_ports_are_found_by_number_and_by_name() {
        let container: Container = serde_json::from_value(json!({
            "name": "c", "ports": [{"name": "http", "containerPort": 8080}],
            "livenessProbe": {"httpGet": {"port": "http", "path": "/"}},
            "readinessProbe": {"tcpSocket": {"port": 9000}},
            "startupProbe": {"grpc": {"port": 7000}},
        }))
        .unwrap();
        assert_eq!(probes(&container), BTreeSet::from([7000, 8080, 9000]));
        let none: Container = serde_json::from_value(json!({
            "name": "c", "readinessProbe": {"exec": {"command": ["true"]}}, "livenessProbe": {"tcpSocket": {"port": "gone"}},
        }))
        .unwrap();
        assert!(probes(&none).is_empty());
    }
}
