//! `VolumeKey`: how the data key of one volume comes to the node that opens it. Cluster-scoped at the site, named as the
//! volume; the volume's node writes the spec, the site's controller the status.
//!
//! Nothing in it opens anything by itself: `wrapped` is under the VDC's key, which no API server ever sees, and `sealed` is
//! for a key pair that lives in the memory of one process.

use kube::{CustomResource, KubeSchema};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Asks the site for the data key of a volume.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "yunting.io",
    version = "v1alpha1",
    kind = "VolumeKey",
    plural = "volumekeys",
    category = "yunting",
    status = "VolumeKeyStatus",
    derive = "PartialEq",
    cel,
    selectable = ".spec.node",
    doc = "How the data key of a volume comes to the node that opens it. Written by the volume's node; answered by the site.",
    validation = Rule::new("self.spec.node == oldSelf.spec.node && self.spec.vdc == oldSelf.spec.vdc").message("spec.node and spec.vdc say whose the volume is and cannot be changed"),
    printcolumn = r#"{"name":"Node","type":"string","jsonPath":".spec.node"}"#,
    printcolumn = r#"{"name":"VDC","type":"string","jsonPath":".spec.vdc"}"#,
    printcolumn = r#"{"name":"Generation","type":"integer","jsonPath":".status.wrapped.generation"}"#,
    printcolumn = r#"{"name":"Out","type":"string","jsonPath":".status.recipient","priority":1}"#,
    printcolumn = r#"{"name":"Refused","type":"string","jsonPath":".status.refused"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeKeySpec {
    /// Node that keeps the volume.
    #[schemars(length(min = 1, max = 63))]
    pub node: String,
    /// Uid of the VDC whose the volume is.
    #[schemars(length(min = 8, max = 63), regex(pattern = r"^[0-9a-f][0-9a-f-]*[0-9a-f]$"))]
    pub vdc: String,
    /// The data key as the volume keeps it. Absent: a new volume, for which a key is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrapped: Option<WrappedKey>,
    /// Volume that `wrapped` was made for, where it is another: a volume made from another has that one's data key, and
    /// gets it wrapped for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub origin: Option<String>,
    /// The data key of a replica, as the site of its volume sealed it to this site's custody key. The site takes it over:
    /// opens it and wraps it with its own key of the VDC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "base64")]
    pub sealed: Option<String>,
    /// Public key (HPKE X25519) of the process that waits for the data key. Absent: nobody does; what was sealed before is
    /// taken out of the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "base64")]
    pub recipient: Option<String>,
}

/// A data key, encrypted with a key-encryption key of its VDC.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WrappedKey {
    /// Name of the key-encryption key: the beginning of a hash of it.
    #[schemars(length(min = 16, max = 16), regex(pattern = "^[0-9a-f]{16}$"))]
    pub kek: String,
    /// Generation of the key-encryption key.
    #[schemars(range(min = 1))]
    pub generation: u32,
    /// Nonce and ciphertext (AES-256-GCM, bound to VDC and volume).
    #[schemars(schema_with = "base64")]
    pub data: String,
}

/// The site's answer.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeKeyStatus {
    /// Generation of the object that is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The data key under the newest key-encryption key. A node keeps it with the volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrapped: Option<WrappedKey>,
    /// For whom `sealed` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "base64")]
    pub recipient: Option<String>,
    /// The data key, sealed to `recipient` (HPKE X25519, HKDF-SHA256, AES-256-GCM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "base64")]
    pub sealed: Option<String>,
    /// Why no key is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub refused: Option<String>,
}

/// Bytes as base64, a few hundred at most.
pub(crate) fn base64(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 400, "pattern": "^[A-Za-z0-9+/]+={0,2}$"})
}
