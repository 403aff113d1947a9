//! Grants at a site: what a hall may call of other VDCs and who of them may call it, each as its own slice says, the ways that
//! both ends agree upon, and the name by which a service is called.
//!
//! Must never: let one end's slice open anything alone, or believe one whose time is over. A slice is without grants until
//! [`ValidHallSlice::with_grants`] is told what time it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;
use yunting_crds::access_grant::ServiceRef;
use yunting_crds::common::Desired;
use yunting_crds::hall::{Port, Zone};
use yunting_crds::hall_grant::{GrantSide, SliceGrant};
use yunting_crds::hall_slice::HallSliceSpec;
use yunting_crds::labels;
use yunting_crds::names::{ComponentName, grant_alias};
use yunting_crds::vdc::LifecycleState;

use super::elsewhere::{OwnPod, SERVICE_NAME, endpoint, endpoint_port};
use super::{ValidComponent, ValidHallSlice};
use crate::object::Object;
use crate::vdc::{Uid, ValidVdcSlice};

/// Grants of a hall that have not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// What it may call.
    pub calls: Vec<Grant>,
    /// Who may call it.
    pub called: Vec<Grant>,
}

/// One end of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Uid of the `AccessGrant`.
    pub uid: String,
    /// Component of this hall, by its place in the list.
    pub component: usize,
    /// VDC of the other end.
    pub vdc: Uid,
    /// Hall of the other end.
    pub hall: Uid,
    /// Component of the other end.
    pub peer: ComponentName,
    /// The service.
    pub service: ServiceRef,
    /// Ports of the one that is called.
    pub ports: Vec<Port>,
    /// When it ends.
    pub until: Timestamp,
}

/// A way that both ends agree upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way<'a> {
    /// Who calls.
    pub from: (&'a ValidHallSlice, &'a ValidComponent),
    /// Who is called.
    pub to: (&'a ValidHallSlice, &'a ValidComponent),
    /// TCP ports.
    pub ports: BTreeSet<u16>,
}

impl Grant {
    fn read(said: &SliceGrant, hall: &ValidHallSlice, now: Timestamp) -> Option<Self> {
        let component = hall.components.iter().position(|c| c.name.as_str() == said.component)?;
        let until: Timestamp = said.until.parse().ok()?;
        (until > now).then_some(())?;
        Some(Self {
            uid: said.uid.clone(),
            component,
            vdc: Uid::new(&said.peer.vdc).ok()?,
            hall: Uid::new(&said.peer.hall).ok()?,
            peer: ComponentName::new(&said.peer.component).ok()?,
            service: said.service.clone(),
            ports: said.ports.clone(),
            until,
        })
    }
}

impl ValidHallSlice {
    /// With the grants that its slice names and that have not ended. A hall or VDC that is to go, or is not in use, has none.
    #[must_use]
    pub fn with_grants(mut self, spec: &HallSliceSpec, vdc: &ValidVdcSlice, now: Timestamp) -> Self {
        if spec.desired != Desired::Present || vdc.state != LifecycleState::Active {
            return self;
        }
        let of = |side: GrantSide| {
            let said = spec.grants.iter().filter(|g| g.side == side);
            said.filter_map(|g| Grant::read(g, &self, now)).collect::<Vec<_>>()
        };
        let (mut calls, mut called) = (of(GrantSide::Consumer), of(GrantSide::Producer));
        // Whatever the hub says: zone Data calls nothing outside, and only a port that is declared is called.
        calls.retain(|g| self.components[g.component].spec.zone != Zone::Data);
        for grant in &mut called {
            grant.ports.retain(|p| self.components[grant.component].spec.ports.contains(p));
        }
        self.grants = Grants { calls, called };
        self
    }

    /// When the first of its grants ends.
    pub fn next_end(&self) -> Option<Timestamp> {
        self.grants.calls.iter().chain(&self.grants.called).map(|g| g.until).min()
    }

    /// Grants by which a component calls.
    pub(super) fn granted_calls(&self, c: &ValidComponent) -> impl Iterator<Item = &Grant> {
        let at = self.place(c);
        self.grants.calls.iter().filter(move |g| Some(g.component) == at)
    }

    /// Grants by which it is called.
    pub(super) fn granted_callers(&self, c: &ValidComponent) -> impl Iterator<Item = &Grant> {
        let at = self.place(c);
        self.grants.called.iter().filter(move |g| Some(g.component) == at)
    }

    fn place(&self, c: &ValidComponent) -> Option<usize> {
        self.components.iter().position(|o| o.name == c.name)
    }
}

