//! What the hub refuses.

use serde_json::{Value, json};

use crate::case::{
    Case, HUB, PERSON, REAL_RIGHTS, SITE_A, User, applied, create, delete, json_patch, kube, merge, policy,
    put, strategic,
};
use crate::hub_fixtures::{
    access_grant, bureau, certificate, hall, hall_slice, lease, namespace, report, shared_service, site, vdc,
    vdc_slice, vendor_role,
};
use crate::objects::{DIGEST, config_map, role_binding, secret, with};

pub const NAMESPACES: User = kube("system:serviceaccount:kube-system:namespace-controller");
const COLLECTOR: User = kube("system:serviceaccount:kube-system:generic-garbage-collector");
const VENDOR: User = User { name: "oidc:vendor", groups: &[REAL_RIGHTS] };
/// The name of a site without the group that its certificate would give.
const HALF_A_SITE: User = User { name: "yunting:site:a", groups: &[] };

const BASE: &str = "/apis/yunting.io/v1alpha1";

pub fn cases() -> Vec<Case> {
    [
        deletion(),
        namespace_labels(),
        namespaces(),
        marks(),
        marks_of_status(),
        slices(),
        terms(),
        certificates(),
        bureau_kinds(),
        vendors(),
        crate::hub_members::bindings(),
        crate::hub_members::members(),
        crate::hub_members::cluster_roles(),
        secrets(),
        site_identity(),
        hub_reach(),
    ]
    .concat()
}

fn core(namespace: &str, plural: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{plural}")
}

pub fn rbac(namespace: &str, plural: &str) -> String {
    format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{plural}")
}

fn leases(namespace: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")
}

fn of(namespace: &str, plural: &str) -> String {
    format!("{BASE}/namespaces/{namespace}/{plural}")
}

fn deletion() -> Vec<Case> {
    let vdcs = of("bureau-edu", "virtualdatacenters");
    policy("yunting-deletion")
        .refuses("set spec.lifecycle.state to Released", PERSON, delete(&format!("{vdcs}/exams")))
        .refuses("set spec.lifecycle.state to Released", HUB, delete(&format!("{vdcs}/exams")))
        .refuses("set spec.lifecycle.state to Released", NAMESPACES, delete(&format!("{vdcs}/leaving")))
        .refuses("may not be deleted while it has", PERSON, delete(&format!("{BASE}/bureaus/edu")))
        .refuses("spec.state to Forgotten", PERSON, delete(&format!("{BASE}/sites/a")))
        .accepts(PERSON, delete(&format!("{vdcs}/ripe")))
        .accepts(PERSON, delete(&format!("{BASE}/bureaus/ripe")))
        .accepts(PERSON, delete(&format!("{BASE}/sites/lost")))
        .accepts(PERSON, delete(&of("bureau-edu", "halls/qiaocheng")))
        .done()
}

/// The nine ways to change a namespace's labels.
fn namespace_labels() -> Vec<Case> {
    let own = "/api/v1/namespaces/bureau-edu";
    let (status, finalize) = (format!("{own}/status"), format!("{own}/finalize"));
    let other = || json!({"metadata": {"labels": {"yunting.io/bureau": "tax"}}});
    let whole = || with(namespace("bureau-edu"), other());
    let edit: fn(&mut Value) = |n| n["metadata"]["labels"]["yunting.io/bureau"] = "tax".into();
    let replace = json!([{"op": "replace", "path": "/metadata/labels/yunting.io~1bureau", "value": "tax"}]);
    let why = "are changed by the hub only";
    policy("yunting-hub-namespaces")
        .refuses(why, PERSON, put(own, edit))
        .refuses(why, PERSON, merge(own, other()))
        .refuses(why, PERSON, strategic(own, other()))
        .refuses(why, PERSON, json_patch(own, replace))
        .refuses(why, PERSON, applied(own, whole()))
        .refuses(why, PERSON, put(&status, edit))
        .refuses(why, PERSON, merge(&status, other()))
        .refuses(why, PERSON, applied(&status, whole()))
        .refuses(why, PERSON, put(&finalize, edit))
        .accepts(HUB, put(own, edit))
        .accepts(HUB, applied(own, whole()))
        .done()
}

