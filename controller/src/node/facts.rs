//! What the plan decides upon, from what was seen.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Node as KubeNode, Pod as KubePod, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use yunting_crds::hall_slice::HallSliceSpec;
use yunting_crds::{SliceRecord, labels};
use yunting_plan::boundary::{Facts, Link, Node, Pod};
use yunting_plan::hall::ValidHallSlice;
use yunting_plan::vdc::ValidVdcSlice;
use yunting_plan::vdc::cidr::Network;

use super::links::{Attached, PodName};

/// Label by which the platform's pods are told apart.
const APP: &str = "k8s-app";

/// What was seen of a site, from one of its nodes.
pub struct Seen<'a> {
    /// What time it is: grants end by it, whether the hub is heard or not.
    pub now: Timestamp,
    /// Name of this node.
    pub node: &'a str,
    /// The site's copies of its slices.
    pub records: &'a [Arc<SliceRecord>],
    /// Every pod of the site.
    pub pods: &'a [Arc<KubePod>],
    /// Every node of the site.
    pub nodes: &'a [Arc<KubeNode>],
    /// Links of this node that lead to no pod.
    pub outer: &'a BTreeSet<Link>,
    /// Networks inside the cloud, besides nodes and their pods.
    pub inside: &'a BTreeSet<Network>,
    /// Networks of all other sites' pods.
    pub abroad: &'a BTreeSet<Network>,
    /// The link that leads there.
    pub tunnel: Option<Link>,
    /// Namespaces of the platform.
    pub platform: &'a BTreeSet<String>,
    /// What the CNI plugin handed over of a pod with this uid.
    pub attached: &'a dyn Fn(&PodName, &str) -> Option<Attached>,
    /// Where the routes of single addresses lead, for pods of which nothing was handed over.
    pub routes: &'a HashMap<Ipv4Addr, Link>,
}

impl Seen<'_> {
    /// What the plan decides upon.
    pub fn facts(&self) -> Facts {
        let specs = || self.records.iter().map(|r| &r.spec);
        let vdcs: Vec<ValidVdcSlice> =
            specs().filter_map(|s| ValidVdcSlice::try_from(s.vdc.as_ref()?).ok()).collect();
        let by_uid: HashMap<&str, &ValidVdcSlice> = vdcs.iter().map(|v| (v.owner.uid.as_str(), v)).collect();
        // A hall that stands is judged as one that stands: a quota that was lowered below it closes nothing.
        let hall = |slice: &HallSliceSpec| {
            let vdc = by_uid.get(slice.vdc.uid.as_str())?;
            Some(ValidHallSlice::standing(slice, vdc).ok()?.with_grants(slice, vdc, self.now))
        };
        let halls = specs().filter_map(|s| hall(s.hall.as_ref()?)).collect();
        let of_nodes = self.nodes.iter().flat_map(|n| addresses(n)).map(Network::host);
        let inside = self.inside.iter().copied().chain([Network::METADATA]).chain(of_nodes);
        let own = self.nodes.iter().find(|n| n.name_any() == self.node);
        let node = Node {
            outer: self.outer.clone(),
            tunnel: self.tunnel.clone(),
            addresses: own.into_iter().flat_map(|n| addresses(n)).collect(),
        };
        Facts {
            halls,
            platform: self.platform.clone(),
            pods: self.pods.iter().filter_map(|p| self.pod(p)).collect(),
            abroad: self.abroad.clone(),
            inside: inside.chain(self.nodes.iter().flat_map(|n| pod_networks(n))).collect(),
            node,
            vdcs,
        }
    }

    /// One that has, or may have, packets of its own. What has ended has given its address back.
    fn pod(&self, pod: &KubePod) -> Option<Pod> {
        let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref());
        let phase = status.and_then(|s| s.phase.as_deref()).unwrap_or_default();
        if spec.host_network == Some(true) || matches!(phase, "Succeeded" | "Failed") {
            return None;
        }
        let here = spec.node_name.as_deref() == Some(self.node);
        let name = PodName { namespace: pod.namespace()?, name: pod.name_any() };
        let told = || status.and_then(|s| s.pod_ip.as_deref()).and_then(|a| a.parse().ok());
        let attached = (self.attached)(&name, &pod.uid()?).filter(|_| here);
        let (address, link) = if let Some(attached) = attached {
            (attached.address, Some(attached.link))
        } else {
            let address = told()?;
            (address, self.routes.get(&address).filter(|_| here).cloned())
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
            names: spec.containers.iter().flat_map(names).collect(),
        })
    }
}

fn addresses(node: &KubeNode) -> Vec<Ipv4Addr> {
    let all = node.status.iter().flat_map(|s| s.addresses.iter().flatten());
    all.filter_map(|a| a.address.parse().ok()).collect()
}

pub(super) fn pod_networks(node: &KubeNode) -> Vec<Network> {
    let spec = node.spec.as_ref();
    let all = spec.into_iter().flat_map(|s| s.pod_cidrs.iter().flatten().chain(s.pod_cidr.iter()));
    all.filter_map(|c| c.parse().ok()).collect()
}

/// Ports at which a DNS answers: CoreDNS's manifests everywhere call them `dns` and `dns-tcp`.
fn names(container: &Container) -> BTreeSet<u16> {
    let named = |name: &str| name == "dns" || name == "dns-tcp";
    let ports = container.ports.iter().flatten().filter(|p| p.name.as_deref().is_some_and(named));
    ports.filter_map(|p| u16::try_from(p.container_port).ok()).collect()
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

    #[test]
    fn a_dns_is_asked_where_it_says_that_it_answers() {
        let container: Container = serde_json::from_value(json!({"name": "c", "ports": [
            {"name": "dns", "containerPort": 1053, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 1053},
            {"name": "metrics", "containerPort": 9153},
        ]}))
        .unwrap();
        assert_eq!(names(&container), BTreeSet::from([1053]));
    }
}
