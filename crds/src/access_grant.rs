//! `AccessGrant`: a bureau's request to call what another bureau shares, from one component of its own.
//!
//! Both have to agree: the consumer by this object, the producer by an entry with its uid in the `SharedService`. What was asked
//! never changes afterwards, so nobody gets one thing accepted and then another: only withdrawal and an earlier end are left.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common;
use crate::hall::Port;

/// A bureau's request to call what another bureau shares.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "yunting.io",
    version = "v1alpha1",
    kind = "AccessGrant",
    plural = "accessgrants",
    shortname = "agrant",
    category = "yunting",
    namespaced,
    status = "AccessGrantStatus",
    derive = "PartialEq",
    cel,
    doc = "A bureau's request to call what another bureau shares, with purpose and end. Nothing passes before the producer has accepted it, after its end, or after either has withdrawn.",
    validation = Rule::new("self.metadata.name.size() <= 20 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name must be at most 20 lower-case letters, digits or '-', beginning with a letter; put other scripts into spec.purpose"),
    printcolumn = r#"{"name":"Producer","type":"string","jsonPath":".spec.serviceRef.bureau"}"#,
    printcolumn = r#"{"name":"Service","type":"string","jsonPath":".spec.serviceRef.name"}"#,
    printcolumn = r#"{"name":"Hall","type":"string","jsonPath":".spec.from.hall"}"#,
    printcolumn = r#"{"name":"Component","type":"string","jsonPath":".spec.from.component"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Expires","type":"string","jsonPath":".spec.expires"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Address","type":"string","priority":1,"jsonPath":".status.address"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"Purpose","type":"string","priority":1,"jsonPath":".spec.purpose"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessGrantSpec {
    /// What is asked for. Cannot be changed.
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.serviceRef cannot be changed: what was asked is what is accepted; withdraw this grant and ask anew"))]
    pub service_ref: ServiceRef,
    /// Who calls. Cannot be changed.
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.from cannot be changed: what was asked is what is accepted; withdraw this grant and ask anew"))]
    pub from: GrantFrom,
    /// What for, for the people who decide. Cannot be changed.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.purpose cannot be changed: what was asked is what is accepted; withdraw this grant and ask anew"))]
    pub purpose: String,
    /// When it ends; may be made earlier, never later.
    #[schemars(schema_with = "common::time")]
    #[x_kube(validation = Rule::new("timestamp(self) > timestamp('2020-01-01T00:00:00Z')").message("spec.expires must be a time after the year 2020"),
        validation = Rule::new("timestamp(self) <= timestamp(oldSelf)").message("spec.expires can be made earlier, never later: ask anew for more time"))]
    pub expires: String,
    /// `Withdrawn` is for good.
    #[serde(default)]
    #[x_kube(validation = Rule::new("oldSelf == 'Active' || self == 'Withdrawn'").message("spec.state: a grant that was withdrawn stays so; ask anew"))]
    pub state: GrantState,
}

/// A `SharedService` of a bureau.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceRef {
    /// The bureau that shares it.
    #[schemars(schema_with = "common::name40")]
    pub bureau: String,
    /// Name of the `SharedService`.
    #[schemars(schema_with = "common::name20")]
    pub name: String,
}

/// A component of a hall.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantFrom {
    /// VDC of the bureau.
    #[schemars(schema_with = "common::name20")]
    pub vdc: String,
    /// Hall in it.
    #[schemars(schema_with = "common::name20")]
    pub hall: String,
    /// Component of the hall; not one of zone `Data`, which calls nothing outside its VDC.
    #[schemars(schema_with = "common::name20")]
    pub component: String,
}

/// What the consumer wants of its grant.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantState {
    /// To be accepted, and used while it is.
    #[default]
    Active,
    /// Ended by the consumer.
    Withdrawn,
}

/// How far a grant has come.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantPhase {
    /// The producer has not accepted it.
    #[default]
    Pending,
    /// Both have agreed; whether it can be used says `Ready`.
    Accepted,
    /// There is nothing of that name that the bureau may ask for.
    Refused,
    /// Its time, or that of its acceptance, is over.
    Expired,
    /// The consumer has withdrawn it.
    Withdrawn,
}

/// How a grant stands.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessGrantStatus {
    /// Generation the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: what was asked for can be called wherever the component runs.
    #[serde(default)]
    #[schemars(schema_with = "common::conditions")]
    pub conditions: Vec<Condition>,
    /// How far it has come.
    #[serde(default)]
    pub phase: GrantPhase,
    /// When it ends, by the earlier of what was asked and what was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub until: Option<String>,
    /// Name by which the component calls the service, at every site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub address: Option<String>,
    /// Ports there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub ports: Vec<Port>,
    /// Each site where the component runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["site".into()]))]
    pub sites: Vec<GrantSite>,
}

/// A grant at one site.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantSite {
    /// The site.
    #[schemars(length(max = 63))]
    pub site: String,
    /// Whether the service can be called from there.
    pub way: GrantWay,
}

/// Whether a service can be called from a site.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GrantWay {
    /// Both run here, and the site knows of the grant.
    Open,
    /// The site has not heard of the grant yet, or is silent.
    Pending,
    /// The service does not run at this site, and grants lead to no other.
    SiteApart,
}