fn namespaces() -> Vec<Case> {
    let all = "/api/v1/namespaces";
    let generated = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "bureau-"}});
    let owned = json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "1"}]}});
    let unheld: fn(&mut Value) = |n| n["spec"]["finalizers"] = json!([]);
    let why = "are changed by the hub only";
    policy("yunting-hub-namespaces")
        .refuses("made by the hub only", PERSON, create(all, namespace("bureau-new")))
        .refuses("made by the hub only", PERSON, create(all, namespace("site-new")))
        .refuses("made by the hub only", PERSON, create(all, generated))
        .refuses("not deleted by hand", PERSON, delete("/api/v1/namespaces/bureau-edu"))
        .refuses("not deleted by hand", PERSON, delete("/api/v1/namespaces/site-a"))
        .refuses("holds the keys", PERSON, delete("/api/v1/namespaces/yunting-system"))
        .refuses(
            why,
            PERSON,
            merge("/api/v1/namespaces/bureau-edu", json!({"metadata": {"annotations": {"a": "b"}}})),
        )
        .refuses(
            why,
            PERSON,
            merge("/api/v1/namespaces/bureau-edu", json!({"metadata": {"finalizers": ["a.b/c"]}})),
        )
        .refuses(why, PERSON, merge("/api/v1/namespaces/site-a", owned))
        .refuses(
            "finalized by the namespace controller",
            PERSON,
            put("/api/v1/namespaces/bureau-edu/finalize", unheld),
        )
        .accepts(HUB, create(all, namespace("bureau-new")))
        .accepts(HUB, delete("/api/v1/namespaces/bureau-edu"))
        .accepts(NAMESPACES, put("/api/v1/namespaces/bureau-edu/finalize", unheld))
        .accepts(PERSON, create(all, namespace("other")))
        .accepts(
            PERSON,
            merge("/api/v1/namespaces/yunting-system", json!({"metadata": {"labels": {"team": "a"}}})),
        )
        .done()
}

fn marks() -> Vec<Case> {
    let vdcs = of("bureau-edu", "virtualdatacenters");
    let exams = format!("{vdcs}/exams");
    let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "1"}]);
    let meta = |patch: Value| json!({"metadata": patch});
    let new = |patch: Value| create(&vdcs, with(vdc("new"), meta(patch)));
    policy("yunting-marks")
        .refuses("labels yunting.io/*", PERSON, new(json!({"labels": {"yunting.io/bureau": "edu"}})))
        .refuses(
            "labels yunting.io/*",
            PERSON,
            merge(&exams, meta(json!({"labels": {"yunting.io/x": null}}))),
        )
        .refuses("labels yunting.io/*", PERSON, merge(&exams, meta(json!({"labels": {"yunting.io/x": "2"}}))))
        .refuses(
            "annotations yunting.io/*",
            PERSON,
            new(json!({"annotations": {"yunting.io/desired-hash": "1"}})),
        )
        .refuses(
            "annotations yunting.io/*",
            PERSON,
            merge(&exams, meta(json!({"annotations": {"yunting.io/y": "1"}}))),
        )
        .refuses("finalizers are changed", PERSON, new(json!({"finalizers": ["a.b/c"]})))
        .refuses("finalizers are changed", PERSON, merge(&exams, meta(json!({"finalizers": null}))))
        .refuses(
            "finalizers are changed",
            COLLECTOR,
            merge(&format!("{vdcs}/leaving"), meta(json!({"finalizers": null}))),
        )
        .refuses(
            "ownerReferences are changed",
            PERSON,
            merge(&exams, meta(json!({"ownerReferences": owner}))),
        )
        .refuses(
            "finalizers are changed",
            PERSON,
            merge(&format!("{BASE}/bureaus/edu"), meta(json!({"finalizers": ["a.b/c"]}))),
        )
        .refuses(
            "labels yunting.io/*",
            PERSON,
            merge(&format!("{BASE}/bureaus/edu"), meta(json!({"labels": {"yunting.io/x": "1"}}))),
        )
        .accepts(PERSON, new(json!({"labels": {"my.io/x": "1"}, "annotations": {"my.io/x": "1"}})))
        .accepts(PERSON, merge(&exams, json!({"spec": {"displayName": "考试云"}})))
        .accepts(
            COLLECTOR,
            merge(&format!("{vdcs}/leaving"), meta(json!({"finalizers": ["yunting.io/hub"]}))),
        )
        .accepts(HUB, merge(&exams, meta(json!({"finalizers": null}))))
        .accepts(HUB, merge(&format!("{vdcs}/ripe"), meta(json!({"finalizers": ["yunting.io/hub"]}))))
        .done()
}

