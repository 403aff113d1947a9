//! `VolumeReplica`: a volume of another site as it was at its last points. Cluster-scoped at the site that receives, named as
//! the volume that it becomes; the node that keeps it writes the status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common;
use crate::replication::{self, Point, Remote, Token};

/// Receives points of a volume of another site.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "yunting.io",
    version = "v1alpha1",
    kind = "VolumeReplica",
    plural = "volumereplicas",
    category = "yunting",
    status = "VolumeReplicaStatus",
    derive = "PartialEq",
    cel,
    selectable = ".spec.node",
    doc = "A volume of another site as it was at its last points. It is ciphertext until it is activated; then it is a volume of this name.",
    validation = Rule::new("self.spec.node == oldSelf.spec.node && self.spec.vdc == oldSelf.spec.vdc && self.spec.from == oldSelf.spec.from").message("spec.node, spec.vdc and spec.from say whose replica it is and cannot be changed: make another VolumeReplica"),
    validation = Rule::new("self.spec.token.generation > oldSelf.spec.token.generation || (self.spec.token.generation == oldSelf.spec.token.generation && self.spec.token.epoch >= oldSelf.spec.token.epoch)").message("spec.token only grows"),
    validation = Rule::new("oldSelf.spec.state != 'Active' || self.spec.state == 'Active'").message("what was activated receives nothing any more: make another VolumeReplica"),
    printcolumn = r#"{"name":"Node","type":"string","jsonPath":".spec.node"}"#,
    printcolumn = r#"{"name":"From","type":"string","jsonPath":".spec.from.site"}"#,
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".spec.state"}"#,
    printcolumn = r#"{"name":"Point","type":"integer","jsonPath":".status.newest.sequence"}"#,
    printcolumn = r#"{"name":"Of","type":"date","jsonPath":".status.newest.begunAt"}"#,
    printcolumn = r#"{"name":"Key","type":"string","jsonPath":".status.conditions[?(@.type=='KeyReady')].status"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeReplicaSpec {
    /// Node that keeps it.
    #[schemars(schema_with = "common::object_name")]
    pub node: String,
    /// Uid of the VDC whose the volume is.
    #[schemars(schema_with = "replication::uid")]
    pub vdc: String,
    /// The volume. Its node's certificate has to name it.
    pub from: Remote,
    /// Nothing is taken that was made under a lesser right.
    pub token: Token,
    /// Points that are kept at most, the newest ones.
    #[serde(default = "keep")]
    #[schemars(range(min = 1, max = 64))]
    pub keep: u32,
    /// `Active`: the newest whole point becomes a volume of this name, and nothing is received any more.
    #[serde(default)]
    pub state: ReplicaState,
}

fn keep() -> u32 {
    2
}

/// What a replica is.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplicaState {
    /// Points are received; it cannot be used.
    #[default]
    Receiving,
    /// A volume.
    Active,
}

/// How far it is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeReplicaStatus {
    /// Newest generation seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Newest whole point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Point>,
    /// When it was whole here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Time>,
    /// Highest right that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// The point that it was activated from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated: Option<Point>,
    /// `KeyReady`: this site's key opens the volume's key. `Ready`: a whole point and its key are here, and it could be
    /// activated, or was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "common::conditions")]
    pub conditions: Vec<Condition>,
}
