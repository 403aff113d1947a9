//! Grants as slices carry them: to the consumer's hall what it may call, to the producer's who may call it.
//!
//! Each end is told for itself, and a site lets pass only what both say. What is not named does not pass.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access_grant::ServiceRef;
use crate::common;
use crate::hall::Port;

/// Most grants of a hall; the field's bound.
pub const GRANTS: usize = 128;

/// One end of a grant that both bureaus have agreed to.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SliceGrant {
    /// Uid of the `AccessGrant`.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// Which end this hall is.
    pub side: GrantSide,
    /// Component of this hall.
    #[schemars(schema_with = "common::name20")]
    pub component: String,
    /// The other end.
    pub peer: GrantPeer,
    /// The service, as it was asked for.
    pub service: ServiceRef,
    /// Ports of the component that answers.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub ports: Vec<Port>,
    /// From here on nothing passes, whether the hub is heard or not.
    #[schemars(schema_with = "common::time")]
    pub until: String,
}

/// Which end of a grant a hall is.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GrantSide {
    /// It calls.
    Consumer,
    /// It is called.
    Producer,
}

/// The other end of a grant.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantPeer {
    /// Uid of its VDC.
    #[schemars(length(min = 1, max = 64))]
    pub vdc: String,
    /// Uid of its hall.
    #[schemars(length(min = 1, max = 64))]
    pub hall: String,
    /// Its component.
    #[schemars(schema_with = "common::name20")]
    pub component: String,
}
