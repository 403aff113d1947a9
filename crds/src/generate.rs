//! The CRDs as an API server takes them: what the derives give, plus what they cannot say.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps,
};
use kube::CustomResourceExt;
use serde_json::json;

use crate::conditions::{READY, reason};
use crate::{Bureau, Hall, HallSlice, Site, SiteReport, SliceRecord, VdcSlice, VdcTemplate, VirtualDataCenter};

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
    ];
    let mut all: Vec<_> = hub.into_iter().map(|crd| (Place::Hub, finish(crd))).collect();
    all.push((Place::Site, finish(SliceRecord::crd())));
    all
}

fn finish(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) {
            default_status(schema);
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
