//! Traffic between sites, as nodes, sites and hub tell each other of it: where the ends of the tunnel are, whose pods are
//! behind them, and what probes have shown. No key is ever said here: nodes exchange theirs between themselves.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::common;

/// Most networks of a node; the fields' bound.
pub const NETWORKS: usize = 8;
/// Most ends of a site; the fields' bound.
pub const ENDS: usize = 64;
/// Most pods of a hall that are told of at a site; the fields' bound.
pub const PODS: usize = 256;
/// Most other sites of a hall; the field's bound.
pub const SITES: usize = 8;

/// An end of the tunnel: one node of a site.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TunnelEnd {
    /// Name of the node.
    #[schemars(schema_with = "common::object_name")]
    pub node: String,
    /// Where other sites' nodes reach it, `<IPv4 address>:<port>`: WireGuard over UDP, and the exchange of keys over TCP.
    #[schemars(schema_with = "socket")]
    pub address: String,
    /// Networks of its pods.
    #[schemars(
        length(min = 1, max = 8),
        inner(length(max = 18), regex(pattern = r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub networks: Vec<String>,
}

/// A pod of a hall that calls, or is called, over the border of a site.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HallPod {
    /// Its component.
    #[schemars(schema_with = "common::name20")]
    pub component: String,
    /// Its IPv4 address.
    #[schemars(schema_with = "address")]
    pub address: String,
    /// Its probes say that it answers.
    #[serde(default)]
    pub ready: bool,
}

/// What is known of the hall at another site: who may call from there, and who answers there.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Elsewhere {
    /// Name of the site.
    #[schemars(schema_with = "common::name40")]
    pub site: String,
    /// Its ends of the tunnel.
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub ends: Vec<TunnelEnd>,
    /// The hall's pods there. One whose address is in no network of `ends` is not believed.
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub pods: Vec<HallPod>,
}

/// A node's end of the tunnel and what its prober has seen. Written by itself, whatever `status.observedAt` says.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TunnelReport {
    /// When the peers were last looked at. Written anew at least every 30 s; an older report proves nothing of now.
    pub observed_at: Time,
    /// Where other sites' nodes reach it, `<IPv4 address>:<port>`.
    #[schemars(schema_with = "socket")]
    pub address: String,
    /// Networks of the node's pods.
    #[schemars(
        length(max = 8),
        inner(length(max = 18), regex(pattern = r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub networks: Vec<String>,
    /// Each node of another site that a hall here has to do with.
    #[serde(default)]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub peers: Vec<TunnelPeer>,
}

/// How the tunnel to one node of another site stands.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TunnelPeer {
    /// The site.
    #[schemars(schema_with = "common::name40")]
    pub site: String,
    /// The node.
    #[schemars(schema_with = "common::object_name")]
    pub node: String,
    /// What probes of the last 30 s have shown, see [`TunnelState`].
    pub state: TunnelState,
    /// When a probe last showed ciphertext. By the node's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved_at: Option<Time>,
    /// Why nothing is proved, or what was seen; nothing of what was sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 300))]
    pub why: String,
}

/// What probes have shown of the tunnel to a peer. `Encrypted`: a marker came back through it and was not seen on the wire,
/// where the same probe saw one that was sent in the clear. `Clear`: it was seen on the wire. `Unproved`: it came back, but what is
/// in the clear was not seen either. `Down`: nothing comes back.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TunnelState {
    /// Ciphertext only.
    Encrypted,
    /// Something in the clear.
    Clear,
    /// Nothing is proved.
    Unproved,
    /// Nothing passes.
    Down,
}

/// An IPv4 address with a port.
pub fn socket(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 21, "pattern": r"^[0-9]{1,3}(\.[0-9]{1,3}){3}:[0-9]{1,5}$"})
}

/// An IPv4 address.
pub fn address(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 15, "pattern": r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$"})
}
