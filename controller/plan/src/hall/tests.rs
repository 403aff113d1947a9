//! Tests of what a hall becomes.

use super::*;
use crate::vdc::tests::{UID, facts, slice, valid};
use proptest::prelude::*;
use serde_json::{Value, json};
use yunting_crds::hall_slice::HallSliceSpec;

const HALL: &str = "7d444840-9dc0-11d1-b245-5ffdce74fad2";
const DIGEST: &str = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn image(name: &str) -> String {
    format!("localhost/{name}{DIGEST}")
}

/// The slice of a hall as Bozhou's: portal, approval, database.
pub(crate) fn bozhou() -> HallSliceSpec {
    let component = |c: Value| json!({"role": "Active", "component": c});
    serde_json::from_value(json!({
        "term": 1,
        "source": {"bureau": "government-affairs", "name": "guoyang", "uid": HALL, "generation": 1},
        "vdc": {"name": "service-hall", "uid": UID},
        "desired": "Present", "role": "Active", "displayName": "涡阳厅", "availabilityClass": "Platinum",
        "portal": {"host": "guoyang.hall.bozhou.example", "paths": ["/"], "component": "portal"},
        "components": [
            component(json!({
                "name": "portal", "namespace": "app", "zone": "Portal", "image": image("yunting-hall"), "replicas": 2,
                "resources": {"cpu": "250m", "memory": "256Mi"}, "ports": [{"name": "http", "port": 8080}],
                "args": ["portal"], "env": [{"name": "BACKEND", "value": "http://$(CALL_APPROVAL_HOST):$(CALL_APPROVAL_PORT)"}],
                "configFiles": [{"path": "/etc/hall/items.json", "content": "{\"items\": 6961}"}],
                "writablePaths": ["/tmp"], "probes": {"ready": {"http": "/healthz"}}, "calls": [{"component": "approval"}],
            })),
            component(json!({
                "name": "approval", "namespace": "app", "zone": "Approval", "image": image("yunting-hall"), "replicas": 1,
                "resources": {"cpu": "250m", "memory": "256Mi"}, "ports": [{"name": "http", "port": 8080}],
                "secretRefs": [{"name": "db"}], "env": [{"name": "PGPASSWORD", "secretKey": {"name": "db", "key": "password"}}],
                "calls": [{"component": "db"}], "probes": {"ready": {"tcp": "Open"}},
            })),
            component(json!({
                "name": "db", "namespace": "app", "zone": "Data", "kind": "Stateful", "image": image("postgres"),
                "resources": {"cpu": "500m", "memory": "512Mi"}, "ports": [{"name": "pg", "port": 5432}], "runAsUser": 999,
                "secretRefs": [{"name": "db", "mountPath": "/run/secrets/db"}],
                "volumes": [{"name": "data", "size": "10Gi", "mountPath": "/var/lib/postgresql"}],
                "probes": {"ready": {"exec": ["pg_isready"]}},
            })),
        ],
        "secrets": [{"name": "db", "copy": "secret-abcdefghijklmnop", "hash": "h1"}],
    }))
    .unwrap()
}

fn plan(spec: &HallSliceSpec) -> Vec<Object> {
    let vdc = valid(&slice());
    hall_objects(&ValidHallSlice::check(spec, &vdc).unwrap(), &vdc, &facts())
}

fn body<'a>(all: &'a [Object], kind: &str, prefix: &str) -> &'a Value {
    let found = all.iter().find(|o| o.key.kind.kind == kind && o.key.name.starts_with(prefix));
    &found.unwrap_or_else(|| panic!("no {kind} {prefix}")).body
}

#[allow(clippy::needless_pass_by_value)] // reads better in tables
fn changed(path: &str, value: Value) -> HallSliceSpec {
    let mut body = serde_json::to_value(bozhou()).unwrap();
    let (parent, field) = path.rsplit_once('/').unwrap();
    match (body.pointer_mut(parent).unwrap(), field.parse::<usize>()) {
        (Value::Array(list), Ok(i)) => list[i] = value,
        (object, _) => object[field] = value,
    }
    serde_json::from_value(body).unwrap()
}

#[test]
fn the_hall_becomes_these_objects() {
    let lines: Vec<String> = plan(&bozhou()).iter().map(|o| o.key.to_string()).collect();
    insta::assert_yaml_snapshot!(lines);
}

#[test]
fn the_portal_is_this_deployment() {
    insta::assert_yaml_snapshot!(body(&plan(&bozhou()), "Deployment", "guoyang-portal")["spec"]);
}

#[test]
fn the_database_is_this_stateful_set() {
    insta::assert_yaml_snapshot!(body(&plan(&bozhou()), "StatefulSet", "guoyang-db")["spec"]);
}

