//! `Component`: one workload of a hall, and everything it is described by.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{self, ReplicaResources};

/// One workload of a hall.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.kind == 'Stateful' || !has(self.volumes) || size(self.volumes) == 0").message("volumes need kind: Stateful"),
    validation = Rule::new("self.kind == 'Stateless' || !has(self.autoscaling)").message("autoscaling needs kind: Stateless"),
    validation = Rule::new("!has(oldSelf.volumes) || !has(self.volumes) || oldSelf.volumes.all(o, self.volumes.all(n, n.name != o.name || !quantity(n.size).isLessThan(quantity(o.size))))").message("volumes[].size only grows"),
    validation = Rule::new("self.kind == 'Stateless' || ((has(oldSelf.volumes) ? oldSelf.volumes.map(v, v.name) : []) == (has(self.volumes) ? self.volumes.map(v, v.name) : []))").message("volumes of a Stateful component cannot be added, removed or renamed: make a new component and copy the data")
)]
pub struct Component {
    /// Name within the hall.
    #[schemars(schema_with = "common::name20")]
    pub name: String,
    /// Namespace of the VDC, by its name within the VDC. Absent: the VDC's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
    /// Network zone: decides who may call it besides the `calls` of others.
    pub zone: Zone,
    /// Whether it keeps data.
    #[serde(default)]
    pub kind: ComponentKind,
    /// Image, by digest.
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[a-z0-9][-a-zA-Z0-9._:/]*@sha256:[0-9a-f]{64}$")
    )]
    pub image: String,
    /// Command instead of the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 1024)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub command: Vec<String>,
    /// Arguments instead of the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub args: Vec<String>,
    /// Pods per site where the component runs.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 1, max = 100))]
    pub replicas: u32,
    /// Cpu and memory of each pod.
    pub resources: ReplicaResources,
    /// Ports it listens on; the first is the one others call.
    #[serde(default)]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub ports: Vec<Port>,
    /// Environment. `$(NAME)` in a value is replaced by an earlier variable. Yunting adds `YUNTING_SITE`,
    /// `YUNTING_HALL`, `POD_NAME`, `NODE_NAME` and, for each call, `CALL_<COMPONENT>_HOST` and `_PORT`.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,
    /// Files put into the container.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["path".into()]))]
    pub config_files: Vec<ConfigFile>,
    /// Secrets of the bureau, labelled for this VDC, that the component reads.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub secret_refs: Vec<SecretRef>,
    /// Directories that must be writable; everything else of the image is read-only. Emptied with the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 2, max = 128), regex(pattern = r"^/[-A-Za-z0-9_./]*$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub writable_paths: Vec<String>,
    /// User and group id the container runs as; never root.
    #[serde(default = "default_user")]
    #[schemars(range(min = 1, max = 65534))]
    pub run_as_user: u32,
    /// How Kubernetes learns whether it works.
    #[serde(default)]
    pub probes: Probes,
    /// What it calls; everything else is closed to it.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub calls: Vec<Call>,
    /// How a new version comes in.
    #[serde(default)]
    pub rollout: Rollout,
    /// Grows and shrinks by load; `replicas`, brought within the bounds given here, is then what a new workload begins
    /// with, and nothing afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// Volumes of each replica of a `Stateful` component.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub volumes: Vec<Volume>,
}

fn default_replicas() -> u32 {
    1
}

fn default_user() -> u32 {
    65532
}

/// Network zone of a component.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Zone {
    /// Called by the front door.
    Portal,
    /// Called only by declared callers.
    Approval,
    /// Called only by declared callers; calls nothing outside the VDC.
    Data,
}

impl Zone {
    /// As written in specs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Portal => "Portal",
            Self::Approval => "Approval",
            Self::Data => "Data",
        }
    }
}

/// Whether a component keeps data.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ComponentKind {
    /// Keeps nothing: a Deployment.
    #[default]
    Stateless,
    /// Keeps data on volumes: a StatefulSet, at one site at a time.
    Stateful,
}

/// A port.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Port {
    /// Name, at most 15 characters.
    #[schemars(length(min = 1, max = 15), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// TCP port, above 1023 because nothing runs as root.
    #[schemars(range(min = 1024, max = 65535))]
    pub port: u16,
}

/// An environment variable: a value, or a key of one of the component's `secretRefs`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.value) != has(self.secretKey)").message("env: give exactly one of value and secretKey"))]
pub struct EnvVar {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// Secret and key it is read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<SecretKey>,
}

