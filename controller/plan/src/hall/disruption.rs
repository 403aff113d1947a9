//! What keeps a component up while nodes are emptied, and what lets it grow with load.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricTarget, ResourceMetricSource,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{ValidComponent, ValidHallSlice};
use crate::object::Object;

/// At most one pod at a time goes by choice. A single pod has no budget: it would hold up every drain.
pub(super) fn budget(hall: &ValidHallSlice, c: &ValidComponent) -> Option<Object> {
    (c.least() > 1).then(|| {
        Object::new(&PodDisruptionBudget {
            metadata: hall.metadata(c),
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: Some(IntOrString::Int(1)),
                selector: Some(hall.selector(c)),
                unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
                ..PodDisruptionBudgetSpec::default()
            }),
            status: None,
        })
    })
}

/// The autoscaler of a component that runs here and asks for one.
pub(super) fn autoscaler(hall: &ValidHallSlice, c: &ValidComponent) -> Option<Object> {
    let scaling = c.spec.autoscaling.as_ref().filter(|_| c.active)?;
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let cpu = MetricSpec {
        type_: "Resource".to_owned(),
        resource: Some(ResourceMetricSource {
            name: "cpu".to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(number(scaling.cpu_percent)),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    };
    Some(Object::new(&HorizontalPodAutoscaler {
        metadata: hall.metadata(c),
        spec: Some(HorizontalPodAutoscalerSpec {
            min_replicas: Some(number(scaling.min_replicas)),
            max_replicas: number(scaling.max_replicas),
            metrics: Some(vec![cpu]),
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: c.object.clone(),
            },
            behavior: None,
        }),
        status: None,
    }))
}
