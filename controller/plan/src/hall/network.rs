//! The network policy of a component: its declared callers come in, it goes out to what it calls, pods of other sites by their
//! address. The front door
//! and DNS are opened for the whole namespace.

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};

use super::elsewhere::RemotePod;
use super::{ValidComponent, ValidHallSlice};
use crate::object::Object;
use crate::vdc::network::{named, pods_in, port};

/// The policy.
pub(super) fn policy(hall: &ValidHallSlice, c: &ValidComponent) -> Object {
    let ports = |c: &ValidComponent| -> Vec<NetworkPolicyPort> {
        c.spec.ports.iter().map(|p| port("TCP", p.port)).collect()
    };
    let mut callers: Vec<NetworkPolicyPeer> =
        c.callers.iter().filter_map(|i| hall.components.get(*i)).map(|o| peer(hall, o)).collect();
    if hall.exports(c) {
        callers.extend(hall.callers(c).flat_map(|o| hall.pods_elsewhere(o)).map(block));
    }
    // A rule without peers would let everybody in.
    let ingress = (!callers.is_empty())
        .then(|| NetworkPolicyIngressRule { from: Some(callers), ports: Some(ports(c)) });
    let called = c.calls.iter().filter_map(|i| hall.components.get(*i));
    let to = |o: &ValidComponent| {
        let elsewhere = hall.pods_elsewhere(o).filter(|_| hall.imports(o)).map(block);
        std::iter::once(peer(hall, o)).chain(elsewhere).collect()
    };
    let egress = called.map(|o| NetworkPolicyEgressRule { to: Some(to(o)), ports: Some(ports(o)) });
    let spec = NetworkPolicySpec {
        pod_selector: Some(hall.selector(c)),
        policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
        ingress: Some(ingress.into_iter().collect()),
        egress: Some(egress.collect()),
    };
    Object::new(&NetworkPolicy { metadata: hall.metadata(c), spec: Some(spec) })
}

/// A pod of another site has no labels here.
fn block(pod: &RemotePod) -> NetworkPolicyPeer {
    let cidr = format!("{}/32", pod.address);
    NetworkPolicyPeer { ip_block: Some(IPBlock { cidr, except: None }), ..NetworkPolicyPeer::default() }
}

fn peer(hall: &ValidHallSlice, c: &ValidComponent) -> NetworkPolicyPeer {
    pods_in(named(&c.namespace), hall.selector(c))
}
