//! The life of a bureau at the hub and of a VDC at a site, with the rights the manifests give and no others, beside
//! Kubernetes' own controllers: what a policy refuses them would show here as something that never comes.

use std::time::Duration;

use kube::Client;
use serde_json::{Value, json};
use yunting_tests::apiserver::{ApiServer, wait};

use crate::case::request;
use crate::hub_fixtures::{
    bureau, hall, lease, members, members_binding, members_role, report, site, vdc, vdc_slice, vendor_role,
};
use crate::objects::{claim, config_map, network_policy, pod, role_binding, secret, service, with, workload};
use crate::site_fixtures::{UID, limit_range, namespace, restricted};

/// For what a controller does by and by.
const PATIENCE: Duration = Duration::from_mins(1);

/// Somebody who asks, with the rights that the manifests give.
pub struct As<'a> {
    client: &'a Client,
    user: &'static str,
    groups: &'static [&'static str],
}

type Answer = Result<Value, String>;

impl<'a> As<'a> {
    fn new(server: &'a ApiServer, user: &'static str, groups: &'static [&'static str]) -> Self {
        Self { client: server.client(), user, groups }
    }

    pub fn hub(server: &'a ApiServer) -> Self {
        Self::new(server, "yunting:hub:a", &["yunting:hubs"])
    }

    pub fn site_controller(server: &'a ApiServer) -> Self {
        Self::new(server, "yunting:site-controller", &["yunting:site-controllers"])
    }

    async fn send(&self, method: &str, path: &str, content: &str, body: &Value) -> Answer {
        request(self.client, self.user, self.groups, method, path, content, body, false).await
    }

    pub async fn apply(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, "application/apply-patch+yaml", &body).await
    }

    async fn create(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, "application/json", &body).await
    }

    async fn merge(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, "application/merge-patch+json", &body).await
    }

    /// Waits until the policy refuses, with dry runs: a policy acts about a second after it was written, each by itself.
    async fn refused(&self, policy: &str, method: &str, path: &str, body: Value) {
        let content = if method == "PATCH" { "application/apply-patch+yaml" } else { "application/json" };
        let mut last = None;
        let refuses = async || {
            let answer =
                request(self.client, self.user, self.groups, method, path, content, &body, true).await;
            let by_policy = format!("ValidatingAdmissionPolicy '{policy}'");
            let refused = answer.as_ref().is_err_and(|why| why.contains(&by_policy));
            last = Some(answer);
            refused.then_some(())
        };
        if let Err(late) = wait(&format!("{policy} to refuse {method} {path}"), PATIENCE, refuses).await {
            panic!("{late}: {last:?}");
        }
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, "application/json", &json!({"propagationPolicy": "Background"})).await
    }
}

async fn get(server: &ApiServer, path: &str) -> Option<Value> {
    server.client().request(http::Request::get(path).body(Vec::new()).unwrap()).await.ok()
}

async fn until(server: &ApiServer, what: &str, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let look = async || get(server, path).await.filter(&holds);
    match wait(what, PATIENCE, look).await {
        Ok(object) => object,
        Err(late) => panic!("{late}\n{:#}\n{}", get(server, path).await.unwrap_or_default(), server.logs()),
    }
}

async fn until_gone(server: &ApiServer, path: &str) {
    let look = async || get(server, path).await.is_none().then_some(());
    if let Err(late) = wait(&format!("{path} to go"), PATIENCE, look).await {
        panic!("{late}\n{:#}\n{}", get(server, path).await.unwrap_or_default(), server.logs());
    }
}

fn count(list: &Value) -> usize {
    list["items"].as_array().map_or(0, Vec::len)
}

/// Kubernetes checks the types of a policy's expressions and says in its status what it finds.
pub async fn policies_are_well_typed(server: &ApiServer) {
    let path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    let checked = |list: &Value| {
        list["items"].as_array().is_some_and(|l| l.iter().all(|p| p["status"]["typeChecking"].is_object()))
    };
    let list = until(server, "every policy to be checked", path, checked).await;
    for policy in list["items"].as_array().unwrap() {
        let warnings = &policy["status"]["typeChecking"]["expressionWarnings"];
        assert!(warnings.is_null(), "{}: {warnings:#}", policy["metadata"]["name"]);
    }
}

const SPACE: &str = "/api/v1/namespaces/exams-app-0a1b2c3d";

fn core(plural: &str, name: &str) -> String {
    format!("{SPACE}/{plural}/{name}")
}

fn api(group: &str, plural: &str, name: &str) -> String {
    format!("/apis/{group}/namespaces/exams-app-0a1b2c3d/{plural}/{name}")
}

