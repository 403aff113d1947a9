//! `Site`: one physical data centre, and `SiteReport`: what the site says of itself.
//!
//! The hub alone writes `Site` status; a site can write only its own report.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{self, Quota};
use crate::tunnel::TunnelEnd;

/// One physical data centre: one Kubernetes cluster with its own control plane, nodes, network and storage.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "yunting.io",
    version = "v1alpha1",
    kind = "Site",
    plural = "sites",
    category = "yunting",
    status = "SiteStatus",
    derive = "PartialEq",
    cel,
    doc = "One physical data centre: one Kubernetes cluster with its own control plane, nodes, network and storage.",
    validation = Rule::new("self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name must be at most 40 lower-case letters, digits or '-', beginning with a letter"),
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Region","type":"string","jsonPath":".spec.region"}"#,
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".spec.state"}"#,
    printcolumn = r#"{"name":"Nodes","type":"string","jsonPath":".status.nodeSummary"}"#,
    printcolumn = r#"{"name":"CPU","type":"string","jsonPath":".status.summary.cpu"}"#,
    printcolumn = r#"{"name":"Memory","type":"string","jsonPath":".status.summary.memory"}"#,
    printcolumn = r#"{"name":"Storage","type":"string","jsonPath":".status.summary.storage"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".status.kubernetesVersion"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"Gate","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type=='GateArmed')].status"}"#,
    printcolumn = r#"{"name":"Failure domain","type":"string","priority":1,"jsonPath":".spec.failureDomain"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteSpec {
    /// Name for people, for example 谯城数据中心.
    #[schemars(schema_with = "common::display_name")]
    pub display_name: String,
    /// Region the site belongs to; residency rules of VDCs name regions.
    #[schemars(schema_with = "common::name40")]
    pub region: String,
    /// Sites with the same value share power or network and can fail together.
    #[schemars(schema_with = "common::name40")]
    pub failure_domain: String,
    /// Whether new work is placed here.
    #[serde(default)]
    pub state: SiteState,
    /// Room of the site.
    #[serde(default)]
    pub capacity: Capacity,
    /// What exists at the site to enforce network, encryption and front door.
    #[serde(default)]
    pub providers: Providers,
}

/// Whether a site takes work.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SiteState {
    /// Takes new work.
    #[default]
    Enabled,
    /// Keeps what it has; takes nothing new.
    Cordoned,
    /// Given up: what it held counts as lost.
    Forgotten,
}

/// Room of a site.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Capacity {
    /// Overrides what the site's nodes report; the status says so. Absent resources are taken from the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<Quota>,
    /// How far promises may pass the room, in percent of it.
    #[serde(default)]
    pub overcommit_percent: Overcommit,
    /// Percent of the room that only recovery may use.
    #[serde(default = "default_dr_reserve")]
    #[schemars(range(min = 0, max = 90))]
    pub dr_reserve_percent: u32,
}

fn default_dr_reserve() -> u32 {
    0
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            declared: None,
            overcommit_percent: Overcommit::default(),
            dr_reserve_percent: default_dr_reserve(),
        }
    }
}

/// Overcommitment in percent: 100 promises exactly what is there.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Overcommit {
    /// Cpu promised per cpu present, in percent.
    #[serde(default = "default_cpu_overcommit")]
    #[schemars(range(min = 100, max = 1000))]
    pub cpu: u32,
    /// Memory promised per memory present, in percent.
    #[serde(default = "default_memory_overcommit")]
    #[schemars(range(min = 100, max = 400))]
    pub memory: u32,
}

fn default_cpu_overcommit() -> u32 {
    200
}

fn default_memory_overcommit() -> u32 {
    100
}

impl Default for Overcommit {
    fn default() -> Self {
        Self { cpu: default_cpu_overcommit(), memory: default_memory_overcommit() }
    }
}

/// What exists at a site.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Providers {
    /// Who enforces the network boundary.
    #[serde(default)]
    pub network: NetworkProvider,
    /// Storage classes by name.
    #[serde(default)]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub storage: Vec<StorageProvider>,
    /// The front door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressProvider>,
}

/// Who enforces the network boundary at a site.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkProvider {
    /// `None` where nothing enforces NetworkPolicy objects: isolation is then `ProviderMissing`, never claimed.
    #[serde(default)]
    pub kind: NetworkKind,
}

/// Kind of a [`NetworkProvider`].
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkKind {
    /// Nothing enforces network policies.
    #[default]
    None,
    /// The cluster's CNI enforces NetworkPolicy.
    NetworkPolicy,
    /// Yunting's own node boundary.
    Node,
}

/// A storage class of a site and what it gives.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StorageProvider {
    /// Name of the site's StorageClass.
    #[schemars(schema_with = "common::object_name")]
    pub name: String,
    /// Provisioner of the class, for example `rancher.io/local-path`.
    #[schemars(length(min = 1, max = 63))]
    pub driver: String,
    /// How volumes are encrypted.
    #[serde(default)]
    pub encryption: StorageEncryption,
    /// How volumes reach another site.
    #[serde(default)]
    pub replication: StorageReplication,
}

