//! Who may reach whom, said plainly from what was declared, pair by pair: what a probe expects, what a page shows, and
//! what the kernel's table is compared with. It shares nothing with [`super::table`] but the question what a pod is.

use std::net::Ipv4Addr;

use yunting_crds::hall::{ComponentKind, Zone};

use super::class::{Classes, Seen};
use super::{Facts, Platform, Pod};
use crate::hall::grants::Grant;
use crate::hall::{ValidComponent, ValidHallSlice};
use crate::vdc::ValidVdcSlice;
use crate::vdc::cidr::Network;

/// One end of a connection.
#[derive(Debug, Clone, Copy)]
pub enum Party<'a> {
    /// A pod.
    Pod(&'a Pod),
    /// This node itself.
    Node,
    /// What has this address at another site, through the tunnel.
    Abroad(Ipv4Addr),
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
            // What is another site's comes and goes through the tunnel, whatever else is declared.
            (Party::Pod(_), Party::Other(address)) if self.is_abroad(address) => false,
            (Party::Other(address), Party::Pod(_)) if self.is_abroad(address) => false,
            (Party::Other(address), Party::Node) | (Party::Node, Party::Other(address)) => {
                !self.is_abroad(address)
            }
            (Party::Pod(a), Party::Abroad(address)) => self.calls_abroad(of(a), address, port),
            (Party::Abroad(address), Party::Pod(b)) => {
                b.link.is_some() && self.called_from(address, of(b), port)
            }
            (Party::Abroad(_), _) | (_, Party::Abroad(_)) => false,
            (Party::Pod(a), Party::Other(address)) => outwards(facts, of(a), address, port),
            (Party::Node, Party::Pod(b)) => {
                let door = |n: &Ipv4Addr| through_the_door(of(b), *n, port);
                b.link.is_none() || probed(b, of(b), port) || facts.node.addresses.iter().any(door)
            }
            (Party::Other(address), Party::Pod(b)) => {
                matches!(of(b), Seen::Platform(_)) || through_the_door(of(b), address, port)
            }
            (Party::Node, Party::Node) | (Party::Other(_), Party::Other(_)) => true,
        }
    }

    fn is_abroad(&self, address: Ipv4Addr) -> bool {
        self.facts.abroad.iter().any(|n| n.contains(&Network::host(address)))
    }

    /// Which component of which hall is at an address of another site: the only one that is said to be.
    fn at(&self, address: Ipv4Addr) -> Option<(&'a ValidHallSlice, &'a ValidComponent)> {
        let here =
            self.facts.pods.iter().any(|p| p.address == address && self.classes.of(p) != Seen::Unknown);
        if here || !self.is_abroad(address) {
            return None;
        }
        let pods = |hall: &'a ValidHallSlice| {
            let all = hall.elsewhere.iter().flat_map(|e| &e.pods).filter(|p| p.address == address);
            all.filter_map(move |p| Some((hall, hall.components.get(p.component)?))).collect::<Vec<_>>()
        };
        let mut claims = self.facts.halls.iter().flat_map(pods);
        claims.next().filter(|_| claims.next().is_none())
    }

    /// Out: a component that runs here calls one that keeps data and does not.
    fn calls_abroad(&self, from: Seen<'_>, to: Ipv4Addr, port: u16) -> bool {
        let (Seen::Component(_, hall, asks), Some((other, called))) = (from, self.at(to)) else {
            return false;
        };
        asks.active && !called.active && self.crosses(hall, asks, other, called, port)
    }

    /// In: the same, seen from the other end.
    fn called_from(&self, from: Ipv4Addr, to: Seen<'_>, port: u16) -> bool {
        let (Some((hall, asks)), Seen::Component(_, other, called)) = (self.at(from), to) else {
            return false;
        };
        called.active && self.crosses(hall, asks, other, called, port)
    }

    fn crosses(
        &self,
        hall: &ValidHallSlice,
        asks: &ValidComponent,
        other: &ValidHallSlice,
        called: &ValidComponent,
        port: u16,
    ) -> bool {
        let declared =
            asks.spec.calls.iter().any(|call| call.component.as_deref() == Some(called.name.as_str()));
        hall.uid == other.uid
            && hall.everywhere
            && declared
            && asks.spec.kind == ComponentKind::Stateless
            && called.spec.kind == ComponentKind::Stateful
            && called.spec.ports.iter().any(|p| p.port == port)
            && self.facts.node.tunnel.is_some()
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
            let declared = hall.uid == other.uid && called_at.is_some_and(|i| asks.calls.contains(&i));
            (declared || granted((hall, asks), (other, called), port))
                && called.spec.ports.iter().any(|p| p.port == port)
        }
        // Names are asked for by everybody: see `names`.
        (Seen::Unknown | Seen::Platform(_), _)
        | (_, Seen::Unknown | Seen::Platform(_))
        | (Seen::Direct(_), Seen::Component(..))
        | (Seen::Component(..), Seen::Direct(_)) => false,
    }
}

/// Both halls say so of the same grant.
fn granted(
    (hall, asks): (&ValidHallSlice, &ValidComponent),
    (other, called): (&ValidHallSlice, &ValidComponent),
    port: u16,
) -> bool {
    let says =
        |g: &Grant, own: (&ValidHallSlice, &ValidComponent), peer: (&ValidHallSlice, &ValidComponent)| {
            own.0.components.get(g.component).is_some_and(|c| c.name == own.1.name)
                && g.hall == peer.0.uid
                && g.vdc == peer.0.owner.uid
                && g.peer == peer.1.name
                && g.ports.iter().any(|p| p.port == port)
        };
    let (calls, is_called) = (&hall.grants.calls, &other.grants.called);
    let both = |g: &&Grant| {
        let accepts = |t: &Grant| t.uid == g.uid && says(t, (other, called), (hall, asks));
        says(g, (hall, asks), (other, called)) && is_called.iter().any(accepts)
    };
    calls.iter().any(|g| both(&g))
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