#[test]
fn callers_come_in_and_nobody_else() {
    let all = plan(&bozhou());
    let db = &body(&all, "NetworkPolicy", "guoyang-db")["spec"];
    assert_eq!(db["egress"], json!([]));
    assert_eq!(db["ingress"][0]["from"].as_array().unwrap().len(), 1);
    assert_eq!(db["ingress"][0]["from"][0]["podSelector"]["matchLabels"]["yunting.io/component"], "approval");
    assert_eq!(db["ingress"][0]["ports"], json!([{"protocol": "TCP", "port": 5432}]));
    assert_eq!(
        body(&all, "NetworkPolicy", "guoyang-portal")["spec"]["ingress"],
        json!([]),
        "the front door is opened by the VDC"
    );
}

#[test]
fn the_route_leads_to_the_portal_where_it_runs() {
    let all = plan(&bozhou());
    let spec = &body(&all, "HTTPRoute", "guoyang-portal")["spec"];
    assert_eq!(spec["parentRefs"], json!([{"name": "site", "namespace": "yunting-gateway"}]));
    assert_eq!(spec["hostnames"], json!(["guoyang.hall.bozhou.example"]));
    assert_eq!(spec["rules"][0]["backendRefs"][0]["port"], 8080);
    let standby = plan(&changed("/components/0/role", json!("Standby")));
    assert!(!standby.iter().any(|o| o.key.kind.kind == "HTTPRoute"));
}

#[test]
fn a_standby_has_everything_and_no_pods() {
    for role in ["Standby", "Closed"] {
        let all = plan(&changed("/role", json!(role)));
        for workload in all.iter().filter(|o| matches!(o.key.kind.kind, "Deployment" | "StatefulSet")) {
            assert_eq!(workload.body["spec"]["replicas"], 0, "{}", workload.key);
        }
        assert!(all.iter().any(|o| o.key.kind.kind == "Service"));
        assert!(!all.iter().any(|o| matches!(
            o.key.kind.kind,
            "HTTPRoute" | "HorizontalPodAutoscaler" | "PodDisruptionBudget"
        )));
    }
}

#[test]
fn load_decides_over_replicas_only_where_it_runs() {
    let scaling = json!({"minReplicas": 2, "maxReplicas": 4});
    let all = plan(&changed("/components/0/component/autoscaling", scaling.clone()));
    assert!(body(&all, "Deployment", "guoyang-portal")["spec"].get("replicas").is_none());
    assert_eq!(body(&all, "HorizontalPodAutoscaler", "guoyang-portal")["spec"]["maxReplicas"], 4);
    let mut standby = changed("/components/0/component/autoscaling", scaling);
    standby.role = yunting_crds::hall::HallRole::Standby;
    assert_eq!(body(&plan(&standby), "Deployment", "guoyang-portal")["spec"]["replicas"], 0);
}

#[test]
fn a_changed_file_or_secret_rolls_the_pods() {
    let hash = |spec: &HallSliceSpec, component: &str| {
        let all = plan(spec);
        let kind = if component == "guoyang-db" { "StatefulSet" } else { "Deployment" };
        body(&all, kind, component)["spec"]["template"]["metadata"]["annotations"].to_string()
    };
    let file = changed("/components/0/component/configFiles/0/content", json!("{}"));
    assert_ne!(hash(&bozhou(), "guoyang-portal"), hash(&file, "guoyang-portal"));
    let secret = changed("/secrets/0/hash", json!("h2"));
    assert_ne!(hash(&bozhou(), "guoyang-db"), hash(&secret, "guoyang-db"));
    assert_eq!(hash(&bozhou(), "guoyang-portal"), hash(&secret, "guoyang-portal"));
}

