//! What a site refuses about namespaces and what stands in them.

use serde_json::{Value, json};

use crate::case::{
    CONTROLLER, Case, HUB, KUBELET, PERSON, SCHEDULER, User, applied, create, delete, json_patch, kube,
    merge, policy, put, strategic,
};
use crate::objects::{claim, config_map, network_policy, pod, role_binding, secret, service, with, workload};
use crate::site_fixtures::{endpoint_slice, http_route, labels, limit_range, namespace, restricted};

const REPLICA_SETS: User = kube("system:serviceaccount:kube-system:replicaset-controller");
const DEPLOYMENTS: User = kube("system:serviceaccount:kube-system:deployment-controller");
const NAMESPACES: User = kube("system:serviceaccount:kube-system:namespace-controller");
const SLICES: User = kube("system:serviceaccount:kube-system:endpointslice-controller");
const QUOTAS: User = kube("system:serviceaccount:kube-system:resourcequota-controller");
const GATEWAY: User = User { name: "yunting:gateway", groups: &[] };
/// In the group of kubelets, but not one that NodeRestriction knows: so that it is the policy that refuses.
const STATIC_POD: User = User { name: "n1", groups: &["system:nodes"] };
const PROVISIONER: User = User { name: "yunting:local-path", groups: &[] };

pub fn cases() -> Vec<Case> {
    [
        closed(),
        namespace_labels(),
        namespace_rules(),
        owned(),
        owned_by_yunting(),
        halls_only(),
        halls_only_accepts(),
        object_labels(),
        reach(),
    ]
    .concat()
}

fn core(namespace: &str, plural: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{plural}")
}

fn api(group: &str, namespace: &str, plural: &str) -> String {
    format!("/apis/{group}/namespaces/{namespace}/{plural}")
}

/// Every kind that runs, stores or is reached, with the collection it is created in.
fn whatever_runs(namespace: &str) -> Vec<(String, Value)> {
    let mut all = vec![
        (core(namespace, "pods"), pod()),
        (core(namespace, "services"), service()),
        (core(namespace, "persistentvolumeclaims"), claim()),
        (core(namespace, "replicationcontrollers"), workload("v1", "ReplicationController")),
    ];
    for (kind, plural) in [
        ("Deployment", "deployments"),
        ("ReplicaSet", "replicasets"),
        ("StatefulSet", "statefulsets"),
        ("DaemonSet", "daemonsets"),
    ] {
        all.push((api("apps/v1", namespace, plural), workload("apps/v1", kind)));
    }
    for (kind, plural) in [("Job", "jobs"), ("CronJob", "cronjobs")] {
        all.push((api("batch/v1", namespace, plural), workload("batch/v1", kind)));
    }
    all
}

fn closed() -> Vec<Case> {
    let mut lines = policy("yunting-closed-namespace")
        .refuses("is closed", CONTROLLER, create(&core("yunting-canary", "pods"), pod()))
        .refuses("is closed", REPLICA_SETS, create(&core("closed", "pods"), pod()))
        .refuses("is closed", PERSON, create(&core("shut", "pods"), pod()))
        .refuses("is missing", PERSON, create(&core("mute", "pods"), pod()))
        .refuses("is closed", CONTROLLER, applied(&format!("{}/new", core("closed", "services")), service()));
    for (path, object) in whatever_runs("closed") {
        lines = lines.refuses("is closed", CONTROLLER, create(&path, object));
    }
    for (path, object) in whatever_runs("direct").into_iter().chain(whatever_runs("plain")) {
        lines = lines.accepts(PERSON, create(&path, object));
    }
    lines
        .accepts(CONTROLLER, create(&core("closed", "configmaps"), config_map()))
        .accepts(CONTROLLER, create(&core("closed", "secrets"), secret()))
        .accepts(
            CONTROLLER,
            merge(
                &format!("{}/old", api("apps/v1", "closed", "deployments")),
                json!({"spec": {"replicas": 0}}),
            ),
        )
        .accepts(CONTROLLER, delete(&format!("{}/old", core("closed", "services"))))
        .accepts(REPLICA_SETS, create(&core("halls", "pods"), pod()))
        .done()
}

