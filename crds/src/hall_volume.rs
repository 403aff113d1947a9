//! Volumes of a hall and their replicas, as sites and hub tell each other in `HallSlice`s.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::common::{self, Desired};
use crate::replication::{self, Remote};

/// Which volume of a hall: the claim of one pod of a stateful component. Every site derives the claim's own name from it and
/// never takes one from elsewhere.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HallClaim {
    /// Name of the component.
    #[schemars(schema_with = "common::name20")]
    pub component: String,
    /// Name of the volume in it.
    #[schemars(schema_with = "common::name20")]
    pub volume: String,
    /// Number of the pod, from 0.
    #[schemars(range(max = 99))]
    pub ordinal: u32,
}

impl std::fmt::Display for HallClaim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}-{}", self.volume, self.component, self.ordinal)
    }
}

/// A volume of a hall that stands at a site.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HallVolume {
    /// Which.
    pub claim: HallClaim,
    /// Name of the volume: the handle that its driver knows it by.
    #[schemars(schema_with = "replication::volume_name")]
    pub name: String,
    /// Node that keeps it.
    #[schemars(schema_with = "common::object_name")]
    pub node: String,
    /// Its size in bytes.
    #[schemars(range(min = 1))]
    pub bytes: i64,
}

/// A volume of another site of which a replica is to be kept here.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WantedReplica {
    /// Which.
    pub claim: HallClaim,
    /// The volume. The replica has its name.
    pub from: Remote,
    /// Its size in bytes.
    #[schemars(range(min = 1))]
    pub bytes: i64,
    /// `Absent`: it goes, unless it was activated. A replica that is in the list no more is left alone.
    #[serde(default = "present", skip_serializing_if = "is_present")]
    pub desired: Desired,
    /// When the volume's site first said that it is there no more. The replica keeps its last points for 30 days, or until a
    /// person deletes it; it is not made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "common::time")]
    pub volume_gone_at: Option<Time>,
}

fn present() -> Desired {
    Desired::Present
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_present(desired: &Desired) -> bool {
    *desired == Desired::Present
}

/// Another site that gets points of volumes that are here.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WantedCopies {
    /// Name of the site.
    #[schemars(schema_with = "common::name20")]
    pub site: String,
    /// Certificate (PEM, one) of its custody key, for which the volumes' keys are sealed. Whether the machines' authority has
    /// issued it for that site is seen before a key is.
    #[schemars(length(min = 1, max = 4096))]
    pub custody: String,
    /// Recovery point objective in seconds.
    #[schemars(range(min = 2, max = 604_800))]
    pub rpo_seconds: u32,
    /// The volumes, and where their points go.
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub volumes: Vec<WantedCopy>,
}

/// Where the points of one volume go.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WantedCopy {
    /// Which.
    pub claim: HallClaim,
    /// Name of the volume here, and of its replica there.
    #[schemars(schema_with = "replication::volume_name")]
    pub name: String,
    /// Node there that keeps the replica.
    #[schemars(schema_with = "common::object_name")]
    pub node: String,
    /// Where that node takes points, `<host or address>:<port>`.
    #[schemars(length(min = 3, max = 300), regex(pattern = r"^[^\s]+:[0-9]{1,5}$"))]
    pub address: String,
}

/// How a replica, or the sending of points to one, stands.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplicaState {
    /// Which volume.
    pub claim: HallClaim,
    /// Name of the volume and of its replica.
    #[schemars(schema_with = "replication::volume_name")]
    pub name: String,
    /// The other site.
    #[schemars(schema_with = "common::name20")]
    pub site: String,
    /// Node that keeps the replica, if it is this site that keeps it and one was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
    /// Where that node takes points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub address: Option<String>,
    /// `True`: the replica could be activated; points arrive within the objective. `False`: see `reason`.
    #[schemars(length(max = 7))]
    pub ready: String,
    /// Why not.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// What the reason means here; empty where it is ready.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub message: String,
}
