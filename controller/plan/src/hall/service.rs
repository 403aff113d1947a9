//! Services of a component.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{ValidComponent, ValidHallSlice};
use crate::object::Object;

/// Name of the headless Service that gives each replica of a stateful component a name of its own. A `StatefulSet`
/// names it for good, whether it exists or not.
pub(super) fn headless_name(c: &ValidComponent) -> String {
    format!("{}-pods", c.object)
}

/// One Service where there are ports; a headless one beside it where replicas keep data and must find each other.
pub(super) fn services(hall: &ValidHallSlice, c: &ValidComponent) -> Vec<Object> {
    if c.spec.ports.is_empty() {
        return Vec::new();
    }
    let mut all =
        vec![Object::new(&Service { metadata: hall.metadata(c), spec: Some(spec(hall, c)), status: None })];
    if c.stateful() && c.spec.replicas > 1 {
        let spec = ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            ..spec(hall, c)
        };
        let metadata = hall.metadata_named(c, headless_name(c));
        all.push(Object::new(&Service { metadata, spec: Some(spec), status: None }));
    }
    all
}

fn spec(hall: &ValidHallSlice, c: &ValidComponent) -> ServiceSpec {
    let port = |p: &yunting_crds::hall::Port| ServicePort {
        name: Some(p.name.clone()),
        port: i32::from(p.port),
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::Int(i32::from(p.port))),
        ..ServicePort::default()
    };
    ServiceSpec {
        type_: Some("ClusterIP".to_owned()),
        selector: hall.selector(c).match_labels,
        ports: Some(c.spec.ports.iter().map(port).collect()),
        ..ServiceSpec::default()
    }
}
