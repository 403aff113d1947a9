//! Who may reach whom, said plainly from what was declared, pair by pair: what a probe expects, what a page shows, and
//! what the kernel's table is compared with. It shares nothing with [`super::table`] but the question what a pod is.

use std::net::Ipv4Addr;

use yunting_crds::hall::Zone;

use super::class::{Classes, Seen};
use super::{Facts, Platform, Pod};
use crate::vdc::ValidVdcSlice;
use crate::vdc::cidr::Network;

/// One end of a connection.
#[derive(Debug, Clone, Copy)]
pub enum Party<'a> {
    /// A pod.
    Pod(&'a Pod),
    /// This node itself.
    Node,
    /// Whatever has this address and is neither.
    Other(Ipv4Addr),
}

/// Who may reach whom at a site.
pub struct Matrix<'a> {
    facts: &'a Facts,
    classes: Classes<'a>,
}

impl<'a> Matrix<'a> {
    /// Of these facts.
    pub fn new(facts: &'a Facts) -> Self {
        Self { facts, classes: Classes::new(facts) }
    }

    /// Whether a TCP connection may be opened, where one end is on this node. Between two that are no pods nothing is
    /// decided.
    pub fn may(&self, from: Party<'_>, to: Party<'_>, port: u16) -> bool {
        let (facts, of) = (self.facts, |p| self.classes.of(p));
        // What is nobody's on another node is judged there; here it is an address like any other.
        let known = |party| match party {
            Party::Pod(pod) if pod.link.is_none() && of(pod) == Seen::Unknown => Party::Other(pod.address),
            party => party,
        };
        match (known(from), known(to)) {
            (Party::Pod(a), Party::Pod(b)) => between(of(a), of(b), port) || names(of(a), b, of(b), port),
            // Another node's pods are judged there.
            (Party::Pod(a), Party::Node) => a.link.is_none() || matches!(of(a), Seen::Platform(_)),
            (Party::Pod(a), Party::Other(address)) => outwards(facts, of(a), address, port),
            (Party::Node, Party::Pod(b)) => {
                let door = |n: &Ipv4Addr| through_the_door(of(b), *n, port);
                b.link.is_none() || probed(b, of(b), port) || facts.node.addresses.iter().any(door)
            }
            (Party::Other(address), Party::Pod(b)) => {
                matches!(of(b), Seen::Platform(_)) || through_the_door(of(b), address, port)
            }
            (Party::Node | Party::Other(_), Party::Node | Party::Other(_)) => true,
        }
    }
}

fn between(from: Seen<'_>, to: Seen<'_>, port: u16) -> bool {
    match (from, to) {
        (Seen::Platform(_), Seen::Platform(_)) => true,
        (Seen::Platform(Platform::Gateway), Seen::Component(vdc, _, c)) => {
            vdc.portal && c.spec.zone == Zone::Portal && c.spec.ports.iter().any(|p| p.port == port)
        }
        (Seen::Direct(one), Seen::Direct(other)) => one.owner.uid == other.owner.uid,
        (Seen::Component(_, hall, asks), Seen::Component(_, other, called)) => {
            let called_at = hall.components.iter().position(|c| c.name == called.name);
            hall.uid == other.uid
                && called_at.is_some_and(|i| asks.calls.contains(&i))
                && called.spec.ports.iter().any(|p| p.port == port)
        }
        // Names are asked for by everybody: see `names`.
        (Seen::Unknown | Seen::Platform(_), _)
        | (_, Seen::Unknown | Seen::Platform(_))
        | (Seen::Direct(_), Seen::Component(..))
        | (Seen::Component(..), Seen::Direct(_)) => false,
    }
}

fn names(from: Seen<'_>, pod: &Pod, to: Seen<'_>, port: u16) -> bool {
    from != Seen::Unknown && to == Seen::Platform(Platform::Dns) && pod.names.contains(&port)
}

fn outwards(facts: &Facts, from: Seen<'_>, to: Ipv4Addr, port: u16) -> bool {
    let to = Network::host(to);
    let declared = |vdc: &ValidVdcSlice| {
        let inside = facts.inside.iter().any(|n| n.contains(&to));
        let opens = |e: &crate::vdc::Egress| {
            e.network.contains(&to) && (e.ports.is_empty() || e.ports.contains(&port))
        };
        !inside && vdc.egress.iter().any(opens)
    };
    match from {
        Seen::Platform(_) => true,
        Seen::Direct(vdc) => declared(vdc),
        Seen::Component(vdc, _, c) => c.spec.zone != Zone::Data && declared(vdc),
        Seen::Unknown => false,
    }
}

fn probed(pod: &Pod, seen: Seen<'_>, port: u16) -> bool {
    match seen {
        Seen::Unknown => false,
        Seen::Platform(_) => true,
        Seen::Direct(_) | Seen::Component(..) => pod.probes.contains(&port),
    }
}

fn through_the_door(to: Seen<'_>, from: Ipv4Addr, port: u16) -> bool {
    let Seen::Component(vdc, _, c) = to else { return false };
    let from = Network::host(from);
    vdc.portal
        && c.spec.zone == Zone::Portal
        && c.spec.ports.iter().any(|p| p.port == port)
        && vdc.gateway_networks.iter().any(|n| n.contains(&from))
}
