//! `Bureau`: a tenant. Its hub namespace is `bureau-<name>`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::{self, InvalidField, Member, NameRef, Quota};
use crate::resources::Amounts;
use crate::site::Summary;

/// A tenant: its people and their roles, its overall quota, the hosts its halls may claim.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "yunting.io",
    version = "v1alpha1",
    kind = "Bureau",
    plural = "bureaus",
    shortname = "bur",
    category = "yunting",
    status = "BureauStatus",
    derive = "PartialEq",
    cel,
    doc = "A tenant: its people and their roles, its overall quota, the hosts its halls may claim. Its namespace is bureau-<name>.",
    validation = Rule::new("self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name must be at most 40 lower-case letters, digits or '-', beginning with a letter; put other scripts into spec.displayName"),
    validation = Rule::new("!has(self.spec.parentRef) || self.spec.parentRef.name != self.metadata.name").message("spec.parentRef.name must name another bureau"),
    printcolumn = r#"{"name":"Display name","type":"string","jsonPath":".spec.displayName"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"VDCs","type":"integer","jsonPath":".status.vdcs"}"#,
    printcolumn = r#"{"name":"CPU","type":"string","jsonPath":".status.summary.cpu"}"#,
    printcolumn = r#"{"name":"Memory","type":"string","jsonPath":".status.summary.memory"}"#,
    printcolumn = r#"{"name":"Storage","type":"string","jsonPath":".status.summary.storage"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Parent","type":"string","priority":1,"jsonPath":".spec.parentRef.name"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BureauSpec {
    /// Name for people, for example 市教育局.
    #[schemars(schema_with = "common::display_name")]
    pub display_name: String,
    /// Bureau from whose quota this one's is carved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_ref: Option<NameRef>,
    /// Domains whose hosts this bureau's halls may claim, themselves included.
    #[serde(default)]
    #[schemars(schema_with = "common::hosts")]
    pub domains: Vec<String>,
    /// Upper limit of everything the bureau's VDCs ask together.
    #[serde(default)]
    pub quota: BureauQuota,
    /// People of the bureau.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub members: Vec<Member>,
}

/// Upper limit of a bureau. What is absent is not limited at the bureau.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BureauQuota {
    /// Processor time in cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "common::optional_quantity")]
    pub cpu: Option<String>,
    /// Memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "common::optional_quantity")]
    pub memory: Option<String>,
    /// Space of all volumes in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "common::optional_quantity")]
    pub storage: Option<String>,
    /// Number of accelerators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub gpu: Option<u32>,
    /// Number of load balancers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub load_balancers: Option<u32>,
    /// Number of halls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub halls: Option<u32>,
    /// Number of VDCs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub vdcs: Option<u32>,
}

impl BureauQuota {
    /// The limits that VDC quotas are added up against, as exact numbers.
    pub fn amounts(&self) -> Result<Amounts, InvalidField> {
        let quota = Quota {
            cpu: self.cpu.clone(),
            memory: self.memory.clone(),
            storage: self.storage.clone(),
            gpu: self.gpu,
            load_balancers: self.load_balancers,
            ..Quota::default()
        };
        quota.amounts()
    }
}

/// What the hub made of a bureau.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BureauStatus {
    /// Generation the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `QuotaEnforced`, `Deletable`.
    #[serde(default)]
    #[schemars(schema_with = "common::conditions")]
    pub conditions: Vec<Condition>,
    /// Hub namespace of the bureau.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// Number of VDCs.
    #[serde(default)]
    pub vdcs: u32,
    /// Number of halls.
    #[serde(default)]
    pub halls: u32,
    /// Promised to VDCs and child bureaus.
    #[serde(default)]
    pub allocated: Quota,
    /// Promised of the limit, as text for tables.
    #[serde(default)]
    pub summary: Summary,
}
