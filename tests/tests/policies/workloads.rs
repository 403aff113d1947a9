//! What a site refuses about pods, Services and volumes of a VDC.

use serde_json::{Value, json};

use crate::case::{CONTROLLER, Case, PERSON, SCHEDULER, create, json_patch, kube, merge, policy};
use crate::objects::{DIGEST, claim, pod, pod_with, service, with};

pub fn cases() -> Vec<Case> {
    [pods(), pod_handlers(), pod_subresources(), services(), volumes()].concat()
}

const PODS: &str = "/api/v1/namespaces/direct/pods";

fn spec(patch: Value) -> Value {
    with(pod(), json!({"spec": patch}))
}

fn pods() -> Vec<Case> {
    let tag = json_patch(
        &format!("{PODS}/unbound"),
        json!([{"op": "replace", "path": "/spec/containers/0/image", "value": "localhost/hall:1"}]),
    );
    let other = json_patch(
        &format!("{PODS}/unbound"),
        json!([{"op": "replace", "path": "/spec/containers/0/image", "value": DIGEST.replace('e', "f")}]),
    );
    let init = json!({"name": "i", "image": "localhost/hall:1"});
    let from_image = json!({"name": "v", "image": {"reference": "localhost/data:1"}});
    let new = |why: &'static str, body: Value| (why, create(PODS, body));
    let refused = [
        new("hostNetwork", spec(json!({"hostNetwork": true}))),
        new("hostNetwork", spec(json!({"hostPID": true}))),
        new("hostNetwork", spec(json!({"hostIPC": true}))),
        new("hostPort", pod_with(json!({"ports": [{"containerPort": 80, "hostPort": 8080}]}))),
        new("hostPath", spec(json!({"volumes": [{"name": "v", "hostPath": {"path": "/etc"}}]}))),
        new("nodeName", spec(json!({"nodeName": "n1"}))),
        new("priorityClassName", spec(json!({"priorityClassName": "system-node-critical"}))),
        new("runtimeClassName", spec(json!({"runtimeClassName": "other"}))),
        new("by digest", pod_with(json!({"image": "localhost/hall:1"}))),
        new("by digest", pod_with(json!({"image": "localhost/hall"}))),
        new("by digest", pod_with(json!({"image": "localhost/hall@sha256:12"}))),
        new("by digest", spec(json!({"initContainers": [init]}))),
        new("by digest", spec(json!({"volumes": [from_image]}))),
        ("by digest", tag),
    ];
    let mut lines = policy("yunting-pods");
    for (why, ask) in refused {
        lines = lines.refuses(why, PERSON, ask);
    }
    let bad = spec(json!({"hostNetwork": true, "volumes": [{"name": "v", "hostPath": {"path": "/etc"}}]}));
    let controller = kube("system:serviceaccount:kube-system:replicaset-controller");
    lines
        .refuses("hostPath", controller, create(PODS, spec(json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}))))
        .refuses("by digest", controller, create("/api/v1/namespaces/halls/pods", pod_with(json!({"image": "localhost/hall:1"}))))
        .accepts(PERSON, create(PODS, pod()))
        .accepts(PERSON, other)
        .accepts(PERSON, create(PODS, spec(json!({"initContainers": [{"name": "i", "image": DIGEST}], "volumes": [{"name": "v", "emptyDir": {}}]}))))
        .accepts(PERSON, create("/api/v1/namespaces/plain/pods", bad))
        // Older than the policy: what does not touch its spec passes, or it could never end.
        .accepts(PERSON, merge(&format!("{PODS}/tagged"), json!({"metadata": {"finalizers": null}})))
        .done()
}

fn pod_handlers() -> Vec<Case> {
    let http = json!({"httpGet": {"port": 80, "host": "10.0.0.1"}});
    let tcp = json!({"tcpSocket": {"port": 80, "host": "127.0.0.1"}});
    let own = json!({"httpGet": {"port": 80, "path": "/"}});
    let mut lines = policy("yunting-pods");
    for handler in [&http, &tcp] {
        for place in ["livenessProbe", "readinessProbe", "startupProbe"] {
            lines = lines.refuses("with a host", PERSON, create(PODS, pod_with(json!({place: handler}))));
        }
        for place in ["postStart", "preStop"] {
            lines = lines.refuses(
                "with a host",
                PERSON,
                create(PODS, pod_with(json!({"lifecycle": {place: handler}}))),
            );
        }
    }
    let probed = json!({"livenessProbe": own, "readinessProbe": own, "startupProbe": own, "lifecycle": {"preStop": own}});
    lines.accepts(PERSON, create(PODS, pod_with(probed))).done()
}

fn pod_subresources() -> Vec<Case> {
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": "unbound"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "n1"},
    });
    let ephemeral = json!({"spec": {"ephemeralContainers": [{"name": "e", "image": DIGEST}]}});
    let path = format!("{PODS}/unbound");
    policy("yunting-pod-subresources")
        .refuses("by the scheduler only", PERSON, create(&format!("{path}/binding"), binding.clone()))
        .refuses(
            "by the scheduler only",
            PERSON,
            create("/api/v1/namespaces/direct/bindings", binding.clone()),
        )
        .refuses("by the scheduler only", CONTROLLER, create(&format!("{path}/binding"), binding.clone()))
        .refuses(
            "ephemeral containers",
            PERSON,
            merge(&format!("{path}/ephemeralcontainers"), ephemeral.clone()),
        )
        .refuses("ephemeral containers", CONTROLLER, merge(&format!("{path}/ephemeralcontainers"), ephemeral))
        .accepts(SCHEDULER, create(&format!("{path}/binding"), binding.clone()))
        .accepts(SCHEDULER, create("/api/v1/namespaces/direct/bindings", binding))
        .done()
}

