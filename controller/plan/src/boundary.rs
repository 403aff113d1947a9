//! The network boundary of a node: which pod may reach what, as the elements of the few sets that the kernel's table
//! holds.
//!
//! Owns: what a pod counts as ([`class`]), who may reach whom ([`table`], and said plainly in [`matrix`]), what is tried to
//! see that it holds ([`ways`]), and the text that the kernel is given ([`ruleset`]). It is computed from the site's own records, not from its NetworkPolicies, so that it holds where
//! nobody enforces those, and an error in one is not an error in both.
//! Must never: open anything that no record declares. What is not known has no network.

pub mod class;
pub mod matrix;
pub mod ruleset;
pub mod table;
#[cfg(test)]
mod tests;
pub mod ways;

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::hall::ValidHallSlice;
use crate::vdc::ValidVdcSlice;
use crate::vdc::cidr::Network;

/// Everything that decides.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The VDCs at the site.
    pub vdcs: Vec<ValidVdcSlice>,
    /// Their halls.
    pub halls: Vec<ValidHallSlice>,
    /// Namespaces of the platform, which belong to no VDC.
    pub platform: BTreeSet<String>,
    /// Every pod of the site that has an address of its own; those of this node with their link.
    pub pods: Vec<Pod>,
    /// This node.
    pub node: Node,
    /// Networks inside the cloud: nodes, API servers, pods and services of all sites, the metadata address. No declared
    /// egress reaches into them.
    pub inside: BTreeSet<Network>,
    /// Networks of other sites' pods, as this node is told by whoever runs it. Nothing comes from there or goes there but
    /// through the tunnel, and no slice makes them more.
    pub abroad: BTreeSet<Network>,
}

impl Facts {
    /// When the first grant ends: then everything has to be looked at again, though nothing has changed.
    pub fn next_end(&self) -> Option<Timestamp> {
        self.halls.iter().filter_map(ValidHallSlice::next_end).min()
    }
}

/// What the pods of a platform namespace are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Platform {
    /// Answers names: every pod may ask it.
    Dns,
    /// The front door: may call components of zone `Portal` where the VDC lets it.
    Gateway,
    /// Everything else, such as provisioners.
    Other,
}

/// A pod as its API server shows it. Labels of pods in a `HallsOnly` namespace are Yunting's own: nobody else creates
/// pods there or changes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Label `yunting.io/hall-uid`.
    pub hall_uid: Option<String>,
    /// Label `yunting.io/component`.
    pub component: Option<String>,
    /// Label `k8s-app`, by which DNS is known in the platform's namespaces.
    pub app: Option<String>,
    /// Its address.
    pub address: Ipv4Addr,
    /// The node's end of its link, where it runs on this node.
    pub link: Option<Link>,
    /// TCP ports at which the kubelet probes it.
    pub probes: BTreeSet<u16>,
    /// Ports at which it answers names, if that is what it is for. A DNS that runs without rights listens above 1023, and
    /// packets are judged behind the translation of its service.
    pub names: BTreeSet<u16>,
}

/// This node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Links that do not lead to pods: loopback, the way out, tunnels. Every other link is a pod's or unknown.
    pub outer: BTreeSet<Link>,
    /// The link that leads to the nodes of other sites, if it has one. It is none of `outer`.
    pub tunnel: Option<Link>,
    /// Its addresses, from which its kubelet probes.
    pub addresses: BTreeSet<Ipv4Addr>,
}

/// Name of a network interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Link(String);

impl TryFrom<String> for Link {
    type Error = InvalidLink;

    fn try_from(name: String) -> Result<Self, InvalidLink> {
        Self::new(&name)
    }
}

impl From<Link> for String {
    fn from(link: Link) -> Self {
        link.0
    }
}

/// A text that no interface is called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a network interface: 1 to 15 letters, digits, '-', '_', '.' and '@'")]
pub struct InvalidLink(String);

impl Link {
    /// Checks and takes a name. The kernel lets interfaces have stranger names; in the text of a ruleset they would be
    /// more than a name.
    pub fn new(name: &str) -> Result<Self, InvalidLink> {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.@".contains(&b);
        if (1..=15).contains(&name.len()) && name.bytes().all(known) {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidLink(name.chars().take(40).collect()))
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
