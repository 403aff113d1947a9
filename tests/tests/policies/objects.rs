//! Small objects that pass every rule, to be changed in one place each.

use serde_json::{Value, json};

pub const DIGEST: &str =
    "localhost/hall@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// `value` with `patch` merged in, as a merge patch would.
pub fn with(mut value: Value, patch: Value) -> Value {
    merge(&mut value, patch);
    value
}

fn merge(value: &mut Value, patch: Value) {
    match (value, patch) {
        (Value::Object(value), Value::Object(patch)) => {
            for (key, change) in patch {
                merge(value.entry(key).or_insert(Value::Null), change);
            }
        }
        (value, patch) => *value = patch,
    }
}

pub fn container() -> Value {
    json!({
        "name": "c", "image": DIGEST,
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    })
}

pub fn pod_spec() -> Value {
    json!({
        "containers": [container()], "automountServiceAccountToken": false,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
    })
}

pub fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "new"}, "spec": pod_spec()})
}

/// The pod with its only container changed.
pub fn pod_with(container_patch: Value) -> Value {
    let container = with(container(), container_patch);
    with(pod(), json!({"spec": {"containers": [container]}}))
}

/// A workload of a kind with a pod template.
pub fn workload(api_version: &str, kind: &str) -> Value {
    let mut template = json!({"metadata": {"labels": {"app": "new"}}, "spec": pod_spec()});
    let mut spec = json!({"selector": {"matchLabels": {"app": "new"}}});
    match kind {
        "ReplicationController" => spec = json!({"selector": {"app": "new"}}),
        "StatefulSet" => spec["serviceName"] = "new".into(),
        "Job" | "CronJob" => {
            template["spec"]["restartPolicy"] = "Never".into();
            spec = json!({});
        }
        _ => (),
    }
    spec["template"] = template;
    if kind == "CronJob" {
        spec = json!({"schedule": "0 0 * * *", "jobTemplate": {"spec": spec}});
    }
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "new"}, "spec": spec})
}

pub fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "new"},
        "spec": {"selector": {"app": "new"}, "ports": [{"port": 80}]},
    })
}

pub fn claim() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "new"},
        "spec": {"storageClassName": "gold", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    })
}

pub fn config_map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}, "data": {"a": "b"}})
}

pub fn secret() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "new"}, "stringData": {"a": "b"}})
}

pub fn network_policy() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "new"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    })
}

pub fn role_binding(role: &str, kind: &str, subject: &str) -> Value {
    let mut entry = json!({"kind": kind, "name": subject, "apiGroup": "rbac.authorization.k8s.io"});
    if kind == "ServiceAccount" {
        entry = json!({"kind": kind, "name": subject, "namespace": "default"});
    }
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "new"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [entry],
    })
}
