//! NetworkPolicies of a VDC's namespace: nothing enters or leaves, then what was declared.
//!
//! They hold where the site's network enforces them; what the site enforces is said in `NetworkIsolated`.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use yunting_crds::hall::Zone;
use yunting_crds::labels;
use yunting_crds::vdc::Access;

use super::cidr::Network;
use super::{Egress, SiteFacts, ValidNamespace, ValidVdcSlice};
use crate::object::Object;

/// Name of the policy without which a namespace closes.
pub const DEFAULT_DENY: &str = "yunting-default-deny";
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Nothing enters, nothing leaves.
pub(super) fn default_deny(slice: &ValidVdcSlice, namespace: &ValidNamespace) -> Object {
    let spec = NetworkPolicySpec {
        pod_selector: Some(LabelSelector::default()),
        policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
        ..NetworkPolicySpec::default()
    };
    policy(slice, namespace, DEFAULT_DENY, spec)
}

/// What may enter and leave after all.
pub(super) fn openings(slice: &ValidVdcSlice, namespace: &ValidNamespace, site: &SiteFacts) -> Vec<Object> {
    let mut all = vec![policy(slice, namespace, "yunting-dns", dns())];
    if namespace.access == Access::Direct {
        all.push(policy(slice, namespace, "yunting-own-vdc", own_vdc(slice)));
    }
    if slice.portal {
        all.push(policy(slice, namespace, "yunting-portal", portal(slice)));
    }
    if !slice.egress.is_empty() {
        all.push(policy(slice, namespace, "yunting-egress", egress(&slice.egress, site)));
    }
    all
}

fn policy(slice: &ValidVdcSlice, namespace: &ValidNamespace, name: &str, spec: NetworkPolicySpec) -> Object {
    Object::new(&NetworkPolicy { metadata: slice.owner.metadata(name, &namespace.at_site), spec: Some(spec) })
}

/// A selector of these labels.
pub(crate) fn matching<const N: usize>(pairs: [(&str, &str); N]) -> LabelSelector {
    let labels: BTreeMap<String, String> = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

/// Pods of a namespace, chosen by labels.
pub(crate) fn pods_in(namespace: LabelSelector, pods: LabelSelector) -> NetworkPolicyPeer {
    NetworkPolicyPeer { namespace_selector: Some(namespace), pod_selector: Some(pods), ip_block: None }
}

/// The namespace of that name.
pub(crate) fn named(namespace: &str) -> LabelSelector {
    matching([(NAMESPACE_NAME, namespace)])
}

/// A port.
pub(crate) fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(i32::from(number))),
        end_port: None,
    }
}

fn dns() -> NetworkPolicySpec {
    let server = pods_in(named("kube-system"), matching([("k8s-app", "kube-dns")]));
    let rule = NetworkPolicyEgressRule {
        to: Some(vec![server]),
        ports: Some(vec![port("UDP", 53), port("TCP", 53)]),
    };
    out_of(LabelSelector::default(), vec![rule])
}

/// Direct namespaces of one VDC are one place: their pods see each other. HallsOnly namespaces take part only by
/// the `calls` of their components.
fn own_vdc(slice: &ValidVdcSlice) -> NetworkPolicySpec {
    let own =
        matching([(labels::VDC_UID, slice.owner.uid.as_str()), (labels::ACCESS, Access::Direct.as_str())]);
    let peer = NetworkPolicyPeer { namespace_selector: Some(own), ..NetworkPolicyPeer::default() };
    NetworkPolicySpec {
        pod_selector: Some(LabelSelector::default()),
        policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
        ingress: Some(vec![NetworkPolicyIngressRule { from: Some(vec![peer.clone()]), ports: None }]),
        egress: Some(vec![NetworkPolicyEgressRule { to: Some(vec![peer]), ports: None }]),
    }
}

fn portal(slice: &ValidVdcSlice) -> NetworkPolicySpec {
    let gateway = NetworkPolicyPeer {
        namespace_selector: Some(named(labels::GATEWAY_NAMESPACE)),
        ..NetworkPolicyPeer::default()
    };
    let networks = slice.gateway_networks.iter().map(|n| block(*n, &[]));
    let rule = NetworkPolicyIngressRule {
        from: Some(std::iter::once(gateway).chain(networks).collect()),
        ports: None,
    };
    into(matching([(labels::ZONE, Zone::Portal.as_str())]), vec![rule])
}

/// Declared networks, without what nobody may call. Zone `Data` calls nothing outside the VDC.
fn egress(rules: &[Egress], site: &SiteFacts) -> NetworkPolicySpec {
    let rule = |e: &Egress| NetworkPolicyEgressRule {
        to: Some(vec![block(e.network, &e.network.holes(&site.forbidden))]),
        ports: Some(e.ports.iter().map(|p| port("TCP", *p)).collect()).filter(|p: &Vec<_>| !p.is_empty()),
    };
    let allowed = |e: &&Egress| !site.forbidden.iter().any(|f| f.contains(&e.network));
    let not_data = LabelSelectorRequirement {
        key: labels::ZONE.to_owned(),
        operator: "NotIn".to_owned(),
        values: Some(vec![Zone::Data.as_str().to_owned()]),
    };
    let selector = LabelSelector { match_expressions: Some(vec![not_data]), ..LabelSelector::default() };
    out_of(selector, rules.iter().filter(allowed).map(rule).collect())
}

fn block(network: Network, holes: &[Network]) -> NetworkPolicyPeer {
    let except: Vec<String> = holes.iter().map(ToString::to_string).collect();
    let ip_block =
        IPBlock { cidr: network.to_string(), except: Some(except).filter(|e: &Vec<_>| !e.is_empty()) };
    NetworkPolicyPeer { ip_block: Some(ip_block), ..NetworkPolicyPeer::default() }
}

/// A policy that lets something in.
pub(crate) fn into(pods: LabelSelector, rules: Vec<NetworkPolicyIngressRule>) -> NetworkPolicySpec {
    NetworkPolicySpec {
        pod_selector: Some(pods),
        policy_types: Some(vec!["Ingress".to_owned()]),
        ingress: Some(rules),
        egress: None,
    }
}

/// A policy that lets something out.
pub(crate) fn out_of(pods: LabelSelector, rules: Vec<NetworkPolicyEgressRule>) -> NetworkPolicySpec {
    NetworkPolicySpec {
        pod_selector: Some(pods),
        policy_types: Some(vec!["Egress".to_owned()]),
        ingress: None,
        egress: Some(rules),
    }
}
