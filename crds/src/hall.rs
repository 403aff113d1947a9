//! `Hall`: a set of workload components that a bureau runs in one of its VDCs.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{self, NameRef};

mod status;

pub use status::{HallRole, HallSiteStatus, HallStatus};

mod component;

pub use component::{
    Autoscaling, Call, Component, ComponentKind, ConfigFile, EnvVar, Port, Probe, Probes, Rollout, SecretKey,
    SecretRef, SharedServiceRef, TcpProbe, Volume, Zone,
};

/// A service hall: components, how they call each other, and how available it must be.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "yunting.io",
    version = "v1alpha1",
    kind = "Hall",
    plural = "halls",
    category = "yunting",
    namespaced,
    status = "HallStatus",
    derive = "PartialEq",
    cel,
    doc = "A service hall: workload components that a bureau runs in one of its VDCs. Compiled to one HallSlice per site.",
    validation = Rule::new("self.metadata.name.size() <= 20 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name must be at most 20 lower-case letters, digits or '-', beginning with a letter; put other scripts into spec.displayName"),
    validation = Rule::new("!has(self.spec.portal) || self.spec.components.exists(c, c.name == self.spec.portal.component && c.zone == 'Portal')").message("spec.portal.component must name one of spec.components, in zone Portal"),
    validation = Rule::new("!has(self.spec.rpoSeconds) || self.spec.availabilityClass != 'Bronze'").message("spec.rpoSeconds needs a spec.availabilityClass with a standby site: Silver, Gold or Platinum"),
    validation = Rule::new("oldSelf.spec.components.all(o, self.spec.components.all(n, n.name != o.name || n.kind == o.kind))").message("spec.components[].kind cannot be changed: remove the component and add one of another name"),
    printcolumn = r#"{"name":"Display name","type":"string","jsonPath":".spec.displayName"}"#,
    printcolumn = r#"{"name":"Class","type":"string","jsonPath":".spec.availabilityClass"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Sites","type":"string","jsonPath":".status.siteSummary"}"#,
    printcolumn = r#"{"name":"Replicas","type":"string","jsonPath":".status.replicaSummary"}"#,
    printcolumn = r#"{"name":"URL","type":"string","jsonPath":".status.url"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"VDC","type":"string","priority":1,"jsonPath":".spec.vdcRef.name"}"#,
    printcolumn = r#"{"name":"Replicated","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type=='Replicated')].status"}"#,
    printcolumn = r#"{"name":"Protected","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type=='Protected')].reason"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HallSpec {
    /// VDC of the same bureau that the hall runs in. Cannot be changed.
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.vdcRef cannot be changed: a hall moves between VDCs by being made anew"))]
    pub vdc_ref: NameRef,
    /// Name for people, for example 谯城厅.
    #[schemars(schema_with = "common::display_name")]
    pub display_name: String,
    /// How the loss of a site is met.
    #[serde(default)]
    pub availability_class: AvailabilityClass,
    /// Recovery point objective of the hall's volumes in seconds: so much of what was written is lost at most with its site.
    /// Points go to the standby sites twice in that time. Without it 300 for `Silver`, 60 for `Gold` and `Platinum`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 604_800))]
    pub rpo_seconds: Option<u32>,
    /// Who goes first when a site is lost and room is short; higher first.
    #[serde(default = "default_priority")]
    #[schemars(range(min = 0, max = 1000))]
    pub priority: u32,
    /// What was promised.
    #[serde(default)]
    pub slo: Slo,
    /// How clients reach the hall. Absent: not from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal: Option<Portal>,
    /// What runs.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub components: Vec<Component>,
}

fn default_priority() -> u32 {
    100
}

/// How the loss of a site is met.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AvailabilityClass {
    /// One site; restarts there.
    #[default]
    Bronze,
    /// A standby site; failover by a person.
    Silver,
    /// A standby site; failover by itself.
    Gold,
    /// Stateless parts active at all sites of the VDC; stateful parts as Gold.
    Platinum,
}

/// What was promised.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slo {
    /// Availability over 30 days in thousandths.
    #[serde(default = "default_availability")]
    #[schemars(range(min = 900, max = 1000))]
    pub availability_permille: u32,
}

fn default_availability() -> u32 {
    995
}

impl Default for Slo {
    fn default() -> Self {
        Self { availability_permille: default_availability() }
    }
}

/// How clients reach the hall.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Portal {
    /// Host name, under one of the bureau's domains. The oldest hall that claims it has it.
    #[schemars(schema_with = "common::host")]
    pub host: String,
    /// Path prefixes. The first in alphabetical order is asked for through the front door all the time: `Reachable`, and
    /// with it `Ready`, need an answer below 500 other than 404 there.
    #[serde(default = "default_paths")]
    #[schemars(
        length(min = 1, max = 8),
        inner(length(min = 1, max = 128), regex(pattern = r"^/[-A-Za-z0-9_./]*$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub paths: Vec<String>,
    /// Component of zone `Portal` whose first port answers.
    #[schemars(schema_with = "common::name20")]
    pub component: String,
}

fn default_paths() -> Vec<String> {
    vec!["/".to_owned()]
}