/// The nine ways to change a namespace's labels, each with the label that opens it.
fn namespace_labels() -> Vec<Case> {
    let (own, status, finalize) =
        ("/api/v1/namespaces/good", "/api/v1/namespaces/good/status", "/api/v1/namespaces/good/finalize");
    let open = || json!({"metadata": {"labels": {"yunting.io/admission": "open"}}});
    let whole =
        || with(open(), json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "good"}}));
    let opened: fn(&mut Value) = |n| n["metadata"]["labels"]["yunting.io/admission"] = "open".into();
    let replace =
        json!([{"op": "replace", "path": "/metadata/labels/yunting.io~1admission", "value": "open"}]);
    let why = "changed by the site controller only";
    policy("yunting-namespace-labels")
        .refuses(why, PERSON, put(own, opened))
        .refuses(why, PERSON, merge(own, open()))
        .refuses(why, PERSON, strategic(own, open()))
        .refuses(why, PERSON, json_patch(own, replace))
        .refuses(why, PERSON, applied(own, whole()))
        .refuses(why, PERSON, put(status, opened))
        .refuses(why, PERSON, merge(status, open()))
        .refuses(why, PERSON, applied(status, whole()))
        .refuses(why, PERSON, put(finalize, opened))
        .accepts(CONTROLLER, put(own, opened))
        .accepts(CONTROLLER, merge(own, open()))
        .accepts(CONTROLLER, applied(own, whole()))
        .accepts(PERSON, merge(own, json!({"metadata": {"labels": {"team": "a"}}})))
        .done()
}

fn namespace_rules() -> Vec<Case> {
    let good = "/api/v1/namespaces/good";
    let all = "/api/v1/namespaces";
    let label = |key: &str, value: Value| json!({"metadata": {"labels": {key: value}}});
    let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "1"}]);
    let unheld: fn(&mut Value) = |n| n["spec"]["finalizers"] = json!([]);
    let mine = "by the site controller only";
    let unsafe_version =
        with(restricted("Direct", "closed"), json!({"pod-security.kubernetes.io/enforce-version": "latest"}));
    policy("yunting-namespace-labels")
        .refuses(mine, PERSON, merge(good, label("yunting.io/vdc-uid", Value::Null)))
        .refuses(mine, PERSON, merge(good, label("yunting.io/storage-class", "other".into())))
        .refuses(
            mine,
            PERSON,
            merge(good, json!({"metadata": {"annotations": {"yunting.io/desired-hash": "x"}}})),
        )
        .refuses(mine, PERSON, merge("/api/v1/namespaces/plain", label("yunting.io/access", "Direct".into())))
        .refuses(mine, PERSON, create(all, namespace("new", &json!({"yunting.io/access": "Direct"}))))
        .refuses(
            "Pod Security",
            PERSON,
            merge(good, label("pod-security.kubernetes.io/enforce", "privileged".into())),
        )
        .refuses(
            "Pod Security",
            PERSON,
            merge(good, label("pod-security.kubernetes.io/enforce", Value::Null)),
        )
        .refuses(
            "owners and finalizers",
            PERSON,
            merge(good, json!({"metadata": {"ownerReferences": owner}})),
        )
        .refuses("owners and finalizers", PERSON, merge(good, json!({"metadata": {"finalizers": ["a.b/c"]}})))
        .refuses("owners and finalizers", PERSON, put("/api/v1/namespaces/good/finalize", unheld))
        .refuses("deleted by the site controller only", PERSON, delete(good))
        .refuses(
            "neither adopted nor handed on",
            CONTROLLER,
            merge(good, label("yunting.io/vdc-uid", "other".into())),
        )
        .refuses(
            "neither adopted nor handed on",
            CONTROLLER,
            merge(good, label("yunting.io/bureau", Value::Null)),
        )
        .refuses(
            "closed for good",
            PERSON,
            create(all, namespace("yunting-canary", &json!({"yunting.io/admission": "open"}))),
        )
        .refuses("closed for good", PERSON, create(all, namespace("yunting-canary", &json!({"team": "a"}))))
        .refuses(
            mine,
            PERSON,
            merge("/api/v1/namespaces/yunting-canary", label("yunting.io/admission", "open".into())),
        )
        .refuses("unknown state", CONTROLLER, merge(good, label("yunting.io/access", "Sometimes".into())))
        .refuses("unknown state", CONTROLLER, merge(good, label("yunting.io/admission", Value::Null)))
        .refuses(
            "enforce restricted",
            CONTROLLER,
            merge(good, label("pod-security.kubernetes.io/enforce", "baseline".into())),
        )
        .refuses("enforce restricted", CONTROLLER, create(all, namespace("new", &labels("Direct", "closed"))))
        .refuses("enforce restricted", CONTROLLER, create(all, namespace("new", &unsafe_version)))
        .refuses("is made with", CONTROLLER, create(all, namespace("new", &restricted("Direct", "open"))))
        .accepts(CONTROLLER, create(all, namespace("new", &restricted("Direct", "closed"))))
        .accepts(CONTROLLER, delete(good))
        .accepts(CONTROLLER, merge(good, label("yunting.io/load-balancer", "allowed".into())))
        .accepts(NAMESPACES, put("/api/v1/namespaces/good/finalize", unheld))
        .accepts(PERSON, create(all, namespace("new", &json!({"team": "a"}))))
        .accepts(PERSON, create(all, namespace("yunting-canary", &json!({"yunting.io/admission": "closed"}))))
        .accepts(
            PERSON,
            merge("/api/v1/namespaces/plain", label("pod-security.kubernetes.io/enforce", "baseline".into())),
        )
        .accepts(PERSON, delete("/api/v1/namespaces/plain"))
        .accepts(HUB, create(all, namespace("bureau-edu", &json!({"yunting.io/bureau": "edu"}))))
        .done()
}