fn space(admission: &str) -> Value {
    namespace("exams-app-0a1b2c3d", &restricted("HallsOnly", admission))
}

/// Objects with Yunting's label, as the site controller makes them.
fn marked(object: Value) -> Value {
    with(
        object,
        json!({"metadata": {"labels": {"yunting.io/vdc-uid": UID}, "annotations": {"yunting.io/desired-hash": "x"}}}),
    )
}

fn deployment() -> Value {
    let template = json!({"metadata": {"labels": {"yunting.io/hall": "h"}}});
    marked(with(workload("apps/v1", "Deployment"), json!({"spec": {"replicas": 2, "template": template}})))
}

fn stateful_set() -> Value {
    let claim =
        json!({"metadata": {"name": "data", "labels": {"yunting.io/hall": "h"}}, "spec": claim()["spec"]});
    marked(with(
        workload("apps/v1", "StatefulSet"),
        json!({"spec": {"replicas": 1, "volumeClaimTemplates": [claim]}}),
    ))
}

/// Closed, made safe, opened, filled, frozen, opened again, emptied, gone.
pub async fn life_of_a_vdc(server: &ApiServer) {
    let yunting = As::site_controller(server);
    canary_refuses(server).await;
    isolate(server, &yunting).await;
    let web = api("apps/v1", "deployments", "new");
    yunting.refused("yunting-closed-namespace", "PATCH", &web, deployment()).await;
    yunting.refused("yunting-closed-namespace", "PATCH", &core("services", "new"), service()).await;
    yunting.apply(SPACE, space("open")).await.unwrap();
    fill(server, &yunting).await;
    freeze(server, &yunting).await;
    yunting.delete(&web).await.unwrap();
    yunting.delete(&api("apps/v1", "statefulsets", "new")).await.unwrap();
    let pods = format!("{SPACE}/pods");
    until(server, "the garbage collector", &pods, |list| count(list) == 0).await;
    yunting.delete(SPACE).await.unwrap();
    until_gone(server, SPACE).await;
}

async fn canary_refuses(server: &ApiServer) {
    let yunting = As::site_controller(server);
    let account = "/api/v1/namespaces/yunting-canary/serviceaccounts/default";
    until(server, "the canary's service account", account, |_| true).await;
    yunting
        .refused("yunting-closed-namespace", "POST", "/api/v1/namespaces/yunting-canary/pods", pod())
        .await;
}

fn record() -> Value {
    json!({
        "apiVersion": "yunting.io/v1alpha1", "kind": "SliceRecord", "metadata": {"name": "vdc-1"},
        "spec": {"uid": UID, "generation": 1, "vdc": vdc_slice("site-a", "vdc-1")["spec"]},
    })
}

async fn isolate(server: &ApiServer, yunting: &As<'_>) {
    yunting.apply("/apis/yunting.io/v1alpha1/slicerecords/vdc-1", record()).await.unwrap();
    yunting.apply(SPACE, space("closed")).await.unwrap();
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "new"},
        "spec": {"hard": {"pods": "10", "requests.storage": "5Gi", "services.nodeports": "0"}},
    });
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "new"}});
    for (path, object) in [
        (api("networking.k8s.io/v1", "networkpolicies", "new"), network_policy()),
        (core("resourcequotas", "new"), quota),
        (core("limitranges", "new"), limit_range()),
        (
            api("rbac.authorization.k8s.io/v1", "rolebindings", "new"),
            role_binding("yunting-halls-reader", "Group", "oidc:edu"),
        ),
        (core("serviceaccounts", "new"), account),
        (core("configmaps", "new"), config_map()),
        (core("secrets", "new"), secret()),
    ] {
        yunting.apply(&path, marked(object)).await.unwrap_or_else(|why| panic!("{path}: {why}"));
    }
    // The controller manager and the API server itself write its status.
    let counted = |q: &Value| q["status"]["used"]["pods"] == "0";
    until(server, "the quota to be enforced", &core("resourcequotas", "new"), counted).await;
    for by_kubernetes in [core("serviceaccounts", "default"), core("configmaps", "kube-root-ca.crt")] {
        until(server, &by_kubernetes, &by_kubernetes, |_| true).await;
    }
}

