//! What both ends of a replicated volume say of it: tokens, points, and who the other end is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::common;

/// Largest number that every reader of JSON keeps exactly.
pub const EXACT: u64 = 1 << 53;

/// Under which right a point was made. The greater one is the newer; who has seen one takes nothing under a lesser.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Token {
    /// Generation of the authority that gave the right.
    #[schemars(range(max = "EXACT"))]
    pub generation: u64,
    /// Epoch of the right in it: one more with every change of its holder.
    #[schemars(range(max = "EXACT"))]
    pub epoch: u64,
}

/// A moment of a volume that is kept as it was: a snapshot. Ordered by generation, epoch and sequence, never by time.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Point {
    /// Under which right it was made.
    pub token: Token,
    /// Its number among the points of the volume; never used twice.
    #[schemars(range(max = "EXACT"))]
    pub sequence: u64,
    /// Uuid of the snapshot at the volume's node, by which the other end knows it.
    #[schemars(schema_with = "uuid")]
    pub uuid: String,
    /// Everything that was synced before is in it. By the clock of the volume's node.
    pub begun_at: Time,
    /// Made while the volume was closed: nothing was written after it under this right.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

impl Point {
    /// Its place in the order of points.
    pub fn position(&self) -> (Token, u64) {
        (self.token, self.sequence)
    }

    /// A name that sorts as points are ordered.
    pub fn name(&self) -> String {
        let Token { generation, epoch } = self.token;
        format!("{generation:016x}-{epoch:016x}-{:016x}", self.sequence)
    }
}

/// A volume of another site.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Remote {
    /// Name of the site.
    #[schemars(schema_with = "common::name20")]
    pub site: String,
    /// Name of the Node there.
    #[schemars(schema_with = "common::object_name")]
    pub node: String,
    /// Name of the volume there.
    #[schemars(schema_with = "volume_name")]
    pub volume: String,
}

impl Remote {
    /// What the certificate of that node has as its URI.
    pub fn uri(&self) -> String {
        format!("yunting://site/{}/node/{}", self.site, self.node)
    }
}

/// Name of a volume: the handle that its driver knows it by.
pub fn volume_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"})
}

/// Uid of a VDC.
pub(crate) fn uid(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 8, "maxLength": 63, "pattern": "^[0-9a-f][0-9a-f-]*[0-9a-f]$"})
}

fn uuid(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 36, "maxLength": 36, "pattern": "^[0-9a-f][0-9a-f-]*[0-9a-f]$"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_points_do() {
        let point = |generation, epoch, sequence| Point {
            token: Token { generation, epoch },
            sequence,
            uuid: String::new(),
            begun_at: Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH),
            closed: false,
        };
        let ordered = [point(0, 0, 9), point(0, 0, 10), point(0, 1, 1), point(1, 0, 0), point(16, 0, 0)];
        for pair in ordered.windows(2) {
            assert!(pair[0].position() < pair[1].position());
            assert!(pair[0].name() < pair[1].name());
        }
    }
}
