//! `HallSlice`: what one site has to run of one hall. Written by the hub into `site-<name>`; status by the site.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::{self, Desired, SliceSource};
use crate::hall::{AvailabilityClass, Component, HallRole, Portal};
use crate::hall_grant::SliceGrant;
use crate::hall_volume::{HallVolume, ReplicaState, WantedCopies, WantedReplica};
use crate::tunnel::{Elsewhere, HallPod};

/// What one site has to run of one hall.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "yunting.io",
    version = "v1alpha1",
    kind = "HallSlice",
    plural = "hallslices",
    category = "yunting",
    namespaced,
    status = "HallSliceStatus",
    derive = "PartialEq",
    cel,
    doc = "What one site has to run of one hall. Written by the hub into site-<name>; status by the site.",
    validation = Rule::new("self.spec.source.uid == oldSelf.spec.source.uid && self.spec.source.bureau == oldSelf.spec.source.bureau && self.spec.vdc.uid == oldSelf.spec.vdc.uid").message("spec.source and spec.vdc identify the slice and cannot be changed"),
    printcolumn = r#"{"name":"Bureau","type":"string","jsonPath":".spec.source.bureau"}"#,
    printcolumn = r#"{"name":"Hall","type":"string","jsonPath":".spec.source.name"}"#,
    printcolumn = r#"{"name":"Role","type":"string","jsonPath":".spec.role"}"#,
    printcolumn = r#"{"name":"Desired","type":"string","jsonPath":".spec.desired"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HallSliceSpec {
    /// Term of the hub leader that wrote this; only grows, so a deposed leader cannot write.
    #[schemars(range(min = 0))]
    #[x_kube(validation = Rule::new("self >= oldSelf").message("spec.term only grows: a deposed hub leader cannot write slices"))]
    pub term: i64,
    /// The hall this was made from.
    pub source: SliceSource,
    /// The VDC it runs in.
    pub vdc: SliceVdc,
    /// Whether the hall is to be at this site.
    pub desired: Desired,
    /// What the site does for the hall.
    pub role: HallRole,
    /// Name for people.
    #[schemars(schema_with = "common::display_name")]
    pub display_name: String,
    /// How the loss of a site is met.
    pub availability_class: AvailabilityClass,
    /// How clients reach the hall. Absent: not from outside, or the host belongs to another hall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal: Option<Portal>,
    /// What runs, with the role of each component here.
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub components: Vec<SliceComponent>,
    /// Secrets copied into the site's hub namespace for this hall.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub secrets: Vec<SliceSecret>,
    /// Volumes of another site of which replicas are kept here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub replicas: Vec<WantedReplica>,
    /// Sites that get points of the volumes that are here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub copies: Vec<WantedCopies>,
    /// The hall at other sites, where one of its components is called over the border of a site: what is called there, and who
    /// calls from there. Only a component that keeps data is called so, and only where the hall is active at all its sites.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub elsewhere: Vec<Elsewhere>,
    /// Grants to and from halls of other VDCs, both bureaus agreeing. What is not named here does not pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub grants: Vec<SliceGrant>,
}

/// The VDC that a hall runs in.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SliceVdc {
    /// Name in its bureau.
    #[schemars(schema_with = "common::name20")]
    pub name: String,
    /// Uid.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// A component and its role at the site.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SliceComponent {
    /// `Active` runs its replicas; `Standby` and `Closed` run none.
    pub role: HallRole,
    /// The component as the bureau wrote it, its namespace filled in.
    pub component: Component,
}

/// A Secret copied for a hall.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SliceSecret {
    /// Name in the bureau's namespace. In the VDC's namespace each hall has a copy of its own.
    #[schemars(schema_with = "common::object_name")]
    pub name: String,
    /// Name of the copy in the site's hub namespace.
    #[schemars(schema_with = "common::object_name")]
    pub copy: String,
    /// Keyed hash of the content: tells whether the copy is the one meant, never what is in it.
    #[schemars(length(min = 1, max = 64))]
    pub hash: String,
}

/// What the site made of the slice.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HallSliceStatus {
    /// Generation of the slice the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reachable`, `CallsConnected`, `Gone`.
    #[serde(default)]
    #[schemars(schema_with = "common::conditions")]
    pub conditions: Vec<Condition>,
    /// Each component.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub components: Vec<ComponentStatus>,
    /// The site's front door accepted the hall's route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 15))]
    pub route: Option<String>,
    /// Volumes of the hall's components that are here. Absent: the site cannot say, and nothing follows from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub volumes: Option<Vec<HallVolume>>,
    /// Each of `spec.replicas`. Absent: the site cannot say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub replicas: Option<Vec<ReplicaState>>,
    /// Each volume of `spec.copies`, for each site.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub copies: Vec<ReplicaState>,
    /// Pods here that other sites have to know: of components that are called from there, and of those that call. Absent: the
    /// site cannot say, and nothing follows from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub pods: Option<Vec<HallPod>>,
}

/// What stands of a component.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// Name within the hall.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Its role here.
    pub role: HallRole,
    /// Pods asked here.
    #[serde(default)]
    pub replicas: u32,
    /// Pods ready, of the current version.
    #[serde(default)]
    pub ready: u32,
    /// What hinders it, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message: Option<String>,
}
