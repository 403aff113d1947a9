//! Who may reach whom, as elements of the kernel's sets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use yunting_crds::hall::Zone;

use super::class::{Class, ClassId, Classes, Seen};
use super::{Facts, Link, Platform, Pod};
use crate::hall::grants::{Way, ways};
use crate::hall::{ValidComponent, ValidHallSlice};
use crate::vdc::ValidVdcSlice;
use crate::vdc::cidr::Network;

/// The elements of each set. Its size grows with pods and with calls that are declared, never with pairs of pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Links that lead to no pod.
    pub outer: BTreeSet<Link>,
    /// The link that leads to other sites, if there is one.
    pub tunnel: BTreeSet<Link>,
    /// Networks of other sites' pods: their packets pass by that link and by no other.
    pub abroad: BTreeSet<Network>,
    /// Pods of this node: link and address. What comes from a link with another address is forged.
    pub local: BTreeSet<(Link, Ipv4Addr)>,
    /// Class of each VDC's pod at the site, and of those of other sites that may call here.
    pub class: BTreeMap<Ipv4Addr, ClassId>,
    /// Pods of the platform.
    pub platform: BTreeSet<Ipv4Addr>,
    /// Those of it that answer names, and at which port.
    pub dns: BTreeSet<(Ipv4Addr, u16)>,
    /// Declared and granted calls: a class may call this TCP port.
    pub calls: BTreeSet<(ClassId, Ipv4Addr, u16)>,
    /// A class may reach everything of that address: `Direct` namespaces of one VDC.
    pub same: BTreeSet<(ClassId, Ipv4Addr)>,
    /// The front door: from this network to this TCP port.
    pub entry: BTreeSet<(Network, Ipv4Addr, u16)>,
    /// TCP ports of its pods that this node itself may call: where its kubelet probes, and the front door's where that
    /// runs on the node. Which of its addresses it calls from is the kernel's choice.
    pub from_node: BTreeSet<(Ipv4Addr, u16)>,
    /// What no declared egress reaches into.
    pub inside: BTreeSet<Network>,
    /// Declared networks outside, by TCP port.
    pub egress_tcp: BTreeSet<(ClassId, Network, u16)>,
    /// Declared networks outside, all of them.
    pub egress_any: BTreeSet<(ClassId, Network)>,
}

