//! The network policy of a component: its declared callers come in, it goes out to what it calls. The front door
//! and DNS are opened for the whole namespace.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};

use super::{ValidComponent, ValidHallSlice};
use crate::object::Object;
use crate::vdc::network::{named, pods_in, port};

/// The policy.
pub(super) fn policy(hall: &ValidHallSlice, c: &ValidComponent) -> Object {
    let ports = |c: &ValidComponent| -> Vec<NetworkPolicyPort> {
        c.spec.ports.iter().map(|p| port("TCP", p.port)).collect()
    };
    let callers: Vec<NetworkPolicyPeer> =
        c.callers.iter().filter_map(|i| hall.components.get(*i)).map(|o| peer(hall, o)).collect();
    // A rule without peers would let everybody in.
    let ingress = (!callers.is_empty())
        .then(|| NetworkPolicyIngressRule { from: Some(callers), ports: Some(ports(c)) });
    let called = c.calls.iter().filter_map(|i| hall.components.get(*i));
    let egress =
        called.map(|o| NetworkPolicyEgressRule { to: Some(vec![peer(hall, o)]), ports: Some(ports(o)) });
    let spec = NetworkPolicySpec {
        pod_selector: Some(hall.selector(c)),
        policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
        ingress: Some(ingress.into_iter().collect()),
        egress: Some(egress.collect()),
    };
    Object::new(&NetworkPolicy { metadata: hall.metadata(c), spec: Some(spec) })
}

fn peer(hall: &ValidHallSlice, c: &ValidComponent) -> NetworkPolicyPeer {
    pods_in(named(&c.namespace), hall.selector(c))
}
