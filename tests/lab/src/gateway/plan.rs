//! From the cluster's objects to what is served and what became of each route. Pure and total.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;

use super::api::{BackendRef, HTTPRoute, ParentRef};
use super::network::Network;
use super::route::{Checked, check, parents};
use super::table::{Endpoint, Entry, Finding, PathRule, RouteKey, Table, Verdict};

/// The label that makes a namespace part of a VDC.
const VDC_LABEL: &str = "yunting.io/vdc-uid";
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
const MANAGER_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
/// The only maker of slices that is believed: it puts nothing but pods into them. Slices written by hand,
/// or mirrored from hand-written Endpoints, could lead the front door to any address.
const MANAGER: &str = "endpointslice-controller.k8s.io";

/// What was observed.
#[derive(Debug, Default)]
pub struct World {
    /// Routes of all namespaces.
    pub routes: Vec<Arc<HTTPRoute>>,
    /// Namespaces with their labels.
    pub namespaces: Vec<Arc<Namespace>>,
    /// Services of all namespaces.
    pub services: Vec<Arc<Service>>,
    /// Slices of all namespaces.
    pub slices: Vec<Arc<EndpointSlice>>,
}

/// What the plan depends on beside the cluster.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The listener's port.
    pub port: u16,
    /// Endpoints elsewhere are left out; empty means they may be anywhere but on loopback and the like.
    pub backends: Vec<Network>,
}

/// What shall be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is served.
    pub table: Table,
    /// What became of each route that names our Gateway.
    pub verdicts: BTreeMap<RouteKey, Verdict>,
}

/// Objects by what they are asked for.
struct Index<'a> {
    vdcs: BTreeMap<String, &'a str>,
    services: BTreeMap<(String, String), &'a Service>,
    slices: BTreeMap<(String, &'a str), Vec<&'a EndpointSlice>>,
}

/// Decides. Older routes go first: they keep a host that a younger one of another VDC wants, and a path that
/// a younger one of the same VDC wants.
pub fn plan(world: &World, rules: &Rules) -> Plan {
    let index = Index::new(world);
    let mut routes: Vec<(&HTTPRoute, RouteKey)> =
        world.routes.iter().map(|route| (&**route, key(route))).collect();
    routes.sort_by(|(a, a_key), (b, b_key)| {
        (a.creation_timestamp(), a_key).cmp(&(b.creation_timestamp(), b_key))
    });
    let mut owners = BTreeMap::new();
    let mut plan = Plan::default();
    for (route, key) in routes {
        let parents = parents(route);
        if parents.is_empty() {
            continue;
        }
        let verdict = match admit(route, &key, &parents, rules, &index, &mut owners) {
            Ok(checked) => {
                let resolved = serve(&mut plan.table, &key, &checked, rules, &index);
                Verdict { parents, accepted: Finding::good("Accepted"), resolved }
            }
            Err(accepted) => Verdict { parents, accepted, resolved: Finding::good("ResolvedRefs") },
        };
        plan.verdicts.insert(key, verdict);
    }
    for entries in plan.table.hosts.values_mut() {
        entries.sort_by(|a, b| precedence(&a.path).cmp(&precedence(&b.path)));
    }
    plan
}

/// Whether a route is served at all; when yes its hosts belong to its VDC from here on.
fn admit<'a>(
    route: &HTTPRoute,
    key: &RouteKey,
    parents: &[ParentRef],
    rules: &Rules,
    index: &Index<'a>,
    owners: &mut BTreeMap<String, &'a str>,
) -> Result<Checked, Finding> {
    let Some(&vdc) = index.vdcs.get(&key.namespace) else {
        let message = format!("namespace {} belongs to no VDC", key.namespace);
        return Err(Finding::bad("NotAllowedByListeners", message));
    };
    let checked = check(route, parents, rules.port)?;
    if let Some(host) = checked.hosts.iter().find(|host| owners.get(*host).is_some_and(|owner| *owner != vdc))
    {
        let message = format!("{host} is already served for another VDC by an older route");
        return Err(Finding::bad("HostnameConflict", message));
    }
    owners.extend(checked.hosts.iter().map(|host| (host.clone(), vdc)));
    Ok(checked)
}

/// Puts a route's rules into the table.
fn serve(table: &mut Table, key: &RouteKey, checked: &Checked, rules: &Rules, index: &Index<'_>) -> Finding {
    let mut resolved = Finding::good("ResolvedRefs");
    for (number, rule) in checked.rules.iter().enumerate() {
        let endpoints = match endpoints(key, &rule.backends, rules, index) {
            Ok(endpoints) => endpoints,
            Err(finding) => {
                resolved = finding;
                Vec::new()
            }
        };
        // A namespace has no dot in its name, so two routes never share a backend's name.
        let backend = format!("{}.{}.{number}", key.namespace, key.name);
        for host in &checked.hosts {
            let entries = table.hosts.entry(host.clone()).or_default();
            for path in &rule.paths {
                if entries.iter().all(|entry| entry.path != *path) {
                    let entry =
                        Entry { path: path.clone(), backend: backend.clone(), endpoints: endpoints.clone() };
                    entries.push(entry);
                }
            }
        }
    }
    resolved
}

