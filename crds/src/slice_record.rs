//! `SliceRecord`: a site's own copy of a slice. Cluster-scoped at the site; nothing hangs on it by owner reference.
//!
//! With it a site that restarts while the hub is away keeps running and correcting drift. The absence of a
//! slice at the hub never removes a record.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::Desired;
use crate::hall_slice::HallSliceSpec;
use crate::vdc_slice::VdcSliceSpec;

/// A site's own copy of a slice, named as the slice is.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "yunting.io",
    version = "v1alpha1",
    kind = "SliceRecord",
    plural = "slicerecords",
    category = "yunting",
    derive = "PartialEq",
    cel,
    doc = "A site's own copy of a slice of the hub: what the site acts on, also while the hub is away.",
    validation = Rule::new("has(self.spec.vdc) != has(self.spec.hall)").message("spec holds exactly one of vdc and hall"),
    printcolumn = r#"{"name":"VDC","type":"string","jsonPath":".spec.vdc.source.name"}"#,
    printcolumn = r#"{"name":"Hall","type":"string","jsonPath":".spec.hall.source.name"}"#,
    printcolumn = r#"{"name":"Generation","type":"integer","jsonPath":".spec.generation"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SliceRecordSpec {
    /// Uid of the slice at the hub.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// Generation of the slice that is recorded.
    #[schemars(range(min = 0))]
    pub generation: i64,
    /// Spec of a `VdcSlice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vdc: Option<VdcSliceSpec>,
    /// Spec of a `HallSlice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hall: Option<HallSliceSpec>,
}

impl SliceRecordSpec {
    /// Whether what it records is to be there; nothing if it records neither a VDC nor a hall.
    pub fn desired(&self) -> Option<Desired> {
        self.vdc.as_ref().map(|v| v.desired).or_else(|| self.hall.as_ref().map(|h| h.desired))
    }

    /// Whether what it records is to be taken away.
    pub fn absent(&self) -> bool {
        self.desired() == Some(Desired::Absent)
    }
}
