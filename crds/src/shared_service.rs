//! `SharedService`: what one bureau lets others call in one of its VDCs, and whom it has said yes to.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::access_grant::{GrantFrom, GrantPhase};
use crate::common::{self, NameRef};

/// Most grants that one service can be asked for and accept; the fields' bound.
pub const ASKED: usize = 64;

/// What a bureau lets others call in one of its VDCs.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "yunting.io",
    version = "v1alpha1",
    kind = "SharedService",
    plural = "sharedservices",
    shortname = "ssvc",
    category = "yunting",
    namespaced,
    status = "SharedServiceStatus",
    derive = "PartialEq",
    cel,
    doc = "What a bureau lets others call in one of its VDCs, who may ask for it, and which AccessGrants it has accepted.",
    validation = Rule::new("self.metadata.name.size() <= 20 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name must be at most 20 lower-case letters, digits or '-', beginning with a letter; put other scripts into spec.displayName"),
    printcolumn = r#"{"name":"Display name","type":"string","jsonPath":".spec.displayName"}"#,
    printcolumn = r#"{"name":"VDC","type":"string","jsonPath":".spec.vdcRef.name"}"#,
    printcolumn = r#"{"name":"Hall","type":"string","jsonPath":".spec.hall"}"#,
    printcolumn = r#"{"name":"Component","type":"string","jsonPath":".spec.component"}"#,
    printcolumn = r#"{"name":"May ask","type":"string","jsonPath":".spec.allowedBureaus.mode"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.summary"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SharedServiceSpec {
    /// VDC of the same bureau that the service is in. Cannot be changed: what was accepted stays what it was.
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.vdcRef cannot be changed: bureaus were accepted for this service and no other; share another one under a name of its own"))]
    pub vdc_ref: NameRef,
    /// Hall in that VDC. Cannot be changed.
    #[schemars(schema_with = "common::name20")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.hall cannot be changed: bureaus were accepted for this service and no other; share another one under a name of its own"))]
    pub hall: String,
    /// Component of the hall that answers. Cannot be changed.
    #[schemars(schema_with = "common::name20")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.component cannot be changed: bureaus were accepted for this service and no other; share another one under a name of its own"))]
    pub component: String,
    /// Names of the component's ports that are shared. Cannot be changed.
    #[schemars(schema_with = "port_names")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.ports cannot be changed: bureaus were accepted for these ports; share others under a name of its own"))]
    pub ports: Vec<String>,
    /// Name for people, for example 人口查询.
    #[schemars(schema_with = "common::display_name")]
    pub display_name: String,
    /// Who may ask; nobody unless said. Who may not ask any more loses what was accepted.
    #[serde(default)]
    pub allowed_bureaus: AllowedBureaus,
    /// Grants that are accepted. One that is not named here does not pass; taking an entry out ends it at once.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["bureau".into(), "grant".into(), "uid".into()]))]
    pub accepted: Vec<AcceptedGrant>,
}

/// Names of ports, at least one.
fn port_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "minItems": 1, "maxItems": 8, "x-kubernetes-list-type": "set",
        "items": {"type": "string", "minLength": 1, "maxLength": 15, "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"}})
}

/// Bureaus that may ask for a service.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("(self.mode == 'Listed') == (has(self.names) && size(self.names) > 0)").message("allowedBureaus.names is given exactly when allowedBureaus.mode is Listed"))]
pub struct AllowedBureaus {
    /// `None`, those that are `Listed`, or `Any`.
    #[serde(default)]
    pub mode: Allowed,
    /// Names of bureaus, with mode `Listed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bureau_names")]
    pub names: Vec<String>,
}

fn bureau_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 64, "x-kubernetes-list-type": "set",
        "items": {"type": "string", "minLength": 1, "maxLength": 40, "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"}})
}

impl AllowedBureaus {
    /// Whether that bureau may ask.
    pub fn allows(&self, bureau: &str) -> bool {
        match self.mode {
            Allowed::None => false,
            Allowed::Listed => self.names.iter().any(|n| n == bureau),
            Allowed::Any => true,
        }
    }
}

/// Who may ask for a service.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Allowed {
    /// Nobody.
    #[default]
    None,
    /// The bureaus that are named.
    Listed,
    /// Every bureau of the city.
    Any,
}

/// An `AccessGrant` that the producer has accepted, by name and uid: one that is made anew under the same name is another.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcceptedGrant {
    /// Bureau that asks.
    #[schemars(schema_with = "common::name40")]
    pub bureau: String,
    /// Name of its `AccessGrant`.
    #[schemars(schema_with = "common::name20")]
    pub grant: String,
    /// Uid of the `AccessGrant`, as `status.asked` shows it.
    #[schemars(length(min = 8, max = 64), regex(pattern = r"^[0-9a-f][0-9a-f-]*[0-9a-f]$"))]
    pub uid: String,
    /// When the acceptance ends. Absent: when the grant does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "common::optional_time")]
    pub until: Option<String>,
}

/// How a shared service stands.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedServiceStatus {
    /// Generation the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: there is such a component, and it may be called.
    #[serde(default)]
    #[schemars(schema_with = "common::conditions")]
    pub conditions: Vec<Condition>,
    /// Grants that bureaus ask for which may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["uid".into()]))]
    pub asked: Vec<AskedGrant>,
    /// `<accepted>/<asked>`, as text for tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 31))]
    pub summary: Option<String>,
}

/// A grant that is asked for, as its producer sees it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AskedGrant {
    /// Bureau that asks.
    #[schemars(length(max = 63))]
    pub bureau: String,
    /// Name of its `AccessGrant`.
    #[schemars(length(max = 63))]
    pub grant: String,
    /// Uid of the `AccessGrant`: what an entry of `spec.accepted` names.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Who would call.
    pub from: GrantFrom,
    /// What for, in the consumer's words.
    #[schemars(length(max = 512))]
    pub purpose: String,
    /// When it ends.
    #[schemars(length(max = 40))]
    pub expires: String,
    /// How it stands.
    pub phase: GrantPhase,
}
