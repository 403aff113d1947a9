//! What stands at the hub before its policies do.

use serde_json::{Value, json};
use yunting_tests::apiserver::ApiServer;

use crate::objects::{DIGEST, role_binding, secret, with};

pub fn ours(kind: &str, namespace: Option<&str>, name: &str, spec: Value) -> Value {
    let mut object =
        json!({"apiVersion": "yunting.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

pub fn site(name: &str) -> Value {
    ours("Site", None, name, json!({"displayName": name, "region": "bozhou", "failureDomain": "a"}))
}

pub fn bureau(name: &str) -> Value {
    ours("Bureau", None, name, json!({"displayName": name}))
}

pub fn vdc(name: &str) -> Value {
    ours("VirtualDataCenter", Some("bureau-edu"), name, json!({"namespaces": [{"name": "app"}]}))
}

pub fn hall(name: &str) -> Value {
    let component = |name: &str, zone: &str| json!({"name": name, "zone": zone, "image": DIGEST, "resources": {"cpu": "50m", "memory": "64Mi"}});
    let components = [component("portal", "Portal"), component("approval", "Approval")];
    let spec = json!({"vdcRef": {"name": "exams"}, "displayName": name, "components": components});
    ours("Hall", Some("bureau-edu"), name, spec)
}

pub fn shared_service(name: &str) -> Value {
    let spec = json!({"vdcRef": {"name": "exams"}, "hall": "qiaocheng", "component": "portal", "ports": ["http"], "displayName": name});
    ours("SharedService", Some("bureau-edu"), name, spec)
}

pub fn access_grant(name: &str) -> Value {
    let spec = json!({
        "serviceRef": {"bureau": "tax", "name": "query"}, "purpose": "p", "expires": "2099-01-01T00:00:00Z",
        "from": {"vdc": "exams", "hall": "qiaocheng", "component": "approval"},
    });
    ours("AccessGrant", Some("bureau-edu"), name, spec)
}

fn source(name: &str) -> Value {
    json!({"bureau": "edu", "name": name, "uid": "1", "generation": 1})
}

pub fn vdc_slice(namespace: &str, name: &str) -> Value {
    let spec = json!({
        "term": 1, "source": source("exams"), "desired": "Present", "role": "Active", "state": "Active", "namespaces": [],
    });
    ours("VdcSlice", Some(namespace), name, spec)
}

pub fn hall_slice(namespace: &str, name: &str) -> Value {
    let spec = json!({
        "term": 1, "source": source("qiaocheng"), "vdc": {"name": "exams", "uid": "1"}, "desired": "Present",
        "role": "Active", "displayName": "h", "availabilityClass": "Gold", "components": [],
    });
    ours("HallSlice", Some(namespace), name, spec)
}

/// What became of a VDC's keys; the next one of a chain, or the first.
pub fn certificate(sequence: u32) -> Value {
    let keys = json!({"outcome": "NoKeys", "provider": "Embedded", "reason": "none"});
    let mut spec = json!({
        "sequence": sequence, "bureau": "edu", "vdc": "gone", "uid": format!("aaaaaaaa-{sequence}"),
        "requestedAt": "2026-11-24T08:00:00Z", "endedAt": "2026-11-24T08:00:09Z", "siteNames": "a", "whole": true,
        "sites": [{"site": "a", "slice": "1", "role": "Active", "keys": keys}], "notCovered": [], "hash": "a".repeat(64),
    });
    if sequence > 1 {
        spec["previous"] = "b".repeat(64).into();
    }
    ours("DeletionCertificate", None, &format!("deletion-{sequence}"), spec)
}

pub fn report(namespace: &str, name: &str) -> Value {
    ours("SiteReport", Some(namespace), name, json!({"site": "a"}))
}

pub fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"yunting.io/bureau": "edu"}}})
}

pub fn lease(name: &str) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": {}})
}

fn within(namespace: &str, object: Value) -> Value {
    with(object, json!({"metadata": {"namespace": namespace}}))
}

/// What a vendor named for a hall gets.
pub fn vendor_role(hall: &str) -> Value {
    let rule = json!({
        "apiGroups": ["yunting.io"], "resources": ["halls"], "resourceNames": [hall],
        "verbs": ["get", "patch", "update", "watch"],
    });
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": format!("yunting-hall-vendor-{hall}")}, "rules": [rule],
    })
}

