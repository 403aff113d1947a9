//! Deployment or StatefulSet of a component. Every pod is restricted: no root, no privilege, no token, nothing
//! writable but what was asked.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment, StatefulSet, StatefulSetSpec,
    StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, ExecAction, HTTPGetAction, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecurityContext, TCPSocketAction,
    TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use yunting_crds::labels;
use yunting_crds::resources::Kind;

use super::{ValidComponent, ValidHallSlice, config, service, volume};
use crate::object::Object;
use crate::vdc::{SiteFacts, ValidVdcSlice};

/// Old versions kept for a way back.
const HISTORY: i32 = 3;
/// Longest time a probe may take, in seconds.
const PROBE_TIMEOUT: u32 = 5;

/// The workload.
pub(super) fn workload(
    hall: &ValidHallSlice,
    c: &ValidComponent,
    vdc: &ValidVdcSlice,
    site: &SiteFacts,
) -> Object {
    let template = template(hall, c, site);
    if c.stateful() { stateful(hall, c, vdc, template) } else { stateless(hall, c, template) }
}

fn number(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn stateless(hall: &ValidHallSlice, c: &ValidComponent, template: PodTemplateSpec) -> Object {
    let scaled_by_load = c.active && c.spec.autoscaling.is_some();
    let rollout = RollingUpdateDeployment {
        max_unavailable: Some(IntOrString::Int(number(c.spec.rollout.max_unavailable))),
        max_surge: Some(IntOrString::Int(number(c.spec.rollout.max_surge))),
    };
    Object::new(&Deployment {
        metadata: hall.metadata(c),
        spec: Some(DeploymentSpec {
            replicas: (!scaled_by_load).then(|| number(c.replicas())),
            revision_history_limit: Some(HISTORY),
            selector: hall.selector(c),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(rollout),
            }),
            template,
            ..DeploymentSpec::default()
        }),
        status: None,
    })
}

fn stateful(
    hall: &ValidHallSlice,
    c: &ValidComponent,
    vdc: &ValidVdcSlice,
    template: PodTemplateSpec,
) -> Object {
    Object::new(&StatefulSet {
        metadata: hall.metadata(c),
        spec: Some(StatefulSetSpec {
            replicas: Some(number(c.replicas())),
            revision_history_limit: Some(HISTORY),
            selector: hall.selector(c),
            service_name: Some(service::headless_name(c)),
            template,
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: None,
            }),
            volume_claim_templates: Some(volume::claims(hall, c, vdc)).filter(|v| !v.is_empty()),
            ..StatefulSetSpec::default()
        }),
        status: None,
    })
}

fn template(hall: &ValidHallSlice, c: &ValidComponent, site: &SiteFacts) -> PodTemplateSpec {
    let metadata = ObjectMeta {
        labels: Some(hall.component_labels(c)),
        annotations: Some([(labels::CONFIG_HASH.to_owned(), config::hash(c))].into()),
        ..ObjectMeta::default()
    };
    let spec = PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        service_account_name: Some(c.object.clone()),
        security_context: Some(pod_security(c)),
        topology_spread_constraints: Some(vec![spread(hall.selector(c))]),
        containers: vec![container(hall, c, site)],
        volumes: Some(volume::volumes(c)).filter(|v| !v.is_empty()),
        ..PodSpec::default()
    };
    PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) }
}

fn container(hall: &ValidHallSlice, c: &ValidComponent, site: &SiteFacts) -> Container {
    let spec = &c.spec;
    let some = |list: &Vec<String>| Some(list.clone()).filter(|l| !l.is_empty());
    let port = |p: &yunting_crds::hall::Port| ContainerPort {
        name: Some(p.name.clone()),
        container_port: i32::from(p.port),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let probe = |p: &Option<yunting_crds::hall::Probe>| p.as_ref().map(|p| probe(c, p));
    Container {
        name: c.name.to_string(),
        image: Some(spec.image.clone()),
        command: some(&spec.command),
        args: some(&spec.args),
        env: Some(config::environment(hall, c, site)),
        ports: Some(spec.ports.iter().map(port).collect()).filter(|p: &Vec<_>| !p.is_empty()),
        resources: Some(resources(c)),
        volume_mounts: Some(volume::mounts(c)).filter(|m| !m.is_empty()),
        readiness_probe: probe(&spec.probes.ready),
        liveness_probe: probe(&spec.probes.live),
        startup_probe: probe(&spec.probes.start),
        security_context: Some(container_security()),
        ..Container::default()
    }
}

/// Asked and allowed alike: the quota counts what is used, and the node gives what was promised.
fn resources(c: &ValidComponent) -> ResourceRequirements {
    let both: BTreeMap<String, Quantity> = [
        ("cpu".to_owned(), Kind::Cpu.quantity(c.cpu)),
        ("memory".to_owned(), Kind::Memory.quantity(c.memory)),
    ]
    .into();
    ResourceRequirements { requests: Some(both.clone()), limits: Some(both), claims: None }
}

fn probe(c: &ValidComponent, p: &yunting_crds::hall::Probe) -> Probe {
    let named = p.port.as_ref().and_then(|name| c.spec.ports.iter().find(|o| o.name == *name));
    let port = named.or(c.spec.ports.first()).map_or(0, |p| i32::from(p.port));
    let port = IntOrString::Int(port);
    Probe {
        http_get: p.http.clone().map(|path| HTTPGetAction {
            path: Some(path),
            port: port.clone(),
            ..HTTPGetAction::default()
        }),
        tcp_socket: p.tcp.map(|_| TCPSocketAction { port, host: None }),
        exec: p.exec.clone().map(|command| ExecAction { command: Some(command) }),
        period_seconds: Some(number(p.period_seconds)),
        failure_threshold: Some(number(p.failure_threshold)),
        timeout_seconds: Some(number(p.period_seconds.clamp(1, PROBE_TIMEOUT))),
        ..Probe::default()
    }
}

fn pod_security(c: &ValidComponent) -> PodSecurityContext {
    let id = Some(i64::from(c.spec.run_as_user.max(1)));
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: id,
        run_as_group: id,
        fs_group: id,
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}

fn spread(selector: LabelSelector) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(selector),
        ..TopologySpreadConstraint::default()
    }
}