fn marks_of_status() -> Vec<Case> {
    let says = || json!({"status": {"observedGeneration": 1}});
    let why = "status is written by the hub only";
    let mut lines = policy("yunting-marks");
    let people = [
        format!("{BASE}/sites/a/status"),
        format!("{BASE}/bureaus/edu/status"),
        of("bureau-edu", "virtualdatacenters/exams/status"),
        of("bureau-edu", "halls/qiaocheng/status"),
    ];
    for path in &people {
        lines = lines.refuses(why, PERSON, merge(path, says())).accepts(HUB, merge(path, says()));
    }
    for path in ["vdcslices/vdc-1/status", "hallslices/hall-1/status"] {
        let path = of("site-a", path);
        lines = lines.refuses(why, PERSON, merge(&path, says())).accepts(SITE_A, merge(&path, says()));
    }
    let path = of("site-a", "sitereports/a/status");
    let says = || json!({"status": {"nodes": 1}});
    lines.refuses(why, PERSON, merge(&path, says())).accepts(SITE_A, merge(&path, says())).done()
}

/// The fixtures' Lease is in term 1.
fn terms() -> Vec<Case> {
    let why = "a deposed leader writes no slices";
    let of_term = |object: Value, term: i64| with(object, json!({"spec": {"term": term}}));
    let (vdcs, halls) = (of("site-a", "vdcslices"), of("site-a", "hallslices"));
    policy("yunting-term")
        .refuses(why, HUB, create(&vdcs, of_term(vdc_slice("site-a", "new"), 0)))
        .refuses(why, HUB, create(&halls, of_term(hall_slice("site-a", "new"), 0)))
        .refuses(why, HUB, merge(&of("site-a", "vdcslices/vdc-old"), json!({"spec": {"state": "Frozen"}})))
        // What is not in the spec says nothing of terms: a finalizer that a garbage collector takes off, a label.
        .accepts(
            HUB,
            merge(&of("site-a", "vdcslices/vdc-old"), json!({"metadata": {"labels": {"my.io/x": "1"}}})),
        )
        .accepts(
            HUB,
            merge(&of("site-a", "vdcslices/vdc-old"), json!({"spec": {"state": "Frozen", "term": 1}})),
        )
        .accepts(HUB, create(&vdcs, of_term(vdc_slice("site-a", "new"), 1)))
        .accepts(HUB, create(&halls, of_term(hall_slice("site-a", "new"), 7)))
        .done()
}

