//! What the gateway serves, and what it made of each route. Plain values without Kubernetes in them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::api::ParentRef;

/// A route's namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// How a path is compared. Exact ones come first, so that ordering by it is ordering by precedence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathRule {
    /// This path and no other.
    Exact(String),
    /// This path and what is below it.
    Prefix(String),
}

/// A server behind a backend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// HAProxy's weight, 1 to 256.
    pub weight: u16,
}

/// One path of a host and where its requests go. Without endpoints they are answered with 503.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which requests.
    pub path: PathRule,
    /// Name of the backend, unique among all.
    pub backend: String,
    /// Sorted, without doubles.
    pub endpoints: Vec<Endpoint>,
}

/// Everything served: by host, each host's entries in order of precedence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// By host name in lower case.
    pub hosts: BTreeMap<String, Vec<Entry>>,
}

/// One yes or no about a route, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Yes or no.
    pub good: bool,
    /// A word for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl Finding {
    /// A yes.
    pub fn good(reason: &'static str) -> Self {
        Self { good: true, reason, message: String::new() }
    }

    /// A no.
    pub fn bad(reason: &'static str, message: impl Into<String>) -> Self {
        Self { good: false, reason, message: message.into() }
    }
}

/// What became of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The references to our Gateway, as the route wrote them.
    pub parents: Vec<ParentRef>,
    /// Whether it is served.
    pub accepted: Finding,
    /// Whether its backends exist and may be used.
    pub resolved: Finding,
}
