//! Yunting's kinds: Rust types, the CEL rules that guard them, conditions, labels and names.
//!
//! Owns: what a custom resource looks like and what is refused about a single object. The CRD YAML in
//! `yaml/` is generated from here by `crdgen`.
//! Must never: talk to a server, read a clock, or know how an object is carried out (that is
//! `controller/plan`).

pub mod access_grant;
pub mod bureau;
pub mod common;
pub mod conditions;
pub mod deletion_certificate;
pub mod generate;
pub mod hall;
pub mod hall_grant;
pub mod hall_slice;
pub mod hall_volume;
pub mod labels;
pub mod names;
pub mod node_report;
pub mod replication;
pub mod resources;
pub mod shared_service;
pub mod site;
pub mod slice_record;
pub mod template;
pub mod tunnel;
pub mod validate;
pub mod vdc;
pub mod vdc_slice;
pub mod volume_key;
pub mod volume_replica;
pub mod volume_replication;

pub use access_grant::{AccessGrant, AccessGrantSpec, AccessGrantStatus};
pub use bureau::{Bureau, BureauSpec, BureauStatus};
pub use deletion_certificate::{DeletionCertificate, DeletionCertificateSpec};
pub use hall::{Hall, HallSpec, HallStatus};
pub use hall_slice::{HallSlice, HallSliceSpec, HallSliceStatus};
pub use node_report::{NodeReport, NodeReportSpec, NodeReportStatus};
pub use shared_service::{SharedService, SharedServiceSpec, SharedServiceStatus};
pub use site::{Site, SiteReport, SiteReportSpec, SiteReportStatus, SiteSpec, SiteStatus};
pub use slice_record::{SliceRecord, SliceRecordSpec};
pub use template::{VdcTemplate, VdcTemplateSpec};
pub use vdc::{VdcSpec, VdcStatus, VirtualDataCenter};
pub use vdc_slice::{VdcSlice, VdcSliceSpec, VdcSliceStatus};
pub use volume_key::{VolumeKey, VolumeKeySpec, VolumeKeyStatus};
pub use volume_replica::{VolumeReplica, VolumeReplicaSpec};
pub use volume_replication::{VolumeReplication, VolumeReplicationSpec};

/// API group of every kind here.
pub const GROUP: &str = "yunting.io";
/// The one served version.
pub const VERSION: &str = "v1alpha1";
