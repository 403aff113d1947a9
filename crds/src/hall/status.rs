//! What the hub says of a hall.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common;

/// What became of a hall.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HallStatus {
    /// Generation the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Placed`, `Reachable`, `Replicated`, `Protected`, `Reconciling`, `Stalled`.
    #[serde(default)]
    #[schemars(schema_with = "common::conditions")]
    pub conditions: Vec<Condition>,
    /// Address at which the hall answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub url: Option<String>,
    /// Sites where it serves, as text for tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub site_summary: Option<String>,
    /// `<ready>/<asked>` pods, as text for tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 31))]
    pub replica_summary: Option<String>,
    /// What stands at each site.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["site".into()]))]
    pub sites: Vec<HallSiteStatus>,
}

/// What stands of a hall at one site.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HallSiteStatus {
    /// The site.
    #[schemars(length(max = 63))]
    pub site: String,
    /// Role of the site for this hall.
    pub role: HallRole,
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
    /// Pods ready.
    #[serde(default)]
    pub ready_replicas: u32,
    /// Pods asked.
    #[serde(default)]
    pub replicas: u32,
    /// Address of the site's front door for this hall, where it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub url: Option<String>,
}

/// What a site does for a hall.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HallRole {
    /// Everything runs.
    Active,
    /// Everything is there with no replicas.
    Standby,
    /// Runs in the drill namespace.
    Drill,
    /// Objects stay, pods are stopped.
    Closed,
}

impl HallRole {
    /// As written in specs and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Standby => "Standby",
            Self::Drill => "Drill",
            Self::Closed => "Closed",
        }
    }
}