impl Table {
    /// The table that follows from these facts.
    pub fn of(facts: &Facts) -> Self {
        let classes = Classes::new(facts);
        let seen: Vec<(&Pod, Seen<'_>)> = unambiguous(&facts.pods).map(|p| (p, classes.of(p))).collect();
        let mut table = Self {
            outer: facts.node.outer.clone(),
            inside: widest(facts.inside.iter().copied()),
            tunnel: facts.node.tunnel.iter().cloned().collect(),
            abroad: widest(facts.abroad.iter().copied()),
            ..Self::default()
        };
        let gateways: BTreeSet<Network> = seen
            .iter()
            .filter(|(_, s)| matches!(s, Seen::Platform(Platform::Gateway)))
            .map(|(p, _)| Network::host(p.address))
            .collect();
        for (pod, seen) in &seen {
            table.pod(&classes, pod, *seen, &gateways);
            table.own(pod, *seen, &facts.node.addresses);
        }
        table.granted(&classes, &seen, &facts.halls);
        for (address, (hall, c)) in abroad(facts) {
            table.pod_abroad(&classes, address, hall, c);
        }
        for vdc in &facts.vdcs {
            table.outside_of_vdc(&classes, vdc);
        }
        for hall in &facts.halls {
            let vdc = facts.vdcs.iter().find(|v| v.owner.uid == hall.owner.uid);
            if let Some(vdc) = vdc {
                table.outside_of_hall(&classes, vdc, hall);
            }
        }
        table
    }

    /// What is known of a pod of this node alone.
    fn own(&mut self, pod: &Pod, seen: Seen<'_>, addresses: &BTreeSet<Ipv4Addr>) {
        let Some(link) = pod.link.as_ref().filter(|_| seen != Seen::Unknown) else { return };
        self.local.insert((link.clone(), pod.address));
        self.from_node.extend(pod.probes.iter().map(|port| (pod.address, *port)));
        if let Seen::Component(vdc, _, c) = seen
            && vdc.portal
            && c.spec.zone == Zone::Portal
            && addresses.iter().any(|a| vdc.gateway_networks.iter().any(|n| n.contains(&Network::host(*a))))
        {
            self.from_node.extend(c.spec.ports.iter().map(|p| (pod.address, p.port)));
        }
    }

    /// What leads to a pod and is known of it.
    fn pod(&mut self, classes: &Classes<'_>, pod: &Pod, seen: Seen<'_>, gateways: &BTreeSet<Network>) {
        match seen {
            Seen::Unknown => (),
            Seen::Platform(kind) => {
                self.platform.insert(pod.address);
                if kind == Platform::Dns {
                    self.dns.extend(pod.names.iter().map(|port| (pod.address, *port)));
                }
            }
            Seen::Direct(_) => {
                let own = self.known(classes, pod, seen);
                self.same.extend(own.map(|id| (id, pod.address)));
            }
            Seen::Component(vdc, hall, c) => {
                self.known(classes, pod, seen);
                let callers = c.callers.iter().filter_map(|i| hall.components.get(*i));
                let callers = callers.filter_map(|o| classes.id(&class(hall, o))).collect::<Vec<_>>();
                let ports = || c.spec.ports.iter().map(|p| p.port);
                self.calls
                    .extend(callers.iter().flat_map(|id| ports().map(move |port| (*id, pod.address, port))));
                if hall.exports(c) {
                    let from = hall.callers(c).filter_map(|o| classes.id(&class_abroad(hall, o)));
                    self.calls.extend(from.flat_map(|id| ports().map(move |port| (id, pod.address, port))));
                }
                if vdc.portal && c.spec.zone == Zone::Portal {
                    let from = widest(vdc.gateway_networks.iter().chain(gateways).copied());
                    self.entry
                        .extend(from.iter().flat_map(|n| ports().map(move |port| (*n, pod.address, port))));
                }
            }
        }
    }

    /// What both ends of a grant agree upon. Direct namespaces have no part in it, whatever labels their pods carry.
    fn granted(&mut self, classes: &Classes<'_>, seen: &[(&Pod, Seen<'_>)], halls: &[ValidHallSlice]) {
        let mut by_called: BTreeMap<Class, Vec<Way<'_>>> = BTreeMap::new();
        for way in ways(halls) {
            by_called.entry(class(way.to.0, way.to.1)).or_default().push(way);
        }
        for (pod, seen) in seen {
            let here = matches!(seen, Seen::Component(..)).then(|| seen.class()).flatten();
            for way in here.and_then(|class| by_called.get(&class)).into_iter().flatten() {
                let from = classes.id(&class(way.from.0, way.from.1));
                self.calls.extend(
                    from.into_iter()
                        .flat_map(|id| way.ports.iter().map(move |port| (id, pod.address, *port))),
                );
            }
        }
    }

    /// A pod of another site: it may call what its component calls here and other sites may; what runs there alone is called by
    /// who calls it here.
    fn pod_abroad(
        &mut self,
        classes: &Classes<'_>,
        address: Ipv4Addr,
        hall: &ValidHallSlice,
        c: &ValidComponent,
    ) {
        // What is known here is not believed to be elsewhere.
        if self.class.contains_key(&address) || self.platform.contains(&address) {
            return;
        }
        let calls = || c.calls.iter().filter_map(|i| hall.components.get(*i));
        if !c.stateful() && calls().any(|o| hall.exports(o)) {
            self.class.extend(classes.id(&class_abroad(hall, c)).map(|id| (address, id)));
        }
        if hall.imports(c) {
            let from = hall.callers(c).filter(|o| o.active).filter_map(|o| classes.id(&class(hall, o)));
            let ports = || c.spec.ports.iter().map(|p| p.port);
            self.calls.extend(from.flat_map(|id| ports().map(move |port| (id, address, port))));
        }
    }

    fn known(&mut self, classes: &Classes<'_>, pod: &Pod, seen: Seen<'_>) -> Option<ClassId> {
        let id = classes.id(&seen.class()?)?;
        self.class.insert(pod.address, id);
        Some(id)
    }

    fn outside_of_vdc(&mut self, classes: &Classes<'_>, vdc: &ValidVdcSlice) {
        if let Some(id) = classes.id(&Class::Direct { vdc: vdc.owner.uid.clone() }) {
            self.egress(id, vdc);
        }
    }

    /// Zone `Data` calls nothing outside the VDC.
    fn outside_of_hall(&mut self, classes: &Classes<'_>, vdc: &ValidVdcSlice, hall: &ValidHallSlice) {
        for c in hall.components.iter().filter(|c| c.spec.zone != Zone::Data) {
            if let Some(id) = classes.id(&class(hall, c)) {
                self.egress(id, vdc);
            }
        }
    }

    /// The kernel takes no element that overlaps another: of networks within each other only the widest stays.
    fn egress(&mut self, id: ClassId, vdc: &ValidVdcSlice) {
        let all = widest(vdc.egress.iter().filter(|e| e.ports.is_empty()).map(|e| e.network));
        self.egress_any.extend(all.iter().map(|n| (id, *n)));
        let ports: BTreeSet<u16> = vdc.egress.iter().flat_map(|e| e.ports.iter().copied()).collect();
        for port in ports {
            let networks = vdc.egress.iter().filter(|e| e.ports.contains(&port)).map(|e| e.network);
            self.egress_tcp.extend(widest(networks).iter().map(|n| (id, *n, port)));
        }
    }
}