/// A key of a Secret.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKey {
    /// One of the component's `secretRefs`.
    #[schemars(schema_with = "common::object_name")]
    pub name: String,
    /// Key in it.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// A file put into the container.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigFile {
    /// Full path in the container.
    #[schemars(length(min = 2, max = 128), regex(pattern = r"^/[-A-Za-z0-9_./]*[-A-Za-z0-9_]$"))]
    pub path: String,
    /// Content; no secrets, it is readable to all who read the hall.
    #[schemars(length(max = 16384))]
    pub content: String,
}

/// A Secret of the bureau that a component reads.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRef {
    /// Name of a Secret in the bureau's namespace, labelled `yunting.io/vdc: <vdc>`.
    #[schemars(schema_with = "common::object_name")]
    pub name: String,
    /// Directory at which its keys are mounted as files. Absent: only by `env`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 128), regex(pattern = r"^/[-A-Za-z0-9_./]*$"))]
    pub mount_path: Option<String>,
    /// Keys that Yunting fills with random text when the Secret does not exist. Empty: it must exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 128), regex(pattern = r"^[-._a-zA-Z0-9]+$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub generate: Vec<String>,
}

/// How Kubernetes learns whether a component works.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Probes {
    /// It may be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Probe>,
    /// It need not be restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Probe>,
    /// It has started; the others wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Probe>,
}

/// One probe: exactly one of `http`, `tcp` and `exec`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("(has(self.http) ? 1 : 0) + (has(self.tcp) ? 1 : 0) + (has(self.exec) ? 1 : 0) == 1").message("probe: give exactly one of http, tcp and exec"))]
pub struct Probe {
    /// Path that answers 2xx or 3xx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/[-A-Za-z0-9_./?=&]*$"))]
    pub http: Option<String>,
    /// `Open`: the port accepts connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpProbe>,
    /// Command that ends with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub exec: Option<Vec<String>>,
    /// Name of the port. Absent: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    pub port: Option<String>,
    /// Seconds between probes.
    #[serde(default = "default_period")]
    #[schemars(range(min = 1, max = 300))]
    pub period_seconds: u32,
    /// Failures in a row that count.
    #[serde(default = "default_failures")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: u32,
}

fn default_period() -> u32 {
    5
}

fn default_failures() -> u32 {
    3
}

/// A TCP probe has nothing to say but that it is one.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TcpProbe {
    /// The port accepts connections.
    Open,
}

/// Something that a component calls: exactly one of `component` and `sharedService`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.component) != has(self.sharedService)").message("calls: give exactly one of component and sharedService"))]
pub struct Call {
    /// Component of the same hall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub component: Option<String>,
    /// Service that another VDC shares; needs an accepted grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_service: Option<SharedServiceRef>,
}

/// A service that another VDC shares.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SharedServiceRef {
    /// The VDC that shares it.
    #[schemars(schema_with = "common::name20")]
    pub vdc: String,
    /// Name of the `SharedService`.
    #[schemars(schema_with = "common::name20")]
    pub name: String,
}

/// How a new version comes in.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.maxUnavailable + self.maxSurge > 0").message("rollout: maxUnavailable and maxSurge cannot both be 0"))]
pub struct Rollout {
    /// Pods that may be missing while it comes in.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub max_unavailable: u32,
    /// Pods that may be there on top while it comes in. They count against the quota.
    #[serde(default = "default_surge")]
    #[schemars(range(min = 0, max = 100))]
    pub max_surge: u32,
}

fn default_surge() -> u32 {
    1
}

impl Default for Rollout {
    fn default() -> Self {
        Self { max_unavailable: 0, max_surge: default_surge() }
    }
}

/// Replicas by load.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas").message("autoscaling: minReplicas must not be above maxReplicas"))]
pub struct Autoscaling {
    /// Fewest pods per site.
    #[schemars(range(min = 1, max = 100))]
    pub min_replicas: u32,
    /// Most pods per site.
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: u32,
    /// Cpu use, in percent of what is asked, that is aimed at.
    #[serde(default = "default_cpu_target")]
    #[schemars(range(min = 1, max = 100))]
    pub cpu_percent: u32,
}

fn default_cpu_target() -> u32 {
    70
}

/// A volume of each replica.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    /// Name within the component.
    #[schemars(schema_with = "common::name20")]
    pub name: String,
    /// Size in bytes; only grows.
    #[schemars(schema_with = "common::quantity")]
    pub size: String,
    /// Directory at which it is mounted.
    #[schemars(length(min = 2, max = 128), regex(pattern = r"^/[-A-Za-z0-9_./]*$"))]
    pub mount_path: String,
}
