//! `VdcSlice`: what one site has to make true for one VDC. Written by the hub into `site-<name>`; status by the site.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::{self, Desired, Member, Quota, SliceSource};
use crate::deletion_certificate::KeysEnd;
use crate::site::{Overcommit, Providers};
use crate::vdc::{Access, Isolation, KeyProvider, LifecycleState, SiteRole, Transport};

/// What one site has to make true for one VDC.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "yunting.io",
    version = "v1alpha1",
    kind = "VdcSlice",
    plural = "vdcslices",
    category = "yunting",
    namespaced,
    status = "VdcSliceStatus",
    derive = "PartialEq",
    cel,
    doc = "What one site has to make true for one VDC. Written by the hub into site-<name>; status by the site.",
    validation = Rule::new("self.spec.source.uid == oldSelf.spec.source.uid && self.spec.source.bureau == oldSelf.spec.source.bureau").message("spec.source identifies the slice and cannot be changed"),
    printcolumn = r#"{"name":"Bureau","type":"string","jsonPath":".spec.source.bureau"}"#,
    printcolumn = r#"{"name":"VDC","type":"string","jsonPath":".spec.source.name"}"#,
    printcolumn = r#"{"name":"Role","type":"string","jsonPath":".spec.role"}"#,
    printcolumn = r#"{"name":"Desired","type":"string","jsonPath":".spec.desired"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VdcSliceSpec {
    /// Term of the hub leader that wrote this; only grows, so a deposed leader cannot write.
    #[schemars(range(min = 0))]
    #[x_kube(validation = Rule::new("self >= oldSelf").message("spec.term only grows: a deposed hub leader cannot write slices"))]
    pub term: i64,
    /// The VDC this was made from.
    pub source: SliceSource,
    /// Whether the VDC is to be at this site.
    pub desired: Desired,
    /// Role of this site for the VDC.
    pub role: SiteRole,
    /// Life of the VDC: `Frozen` and `Released` close admission.
    pub state: LifecycleState,
    /// Namespaces with their share of the quota.
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub namespaces: Vec<SliceNamespace>,
    /// Kept for recovery at this site, on top of the namespaces' shares.
    #[serde(default)]
    pub reserved: Quota,
    /// Overcommitment of the site, for `limits.cpu`.
    #[serde(default)]
    pub overcommit_percent: Overcommit,
    /// What may cross the border.
    #[serde(default)]
    pub isolation: Isolation,
    /// Where the key-encryption key lives.
    #[serde(default)]
    pub key_provider: KeyProvider,
    /// Least generation of the key-encryption key.
    #[serde(default = "first_generation")]
    #[schemars(range(min = 1))]
    pub key_generation: u32,
    /// Days after which a key-encryption key gets a successor.
    #[serde(default = "crate::vdc::default_rotation")]
    #[schemars(range(min = 1, max = 3650))]
    pub key_rotation_days: u32,
    /// Whether traffic between sites must be encrypted.
    #[serde(default)]
    pub transport: Transport,
    /// StorageClass of the site that volumes use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub storage_class: Option<String>,
    /// What the site has to enforce network, encryption and front door, as its `Site` says.
    #[serde(default)]
    pub providers: Providers,
    /// People of the bureau and their roles.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub members: Vec<Member>,
}

fn first_generation() -> u32 {
    1
}

/// A namespace of the slice.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SliceNamespace {
    /// Name within the VDC. The site derives the namespace's own name and never takes it from here.
    #[schemars(schema_with = "common::name20")]
    pub name: String,
    /// Who creates workloads in it.
    pub access: Access,
    /// Its share of the quota at this site.
    pub quota: Quota,
}

/// What the site made of the slice.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VdcSliceStatus {
    /// Generation of the slice the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Frozen`, `QuotaEnforced`, `NetworkIsolated`, `VolumesEncrypted`, `TransportEncrypted`, `Gone`.
    #[serde(default)]
    #[schemars(schema_with = "common::conditions")]
    pub conditions: Vec<Condition>,
    /// Each namespace.
    #[serde(default)]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub namespaces: Vec<SliceNamespaceStatus>,
    /// What became of the VDC's keys at this site; said with `Gone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeysEnd>,
}

/// What stands of a namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SliceNamespaceStatus {
    /// Name within the VDC.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Name at the site.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// `open`, `closing` (nothing new is wanted, but something may still come in) or `closed`.
    #[schemars(length(max = 15))]
    pub admission: String,
    /// At most what the API server enforces, now or until a limit that is being lowered holds.
    #[serde(default)]
    pub hard: Quota,
    /// Used by the API server's count.
    #[serde(default)]
    pub used: Quota,
}