fn borders(namespace: &str) -> Vec<(String, Value)> {
    let meta = || json!({"name": "new"});
    let ingress = json!({"defaultBackend": {"service": {"name": "old", "port": {"number": 80}}}});
    let rbac = "rbac.authorization.k8s.io/v1";
    vec![
        (api("networking.k8s.io/v1", namespace, "networkpolicies"), network_policy()),
        (
            api("networking.k8s.io/v1", namespace, "ingresses"),
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta(), "spec": ingress}),
        ),
        (
            core(namespace, "resourcequotas"),
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta(), "spec": {}}),
        ),
        (core(namespace, "limitranges"), limit_range()),
        (core(namespace, "endpoints"), json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": meta()})),
        (api("discovery.k8s.io/v1", namespace, "endpointslices"), endpoint_slice()),
        (
            api(rbac, namespace, "roles"),
            json!({"apiVersion": rbac, "kind": "Role", "metadata": meta(), "rules": []}),
        ),
        (api(rbac, namespace, "rolebindings"), role_binding("yunting-reader", "Group", "oidc:edu")),
        (api("gateway.networking.k8s.io/v1", namespace, "httproutes"), http_route()),
    ]
}

fn owned() -> Vec<Case> {
    let quota = format!("{}/old", core("direct", "resourcequotas"));
    let bigger = json!({"spec": {"hard": {"configmaps": "1000"}}});
    let counted = json!({"status": {"hard": {"configmaps": "1000"}, "used": {"configmaps": "0"}}});
    let policies = api("networking.k8s.io/v1", "direct", "networkpolicies");
    let slices = api("discovery.k8s.io/v1", "direct", "endpointslices");
    let route = format!("{}/old", api("gateway.networking.k8s.io/v1", "direct", "httproutes"));
    let why = "written by Yunting only";
    let mut lines = policy("yunting-owned-objects");
    for (path, object) in borders("direct") {
        lines = lines.refuses(why, PERSON, create(&path, object));
    }
    for (path, object) in borders("plain") {
        lines = lines.accepts(PERSON, create(&path, object));
    }
    lines
        .refuses(why, PERSON, delete(&format!("{policies}/old")))
        .refuses(why, PERSON, merge(&quota, bigger.clone()))
        .refuses(why, PERSON, merge(&format!("{quota}/status"), counted.clone()))
        .refuses(why, PERSON, merge(&route, json!({"spec": {"hostnames": ["other.example"]}})))
        .refuses(
            why,
            PERSON,
            merge(&format!("{slices}/old"), json!({"endpoints": [{"addresses": ["203.0.113.10"]}]})),
        )
        .refuses(why, QUOTAS, merge(&quota, bigger))
        .refuses(why, GATEWAY, delete(&route))
        .accepts(QUOTAS, merge(&format!("{quota}/status"), counted))
        .accepts(SLICES, create(&slices, endpoint_slice()))
        .accepts(NAMESPACES, delete(&format!("{policies}/old")))
        .accepts(GATEWAY, merge(&format!("{route}/status"), json!({"status": {"parents": []}})))
        .done()
}

