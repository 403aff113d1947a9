//! `VolumeReplication`: points of a volume are sent to another site. Cluster-scoped at the site that has the volume; the
//! volume's node writes the status, and the site's controller seals the volume's key for the other site into it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common;
use crate::replication::{self, Point, Remote, Token};

/// Sends points of a volume to another site.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "yunting.io",
    version = "v1alpha1",
    kind = "VolumeReplication",
    plural = "volumereplications",
    category = "yunting",
    status = "VolumeReplicationStatus",
    derive = "PartialEq",
    cel,
    selectable = ".spec.node",
    doc = "Points of a volume are sent to another site, incremental and encrypted as they lie on the disk. The other end is a VolumeReplica there.",
    validation = Rule::new("self.spec.node == oldSelf.spec.node && self.spec.vdc == oldSelf.spec.vdc && self.spec.volume == oldSelf.spec.volume && self.spec.to == oldSelf.spec.to").message("spec.node, spec.vdc, spec.volume and spec.to say what is sent where and cannot be changed: make another VolumeReplication"),
    validation = Rule::new("self.spec.token.generation > oldSelf.spec.token.generation || (self.spec.token.generation == oldSelf.spec.token.generation && self.spec.token.epoch >= oldSelf.spec.token.epoch)").message("spec.token only grows"),
    printcolumn = r#"{"name":"Volume","type":"string","jsonPath":".spec.volume"}"#,
    printcolumn = r#"{"name":"To","type":"string","jsonPath":".spec.to.site"}"#,
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".spec.mode"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"Point","type":"integer","jsonPath":".status.confirmed.sequence"}"#,
    printcolumn = r#"{"name":"Of","type":"date","jsonPath":".status.confirmed.begunAt"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeReplicationSpec {
    /// Node that keeps the volume.
    #[schemars(schema_with = "common::object_name")]
    pub node: String,
    /// Uid of the VDC whose the volume is.
    #[schemars(schema_with = "replication::uid")]
    pub vdc: String,
    /// Name of the volume: the handle that its driver knows it by.
    #[schemars(schema_with = "replication::volume_name")]
    pub volume: String,
    /// The replica. Its node's certificate has to name it.
    pub to: Remote,
    /// Where its node listens for points, `<host or address>:<port>`.
    #[schemars(length(min = 3, max = 300), regex(pattern = r"^[^\s]+:[0-9]{1,5}$"))]
    pub address: String,
    /// Certificate (PEM, one) of the custody key of the site that receives: the volume's key is sealed for it. It has to be
    /// issued by the machines' authority for the URI `yunting://site/<site>/custody`.
    #[schemars(length(min = 1, max = 4096))]
    pub custody: String,
    /// Under which right the volume is written here. The replica takes nothing under a lesser one than it has seen.
    pub token: Token,
    /// Recovery point objective in seconds: so old the newest whole point at the other site may become. A point is made twice
    /// in that time, as soon as the one before is there.
    #[schemars(range(min = 2, max = 604_800))]
    pub rpo_seconds: u32,
    /// What is sent.
    #[serde(default)]
    pub mode: ReplicationMode,
}

/// How far a volume has gone on beside its replica.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Divergent {
    /// The last point that was refused. It is kept.
    pub point: Point,
    /// Bytes in which it differs from `status.confirmed`: a stream of what differs has so many.
    pub bytes: i64,
}

/// What of a volume is sent.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplicationMode {
    /// Points, for ever.
    #[default]
    Continuous,
    /// One more point, which is made when the volume is closed, and nothing after it.
    Final,
    /// Nothing.
    Paused,
}

/// How far it is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeReplicationStatus {
    /// Newest generation seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Newest point that the other end has whole. Its age is the data that would be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<Point>,
    /// When the other end said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Time>,
    /// Bytes that were sent for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_bytes: Option<i64>,
    /// What this volume has written that the other end will not take any more: that end is a volume of its own, or has seen
    /// a higher token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergent: Option<Divergent>,
    /// The volume's data key, sealed to the custody key of the site that receives (HPKE P-256, HKDF-SHA256, AES-256-GCM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::volume_key::base64")]
    pub sealed: Option<String>,
    /// SHA-256 of the certificate that it is sealed for, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 64, max = 64))]
    pub sealed_for: Option<String>,
    /// Why it is not sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub refused: Option<String>,
    /// `Ready`: the newest point at the other site is not older than the objective allows, or the final one is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "common::conditions")]
    pub conditions: Vec<Condition>,
}