/// What an administrator of a bureau gets.
pub fn members_role(bureau: &str) -> Value {
    let rule = json!({
        "apiGroups": ["yunting.io"], "resources": ["bureaus"], "resourceNames": [bureau],
        "verbs": ["get", "patch", "update"],
    });
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": format!("yunting-bureau-members-{bureau}")}, "rules": [rule],
    })
}

pub fn members_binding(bureau: &str, kind: &str, subject: &str) -> Value {
    let name = format!("yunting-bureau-members-{bureau}");
    with(
        role_binding(&name, kind, subject),
        json!({"kind": "ClusterRoleBinding", "metadata": {"name": name}}),
    )
}

/// Members as a bureau names them.
pub fn members() -> Value {
    let member = |name: &str, role: &str| json!({"subject": {"kind": "Group", "name": name}, "role": role});
    json!([member("edu-it", "Admin"), member("edu-staff", "Viewer")])
}

pub fn objects() -> Vec<Value> {
    let old = json!({"metadata": {"name": "old"}});
    let held = |finalizers: &[&str]| json!({"metadata": {"finalizers": finalizers, "labels": {"yunting.io/x": "1"}}});
    let mut all: Vec<Value> = ["bureau-edu", "site-a", "site-b", "site-a-b"].map(namespace).into();
    all.extend([
        site("a"),
        with(site("lost"), json!({"spec": {"state": "Forgotten"}})),
        with(
            bureau("edu"),
            json!({"spec": {"members": members(), "domains": ["edu.bozhou.example"], "quota": {"cpu": "8"}}}),
        ),
        bureau("ripe"),
        with(vdc("exams"), held(&["yunting.io/hub"])),
        with(vdc("leaving"), held(&["yunting.io/hub", "foregroundDeletion"])),
        vdc("ripe"),
        hall("qiaocheng"),
        ours("VdcTemplate", None, "small", json!({"displayName": "small", "quota": {"cpu": "1"}})),
        within("bureau-edu", with(secret(), old.clone())),
        within("site-a", with(secret(), old.clone())),
        within("site-a", with(lease("yunting-site"), json!({"spec": {"holderIdentity": "a"}}))),
        within("bureau-edu", with(role_binding("yunting-bureau-viewer", "Group", "oidc:edu"), old)),
        within(
            "bureau-edu",
            with(
                role_binding("yunting-hall-vendor-qiaocheng", "User", "oidc:vendor"),
                json!({"metadata": {"name": "vendor"}, "roleRef": {"kind": "Role"}}),
            ),
        ),
        within("bureau-edu", vendor_role("qiaocheng")),
        members_role("edu"),
        members_binding("edu", "User", "oidc:chen"),
    ]);
    // The hub is led in term 1; one slice was written before that.
    let led = json!({"spec": {"holderIdentity": "a", "leaseTransitions": 1}});
    all.extend([
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "yunting-system"}}),
        within("yunting-system", with(lease("yunting-hub"), led)),
        within("yunting-system", certificate(1)),
        with(vdc_slice("site-a", "vdc-old"), json!({"spec": {"term": 0}})),
    ]);
    for place in ["site-a", "site-b", "site-a-b"] {
        all.extend([vdc_slice(place, "vdc-1"), hall_slice(place, "hall-1"), report(place, "a")]);
    }
    all
}

/// What the hub would have said of them.
pub async fn statuses(server: &ApiServer) {
    let base = "/apis/yunting.io/v1alpha1";
    let says = |deletable: &str| {
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "Test", "message": "", "observedGeneration": 1, "lastTransitionTime": "2026-11-24T00:00:00Z"});
        json!({"status": {"conditions": [condition("Ready", "True"), condition("Deletable", deletable)]}})
    };
    for (path, deletable) in [
        ("namespaces/bureau-edu/virtualdatacenters/exams", "False"),
        ("namespaces/bureau-edu/virtualdatacenters/ripe", "True"),
        ("bureaus/edu", "Unknown"),
        ("bureaus/ripe", "True"),
    ] {
        let request = http::Request::patch(format!("{base}/{path}/status"))
            .header("Content-Type", "application/merge-patch+json")
            .body(says(deletable).to_string().into_bytes())
            .unwrap();
        server.client().request::<Value>(request).await.unwrap();
    }
}