fn owned_by_yunting() -> Vec<Case> {
    let bindings = api("rbac.authorization.k8s.io/v1", "direct", "rolebindings");
    let why = "only Yunting's ClusterRoles";
    let mut lines = policy("yunting-owned-objects");
    for (role, kind, subject) in [
        ("cluster-admin", "Group", "oidc:edu"),
        ("yunting-reader", "Group", "system:authenticated"),
        ("yunting-reader", "User", "yunting:site-controller"),
        ("yunting-reader", "Group", "oidc:system:masters"),
        ("yunting-reader", "ServiceAccount", "default"),
    ] {
        lines = lines.refuses(why, CONTROLLER, create(&bindings, role_binding(role, kind, subject)));
    }
    for role in ["yunting-reader", "yunting-halls-reader", "yunting-direct-admin", "yunting-direct-operator"]
    {
        lines = lines.accepts(CONTROLLER, create(&bindings, role_binding(role, "User", "oidc:li")));
    }
    let policies = api("networking.k8s.io/v1", "direct", "networkpolicies");
    lines
        .accepts(CONTROLLER, create(&policies, network_policy()))
        .accepts(CONTROLLER, delete(&format!("{policies}/old")))
        .accepts(
            CONTROLLER,
            merge(
                &format!("{}/old", core("direct", "resourcequotas")),
                json!({"spec": {"hard": {"pods": "9"}}}),
            ),
        )
        .done()
}

fn hpa() -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "new"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "old"}},
    })
}

fn pdb() -> Value {
    let spec = json!({"maxUnavailable": 1, "selector": {"matchLabels": {"app": "new"}}});
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "new"}, "spec": spec})
}

fn made_by_people(namespace: &str) -> Vec<(String, Value)> {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "new"}});
    let mut all = whatever_runs(namespace);
    all.extend([
        (core(namespace, "configmaps"), config_map()),
        (core(namespace, "secrets"), secret()),
        (core(namespace, "serviceaccounts"), account),
        (api("autoscaling/v2", namespace, "horizontalpodautoscalers"), hpa()),
        (api("policy/v1", namespace, "poddisruptionbudgets"), pdb()),
    ]);
    all
}

fn token() -> Value {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}})
}