fn certificates() -> Vec<Case> {
    let (all, one) = (
        of("yunting-system", "deletioncertificates"),
        of("yunting-system", "deletioncertificates/deletion-1"),
    );
    let (hubs, nobody) = ("are written by the hub only, into yunting-system", "is changed by nobody");
    let label = || json!({"metadata": {"labels": {"yunting.io/bureau": "tax"}}});
    let same: fn(&mut Value) = |_| ();
    policy("yunting-certificates")
        .refuses(hubs, PERSON, create(&all, certificate(2)))
        .refuses(hubs, HUB, create(&of("bureau-edu", "deletioncertificates"), certificate(2)))
        .refuses(nobody, HUB, merge(&one, label()))
        .refuses(nobody, HUB, merge(&one, json!({"metadata": {"finalizers": ["yunting.io/hub"]}})))
        .refuses(nobody, PERSON, merge(&one, json!({"metadata": {"annotations": {"my.io/x": "1"}}})))
        .refuses("is deleted by nobody", PERSON, delete(&one))
        .refuses("is deleted by nobody", HUB, delete(&one))
        .refuses("is deleted by nobody", NAMESPACES, delete(&one))
        .accepts(HUB, create(&all, certificate(2)))
        .accepts(PERSON, put(&one, same))
        .done()
}

fn slices() -> Vec<Case> {
    let why = "are written by the hub only";
    let mut lines = policy("yunting-slices");
    for (plural, name, object) in [
        ("vdcslices", "vdc-1", vdc_slice("site-a", "new")),
        ("hallslices", "hall-1", hall_slice("site-a", "new")),
        ("sitereports", "a", report("site-a", "new")),
    ] {
        let (all, one) = (of("site-a", plural), of("site-a", &format!("{plural}/{name}")));
        let label = || json!({"metadata": {"labels": {"my.io/x": "1"}}});
        lines = lines
            .refuses(why, PERSON, create(&all, object.clone()))
            .refuses(why, PERSON, merge(&one, label()))
            .refuses(why, PERSON, delete(&one))
            .accepts(HUB, create(&all, object))
            .accepts(HUB, merge(&one, label()))
            .accepts(HUB, delete(&one))
            .accepts(NAMESPACES, delete(&one));
    }
    let term = json!({"spec": {"term": 2, "desired": "Absent"}});
    lines
        .refuses(why, PERSON, merge(&of("site-a", "vdcslices/vdc-1"), term.clone()))
        .refuses(why, NAMESPACES, merge(&of("site-a", "vdcslices/vdc-1"), term.clone()))
        .refuses(
            "belong into the hub namespace of a site",
            HUB,
            create(&of("bureau-edu", "vdcslices"), vdc_slice("bureau-edu", "new")),
        )
        .accepts(HUB, merge(&of("site-a", "vdcslices/vdc-1"), term))
        .done()
}

fn bureau_kinds() -> Vec<Case> {
    let elsewhere =
        |namespace: &str, object: Value| with(object, json!({"metadata": {"namespace": namespace}}));
    let why = "belong into the namespace of a bureau";
    policy("yunting-bureau-kinds")
        .refuses(why, PERSON, create(&of("default", "virtualdatacenters"), elsewhere("default", vdc("new"))))
        .refuses(why, PERSON, create(&of("site-a", "virtualdatacenters"), elsewhere("site-a", vdc("new"))))
        .refuses(why, PERSON, create(&of("default", "halls"), elsewhere("default", hall("new"))))
        .refuses(
            why,
            PERSON,
            create(&of("default", "sharedservices"), elsewhere("default", shared_service("new"))),
        )
        .refuses(why, PERSON, create(&of("site-a", "accessgrants"), elsewhere("site-a", access_grant("new"))))
        .accepts(PERSON, create(&of("bureau-edu", "virtualdatacenters"), vdc("new")))
        .accepts(PERSON, create(&of("bureau-edu", "halls"), hall("new")))
        .accepts(PERSON, create(&of("bureau-edu", "sharedservices"), shared_service("new")))
        .accepts(PERSON, create(&of("bureau-edu", "accessgrants"), access_grant("new")))
        .done()
}