#[test]
fn what_cannot_be_carried_out_is_named() {
    let table = [
        (
            "/components/0/component/namespace",
            json!("other"),
            "components[portal].namespace: \"other\" is no namespace of the VDC; it has app, sandbox",
        ),
        ("/components/2/component/namespace", json!("sandbox"), "stateful components live in HallsOnly"),
        ("/components/0/component/calls", json!([{"component": "ghost"}]), "\"ghost\" is no component"),
        (
            "/components/0/component/calls",
            json!([{"sharedService": {"vdc": "population", "name": "query"}}]),
            "through an AccessGrant",
        ),
        (
            "/components/1/component/secretRefs",
            json!([{"name": "stolen"}]),
            "Secret \"stolen\" was not copied",
        ),
        (
            "/components/1/component/secretRefs",
            json!([]),
            "reads Secret \"db\", which is not among secretRefs",
        ),
        ("/components/0/component/image", json!("localhost/hall:latest"), "named by digest"),
        (
            "/components/0/component/replicas",
            json!(99),
            "namespace app: cpu 26 asked, 8 allowed at this site",
        ),
        ("/components/2/component/volumes/0/size", json!("200Gi"), "storage 200Gi asked, 100Gi allowed"),
        ("/components/0/component/writablePaths", json!(["/etc/hall/items.json"]), "is used twice"),
        ("/components/0/component/writablePaths", json!(["/var/../etc"]), "is no full path"),
        ("/components/0/component/probes/ready/port", json!("metrics"), "port \"metrics\" is none"),
        ("/components/0/role", json!("Drill"), "Drill is not carried out"),
        ("/portal/component", json!("approval"), "not in zone Portal"),
        (
            "/vdc/uid",
            json!("99999999-2fa1-11d2-883f-0016d3cca427"),
            "a hall runs in a VDC of its own bureau only",
        ),
        ("/source/bureau", json!("education"), "a hall runs in a VDC of its own bureau only"),
    ];
    let vdc = valid(&slice());
    for (path, value, expected) in table {
        let error = ValidHallSlice::check(&changed(path, value), &vdc).unwrap_err().to_string();
        assert!(error.contains(expected), "{path}: {error}");
    }
    let mut shut = slice();
    shut.isolation.ingress_from.clear();
    let error = ValidHallSlice::check(&bozhou(), &valid(&shut)).unwrap_err().to_string();
    assert!(error.contains("ingressFrom"), "{error}");
}

#[test]
fn a_route_is_accepted_only_for_the_generation_that_stands() {
    let seen = |status: &str, generation: i64| {
        json!({"metadata": {"generation": 2}, "status": {"parents": [{"conditions": [
            {"type": "Accepted", "status": status, "observedGeneration": generation, "message": "no listener"}]}]}})
    };
    assert_eq!(route::accepted(&seen("True", 2)), Some(Ok(())));
    assert_eq!(route::accepted(&seen("True", 1)), None);
    assert_eq!(route::accepted(&seen("False", 2)), Some(Err("no listener".into())));
    assert_eq!(route::accepted(&json!({})), None);
}

proptest! {
    #[test]
    fn names_are_unique_whatever_components_are_called(names in proptest::collection::btree_set("[a-z](-?[a-z0-9]){0,9}", 1..16)) {
        let mut spec = bozhou();
        let template = spec.components[1].clone();
        spec.portal = None;
        spec.components = names.iter().map(|n| {
            let mut c = template.clone();
            c.component.name.clone_from(n);
            c.component.calls.clear();
            c
        }).collect();
        let all = plan(&spec);
        let keys: BTreeSet<String> = all.iter().map(|o| o.key.to_string()).collect();
        prop_assert_eq!(keys.len(), all.len());
        for o in &all {
            prop_assert!(o.key.name.len() <= 52, "{} leaves no room for suffixes", o.key);
            prop_assert_eq!(o.key.namespace.as_deref(), Some("service-hall-app-1b4e28ba"));
        }
    }

    #[test]
    fn the_same_hall_gives_the_same_objects(replicas in 1u32..5, surge in 0u32..3) {
        let mut spec = bozhou();
        spec.components[0].component.replicas = replicas;
        spec.components[0].component.rollout.max_surge = surge;
        spec.components[0].component.rollout.max_unavailable = 1;
        let (first, second) = (plan(&spec), plan(&spec));
        prop_assert_eq!(&first, &second);
        for o in &first {
            prop_assert!(o.stands_in(&o.body));
        }
    }

    #[test]
    fn every_pod_is_restricted(user in 0u32..70000, writable in proptest::collection::vec("/[a-z]{1,8}", 0..4)) {
        let mut spec = bozhou();
        spec.components[0].component.run_as_user = user;
        spec.components[0].component.writable_paths = writable.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        for o in plan(&spec).iter().filter(|o| matches!(o.key.kind.kind, "Deployment" | "StatefulSet")) {
            let pod = &o.body["spec"]["template"]["spec"];
            prop_assert_eq!(&pod["automountServiceAccountToken"], &json!(false));
            prop_assert!(pod["securityContext"]["runAsUser"].as_i64() > Some(0));
            prop_assert_eq!(&pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            let c = &pod["containers"][0];
            prop_assert_eq!(&c["securityContext"]["capabilities"]["drop"], &json!(["ALL"]));
            prop_assert_eq!(&c["securityContext"]["readOnlyRootFilesystem"], &json!(true));
            prop_assert_eq!(&c["resources"]["requests"], &c["resources"]["limits"]);
        }
    }
}
