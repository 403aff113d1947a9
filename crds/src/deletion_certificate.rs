//! `DeletionCertificate`: what became of a VDC's keys at each site where it was, written at the hub when the VDC ends. It
//! outlives VDC and bureau, and each carries the hash of the one before.
//!
//! Nothing in it is secret: keys are named by the beginning of a hash of theirs.

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::common;
use crate::vdc::{KeyProvider, SiteRole};

/// Most ends of a VDC at sites that are listed.
pub const SITES: usize = 32;
/// Most keys of a site that are listed by name.
pub const KEYS: usize = 64;

/// What became of the keys of a VDC that is gone.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "yunting.io",
    version = "v1alpha1",
    kind = "DeletionCertificate",
    plural = "deletioncertificates",
    shortname = "delcert",
    category = "yunting",
    namespaced,
    derive = "PartialEq",
    cel,
    doc = "What became of the keys of a VDC that is gone, site by site. Written by the hub into yunting-system before it lets the VDC go; changed and deleted by nobody. Each carries the hash of the one before.",
    validation = Rule::new("self.spec == oldSelf.spec").message("a certificate says what was seen and cannot be changed"),
    validation = Rule::new("self.metadata.name.matches('^deletion-[1-9][0-9]{0,15}$') && int(self.metadata.name.substring(9)) == self.spec.sequence").message("metadata.name must be deletion-<spec.sequence>: two certificates of one place in the chain cannot both be there"),
    printcolumn = r#"{"name":"Bureau","type":"string","jsonPath":".spec.bureau"}"#,
    printcolumn = r#"{"name":"VDC","type":"string","jsonPath":".spec.vdc"}"#,
    printcolumn = r#"{"name":"Ended","type":"string","jsonPath":".spec.endedAt"}"#,
    printcolumn = r#"{"name":"Sites","type":"string","jsonPath":".spec.siteNames"}"#,
    printcolumn = r#"{"name":"Whole","type":"boolean","jsonPath":".spec.whole"}"#,
    printcolumn = r#"{"name":"Hash","type":"string","jsonPath":".spec.hash","priority":1}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("(self.sequence == 1) == !has(self.previous)").message("spec.previous is the hash of the certificate before this one: only the first has none"))]
pub struct DeletionCertificateSpec {
    /// Place in the chain, from 1; the object's name carries it.
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub sequence: i64,
    /// `hash` of the certificate before this one; the first has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "hash")]
    pub previous: Option<String>,
    /// Bureau whose VDC it was.
    #[schemars(schema_with = "common::name40")]
    pub bureau: String,
    /// Name of the VDC in its bureau.
    #[schemars(schema_with = "common::name20")]
    pub vdc: String,
    /// Uid of the VDC. There is one certificate for each.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// When the VDC's deletion was asked for, RFC 3339.
    #[schemars(length(min = 20, max = 40))]
    pub requested_at: String,
    /// When nothing of the VDC was left at any site, or was given up, RFC 3339.
    #[schemars(length(min = 20, max = 40))]
    pub ended_at: String,
    /// Names of the sites, for tables.
    #[schemars(length(max = 512))]
    pub site_names: String,
    /// At every site the keys were destroyed and read back as gone, or there were none.
    pub whole: bool,
    /// Every stay of the VDC at a site, and how it ended.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub sites: Vec<SiteEnd>,
    /// What this certificate does not speak for: copies and remains that Yunting cannot reach.
    #[schemars(length(max = 16), inner(length(max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub not_covered: Vec<String>,
    /// SHA-256, in hexadecimal, over the rest of the spec as JSON with sorted keys and without white space.
    #[schemars(schema_with = "hash")]
    pub hash: String,
}

/// How the stay of a VDC at a site ended.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteEnd {
    /// The site.
    #[schemars(schema_with = "common::name40")]
    pub site: String,
    /// Uid of the `VdcSlice` by which the VDC was there: a VDC that left a site and came back has two.
    #[schemars(length(max = 64))]
    pub slice: String,
    /// Role of the site for the VDC.
    pub role: SiteRole,
    /// What became of the VDC's keys there.
    pub keys: KeysEnd,
    /// StorageClass that the VDC's volumes had there, where it does not encrypt, or not with keys of the VDC: what is said of keys protects nothing of what
    /// they held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub clear_storage: Option<String>,
}

/// What became of the key-encryption keys of a VDC at a site.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("(self.outcome == 'Destroyed') == has(self.destroyed)").message("destroyed belongs to outcome Destroyed and to no other"))]
pub struct KeysEnd {
    /// What became of them.
    pub outcome: Outcome,
    /// Where they were to be.
    pub provider: KeyProvider,
    /// The outcome in words.
    #[schemars(length(max = 512))]
    pub reason: String,
    /// What was destroyed, and how it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed: Option<KeysDestroyed>,
}

/// What became of keys.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The site destroyed them, read back that they are gone, and saw that nothing opens any more.
    Destroyed,
    /// The site has none and knows of none that it had; the reason is given.
    NoKeys,
    /// The site was given up. Keys may be there still.
    Forgotten,
    /// Nobody saw what became of them. Keys may be somewhere still.
    NotSeen,
}

/// Keys that were destroyed, and the proof.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.readBack && self.opened == 0 && self.tried >= self.count && self.count > 0").message("keys count as destroyed only when they were read back as gone, each was tried, and nothing opened"))]
pub struct KeysDestroyed {
    /// When they were seen to be gone, RFC 3339.
    #[schemars(length(min = 20, max = 40))]
    pub at: String,
    /// How many keys there were.
    #[schemars(range(min = 0))]
    pub count: u32,
    /// The keys, newest first; of more than 64 those.
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub keys: Vec<DestroyedKey>,
    /// The place where they were kept was read afterwards, and they were not there.
    pub read_back: bool,
    /// Wrapped keys that were tried afterwards: one made for each key beforehand, which opened then, and those of volumes
    /// and snapshots that were still known.
    #[schemars(range(min = 0))]
    pub tried: u32,
    /// How many of them opened.
    #[schemars(range(min = 0))]
    pub opened: u32,
}

/// A key that was destroyed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DestroyedKey {
    /// The beginning of a hash of the key, as in `kek` of what it wrapped.
    #[schemars(length(min = 16, max = 16), regex(pattern = "^[0-9a-f]{16}$"))]
    pub name: String,
    /// Its generation.
    #[schemars(range(min = 1))]
    pub generation: u32,
}

/// A SHA-256 in hexadecimal.
fn hash(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 64, "maxLength": 64, "pattern": "^[0-9a-f]{64}$"})
}