fn vendors() -> Vec<Case> {
    let own = of("bureau-edu", "halls/qiaocheng");
    let change =
        |path: &str, value: Value| json_patch(&own, json!([{"op": "add", "path": path, "value": value}]));
    let image = || change("/spec/components/0/image", DIGEST.replace('e', "f").into());
    let extra =
        json!({"name": "extra", "zone": "Data", "image": DIGEST, "resources": {"cpu": "1", "memory": "1Gi"}});
    let why = "an application vendor changes image";
    policy("yunting-hall-vendors")
        .refuses(why, VENDOR, change("/spec/components/0/replicas", 3.into()))
        .refuses(why, VENDOR, change("/spec/components/0/resources/cpu", "8".into()))
        .refuses(why, VENDOR, change("/spec/components/1/zone", "Portal".into()))
        .refuses(why, VENDOR, change("/spec/components/1/calls", json!([{"component": "portal"}])))
        .refuses(why, VENDOR, change("/spec/components/1/secretRefs", json!([{"name": "old"}])))
        .refuses(why, VENDOR, change("/spec/components/-", extra))
        .refuses(why, VENDOR, json_patch(&own, json!([{"op": "remove", "path": "/spec/components/1"}])))
        .refuses(why, VENDOR, change("/spec/priority", 1000.into()))
        .refuses(
            why,
            VENDOR,
            change("/spec/portal", json!({"host": "a.bozhou.example", "component": "portal"})),
        )
        .accepts(VENDOR, image())
        .accepts(VENDOR, change("/spec/components/0/env", json!([{"name": "A", "value": "b"}])))
        .accepts(
            VENDOR,
            change("/spec/components/1/configFiles", json!([{"path": "/etc/a", "content": "b"}])),
        )
        .accepts(VENDOR, merge(&own, json!({"metadata": {"labels": {"my.io/x": "1"}}})))
        .accepts(PERSON, change("/spec/components/0/replicas", 3.into()))
        .accepts(PERSON, image())
        .done()
}

fn secrets() -> Vec<Case> {
    let (edu, at_a) = (core("bureau-edu", "secrets"), core("site-a", "secrets"));
    let label = |key: &str| with(secret(), json!({"metadata": {"labels": {key: "exams"}}}));
    let noted = with(secret(), json!({"metadata": {"annotations": {"yunting.io/secret-hash": "1"}}}));
    let token = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "new", "annotations": {"kubernetes.io/service-account.name": "default"}},
    });
    let account = json!({"metadata": {"labels": {"yunting.io/vdc": "other"}}});
    policy("yunting-hub-secrets")
        .refuses("copies that the hub makes", PERSON, create(&at_a, secret()))
        .refuses(
            "copies that the hub makes",
            PERSON,
            merge(&format!("{at_a}/old"), json!({"stringData": {"a": "c"}})),
        )
        .refuses("copies that the hub makes", PERSON, delete(&format!("{at_a}/old")))
        .refuses("sets yunting.io/vdc", PERSON, create(&edu, label("yunting.io/vdc-uid")))
        .refuses("sets yunting.io/vdc", PERSON, create(&edu, noted))
        .refuses("filled with a token", PERSON, create(&edu, token))
        .accepts(PERSON, create(&edu, label("yunting.io/vdc")))
        .accepts(PERSON, merge(&format!("{edu}/old"), account))
        .accepts(PERSON, delete(&format!("{edu}/old")))
        .accepts(HUB, create(&at_a, label("yunting.io/vdc-uid")))
        .accepts(HUB, delete(&format!("{at_a}/old")))
        .accepts(NAMESPACES, delete(&format!("{at_a}/old")))
        .accepts(PERSON, create(&core("default", "secrets"), label("yunting.io/vdc-uid")))
        .done()
}