fn halls_only() -> Vec<Case> {
    let old = |collection: String| format!("{collection}/old");
    let web = old(api("apps/v1", "halls", "deployments"));
    let pod_path = old(core("halls", "pods"));
    let image = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": crate::objects::DIGEST.replace('e', "f")}]);
    let why = "come from Halls";
    let mut lines = policy("yunting-halls-only");
    for (path, object) in made_by_people("halls") {
        lines = lines.refuses(why, PERSON, create(&path, object));
    }
    lines
        .refuses(why, PERSON, json_patch(&web, image))
        .refuses(why, PERSON, merge(&format!("{web}/scale"), json!({"spec": {"replicas": 9}})))
        .refuses(why, PERSON, delete(&web))
        .refuses(why, PERSON, delete(&pod_path))
        .refuses(why, PERSON, merge(&format!("{pod_path}/status"), json!({"status": {"phase": "Failed"}})))
        .refuses(why, PERSON, delete(&old(core("halls", "persistentvolumeclaims"))))
        .refuses(why, PERSON, merge(&old(core("halls", "secrets")), json!({"stringData": {"a": "c"}})))
        .refuses(
            why,
            PERSON,
            merge(&old(core("halls", "services")), json!({"spec": {"selector": {"app": "other"}}})),
        )
        .refuses(why, PERSON, create(&core("halls", "serviceaccounts/default/token"), token()))
        .refuses(
            why,
            PROVISIONER,
            merge(&old(core("halls", "persistentvolumeclaims")), json!({"metadata": {"labels": {"a": "b"}}})),
        )
        .refuses(why, STATIC_POD, create(&core("halls", "pods"), pod()))
        .refuses("neither HallsOnly nor Direct", PERSON, create(&core("odd", "configmaps"), config_map()))
        .refuses("neither HallsOnly nor Direct", CONTROLLER, create(&core("odd", "configmaps"), config_map()))
        .refuses("neither HallsOnly nor Direct", REPLICA_SETS, create(&core("odd", "pods"), pod()))
        .refuses(why, PERSON, delete(&old(core("odd", "configmaps"))))
        .done()
}

fn halls_only_accepts() -> Vec<Case> {
    let old = |collection: String| format!("{collection}/old");
    let pod_path = old(core("halls", "pods"));
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "old", "namespace": "halls"}});
    let tried = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n1"}}});
    let mut lines = policy("yunting-halls-only");
    for (path, object) in made_by_people("halls") {
        // The site controller makes no workloads but these two, but it is not the policy that says so.
        lines = lines.accepts(CONTROLLER, create(&path, object));
    }
    for (path, object) in made_by_people("direct").into_iter().chain(made_by_people("plain")) {
        lines = lines.accepts(PERSON, create(&path, object));
    }
    lines
        .accepts(
            DEPLOYMENTS,
            create(&api("apps/v1", "halls", "replicasets"), workload("apps/v1", "ReplicaSet")),
        )
        .accepts(REPLICA_SETS, create(&core("halls", "pods"), pod()))
        .accepts(
            SCHEDULER,
            merge(
                &format!("{pod_path}/status"),
                json!({"status": {"conditions": [{"type": "PodScheduled", "status": "True"}]}}),
            ),
        )
        .accepts(KUBELET, merge(&format!("{pod_path}/status"), json!({"status": {"phase": "Running"}})))
        .accepts(KUBELET, delete(&pod_path))
        .accepts(CONTROLLER, delete(&pod_path))
        .accepts(PROVISIONER, merge(&old(core("halls", "persistentvolumeclaims")), tried))
        // A person of the platform empties a node.
        .accepts(PERSON, create(&format!("{pod_path}/eviction"), eviction))
        .accepts(CONTROLLER, delete(&old(core("odd", "configmaps"))))
        .accepts(NAMESPACES, delete(&old(core("odd", "configmaps"))))
        .done()
}

