//! `VirtualDataCenter`: a bureau's quota, closed network, keys and sites.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{self, NameRef, Quota};
use crate::deletion_certificate::SiteEnd;
use crate::site::Summary;

/// A bureau's virtual data centre.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "yunting.io",
    version = "v1alpha1",
    kind = "VirtualDataCenter",
    plural = "virtualdatacenters",
    shortname = "vdc",
    category = "yunting",
    namespaced,
    status = "VdcStatus",
    derive = "PartialEq",
    cel,
    doc = "A bureau's virtual data centre: quota, closed network, encrypted volumes and sites. Compiled to one VdcSlice per site.",
    validation = Rule::new("self.metadata.name.size() <= 20 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name must be at most 20 lower-case letters, digits or '-', beginning with a letter; put other scripts into spec.displayName"),
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".spec.lifecycle.state"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Active","type":"string","jsonPath":".status.activeSite"}"#,
    printcolumn = r#"{"name":"Standby","type":"string","jsonPath":".status.standbySite"}"#,
    printcolumn = r#"{"name":"CPU","type":"string","jsonPath":".status.summary.cpu"}"#,
    printcolumn = r#"{"name":"Memory","type":"string","jsonPath":".status.summary.memory"}"#,
    printcolumn = r#"{"name":"Storage","type":"string","jsonPath":".status.summary.storage"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Template","type":"string","priority":1,"jsonPath":".spec.templateRef.name"}"#,
    printcolumn = r#"{"name":"Isolation","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type=='NetworkIsolated')].reason"}"#,
    printcolumn = r#"{"name":"Encryption","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type=='VolumesEncrypted')].reason"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VdcSpec {
    /// Name for people, for example 考试云.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub display_name: Option<String>,
    /// Catalogue preset that fills what is not given here; effective values are in `status.effective`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<NameRef>,
    /// Upper limit of everything that runs in the VDC, over all its sites and namespaces. `cpu`, `memory` and
    /// `pods` must be given here or by the template. Absent `storage`, `gpu` and `loadBalancers` are zero, absent
    /// `services` not limited.
    #[serde(default)]
    pub quota: Quota,
    /// Where the VDC lives.
    #[serde(default)]
    pub sites: Sites,
    /// Room kept at the standby site for recovery, within the quota. The template's, or `None`, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dr_reserve: Option<DrReserve>,
    /// The VDC's namespaces. Their names at a site are `<vdc>-<name>-<8 of the uid>`, the same at all sites.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub namespaces: Vec<VdcNamespace>,
    /// What may cross the VDC's border. The template's, or nothing, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Keys and encryption.
    #[serde(default)]
    pub encryption: Encryption,
    /// Life of the VDC.
    #[serde(default)]
    pub lifecycle: Lifecycle,
}

/// Where a VDC lives: named sites, or a rule by which they are chosen.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!(has(self.names) && size(self.names) > 0 && has(self.placement))").message("sites: give names or placement, not both"))]
pub struct Sites {
    /// These sites and no others; the first is the active one, the second the standby.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "common::names40")]
    pub names: Vec<String>,
    /// Rule by which Yunting chooses. Where neither is given: one site, any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<PlacementRule>,
    /// Whether chosen sites must not share a failure domain.
    #[serde(default)]
    pub spread: Spread,
}

/// Rule by which sites are chosen.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.required) || size(self.required) <= self.count").message("sites.placement.required names more sites than count; raise count or drop a site"))]
pub struct PlacementRule {
    /// How many sites: one active, the second standby, further ones active for Platinum halls.
    #[schemars(range(min = 1, max = 8))]
    pub count: u32,
    /// Sites taken first, in this order, if they fit.
    #[serde(default)]
    #[schemars(schema_with = "common::names40")]
    pub preferred: Vec<String>,
    /// Sites that must be among the chosen.
    #[serde(default)]
    #[schemars(schema_with = "common::names40")]
    pub required: Vec<String>,
    /// Regions the data may be in. Empty: any.
    #[serde(default)]
    #[schemars(schema_with = "common::names40")]
    pub residency: Vec<String>,
}

