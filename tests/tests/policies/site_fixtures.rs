//! What stands at a site before its policies do.

use serde_json::{Value, json};

use crate::objects::{claim, config_map, network_policy, pod, role_binding, secret, service, with, workload};

pub const UID: &str = "0a1b2c3d-1111-2222-3333-444455556666";

/// Labels of a VDC's namespace. `privileged`, so that in these it is our policies that refuse a pod and not Pod Security.
pub fn labels(access: &str, admission: &str) -> Value {
    json!({
        "yunting.io/bureau": "edu", "yunting.io/vdc": "exams", "yunting.io/vdc-uid": UID,
        "yunting.io/access": access, "yunting.io/admission": admission, "yunting.io/storage-class": "gold",
        "pod-security.kubernetes.io/enforce": "privileged", "pod-security.kubernetes.io/enforce-version": "v1.36",
    })
}

/// The same as the site controller sets them.
pub fn restricted(access: &str, admission: &str) -> Value {
    with(labels(access, admission), json!({"pod-security.kubernetes.io/enforce": "restricted"}))
}

pub fn namespace(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// A volume of a node that is replicated, and a replica that the node keeps; both are called as the node.
fn replicated(node: &str) -> [Value; 2] {
    let other = json!({"site": "other", "node": "other-1", "volume": "v"});
    let (vdc, token) = ("aaaaaaaa-1111", json!({"generation": 1, "epoch": 1}));
    let of = |kind: &str, spec: Value| json!({"apiVersion": "yunting.io/v1alpha1", "kind": kind, "metadata": {"name": node}, "spec": spec});
    let sent = json!({
        "node": node, "vdc": vdc, "volume": "v", "to": other, "address": "other:9443", "custody": "a certificate",
        "token": token, "rpoSeconds": 10,
    });
    let kept = json!({"node": node, "vdc": vdc, "from": other, "token": token});
    [of("VolumeReplication", sent), of("VolumeReplica", kept)]
}

pub fn objects() -> Vec<Value> {
    let without = |key: &str| {
        let mut labels = labels("Direct", "open");
        labels.as_object_mut().unwrap().remove(key);
        labels
    };
    let balanced = with(labels("Direct", "open"), json!({"yunting.io/load-balancer": "allowed"}));
    let gated = with(labels("HallsOnly", "open"), json!({"yunting.io/protected": "true"}));
    let namespaces = [
        ("gated", gated),
        ("closed", labels("HallsOnly", "closed")),
        ("halls", labels("HallsOnly", "open")),
        ("direct", labels("Direct", "open")),
        ("shut", labels("Direct", "closed")),
        ("balanced", balanced),
        ("odd", labels("Sometimes", "open")),
        ("mute", without("yunting.io/admission")),
        ("diskless", without("yunting.io/storage-class")),
        ("good", restricted("HallsOnly", "closed")),
        ("plain", json!({"team": "a"})),
        ("yunting-canary", json!({"yunting.io/admission": "closed"})),
    ];
    let runtime = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "other"}, "handler": "other"});
    let mut all: Vec<Value> = vec![http_route_kind(), runtime];
    all.extend(["n1", "n2"].into_iter().flat_map(replicated));
    for (name, labels) in &namespaces {
        all.push(namespace(name, labels));
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        all.push(within(name, account));
    }
    for place in ["closed", "halls", "direct", "odd"] {
        all.extend(residents().map(|object| within(place, named("old", object))));
    }
    all.extend(borders().map(|object| within("direct", named("old", object))));
    all.extend(directs_own().map(|object| within("direct", object)));
    all
}

/// A resident of every kind that halls and people make.
fn residents() -> impl Iterator<Item = Value> {
    let bound = with(pod(), json!({"spec": {"nodeName": "n1"}}));
    [
        bound,
        workload("apps/v1", "Deployment"),
        workload("apps/v1", "ReplicaSet"),
        service(),
        claim(),
        config_map(),
        secret(),
    ]
    .into_iter()
}

fn borders() -> impl Iterator<Item = Value> {
    [
        network_policy(),
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {}, "spec": {"hard": {"configmaps": "100"}}}),
        limit_range(),
        endpoint_slice(),
        role_binding("yunting-reader", "Group", "oidc:edu"),
        http_route(),
    ]
    .into_iter()
}

fn directs_own() -> impl Iterator<Item = Value> {
    let marked = json!({"metadata": {"labels": {"yunting.io/hall": "h"}, "annotations": {"yunting.io/desired-hash": "x"}}});
    let tagged = json!({"spec": {"containers": [{"name": "c", "image": "postgres:17"}]}, "metadata": {"finalizers": ["a.b/c"]}});
    [
        named("unbound", pod()),
        // Older than the policy: named by a tag.
        named("tagged", with(pod(), tagged)),
        with(named("marked", config_map()), marked),
        with(
            named("labelled", workload("apps/v1", "Deployment")),
            json!({"spec": {"template": {"metadata": {"labels": {"yunting.io/hall": "h"}}}}}),
        ),
    ]
    .into_iter()
}

pub fn limit_range() -> Value {
    json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "new"},
        "spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]},
    })
}

pub fn endpoint_slice() -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "new", "labels": {"kubernetes.io/service-name": "old"}},
        "addressType": "IPv4", "endpoints": [{"addresses": ["203.0.113.9"]}], "ports": [{"port": 80}],
    })
}

pub fn http_route() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "new"},
        "spec": {"hostnames": ["hall.bozhou.example"]},
    })
}

/// As much of Gateway API's kind as a policy can see.
fn http_route_kind() -> Value {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "httproutes.gateway.networking.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": "gateway.networking.k8s.io", "scope": "Namespaced",
            "names": {"kind": "HTTPRoute", "plural": "httproutes", "singular": "httproute", "listKind": "HTTPRouteList"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}},
            }],
        },
    })
}

pub fn named(name: &str, object: Value) -> Value {
    with(object, json!({"metadata": {"name": name}}))
}

fn within(namespace: &str, object: Value) -> Value {
    with(object, json!({"metadata": {"namespace": namespace}}))
}