async fn fill(server: &ApiServer, yunting: &As<'_>) {
    let pdb = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "new"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "new"}}},
    });
    let hpa = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "new"},
        "spec": {"minReplicas": 2, "maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "new"}},
    });
    for (path, object) in [
        (api("apps/v1", "deployments", "new"), deployment()),
        (api("apps/v1", "statefulsets", "new"), stateful_set()),
        (core("services", "new"), marked(service())),
        (api("policy/v1", "poddisruptionbudgets", "new"), marked(pdb)),
        (api("autoscaling/v2", "horizontalpodautoscalers", "new"), marked(hpa)),
    ] {
        yunting.apply(&path, object).await.unwrap_or_else(|why| panic!("{path}: {why}"));
    }
    let slices = "/apis/discovery.k8s.io/v1/namespaces/exams-app-0a1b2c3d/endpointslices";
    until(server, "two pods and one more", &format!("{SPACE}/pods"), |list| count(list) == 3).await;
    until(server, "the volume of the stateful set", &core("persistentvolumeclaims", "data-new-0"), |_| true)
        .await;
    until(server, "the endpoints of the service", slices, |list| count(list) == 1).await;
    until(server, "the quota to count", &core("resourcequotas", "new"), |q| {
        q["status"]["used"]["pods"] == "3"
    })
    .await;
    let counted = |p: &Value| p["status"]["expectedPods"] == 3;
    until(server, "the disruption budget", &api("policy/v1", "poddisruptionbudgets", "new"), counted).await;
    let asked = |h: &Value| h["status"]["conditions"].is_array();
    until(server, "the autoscaler", &api("autoscaling/v2", "horizontalpodautoscalers", "new"), asked).await;
    let seen = |d: &Value| d["status"]["observedGeneration"].is_i64() && d["status"]["replicas"] == 2;
    until(server, "the deployment's status", &api("apps/v1", "deployments", "new"), seen).await;
}