/// Exact before prefix, long before short.
fn precedence(path: &PathRule) -> (bool, std::cmp::Reverse<usize>, &str) {
    match path {
        PathRule::Exact(path) => (false, std::cmp::Reverse(path.len()), path),
        PathRule::Prefix(path) => (true, std::cmp::Reverse(path.len()), path),
    }
}

/// The ready endpoints of a rule's backends, each backend's share of requests spread over its own.
fn endpoints(
    key: &RouteKey,
    backends: &[BackendRef],
    rules: &Rules,
    index: &Index<'_>,
) -> Result<Vec<Endpoint>, Finding> {
    let mut groups = Vec::new();
    for backend in backends {
        let addresses = addresses(key, backend, rules, index)?;
        let weight = u64::from(backend.weight.unwrap_or(1));
        if weight > 0 && !addresses.is_empty() {
            groups.push((weight * 1_000_000 / addresses.len() as u64, addresses));
        }
    }
    let greatest = groups.iter().map(|(share, _)| *share).max().unwrap_or(1).max(1);
    let weighted: BTreeSet<Endpoint> = groups
        .into_iter()
        .flat_map(|(share, addresses)| {
            let weight = u16::try_from((share * 256 / greatest).clamp(1, 256)).unwrap_or(256);
            addresses.into_iter().map(move |address| Endpoint { address, weight })
        })
        .collect();
    Ok(weighted.into_iter().collect())
}

fn addresses(
    key: &RouteKey,
    backend: &BackendRef,
    rules: &Rules,
    index: &Index<'_>,
) -> Result<BTreeSet<SocketAddr>, Finding> {
    let core = backend.group.as_deref().is_none_or(str::is_empty);
    if !core || backend.kind.as_deref().is_some_and(|kind| kind != "Service") {
        return Err(Finding::bad("InvalidKind", "a backend must be a Service"));
    }
    if backend.namespace.as_ref().is_some_and(|namespace| *namespace != key.namespace) {
        return Err(Finding::bad("RefNotPermitted", "a backend must be in the route's own namespace"));
    }
    let at = (key.namespace.clone(), backend.name.clone());
    let spec = index.services.get(&at).and_then(|service| service.spec.as_ref());
    let missing = || {
        Finding::bad("BackendNotFound", format!("Service {} has no such port or is not there", backend.name))
    };
    let spec = spec.filter(|spec| spec.type_.as_deref() != Some("ExternalName")).ok_or_else(missing)?;
    let ports = spec.ports.as_deref().unwrap_or_default();
    let port = ports.iter().find(|port| Some(port.port) == backend.port).ok_or_else(missing)?;
    let slices = index.slices.get(&(key.namespace.clone(), backend.name.as_str()));
    let slices = slices.map(Vec::as_slice).unwrap_or_default();
    Ok(slices.iter().flat_map(|slice| ready(slice, port.name.as_deref(), rules)).collect())
}

/// Addresses of a slice's ready endpoints at the port of that name.
fn ready(slice: &EndpointSlice, port: Option<&str>, rules: &Rules) -> Vec<SocketAddr> {
    let name = |name: Option<&str>| name.unwrap_or_default().to_owned();
    let ports = slice.ports.as_deref().unwrap_or_default();
    let number = ports
        .iter()
        .find(|candidate| name(candidate.name.as_deref()) == name(port))
        .and_then(|port| u16::try_from(port.port?).ok());
    let Some(number) = number else { return Vec::new() };
    let is_ready = |endpoint: &&k8s_openapi::api::discovery::v1::Endpoint| {
        endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready.unwrap_or(true))
    };
    let endpoints = slice.endpoints.iter().filter(is_ready);
    endpoints
        .flat_map(|endpoint| &endpoint.addresses)
        .filter_map(|address| address.parse::<IpAddr>().ok())
        .filter(|address| allowed(*address, &rules.backends))
        .map(|address| SocketAddr::new(address, number))
        .collect()
}

fn allowed(address: IpAddr, networks: &[Network]) -> bool {
    let local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let special = address.is_loopback() || address.is_unspecified() || address.is_multicast() || local;
    !special && (networks.is_empty() || networks.iter().any(|network| network.contains(address)))
}

fn key(route: &HTTPRoute) -> RouteKey {
    RouteKey { namespace: route.namespace().unwrap_or_default(), name: route.name_any() }
}

impl<'a> Index<'a> {
    fn new(world: &'a World) -> Self {
        let vdcs = world.namespaces.iter().filter_map(|namespace| {
            let uid = namespace.metadata.labels.as_ref()?.get(VDC_LABEL)?;
            Some((namespace.name_any(), uid.as_str()))
        });
        let services = world
            .services
            .iter()
            .map(|service| ((service.namespace().unwrap_or_default(), service.name_any()), &**service));
        let mut slices: BTreeMap<_, Vec<&EndpointSlice>> = BTreeMap::new();
        for slice in &world.slices {
            let Some(labels) = &slice.metadata.labels else { continue };
            if labels.get(MANAGER_LABEL).is_some_and(|manager| manager == MANAGER)
                && let Some(service) = labels.get(SERVICE_LABEL)
            {
                let at = (slice.namespace().unwrap_or_default(), service.as_str());
                slices.entry(at).or_default().push(slice);
            }
        }
        Self { vdcs: vdcs.collect(), services: services.collect(), slices }
    }
}

#[cfg(test)]
mod tests;
