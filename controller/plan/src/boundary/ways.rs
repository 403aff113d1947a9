//! What is tried from a VDC's pods to see that it is closed: from a pod of each class on the node, to all others at a small
//! site, and in turns at a large one.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::class::{Class, Classes, Seen};
use super::matrix::{Matrix, Party};
use super::{Facts, Platform, Pod};
use crate::vdc::Uid;

/// About how many ways are tried in a turn: a few hundredths of a core's time, and a second or two of waiting.
const WAYS: usize = 4096;
/// Fewest and most pods that are tried from one, besides those that answer names.
const PODS: [usize; 2] = [4, 64];

/// A connection that is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way<'a> {
    /// The VDC whose border is looked at.
    pub vdc: &'a Uid,
    /// Who asks: one of its pods on this node.
    pub from: &'a Pod,
    /// Who is asked, where it is a pod.
    pub to: Option<&'a Pod>,
    /// The address that is asked.
    pub address: Ipv4Addr,
    /// At this TCP port.
    pub port: u16,
    /// Whether it may pass.
    pub may: bool,
}

/// The ways of one turn. `beyond` are ends besides pods and this node: API servers, other nodes, the metadata
/// address.
pub fn ways<'a>(facts: &'a Facts, beyond: &[(Ipv4Addr, u16)], turn: usize) -> Vec<Way<'a>> {
    let (classes, matrix) = (Classes::new(facts), Matrix::new(facts));
    let askers = askers(facts, &classes, turn);
    let pods = (WAYS / askers.len().max(1)).clamp(PODS[0], PODS[1]);
    let mut all = Vec::new();
    for (vdc, from) in askers {
        let way = |to: Option<&'a Pod>, address, port| {
            let party = to.map_or(Party::Other(address), Party::Pod);
            let party = if facts.node.addresses.contains(&address) { Party::Node } else { party };
            Way { vdc, from, to, address, port, may: matrix.may(Party::Pod(from), party, port) }
        };
        for pod in asked(facts, &classes, from, turn, pods) {
            all.extend(ports(&classes, pod).into_iter().map(|port| way(Some(pod), pod.address, port)));
        }
        let node = facts.node.addresses.iter().map(|a| (*a, KUBELET));
        all.extend(node.chain(beyond.iter().copied()).map(|(address, port)| way(None, address, port)));
    }
    all
}

/// Where kubelets listen, on every node.
const KUBELET: u16 = 10250;

/// One pod of each class that has pods on this node, another each time, with its VDC.
fn askers<'a>(facts: &'a Facts, classes: &Classes<'a>, turn: usize) -> Vec<(&'a Uid, &'a Pod)> {
    let mut by_class: BTreeMap<Class, Vec<(&Uid, &Pod)>> = BTreeMap::new();
    for pod in facts.pods.iter().filter(|p| p.link.is_some()) {
        let seen = classes.of(pod);
        if let (Seen::Component(vdc, ..) | Seen::Direct(vdc), Some(class)) = (seen, seen.class()) {
            by_class.entry(class).or_default().push((&vdc.owner.uid, pod));
        }
    }
    by_class.into_values().filter_map(|pods| pods.get(turn.checked_rem(pods.len())?).copied()).collect()
}

/// Those who answer names always: they are who has to be reached. Of all others some.
fn asked<'a>(facts: &'a Facts, classes: &Classes<'a>, from: &Pod, turn: usize, pods: usize) -> Vec<&'a Pod> {
    let others = || facts.pods.iter().filter(|p| p.address != from.address);
    let dns = |p: &&Pod| classes.of(p) == Seen::Platform(Platform::Dns);
    let rest: Vec<&Pod> = others().filter(|p| !dns(p)).collect();
    let begin = turn.saturating_mul(pods).checked_rem(rest.len()).unwrap_or_default();
    let some = rest.iter().copied().cycle().skip(begin).take(pods.min(rest.len()));
    others().filter(dns).chain(some).collect()
}

/// Where somebody may listen: what it declares, and where it is probed.
fn ports(classes: &Classes<'_>, pod: &Pod) -> Vec<u16> {
    let declared = match classes.of(pod) {
        Seen::Component(_, _, c) => c.spec.ports.iter().map(|p| p.port).collect(),
        Seen::Direct(_) | Seen::Platform(_) | Seen::Unknown => Vec::new(),
    };
    let mut all: Vec<u16> =
        declared.into_iter().chain(pod.probes.iter().chain(&pod.names).copied()).collect();
    all.sort_unstable();
    all.dedup();
    all
}
