//! `NodeReport`: what the controller of a node has seen of its own work. Cluster-scoped at the site, named as its Node;
//! each node writes its own and no other.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common;
use crate::tunnel::TunnelReport;

/// What a node's controller has seen.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "yunting.io",
    version = "v1alpha1",
    kind = "NodeReport",
    plural = "nodereports",
    category = "yunting",
    status = "NodeReportStatus",
    derive = "PartialEq",
    cel,
    doc = "What the controller of a node has seen: whether the VDCs that have pods there are closed, whether its gate stands, and whether open volumes are ciphertext on its disk. Each node writes its own.",
    printcolumn = r#"{"name":"Observed","type":"date","jsonPath":".status.observedAt"}"#,
    printcolumn = r#"{"name":"Gate","type":"string","jsonPath":".status.gate.state"}"#,
    printcolumn = r#"{"name":"VDCs","type":"string","jsonPath":".status.isolation[*].vdc","priority":1}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeReportSpec {
    /// Name of the Node that reports, and of this object.
    #[schemars(schema_with = "common::object_name")]
    pub node: String,
}

/// Facts of a node as its controller sees them.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeReportStatus {
    /// When the probes behind this report ended. Written anew at least every 30 s; an older report proves nothing of now.
    pub observed_at: Time,
    /// Each VDC that has pods on the node.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["vdc".into()]))]
    pub isolation: Vec<VdcIsolation>,
    /// The gate of protected pods. It is written when it changes, and after each self-test, whatever `observedAt` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateReport>,
    /// Where volumes of other sites may have their replicas. Absent: the node keeps none. Written when it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<ReplicaRoom>,
    /// Volumes that are open on the node, by VDC, and what probes of the raw disk have shown of them. A node that serves no
    /// volumes says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<VolumesReport>,
    /// The node's end of the tunnel to other sites. Absent: it has none, and nothing crosses sites from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<TunnelReport>,
}

/// What a node has for replicas.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplicaRoom {
    /// Where points come in, `<address>:<port>`.
    #[schemars(length(min = 3, max = 300))]
    pub address: String,
    /// Bytes of the volumes' disk that are promised to nobody, in whole GiB.
    #[schemars(range(min = 0))]
    pub free_bytes: i64,
}

/// What the prober of volumes has seen. It is written by itself, whatever `status.observedAt` says.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumesReport {
    /// When it was last looked which volumes are open. Written anew at least every 30 s; an older report proves nothing of
    /// now.
    pub observed_at: Time,
    /// Each VDC with a volume that is open on the node.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["vdc".into()]))]
    pub vdcs: Vec<VdcVolumes>,
}

/// What probes have shown of a VDC's volumes that are open on the node.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VdcVolumes {
    /// Uid of the VDC.
    #[schemars(length(min = 1, max = 64))]
    pub vdc: String,
    /// `Encrypted`: of each open volume a probe of the last 9 minutes has found ciphertext where it wrote, and clear text
    /// where it wrote that. `Plain`: one holds clear text, see `findings`. `Unproved`: of one nothing is shown, see
    /// `findings`.
    pub state: VolumesState,
    /// Volumes that are open.
    pub open: u32,
    /// Those of them with a proof that holds.
    pub encrypted: u32,
    /// When the oldest of these proofs was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_proof: Option<Time>,
    /// Volumes that make the state what it is, ten at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub findings: Vec<VolumeFinding>,
}

/// What probes have shown of volumes.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumesState {
    /// Every one is ciphertext.
    Encrypted,
    /// At least one is not.
    Plain,
    /// Nothing is proved of at least one.
    Unproved,
}

/// A volume that is not shown to be encrypted.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeFinding {
    /// Its name on the node.
    #[schemars(length(max = 128))]
    pub volume: String,
    /// What was seen, or why nothing was; nothing of what was written.
    #[schemars(length(max = 300))]
    pub why: String,
}

/// How the gate of protected pods stands on the node.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GateReport {
    /// `Armed`: its program is where it belongs, and a self-test with packets has passed since. `Broken`: something of it is
    /// missing or does not do what it is for, see `detail`; links of protected pods on which it does not stand are down.
    /// `Absent`: the node has none, and protected pods get no network there.
    pub state: GateState,
    /// When a self-test last passed: closed nothing went through, open everything, past the deadline nothing. Every minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested_at: Option<Time>,
    /// What is missing or wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub detail: Option<String>,
    /// Release of the kernel that holds it.
    #[schemars(length(max = 128))]
    pub kernel: String,
    /// The kernel's hash of the program's instructions, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub program: Option<String>,
}

/// How a gate stands.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GateState {
    /// It does what it is for.
    Armed,
    /// Something is missing or wrong.
    Broken,
    /// There is none.
    Absent,
}

/// What probes from a VDC's pods on the node have shown.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VdcIsolation {
    /// Uid of the VDC.
    #[schemars(length(min = 1, max = 64))]
    pub vdc: String,
    /// `Closed`: nothing passed that was not declared, and something passed that was. `Open`: something passed, see
    /// `breaches`. `Unproved`: no pod could be asked, or nothing at all passed, so that silence proves nothing.
    pub state: IsolationState,
    /// What passed, ten at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub breaches: Vec<Breach>,
}

/// What probes have shown.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IsolationState {
    /// Nothing passed that was not declared.
    Closed,
    /// Something passed.
    Open,
    /// Nothing is proved.
    Unproved,
}

/// A packet that passed and must not.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Breach {
    /// Who asked: `namespace/pod`.
    #[schemars(length(max = 400))]
    pub from: String,
    /// Who was reached: `namespace/pod`, or what the address is.
    #[schemars(length(max = 400))]
    pub to: String,
    /// Address that was reached.
    #[schemars(length(max = 45))]
    pub address: String,
    /// TCP port.
    #[schemars(range(min = 1))]
    pub port: u16,
}