/// The way that a consumer's grant leads, if the producer's hall says the same of it.
fn way<'a>(consumer: &'a ValidHallSlice, grant: &Grant, producer: &'a ValidHallSlice) -> Option<Way<'a>> {
    let from = consumer.components.get(grant.component)?;
    if (&grant.hall, &grant.vdc) != (&producer.uid, &producer.owner.uid) {
        return None;
    }
    let same = |g: &&Grant| {
        g.uid == grant.uid && g.hall == consumer.uid && g.vdc == consumer.owner.uid && g.peer == from.name
    };
    let other = producer.grants.called.iter().find(same)?;
    let to = producer.components.get(other.component).filter(|c| c.name == grant.peer)?;
    let ports = other.ports.iter().filter(|p| grant.ports.contains(p)).map(|p| p.port).collect();
    Some(Way { from: (consumer, from), to: (producer, to), ports })
}

/// All ways between halls of a site that both ends agree upon.
pub fn ways(halls: &[ValidHallSlice]) -> Vec<Way<'_>> {
    let by_uid: BTreeMap<&str, &ValidHallSlice> = halls.iter().map(|h| (h.uid.as_str(), h)).collect();
    let calls = halls.iter().flat_map(|hall| hall.grants.calls.iter().map(move |grant| (hall, grant)));
    calls.filter_map(|(hall, grant)| way(hall, grant, by_uid.get(grant.hall.as_str())?)).collect()
}

/// A hall that is called, and its pods here.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The hall, with its grants.
    pub hall: ValidHallSlice,
    /// Its pods.
    pub pods: Vec<OwnPod>,
}

/// Services without selector by which what is granted is called, with endpoints that are the pods of who answers. Where no
/// grant leads there is none: a name that is not there says more than one that does not answer.
pub fn aliases(hall: &ValidHallSlice, peers: &BTreeMap<String, Peer>) -> Vec<Object> {
    let mut all: BTreeMap<(usize, &str, &str), Alias> = BTreeMap::new();
    for grant in &hall.grants.calls {
        let Some(peer) = peers.get(grant.hall.as_str()) else { continue };
        let Some(way) = way(hall, grant, &peer.hall) else { continue };
        let alias = all.entry((grant.component, &grant.service.bureau, &grant.service.name)).or_default();
        let ports = grant.ports.iter().filter(|p| way.ports.contains(&p.port));
        alias.ports.extend(ports.map(|p| (p.name.clone(), p.port)));
        let to = way.to.1.name.as_str();
        let pods = peer.pods.iter().filter(|p| p.ready && p.component == to);
        alias.addresses.extend(pods.map(|p| p.address));
    }
    let objects = |((component, bureau, service), alias): ((usize, &str, &str), Alias)| {
        let Some(c) = hall.components.get(component) else { return Vec::new() };
        let name = grant_alias(hall.uid.as_str(), c.name.as_str(), bureau, service);
        alias.objects(hall, c, &name)
    };
    all.into_iter().flat_map(objects).collect()
}

#[derive(Debug, Default)]
struct Alias {
    ports: BTreeMap<String, u16>,
    addresses: BTreeSet<Ipv4Addr>,
}

impl Alias {
    fn objects(&self, hall: &ValidHallSlice, c: &ValidComponent, name: &str) -> Vec<Object> {
        let ports = || self.ports.iter().map(|(name, port)| Port { name: name.clone(), port: *port });
        let service = |p: Port| ServicePort {
            port: i32::from(p.port),
            target_port: Some(IntOrString::Int(i32::from(p.port))),
            name: Some(p.name),
            protocol: Some("TCP".to_owned()),
            ..ServicePort::default()
        };
        let spec = ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            ports: Some(ports().map(service).collect()),
            ..ServiceSpec::default()
        };
        let metadata = hall.metadata_named(c, name.to_owned());
        let mut all = vec![Object::new(&Service { metadata, spec: Some(spec), status: None })];
        if self.addresses.is_empty() {
            return all;
        }
        let mut metadata = hall.metadata_named(c, format!("{name}-granted"));
        let own = [
            (SERVICE_NAME.to_owned(), name.to_owned()),
            (labels::ENDPOINTS_KEPT_BY.to_owned(), labels::MANAGER.to_owned()),
        ];
        metadata.labels.get_or_insert_default().extend(own);
        all.push(Object::new(&EndpointSlice {
            metadata,
            address_type: "IPv4".to_owned(),
            endpoints: self.addresses.iter().copied().map(endpoint).collect(),
            ports: Some(ports().map(|p| endpoint_port(&p)).collect()),
        }));
        all
    }
}

#[cfg(test)]
mod tests;
