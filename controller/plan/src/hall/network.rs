//! The network policy of a component: its declared callers come in, it goes out to what it calls, pods of other sites by their
//! address, halls of other VDCs by grants. The front door and DNS are opened for the whole namespace.

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};

use yunting_crds::labels;

use super::elsewhere::RemotePod;
use super::grants::Grant;
use super::{ValidComponent, ValidHallSlice};
use crate::object::Object;
use crate::vdc::network::{matching, named, pods_in, port};

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
    let granted_in = hall
        .granted_callers(c)
        .filter(|g| !g.ports.is_empty())
        .map(|g| NetworkPolicyIngressRule { from: Some(vec![granted(g)]), ports: Some(granted_ports(g)) });
    let granted_out = hall
        .granted_calls(c)
        .map(|g| NetworkPolicyEgressRule { to: Some(vec![granted(g)]), ports: Some(granted_ports(g)) });
    let spec = NetworkPolicySpec {
        pod_selector: Some(hall.selector(c)),
        policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
        ingress: Some(ingress.into_iter().chain(granted_in).collect()),
        egress: Some(egress.chain(granted_out).collect()),
    };
    Object::new(&NetworkPolicy { metadata: hall.metadata(c), spec: Some(spec) })
}

/// The other end of a grant, in whichever namespace of its VDC: labels of VDC, hall and component are Yunting's own.
fn granted(g: &Grant) -> NetworkPolicyPeer {
    let vdc = matching([(labels::VDC_UID, g.vdc.as_str())]);
    pods_in(vdc, matching([(labels::HALL_UID, g.hall.as_str()), (labels::COMPONENT, g.peer.as_str())]))
}

fn granted_ports(g: &Grant) -> Vec<NetworkPolicyPort> {
    g.ports.iter().map(|p| port("TCP", p.port)).collect()
}

/// A pod of another site has no labels here.
fn block(pod: &RemotePod) -> NetworkPolicyPeer {
    let cidr = format!("{}/32", pod.address);
    NetworkPolicyPeer { ip_block: Some(IPBlock { cidr, except: None }), ..NetworkPolicyPeer::default() }
}

fn peer(hall: &ValidHallSlice, c: &ValidComponent) -> NetworkPolicyPeer {
    pods_in(named(&c.namespace), hall.selector(c))
}
