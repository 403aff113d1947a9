//! The CRDs as an API server takes them: what the derives give, plus what they cannot say.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

use crate::conditions::{READY, reason};
use crate::{
    AccessGrant, Bureau, DeletionCertificate, Hall, HallSlice, NodeReport, SharedService, Site, SiteReport,
    SliceRecord, VdcSlice, VdcTemplate, VirtualDataCenter, VolumeKey, VolumeReplica, VolumeReplication,
};

/// Where a CRD is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The hub.
    Hub,
    /// Every site.
    Site,
}

/// Every CRD with the place it belongs to.
pub fn all() -> Vec<(Place, CustomResourceDefinition)> {
    let hub = [
        Site::crd(),
        SiteReport::crd(),
        Bureau::crd(),
        VdcTemplate::crd(),
        VirtualDataCenter::crd(),
        VdcSlice::crd(),
        Hall::crd(),
        HallSlice::crd(),
        DeletionCertificate::crd(),
        SharedService::crd(),
        AccessGrant::crd(),
    ];
    let mut all: Vec<_> = hub.into_iter().map(|crd| (Place::Hub, finish(crd))).collect();
    all.push((Place::Site, finish(SliceRecord::crd())));
    all.push((Place::Site, finish(NodeReport::crd())));
    all.push((Place::Site, finish(VolumeKey::crd())));
    all.push((Place::Site, finish(VolumeReplication::crd())));
    all.push((Place::Site, finish(VolumeReplica::crd())));
    all
}

fn finish(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) {
            default_status(schema);
            settle(schema, false);
        }
    }
    crd
}

/// An object is `Ready=Unknown` from birth: tools that follow kstatus take one without conditions for ready.
fn default_status(schema: &mut JSONSchemaProps) {
    let status = schema.properties.as_mut().and_then(|p| p.get_mut("status"));
    let Some(status) = status else { return };
    let has_conditions = status.properties.as_ref().is_some_and(|p| p.contains_key("conditions"));
    if !has_conditions {
        return;
    }
    status.default = Some(JSON(json!({"conditions": [{
        "type": READY,
        "status": "Unknown",
        "reason": reason::PENDING,
        "message": "waiting for Yunting's controller",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }]})));
}

/// Takes out what an API server refuses or warns about, all the way down.
///
/// - Rules over `oldSelf` below a list that is no map: its items cannot be told apart, so the CRD is refused. Only
///   slices carry such a list; the `Hall` they are made from keeps its components in a map and is held to them.
/// - Formats of unsigned integers, which Kubernetes does not know; the bounds say it.
fn settle(schema: &mut JSONSchemaProps, in_list: bool) {
    if schema.format.as_ref().is_some_and(|format| format.starts_with("uint")) {
        schema.format = None;
    }
    if in_list && let Some(rules) = schema.x_kubernetes_validations.as_mut() {
        rules.retain(|rule| !rule.rule.contains("oldSelf"));
    }
    let map = schema.x_kubernetes_list_type.as_deref() == Some("map");
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = schema.items.as_mut() {
        settle(items, in_list || !map);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = schema.additional_properties.as_mut() {
        settle(values, in_list);
    }
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        settle(property, in_list);
    }
}

/// The generated files: path under `crds/yaml` and content. Committed; a test fails when they are stale.
pub fn files() -> Result<Vec<(String, String)>, serde_yaml::ser::Error> {
    let text = |(place, crd): (Place, CustomResourceDefinition)| {
        let folder = match place {
            Place::Hub => "hub",
            Place::Site => "site",
        };
        let name = format!("{folder}/{}.yaml", crd.spec.names.plural);
        serde_yaml::to_string(&crd).map(|yaml| (name, yaml))
    };
    all().into_iter().map(text).collect()
}