/// What is there stays, what goes does not come back; when it opens again, a touched ReplicaSet refills at once.
async fn freeze(server: &ApiServer, yunting: &As<'_>) {
    yunting.apply(SPACE, space("closed")).await.unwrap();
    let sets = "/apis/apps/v1/namespaces/exams-app-0a1b2c3d/replicasets";
    let set = until(server, "the replica set", sets, |list| count(list) == 1).await["items"][0].clone();
    let of_set = |p: &&Value| p["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet";
    let pods = get(server, &format!("{SPACE}/pods")).await.unwrap();
    let pod = pods["items"].as_array().unwrap().iter().find(of_set).unwrap();
    yunting.delete(&core("pods", pod["metadata"]["name"].as_str().unwrap())).await.unwrap();
    let path = format!("{sets}/{}", set["metadata"]["name"].as_str().unwrap());
    let failed = |s: &Value| {
        let conditions = s["status"]["conditions"].as_array();
        conditions.is_some_and(|c| {
            c.iter().any(|c| c["type"] == "ReplicaFailure" && c["message"].to_string().contains("is closed"))
        })
    };
    until(server, "the replica set to be refused", &path, failed).await;
    yunting
        .merge(&api("apps/v1", "deployments", "new"), json!({"metadata": {"annotations": {"a": "b"}}}))
        .await
        .unwrap();
    yunting.apply(SPACE, space("open")).await.unwrap();
    yunting.merge(&path, json!({"metadata": {"annotations": {"yunting.io/touched": "1"}}})).await.unwrap();
    until(server, "the pods to come back", &format!("{SPACE}/pods"), |list| count(list) == 3).await;
}

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const OURS: &str = "/apis/yunting.io/v1alpha1";
const EDU: &str = "/apis/yunting.io/v1alpha1/namespaces/bureau-edu";
const AT_A: &str = "/apis/yunting.io/v1alpha1/namespaces/site-a";

fn says(kind: &str, name: &str, deletable: &str, generation: i64) -> Value {
    let condition = json!({
        "type": "Deletable", "status": deletable, "reason": "Test", "message": "", "observedGeneration": generation,
        "lastTransitionTime": "2026-11-24T00:00:00Z",
    });
    json!({"apiVersion": "yunting.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "status": {"conditions": [condition]}})
}

fn held(kind: &str, name: &str) -> Value {
    let metadata = json!({"name": name, "finalizers": ["yunting.io/hub"]});
    json!({"apiVersion": "yunting.io/v1alpha1", "kind": kind, "metadata": metadata})
}

/// Made by the platform, filled by its people, carried out by hub and site, released, gone.
pub async fn life_of_a_bureau(server: &ApiServer) {
    let platform = As::new(server, "oidc:wang", &["oidc:platform-admins"]);
    let hub = As::hub(server);
    let people = As::new(server, "oidc:chen", &["oidc:edu-it"]);
    platform.create(&format!("{OURS}/sites"), site("a")).await.unwrap();
    platform.create(&format!("{OURS}/bureaus"), bureau("edu")).await.unwrap();
    hub_makes_room(&hub).await;
    people.merge(&format!("{OURS}/bureaus/edu"), json!({"spec": {"members": members()}})).await.unwrap();
    people.create(&format!("{EDU}/virtualdatacenters"), vdc("exams")).await.unwrap();
    people.create(&format!("{EDU}/halls"), hall("h")).await.unwrap();
    vendor_works(server, &hub).await;
    let labelled = with(secret(), json!({"metadata": {"labels": {"yunting.io/vdc": "exams"}}}));
    people.create("/api/v1/namespaces/bureau-edu/secrets", labelled).await.unwrap();
    carried_out(server, &hub).await;
    released(server, &hub, &people).await;
    people.delete(&format!("{EDU}/halls/h")).await.unwrap();
    hub.apply(&format!("{OURS}/bureaus/edu/status"), says("Bureau", "edu", "True", 2)).await.unwrap();
    platform.delete(&format!("{OURS}/bureaus/edu")).await.unwrap();
    hub.delete(&format!("{RBAC}/clusterrolebindings/yunting-bureau-members-edu")).await.unwrap();
    hub.delete(&format!("{RBAC}/clusterroles/yunting-bureau-members-edu")).await.unwrap();
    hub.delete("/api/v1/namespaces/bureau-edu").await.unwrap();
    until_gone(server, "/api/v1/namespaces/bureau-edu").await;
    hub.merge(&format!("{OURS}/bureaus/edu"), json!({"metadata": {"finalizers": null}})).await.unwrap();
    until_gone(server, &format!("{OURS}/bureaus/edu")).await;
    hub.delete("/api/v1/namespaces/site-a").await.unwrap();
    until_gone(server, "/api/v1/namespaces/site-a").await;
}

/// Named for one hall, it reads and changes that one and sees no other.
async fn vendor_works(server: &ApiServer, hub: &As<'_>) {
    let vendor = As::new(server, "oidc:vendor", &[]);
    let edu = format!("{RBAC}/namespaces/bureau-edu");
    hub.apply(&format!("{edu}/roles/yunting-hall-vendor-h"), vendor_role("h")).await.unwrap();
    let binding = with(
        role_binding("yunting-hall-vendor-h", "User", "oidc:vendor"),
        json!({"metadata": {"name": "yunting-hall-vendor-h"}, "roleRef": {"kind": "Role"}}),
    );
    hub.apply(&format!("{edu}/rolebindings/yunting-hall-vendor-h"), binding).await.unwrap();
    let own = format!("{EDU}/halls/h");
    let reads = async || vendor.send("GET", &own, "", &Value::Null).await.ok();
    wait("the vendor's rights to act", PATIENCE, reads).await.unwrap();
    let env =
        json!([{"op": "add", "path": "/spec/components/0/env", "value": [{"name": "A", "value": "b"}]}]);
    vendor.send("PATCH", &own, "application/json-patch+json", &env).await.unwrap();
    for path in ["halls", "halls/other", "virtualdatacenters/exams"] {
        let answer = vendor.send("GET", &format!("{EDU}/{path}"), "", &Value::Null).await;
        assert!(answer.is_err_and(|why| why.contains("Forbidden")), "{path} was shown to a vendor");
    }
}

async fn hub_makes_room(hub: &As<'_>) {
    hub.apply(&format!("{OURS}/bureaus/edu"), held("Bureau", "edu")).await.unwrap();
    for name in ["bureau-edu", "site-a"] {
        hub.apply(
            &format!("/api/v1/namespaces/{name}"),
            namespace(name, &json!({"yunting.io/bureau": "edu"})),
        )
        .await
        .unwrap();
    }
    let own = "yunting-bureau-members-edu";
    hub.apply(&format!("{RBAC}/clusterroles/{own}"), members_role("edu")).await.unwrap();
    let binding = members_binding("edu", "Group", "oidc:edu-it");
    hub.apply(&format!("{RBAC}/clusterrolebindings/{own}"), binding).await.unwrap();
    let bind =
        |place: &str| format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{place}/rolebindings/new");
    let admins = role_binding("yunting-bureau-admin", "Group", "oidc:edu-it");
    hub.apply(&bind("bureau-edu"), admins).await.unwrap();
    hub.apply(&bind("site-a"), role_binding("yunting-site", "User", "yunting:site:a")).await.unwrap();
    hub.apply(&format!("{AT_A}/sitereports/a"), report("site-a", "a")).await.unwrap();
    hub.create("/apis/coordination.k8s.io/v1/namespaces/yunting-system/leases", lease("yunting-hub"))
        .await
        .unwrap();
}

async fn carried_out(server: &ApiServer, hub: &As<'_>) {
    let at_site = As::new(server, "yunting:site:a", &["yunting:sites"]);
    hub.apply(&format!("{EDU}/virtualdatacenters/exams"), held("VirtualDataCenter", "exams")).await.unwrap();
    hub.apply(
        &format!("{EDU}/virtualdatacenters/exams/status"),
        says("VirtualDataCenter", "exams", "False", 1),
    )
    .await
    .unwrap();
    hub.apply(&format!("{AT_A}/vdcslices/vdc-1"), vdc_slice("site-a", "vdc-1")).await.unwrap();
    let copy = with(secret(), json!({"metadata": {"labels": {"yunting.io/vdc-uid": UID}}}));
    hub.apply("/api/v1/namespaces/site-a/secrets/new", copy).await.unwrap();
    let status = says("VdcSlice", "vdc-1", "Unknown", 1);
    at_site.apply(&format!("{AT_A}/vdcslices/vdc-1/status"), status).await.unwrap();
    let beat = with(lease("yunting-site"), json!({"spec": {"holderIdentity": "a"}}));
    let path = "/apis/coordination.k8s.io/v1/namespaces/site-a/leases/yunting-site";
    at_site.apply(path, beat.clone()).await.unwrap();
    at_site.apply(path, with(beat, json!({"spec": {"holderIdentity": "b"}}))).await.unwrap();
}

async fn released(server: &ApiServer, hub: &As<'_>, people: &As<'_>) {
    let exams = format!("{EDU}/virtualdatacenters/exams");
    people.refused("yunting-deletion", "DELETE", &exams, Value::Null).await;
    people
        .merge(&exams, json!({"spec": {"lifecycle": {"state": "Released", "coolingOffHours": 0}}}))
        .await
        .unwrap();
    let status = format!("{exams}/status");
    hub.apply(&status, says("VirtualDataCenter", "exams", "True", 1)).await.unwrap();
    // Said of the VDC as it was before: that may have been another release, taken back since.
    people.refused("yunting-deletion", "DELETE", &exams, Value::Null).await;
    hub.apply(&status, says("VirtualDataCenter", "exams", "True", 2)).await.unwrap();
    people.delete(&exams).await.unwrap();
    people.delete(&exams).await.unwrap();
    hub.merge(&format!("{AT_A}/vdcslices/vdc-1"), json!({"spec": {"desired": "Absent", "term": 2}}))
        .await
        .unwrap();
    hub.delete(&format!("{AT_A}/vdcslices/vdc-1")).await.unwrap();
    hub.merge(&exams, json!({"metadata": {"finalizers": null}})).await.unwrap();
    until_gone(server, &exams).await;
}

/// A small installation has one cluster for both: neither half's policies hinder the other's controller.
pub async fn hub_and_site_in_one(server: &ApiServer) {
    let (hub, yunting) = (As::hub(server), As::site_controller(server));
    let platform = As::new(server, "oidc:wang", &["test:everything"]);
    platform.create(&format!("{OURS}/bureaus"), bureau("edu")).await.unwrap();
    hub_makes_room(&hub).await;
    hub.apply(&format!("{AT_A}/vdcslices/vdc-1"), vdc_slice("site-a", "vdc-1")).await.unwrap();
    yunting.apply(SPACE, space("closed")).await.unwrap();
    yunting.apply(&core("configmaps", "new"), marked(config_map())).await.unwrap();
    platform.refused("yunting-namespace-labels", "DELETE", SPACE, Value::Null).await;
    platform.refused("yunting-hub-namespaces", "DELETE", "/api/v1/namespaces/bureau-edu", Value::Null).await;
    let mine = || namespace("mine", &json!({"team": "a"}));
    yunting.refused("yunting-site-reach", "PATCH", "/api/v1/namespaces/mine", mine()).await;
    hub.refused("yunting-hub-reach", "PATCH", "/api/v1/namespaces/mine", mine()).await;
    // With every policy known to act, both controllers go on as before.
    hub.apply(&format!("{AT_A}/vdcslices/vdc-2"), vdc_slice("site-a", "vdc-2")).await.unwrap();
    hub.apply("/api/v1/namespaces/bureau-tax", namespace("bureau-tax", &json!({"yunting.io/bureau": "tax"})))
        .await
        .unwrap();
    yunting.apply("/apis/yunting.io/v1alpha1/slicerecords/vdc-1", marked(record())).await.unwrap();
    yunting.apply(SPACE, space("open")).await.unwrap();
    yunting.apply(&core("services", "new"), marked(service())).await.unwrap();
}