/// Whether chosen sites must not share a failure domain.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spread {
    /// No two chosen sites in one failure domain.
    #[default]
    FailureDomain,
    /// Sites may share a failure domain.
    None,
}

/// Room kept at the standby site for recovery.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("(self.mode == 'Fixed') == has(self.fixed)").message("drReserve.fixed is given exactly when drReserve.mode is Fixed"))]
pub struct DrReserve {
    /// How much is kept.
    #[serde(default)]
    pub mode: DrReserveMode,
    /// The amounts of mode `Fixed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Quota>,
}

/// How much room is kept at the standby site.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DrReserveMode {
    /// None: whether the VDC can move depends on the day.
    #[default]
    None,
    /// As much as the active site may use.
    Full,
    /// The amounts given.
    Fixed,
}

/// A namespace of a VDC.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VdcNamespace {
    /// Name within the VDC.
    #[schemars(schema_with = "common::name20")]
    pub name: String,
    /// Who creates workloads in it.
    #[serde(default)]
    pub access: Access,
    /// Share of each site's quota, relative to the other namespaces' weights.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 1, max = 100))]
    pub weight: u32,
}

fn default_weight() -> u32 {
    1
}

/// Who creates workloads in a namespace.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Yunting alone, from `Hall` objects; people read and see logs.
    #[default]
    HallsOnly,
    /// The bureau's people with `kubectl`, within quota and policies.
    Direct,
}

impl Access {
    /// As written in the label and in specs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HallsOnly => "HallsOnly",
            Self::Direct => "Direct",
        }
    }
}

/// What may cross the VDC's border; everything else is closed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Isolation {
    /// Networks outside that pods of the VDC may call.
    #[serde(default)]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub egress: Vec<EgressRule>,
    /// Who may call in from outside the VDC.
    #[serde(default)]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub ingress_from: Vec<IngressSource>,
    /// Whether Services of type LoadBalancer may be made, within the quota.
    #[serde(default)]
    pub allow_load_balancer: bool,
}

/// A network outside and its ports.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!self.cidr.endsWith('/0')").message("isolation.egress.cidr must not end in /0, which opens everything; name the networks that are needed"),
    validation = Rule::new("isCIDR(self.cidr)").message("isolation.egress.cidr is no IPv4 network; write for example 203.0.113.0/24")
)]
pub struct EgressRule {
    /// IPv4 network.
    #[schemars(schema_with = "common::cidr")]
    pub cidr: String,
    /// TCP ports; empty: all.
    #[serde(default)]
    #[schemars(schema_with = "common::ports")]
    pub ports: Vec<u16>,
}

/// Who may call into a VDC.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IngressSource {
    /// The site's front door, to components of zone `Portal`.
    Portal,
}

/// Keys and encryption of a VDC.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.keyProvider == oldSelf.keyProvider").message("encryption.keyProvider cannot be changed: make a new VDC and move"),
    validation = Rule::new("self.keyGeneration >= oldSelf.keyGeneration").message("encryption.keyGeneration only grows: an old key is destroyed once nothing is wrapped with it")
)]
pub struct Encryption {
    /// Where the VDC's key-encryption key lives.
    #[serde(default)]
    pub key_provider: KeyProvider,
    /// Least generation of the key-encryption key. Raising it makes a new key now and wraps the data keys of all volumes
    /// with it; nothing is mounted anew.
    #[serde(default = "first_generation")]
    #[schemars(range(min = 1))]
    pub key_generation: u32,
    /// Days between generations of the key-encryption key.
    #[serde(default = "default_rotation")]
    #[schemars(range(min = 1, max = 3650))]
    pub rotation_days: u32,
    /// Whether traffic between sites must be encrypted.
    #[serde(default)]
    pub transport: Transport,
}

fn first_generation() -> u32 {
    1
}

pub(crate) fn default_rotation() -> u32 {
    90
}

impl Default for Encryption {
    fn default() -> Self {
        Self {
            key_provider: KeyProvider::default(),
            key_generation: first_generation(),
            rotation_days: default_rotation(),
            transport: Transport::default(),
        }
    }
}

/// Where a key-encryption key lives.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyProvider {
    /// With Yunting: hub members are trusted hosts.
    #[default]
    Embedded,
    /// In a Vault or OpenBao transit engine.
    Vault,
}