/// How a storage class encrypts.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StorageEncryption {
    /// Not at all: `VolumesEncrypted` is `ProviderMissing`.
    #[default]
    None,
    /// Each volume with a key of its VDC.
    PerVolume,
}

/// How a storage class replicates between sites.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StorageReplication {
    /// Not at all.
    #[default]
    None,
    /// By Yunting's own driver.
    Native,
}

/// The front door of a site.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IngressProvider {
    /// Gateway API is the only kind built.
    pub kind: IngressKind,
    /// GatewayClass of the site's Gateway.
    #[schemars(schema_with = "common::object_name")]
    pub class_name: String,
    /// Address at which clients reach the gateway, as they would type it, with a port if it is not 80.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub address: Option<String>,
    /// Networks from which the gateway reaches pods, where it does not run as pods of its own namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        inner(length(max = 18), regex(pattern = r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub source_cidrs: Vec<String>,
}

/// Kind of an [`IngressProvider`].
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IngressKind {
    /// Kubernetes Gateway API.
    Gateway,
}

/// What the hub knows of a site.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteStatus {
    /// Generation the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Connected`, `PoliciesEnforced`, `HubBelieved`, `GateArmed`.
    #[serde(default)]
    #[schemars(schema_with = "common::conditions")]
    pub conditions: Vec<Condition>,
    /// Version of the site's Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub kubernetes_version: Option<String>,
    /// Version of the site's Yunting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub yunting_version: Option<String>,
    /// `<ready>/<all>` nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 31))]
    pub node_summary: Option<String>,
    /// When the gate of the node that was tested longest ago last passed its self-test with packets, rounded down to ten
    /// minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate_tested_at: Option<Time>,
    /// Room that is counted with: declared or reported.
    #[serde(default)]
    pub allocatable: Quota,
    /// Where `allocatable` comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_source: Option<CapacitySource>,
    /// Promised to VDCs.
    #[serde(default)]
    pub allocated: Quota,
    /// Kept for recovery, of what is promised.
    #[serde(default)]
    pub reserved: Quota,
    /// Promised of what may be promised, as text for tables.
    #[serde(default)]
    pub summary: Summary,
}

/// Where a capacity comes from.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CapacitySource {
    /// A person wrote it into the spec.
    Declared,
    /// The site's nodes reported it.
    Reported,
}

/// `<used>/<limit> <percent>%` per resource, for tables.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Cpu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub cpu: Option<String>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub memory: Option<String>,
    /// Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub storage: Option<String>,
}

/// What a site says of itself. The hub creates it in `site-<name>`; the site writes its status and nothing else.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "yunting.io",
    version = "v1alpha1",
    kind = "SiteReport",
    plural = "sitereports",
    category = "yunting",
    namespaced,
    status = "SiteReportStatus",
    derive = "PartialEq",
    cel,
    doc = "What a site says of itself. The hub creates it in site-<name>; the site writes its status and nothing else.",
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".status.kubernetesVersion"}"#,
    printcolumn = r#"{"name":"Nodes","type":"integer","jsonPath":".status.nodes"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteReportSpec {
    /// Name of the site that reports.
    #[schemars(schema_with = "common::name40")]
    pub site: String,
}

/// Facts of a site as it sees them.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteReportStatus {
    /// `PoliciesEnforced`: the canary was refused by every API server of the site. `Ready`: the controller works. `GateArmed`:
    /// each node has a gate for protected pods that does what it is for.
    #[serde(default)]
    #[schemars(schema_with = "common::conditions")]
    pub conditions: Vec<Condition>,
    /// Version of the site's Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub kubernetes_version: Option<String>,
    /// Version of the site's Yunting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub yunting_version: Option<String>,
    /// Nodes of the site.
    #[serde(default)]
    pub nodes: u32,
    /// Nodes that are ready.
    #[serde(default)]
    pub ready_nodes: u32,
    /// Sum of the ready nodes' allocatable.
    #[serde(default)]
    pub allocatable: Quota,
    /// Names of StorageClasses found.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub storage_classes: Vec<String>,
    /// Names of GatewayClasses found.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub gateway_classes: Vec<String>,
    /// When the gate of the node that was tested longest ago last passed its self-test with packets, rounded down to ten
    /// minutes. Absent where a node has no gate or says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate_tested_at: Option<Time>,
    /// Certificate (PEM) of the key for which other sites seal keys of volumes that are replicated here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub custody: Option<String>,
    /// The site's ends of the tunnel to other sites: nodes that spoke of theirs lately.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tunnel: Vec<TunnelEnd>,
    /// Records at the site that have no slice at the hub: nothing is done to them until somebody decides.
    #[serde(default)]
    #[schemars(length(max = 256), inner(length(max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub orphaned: Vec<String>,
}
