//! Calls of a hall over the border of a site: which of its components are called so, what is believed of its pods at other
//! sites, what other sites are told of those here, and what makes a component answer where it does not run.
//!
//! A hall that is active everywhere runs what keeps no data at all its sites, and what keeps data at one. Only the latter is
//! called from elsewhere, and only by components that declare it. Everything here follows from the site's own slice; what the
//! hub says of another site adds addresses, never a component, a port or a right to call.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use yunting_crds::conditions::{CALLS_CONNECTED, State, Statement, reason, say};
use yunting_crds::labels;
use yunting_crds::names::SiteName;
use yunting_crds::tunnel::{self, Elsewhere, HallPod, TunnelEnd};
use yunting_crds::vdc::Transport;

use super::{ValidComponent, ValidHallSlice};
use crate::object::Object;
use crate::vdc::cidr::Network;

/// Most components that a message names.
const NAMED: usize = 3;
/// Label by which an EndpointSlice says whose endpoints it has.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Widest network that one node's pods may have: what is wider is a mistake, or somebody's wish to have everything.
const WIDEST: u8 = 8;

/// The hall at another site, as far as it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abroad {
    /// The site.
    pub site: SiteName,
    /// Its ends of the tunnel.
    pub ends: Vec<End>,
    /// The hall's pods there; each in a network of an end.
    pub pods: Vec<RemotePod>,
}

/// A node of another site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// Its name.
    pub node: String,
    /// Where it is reached.
    pub address: SocketAddrV4,
    /// Networks of its pods.
    pub networks: BTreeSet<Network>,
}

/// A pod at another site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemotePod {
    /// Its component, by its place in the list.
    pub component: usize,
    /// Its address.
    pub address: Ipv4Addr,
    /// It answers, as its site says.
    pub ready: bool,
}

/// Reads what is said of other sites. What is not understood, or contradicts itself, is as if it had not been said.
pub fn read(said: &[Elsewhere], components: &[ValidComponent]) -> Vec<Abroad> {
    let of = |e: &Elsewhere| {
        let site = SiteName::new(&e.site).ok()?;
        let ends: Vec<End> = e.ends.iter().filter_map(End::read).collect();
        let within =
            |a: &Ipv4Addr| ends.iter().any(|e| e.networks.iter().any(|n| n.contains(&Network::host(*a))));
        let pod = |p: &HallPod| {
            let component = components.iter().position(|c| c.name.as_str() == p.component)?;
            let address = p.address.parse().ok().filter(within)?;
            Some(RemotePod { component, address, ready: p.ready })
        };
        Some(Abroad { site, pods: e.pods.iter().filter_map(pod).collect(), ends })
    };
    said.iter().filter_map(of).collect()
}

impl End {
    /// Reads one.
    pub fn read(said: &TunnelEnd) -> Option<Self> {
        let networks: BTreeSet<Network> = said.networks.iter().filter_map(|n| n.parse().ok()).collect();
        let whole = networks.len() == said.networks.len() && !networks.is_empty();
        let wide = networks.iter().any(|n| n.prefix() < WIDEST);
        let address = said.address.parse().ok()?;
        (whole && !wide).then(|| Self { node: said.node.clone(), address, networks })
    }

    /// As it is told.
    pub fn said(&self) -> TunnelEnd {
        TunnelEnd {
            node: self.node.clone(),
            address: self.address.to_string(),
            networks: self.networks.iter().map(ToString::to_string).collect(),
        }
    }
}

impl ValidHallSlice {
    /// Whether other sites may call this component here.
    pub fn exports(&self, c: &ValidComponent) -> bool {
        self.crosses(c) && c.active
    }

    /// Whether this component is called here and answers from another site.
    pub fn imports(&self, c: &ValidComponent) -> bool {
        self.crosses(c) && !c.active && self.callers(c).any(|caller| caller.active)
    }

    fn crosses(&self, c: &ValidComponent) -> bool {
        self.everywhere && c.stateful() && !c.spec.ports.is_empty() && self.callers(c).next().is_some()
    }

    /// Those of its callers that run at all sites.
    pub fn callers(&self, c: &ValidComponent) -> impl Iterator<Item = &ValidComponent> {
        let all = c.callers.clone().into_iter().filter_map(|i| self.components.get(i));
        all.filter(|caller| !caller.stateful())
    }

    /// Pods at other sites of one component.
    pub fn pods_elsewhere(&self, c: &ValidComponent) -> impl Iterator<Item = &RemotePod> {
        let at = self.components.iter().position(|o| o.name == c.name);
        self.elsewhere.iter().flat_map(|e| &e.pods).filter(move |p| Some(p.component) == at)
    }
}

/// A pod of the hall here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnPod {
    /// Name of its component, as its label says.
    pub component: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// It answers.
    pub ready: bool,
}