/// Whether traffic between sites must be encrypted.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transport {
    /// Nothing crosses sites in the clear.
    #[default]
    Required,
    /// Encrypted where the sites can.
    Preferred,
}

/// Life of a VDC.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lifecycle {
    /// `Released` can be taken back until it has cooled off.
    #[serde(default)]
    pub state: LifecycleState,
    /// Hours between `Released` and removal.
    #[serde(default = "default_cooling")]
    #[schemars(range(min = 0, max = 8760))]
    pub cooling_off_hours: u32,
    /// Days for which the VDC was granted. Absent: for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36500))]
    pub lease_days: Option<u32>,
}

fn default_cooling() -> u32 {
    72
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { state: LifecycleState::default(), cooling_off_hours: default_cooling(), lease_days: None }
    }
}

/// State of a VDC's life.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LifecycleState {
    /// In use.
    #[default]
    Active,
    /// Keeps what runs; admits nothing new.
    Frozen,
    /// To be removed after cooling off; frozen until then.
    Released,
}

/// What became of a VDC.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VdcStatus {
    /// Generation the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Scheduled`, `QuotaEnforced`, `NetworkIsolated`, `VolumesEncrypted`, `TransportEncrypted`,
    /// `Frozen`, `Deletable`, `Reconciling`, `Stalled`.
    #[serde(default)]
    #[schemars(schema_with = "common::conditions")]
    pub conditions: Vec<Condition>,
    /// Site where stateful halls run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub active_site: Option<String>,
    /// Site that takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub standby_site: Option<String>,
    /// Values in force: spec filled by the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<Effective>,
    /// Every site of the city and why it was or was not chosen.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["site".into()]))]
    pub placement: Vec<SiteChoice>,
    /// What stands at each site.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["site".into()]))]
    pub sites: Vec<VdcSiteStatus>,
    /// Used of the limit over all sites, as text for tables.
    #[serde(default)]
    pub summary: Summary,
    /// When `Released` was first seen, RFC 3339; cooling off counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub released_at: Option<String>,
    /// Sites that the VDC has left, and what became of its keys there, until its certificate says so.
    #[serde(default)]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["slice".into()]))]
    pub left_sites: Vec<SiteEnd>,
}

/// Values in force.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// Quota in force.
    pub quota: Quota,
    /// Reserve in force.
    pub dr_reserve: DrReserve,
    /// Isolation in force.
    pub isolation: Isolation,
}

/// Why a site was or was not chosen.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteChoice {
    /// The site.
    #[schemars(length(max = 63))]
    pub site: String,
    /// Role it was chosen for, or `NotChosen`.
    pub role: SiteRole,
    /// CamelCase reason.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// The reason in words, with numbers.
    #[serde(default)]
    #[schemars(length(max = 512))]
    pub message: String,
}

/// What a site does for a VDC.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SiteRole {
    /// Stateful halls run here.
    Active,
    /// Takes over; runs the stateless parts of Platinum halls.
    Standby,
    /// Runs the stateless parts of Platinum halls.
    Member,
    /// Not chosen.
    NotChosen,
}

impl SiteRole {
    /// As written in specs and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Standby => "Standby",
            Self::Member => "Member",
            Self::NotChosen => "NotChosen",
        }
    }
}

/// What stands at one site.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VdcSiteStatus {
    /// The site.
    #[schemars(length(max = 63))]
    pub site: String,
    /// Uid of its slice.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub slice: String,
    /// Its role.
    pub role: SiteRole,
    /// `True`, `False` or `Unknown`, as the slice says and the site's beat allows.
    #[schemars(length(max = 7))]
    pub ready: String,
    /// Reason of `ready`.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// What the reason means here.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Limit at this site, without reserve.
    #[serde(default)]
    pub quota: Quota,
    /// Kept for recovery at this site.
    #[serde(default)]
    pub reserved: Quota,
    /// Used at this site when last reported.
    #[serde(default)]
    pub used: Quota,
    /// Names of the VDC's namespaces at this site.
    #[serde(default)]
    #[schemars(length(max = 8), inner(length(max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub namespaces: Vec<String>,
}