fn object_labels() -> Vec<Case> {
    let maps = core("direct", "configmaps");
    let deployments = api("apps/v1", "direct", "deployments");
    let cron = api("batch/v1", "direct", "cronjobs");
    let mark = json!({"metadata": {"labels": {"yunting.io/hall-uid": "1"}}});
    let note = json!({"metadata": {"annotations": {"yunting.io/desired-hash": "y"}}});
    let group = json!({"metadata": {"labels": {"yunting.io/protection-group": "9c444840-9dc0-11d1-b245-5ffdce74fad2"}}});
    let template = json!({"metadata": mark["metadata"]});
    let in_template = with(workload("apps/v1", "Deployment"), json!({"spec": {"template": template}}));
    let in_cron = with(
        workload("batch/v1", "CronJob"),
        json!({"spec": {"jobTemplate": {"spec": {"template": template}}}}),
    );
    let why = "written by Yunting only";
    policy("yunting-object-labels")
        .refuses(why, PERSON, create(&maps, with(config_map(), mark.clone())))
        .refuses(why, PERSON, create(&maps, with(config_map(), note.clone())))
        .refuses(
            why,
            PERSON,
            merge(&format!("{maps}/marked"), json!({"metadata": {"labels": {"yunting.io/hall": null}}})),
        )
        .refuses(why, PERSON, merge(&format!("{maps}/marked"), note.clone()))
        .refuses(why, PERSON, merge(&format!("{maps}/old"), mark.clone()))
        .refuses(why, PERSON, create(&deployments, in_template))
        .refuses(why, PERSON, create(&cron, in_cron))
        .refuses(
            why,
            PERSON,
            merge(
                &format!("{deployments}/labelled"),
                json!({"spec": {"template": {"metadata": {"labels": {"yunting.io/hall": "other"}}}}}),
            ),
        )
        .refuses(
            why,
            PERSON,
            merge(
                &format!("{deployments}/labelled"),
                json!({"spec": {"template": {"metadata": {"labels": {"yunting.io/hall": null}}}}}),
            ),
        )
        .refuses(why, PERSON, create(&core("direct", "pods"), with(pod(), group.clone())))
        .refuses(why, PERSON, merge(&format!("{}/unbound", core("direct", "pods")), group))
        .refuses(why, PERSON, merge(&format!("{}/unbound", core("direct", "pods")), mark.clone()))
        .accepts(
            PERSON,
            create(&maps, with(config_map(), json!({"metadata": {"labels": {"my.io/hall": "1"}}}))),
        )
        .accepts(PERSON, merge(&format!("{maps}/marked"), json!({"data": {"a": "c"}})))
        .accepts(PERSON, merge(&format!("{deployments}/labelled"), json!({"spec": {"replicas": 2}})))
        .accepts(PERSON, merge(&format!("{deployments}/old/scale"), json!({"spec": {"replicas": 2}})))
        .accepts(REPLICA_SETS, create(&core("direct", "pods"), with(pod(), mark.clone())))
        .accepts(CONTROLLER, create(&core("halls", "configmaps"), with(config_map(), mark.clone())))
        .accepts(PERSON, create(&core("plain", "configmaps"), with(config_map(), mark)))
        .done()
}

fn reach() -> Vec<Case> {
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "yunting-site"}});
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "new"}, "eventTime": "2026-11-24T00:00:00.000000Z",
        "reportingController": "yunting.io/site", "reportingInstance": "a", "action": "Apply", "reason": "Applied", "type": "Normal",
        "regarding": {"kind": "SliceRecord", "name": "vdc-1"},
    });
    let why = "works in namespaces of VDCs";
    policy("yunting-site-reach")
        .refuses(why, CONTROLLER, create(&core("plain", "configmaps"), config_map()))
        .refuses(why, CONTROLLER, create(&core("kube-system", "secrets"), secret()))
        .refuses(
            why,
            CONTROLLER,
            create(
                &api("rbac.authorization.k8s.io/v1", "kube-system", "rolebindings"),
                role_binding("view", "User", "oidc:li"),
            ),
        )
        .refuses(why, CONTROLLER, create("/api/v1/namespaces", namespace("new", &json!({"team": "a"}))))
        .refuses(
            why,
            CONTROLLER,
            merge("/api/v1/namespaces/plain", json!({"metadata": {"labels": {"team": "b"}}})),
        )
        .refuses(
            why,
            CONTROLLER,
            merge("/api/v1/namespaces/yunting-canary", json!({"metadata": {"labels": {"team": "b"}}})),
        )
        .refuses(why, CONTROLLER, delete("/api/v1/namespaces/plain"))
        .accepts(CONTROLLER, create(&core("closed", "configmaps"), config_map()))
        .accepts(CONTROLLER, create(&api("coordination.k8s.io/v1", "yunting-system", "leases"), lease))
        .accepts(CONTROLLER, create(&api("events.k8s.io/v1", "default", "events"), event))
        .accepts(
            CONTROLLER,
            create("/api/v1/namespaces", namespace("new", &restricted("HallsOnly", "closed"))),
        )
        .accepts(PERSON, create(&core("plain", "configmaps"), config_map()))
        .done()
}