/// What other sites are told of the pods here: of what is called from there, and of who calls what runs there. Always the same
/// ones where there are too many.
pub fn told(hall: &ValidHallSlice, pods: impl IntoIterator<Item = OwnPod>) -> Vec<HallPod> {
    let exported = |c: &ValidComponent| hall.exports(c);
    let calls = |c: &ValidComponent| {
        c.active && c.calls.iter().filter_map(|i| hall.components.get(*i)).any(|o| hall.imports(o))
    };
    let known: BTreeSet<&str> =
        hall.components.iter().filter(|c| exported(c) || calls(c)).map(|c| c.name.as_str()).collect();
    let of = |p: OwnPod| HallPod { component: p.component, address: p.address.to_string(), ready: p.ready };
    let mut all: Vec<HallPod> =
        pods.into_iter().filter(|p| known.contains(p.component.as_str())).map(of).collect();
    all.sort();
    all.dedup();
    all.truncate(tunnel::PODS);
    all
}

/// What makes a component's Service answer here from another site. Kubernetes' own controller finds no pods for that Service,
/// and leaves alone what says that another keeps it.
pub fn endpoints(hall: &ValidHallSlice, c: &ValidComponent) -> Option<Object> {
    let ready: BTreeSet<Ipv4Addr> = hall.pods_elsewhere(c).filter(|p| p.ready).map(|p| p.address).collect();
    if !hall.imports(c) || ready.is_empty() {
        return None;
    }
    let mut metadata = hall.metadata_named(c, format!("{}-elsewhere", c.object));
    let own = BTreeMap::from([
        (SERVICE_NAME.to_owned(), c.object.clone()),
        (labels::ENDPOINTS_KEPT_BY.to_owned(), labels::MANAGER.to_owned()),
    ]);
    metadata.labels.get_or_insert_default().extend(own);
    Some(Object::new(&EndpointSlice {
        metadata: ObjectMeta { ..metadata },
        address_type: "IPv4".to_owned(),
        endpoints: ready.into_iter().map(endpoint).collect(),
        ports: Some(c.spec.ports.iter().map(endpoint_port).collect()),
    }))
}

/// A pod that answers, as an endpoint.
pub(super) fn endpoint(address: Ipv4Addr) -> Endpoint {
    Endpoint {
        addresses: vec![address.to_string()],
        conditions: Some(EndpointConditions { ready: Some(true), ..EndpointConditions::default() }),
        ..Endpoint::default()
    }
}

/// A port, as endpoints have it.
pub(super) fn endpoint_port(p: &yunting_crds::hall::Port) -> EndpointPort {
    EndpointPort {
        name: Some(p.name.clone()),
        port: Some(i32::from(p.port)),
        protocol: Some("TCP".to_owned()),
        ..EndpointPort::default()
    }
}

/// What a site knows of its own end of the tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tunnel {
    /// No node here has one.
    Missing,
    /// Nothing passes, or may pass, and why.
    Down(String),
    /// Nothing is known against it.
    Stands,
}

/// Whether what is called here from elsewhere answers; nothing of a hall that calls nothing so.
pub fn connected(hall: &ValidHallSlice, tunnel: &Tunnel, transport: Transport) -> Option<Statement> {
    let called: Vec<&ValidComponent> = hall.components.iter().filter(|c| hall.imports(c)).collect();
    if called.is_empty() {
        return None;
    }
    let names = |of: &[&ValidComponent]| {
        let all: Vec<&str> = of.iter().take(NAMED).map(|c| c.name.as_str()).collect();
        all.join(", ")
    };
    let no = |reason, text: String| Some(say(CALLS_CONNECTED, State::False, reason, text));
    let why = match transport {
        Transport::Required => {
            "the VDC's transport is Required, and its calls are refused rather than sent in the clear"
        }
        Transport::Preferred => "calls between sites go through a tunnel or not at all",
    };
    if *tunnel == Tunnel::Missing {
        let text = format!(
            "no node of this site has an end of the tunnel, so {} cannot be called from here: {why}; start the nodes' controllers with --tunnel",
            names(&called)
        );
        return no(reason::TUNNEL_MISSING, text);
    }
    let lost: Vec<&ValidComponent> =
        called.iter().filter(|c| hall.pods_elsewhere(c).next().is_none()).copied().collect();
    if !lost.is_empty() && hall.elsewhere.iter().all(|e| e.ends.is_empty()) {
        let text = format!(
            "the site where {} runs has told of no end of the tunnel, so it cannot be called from here: {why}",
            names(&lost)
        );
        return no(reason::TUNNEL_MISSING, text);
    }
    if let Tunnel::Down(text) = tunnel {
        return no(reason::TUNNEL_MISSING, format!("{} cannot be called from here: {text}", names(&called)));
    }
    let silent: Vec<&ValidComponent> =
        called.iter().filter(|c| !hall.pods_elsewhere(c).any(|p| p.ready)).copied().collect();
    if !silent.is_empty() {
        return no(
            reason::IN_PROGRESS,
            format!("no pod of {} is known to answer at another site", names(&silent)),
        );
    }
    let text = format!("{} answer from another site, through the tunnel", names(&called));
    Some(say(CALLS_CONNECTED, State::True, reason::AS_ASKED, text))
}

#[cfg(test)]
mod tests;