fn class(hall: &ValidHallSlice, c: &ValidComponent) -> Class {
    Class::Component { hall: hall.uid.clone(), component: c.name.clone() }
}

fn class_abroad(hall: &ValidHallSlice, c: &ValidComponent) -> Class {
    Class::Abroad { hall: hall.uid.clone(), component: c.name.clone() }
}

/// Pods of other sites by address. One that two halls or components claim is nobody's, and so is one outside the networks that
/// this node was told of.
fn abroad(facts: &Facts) -> BTreeMap<Ipv4Addr, (&ValidHallSlice, &ValidComponent)> {
    let mut all: BTreeMap<Ipv4Addr, Vec<(&ValidHallSlice, &ValidComponent)>> = BTreeMap::new();
    for hall in &facts.halls {
        for pod in hall.elsewhere.iter().flat_map(|e| &e.pods) {
            let within = facts.abroad.iter().any(|n| n.contains(&Network::host(pod.address)));
            if let Some(c) = hall.components.get(pod.component).filter(|_| within) {
                all.entry(pod.address).or_default().push((hall, c));
            }
        }
    }
    let one = |(address, claims): (Ipv4Addr, Vec<_>)| match claims.as_slice() {
        [one] => Some((address, *one)),
        _ => None,
    };
    all.into_iter().filter_map(one).collect()
}

/// Each address once. Of two pods with one address the one that has it on a link of this node is there; where that does
/// not decide, nobody knows whose packets they are, and neither has a network.
fn unambiguous(pods: &[Pod]) -> impl Iterator<Item = &Pod> {
    let mut by_address: BTreeMap<Ipv4Addr, Vec<&Pod>> = BTreeMap::new();
    for pod in pods {
        by_address.entry(pod.address).or_default().push(pod);
    }
    by_address.into_values().filter_map(|pods| match pods.as_slice() {
        [one] => Some(*one),
        several => {
            let mut here = several.iter().filter(|p| p.link.is_some());
            here.next().filter(|_| here.next().is_none()).copied()
        }
    })
}

/// Without those that lie in another.
fn widest(networks: impl Iterator<Item = Network>) -> BTreeSet<Network> {
    let all: BTreeSet<Network> = networks.collect();
    let within = |n: &Network| all.iter().any(|o| o != n && o.contains(n));
    all.iter().filter(|n| !within(n)).copied().collect()
}