fn site_identity() -> Vec<Case> {
    let says = || json!({"status": {"observedGeneration": 1}});
    let renew = || json!({"spec": {"holderIdentity": "b"}});
    let elsewhere = "only in the hub namespace of its own site";
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}},
    });
    policy("yunting-site-identity")
        .refuses(elsewhere, SITE_A, merge(&of("site-b", "vdcslices/vdc-1/status"), says()))
        .refuses(elsewhere, SITE_A, merge(&of("site-a-b", "vdcslices/vdc-1/status"), says()))
        .refuses(
            elsewhere,
            SITE_A,
            merge(&of("site-a-b", "sitereports/a/status"), json!({"status": {"nodes": 9}})),
        )
        .refuses(elsewhere, SITE_A, create(&leases("site-b"), lease("yunting-site")))
        .refuses(elsewhere, SITE_A, create("/api/v1/namespaces", namespace("other")))
        .refuses(elsewhere, HALF_A_SITE, merge(&format!("{}/yunting-site", leases("site-a")), renew()))
        .refuses("nothing else", SITE_A, create(&core("site-a", "configmaps"), config_map()))
        .refuses("nothing else", SITE_A, create(&leases("site-a"), lease("other")))
        .refuses("nothing else", SITE_A, delete(&format!("{}/yunting-site", leases("site-a"))))
        .accepts(SITE_A, merge(&of("site-a", "vdcslices/vdc-1/status"), says()))
        .accepts(SITE_A, merge(&of("site-a", "hallslices/hall-1/status"), says()))
        .accepts(SITE_A, merge(&format!("{}/yunting-site", leases("site-a")), renew()))
        .accepts(
            SITE_A,
            applied(&format!("{}/yunting-site", leases("site-a")), with(lease("yunting-site"), renew())),
        )
        .accepts(SITE_A, create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review))
        .done()
}

fn hub_reach() -> Vec<Case> {
    let exams = of("bureau-edu", "virtualdatacenters/exams");
    let why = "works in namespaces bureau-* and site-*";
    policy("yunting-hub-reach")
        .refuses(why, HUB, create(&core("default", "secrets"), secret()))
        .refuses(why, HUB, create(&core("kube-system", "secrets"), secret()))
        .refuses(why, HUB, create("/api/v1/namespaces", namespace("other")))
        .refuses(why, HUB, merge("/api/v1/namespaces/default", json!({"metadata": {"labels": {"a": "b"}}})))
        .refuses(
            why,
            HUB,
            create(&rbac("kube-system", "rolebindings"), role_binding("view", "User", "oidc:li")),
        )
        .refuses(why, HUB, create(&rbac("default", "roles"), vendor_role("guoyang")))
        .refuses(
            why,
            HUB,
            create(&rbac("yunting-system", "rolebindings"), role_binding("view", "User", "oidc:li")),
        )
        .refuses("never its spec", HUB, merge(&exams, json!({"spec": {"displayName": "x"}})))
        .refuses(
            "never its spec",
            HUB,
            merge(&format!("{BASE}/sites/a"), json!({"spec": {"state": "Forgotten"}})),
        )
        .refuses("creates no objects", HUB, create(&of("bureau-edu", "virtualdatacenters"), vdc("new")))
        .refuses("creates no objects", HUB, create(&format!("{BASE}/bureaus"), bureau("new")))
        .refuses(
            "creates no objects",
            HUB,
            create(&of("bureau-edu", "sharedservices"), shared_service("new")),
        )
        .refuses("creates no objects", HUB, create(&of("bureau-edu", "accessgrants"), access_grant("new")))
        .accepts(HUB, create(&core("yunting-system", "secrets"), secret()))
        .accepts(HUB, create(&core("bureau-edu", "secrets"), secret()))
        .accepts(HUB, create("/api/v1/namespaces", namespace("site-new")))
        .accepts(HUB, merge(&exams, json!({"metadata": {"finalizers": null}})))
        .accepts(PERSON, create(&format!("{BASE}/sites"), site("new")))
        .accepts(PERSON, create(&format!("{BASE}/bureaus"), bureau("new")))
        .done()
}