fn services() -> Vec<Case> {
    let (direct, balanced) = ("/api/v1/namespaces/direct/services", "/api/v1/namespaces/balanced/services");
    let of = |patch: Value| with(service(), json!({"spec": patch}));
    let balancer = || of(json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false}));
    let elsewhere = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "new"}, "spec": {"type": "ExternalName", "externalName": "a.example"}});
    let mut bare = service();
    bare["spec"].as_object_mut().unwrap().remove("selector");
    let old = format!("{direct}/old");
    policy("yunting-services")
        .refuses("NodePort", PERSON, create(direct, of(json!({"type": "NodePort"}))))
        .refuses("NodePort", PERSON, merge(&old, json!({"spec": {"type": "NodePort"}})))
        .refuses("ExternalName", PERSON, create(direct, elsewhere))
        .refuses("no load balancers", PERSON, create(direct, balancer()))
        .refuses(
            "allocateLoadBalancerNodePorts",
            PERSON,
            create(balanced, of(json!({"type": "LoadBalancer"}))),
        )
        .refuses("externalIPs", PERSON, create(direct, of(json!({"externalIPs": ["203.0.113.1"]}))))
        .refuses("without selector", PERSON, create(direct, bare.clone()))
        // What is granted is called by a name whose endpoints Yunting alone writes.
        .accepts(CONTROLLER, create("/api/v1/namespaces/halls/services", bare))
        .refuses("without selector", PERSON, merge(&old, json!({"spec": {"selector": null}})))
        .refuses(
            "NodePort",
            CONTROLLER,
            create("/api/v1/namespaces/halls/services", of(json!({"type": "NodePort"}))),
        )
        .accepts(PERSON, create(direct, service()))
        .accepts(PERSON, create(direct, of(json!({"clusterIP": "None"}))))
        .accepts(PERSON, create(balanced, balancer()))
        .accepts(PERSON, merge(&old, json!({"metadata": {"labels": {"a": "b"}}})))
        .accepts(PERSON, create("/api/v1/namespaces/plain/services", of(json!({"type": "NodePort"}))))
        .done()
}

fn volumes() -> Vec<Case> {
    let direct = "/api/v1/namespaces/direct/persistentvolumeclaims";
    let of = |patch: Value| with(claim(), json!({"spec": patch}));
    let old = format!("{direct}/old");
    let snapshot = json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"});
    let own = json!({"kind": "PersistentVolumeClaim", "name": "old"});
    let mut bare = claim();
    bare["spec"].as_object_mut().unwrap().remove("storageClassName");
    let binder = kube("system:serviceaccount:kube-system:persistent-volume-binder");
    let stateful_sets = kube("system:serviceaccount:kube-system:statefulset-controller");
    policy("yunting-volumes")
        .refuses("of class gold", PERSON, create(direct, of(json!({"storageClassName": "iron"}))))
        .refuses("of class gold", PERSON, create(direct, of(json!({"storageClassName": ""}))))
        .refuses("of class gold", PERSON, create(direct, bare))
        .refuses(
            "of class gold",
            stateful_sets,
            create(
                "/api/v1/namespaces/halls/persistentvolumeclaims",
                of(json!({"storageClassName": "iron"})),
            ),
        )
        .refuses(
            "has no storage",
            PERSON,
            create("/api/v1/namespaces/diskless/persistentvolumeclaims", claim()),
        )
        .refuses("volumeName", PERSON, create(direct, of(json!({"volumeName": "pv-1"}))))
        .refuses("volumeName", PERSON, merge(&old, json!({"spec": {"volumeName": "pv-1"}})))
        .refuses("volumeName", CONTROLLER, merge(&old, json!({"spec": {"volumeName": "pv-1"}})))
        .refuses("selector", PERSON, create(direct, of(json!({"selector": {"matchLabels": {"a": "b"}}}))))
        .refuses("dataSourceRef", PERSON, create(direct, of(json!({"dataSource": snapshot}))))
        .refuses("dataSourceRef", PERSON, create(direct, of(json!({"dataSourceRef": snapshot}))))
        .refuses(
            "volumeAttributesClassName",
            PERSON,
            create(direct, of(json!({"volumeAttributesClassName": "fast"}))),
        )
        .accepts(PERSON, create(direct, claim()))
        .accepts(PERSON, create(direct, of(json!({"dataSource": own}))))
        .accepts(binder, merge(&old, json!({"spec": {"volumeName": "pv-1"}})))
        .accepts(stateful_sets, create("/api/v1/namespaces/halls/persistentvolumeclaims", claim()))
        .accepts(
            PERSON,
            create(
                "/api/v1/namespaces/plain/persistentvolumeclaims",
                of(json!({"storageClassName": "iron"})),
            ),
        )
        .done()
}
