//! `VdcTemplate`: a catalogue preset that fills what a VDC does not say.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::{self, Quota};
use crate::vdc::{DrReserve, Isolation};

/// A catalogue preset. A VDC that names it takes from it what its own spec does not give.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "yunting.io",
    version = "v1alpha1",
    kind = "VdcTemplate",
    plural = "vdctemplates",
    shortname = "vdctpl",
    category = "yunting",
    derive = "PartialEq",
    cel,
    doc = "A catalogue preset. A VDC that names it takes from it what its own spec does not give.",
    validation = Rule::new("self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name must be at most 40 lower-case letters, digits or '-', beginning with a letter"),
    printcolumn = r#"{"name":"Display name","type":"string","jsonPath":".spec.displayName"}"#,
    printcolumn = r#"{"name":"CPU","type":"string","jsonPath":".spec.quota.cpu"}"#,
    printcolumn = r#"{"name":"Memory","type":"string","jsonPath":".spec.quota.memory"}"#,
    printcolumn = r#"{"name":"Storage","type":"string","jsonPath":".spec.quota.storage"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VdcTemplateSpec {
    /// Name for people.
    #[schemars(schema_with = "common::display_name")]
    pub display_name: String,
    /// What it is for, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub description: Option<String>,
    /// Quota where the VDC gives none, field by field.
    pub quota: Quota,
    /// Reserve for recovery where the VDC gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dr_reserve: Option<DrReserve>,
    /// Isolation where the VDC gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
}
