//! Tests of the plan of routes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

const SLICE_LABELS: &str = "endpointslice-controller.k8s.io";

fn object<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).unwrap())
}

fn namespace(name: &str, vdc: &str) -> Arc<Namespace> {
    object(json!({"metadata": {"name": name, "labels": {"yunting.io/vdc-uid": vdc}}}))
}

fn service(namespace: &str, name: &str) -> Arc<Service> {
    object(json!({
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }))
}

fn slice(namespace: &str, service: &str, manager: &str, addresses: &[(&str, bool)]) -> Arc<EndpointSlice> {
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|(address, ready)| json!({"addresses": [address], "conditions": {"ready": ready}}))
        .collect();
    object(json!({
        "metadata": {
            "namespace": namespace, "name": format!("{service}-{manager}"),
            "labels": {SERVICE_LABEL: service, MANAGER_LABEL: manager},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": endpoints,
    }))
}

#[allow(clippy::needless_pass_by_value)] // reads better where it is called
fn route(namespace: &str, name: &str, age: &str, host: &str, rules: Value) -> Arc<HTTPRoute> {
    object(json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"namespace": namespace, "name": name, "creationTimestamp": format!("2026-01-{age}T00:00:00Z")},
        "spec": {
            "parentRefs": [{"namespace": "yunting-gateway", "name": "site"}],
            "hostnames": [host],
            "rules": rules,
        },
    }))
}

fn to(service: &str) -> Value {
    json!([{"backendRefs": [{"name": service, "port": 80}]}])
}

/// Two VDCs; `a` has a portal with two ready pods and one that is not.
fn world(routes: Vec<Arc<HTTPRoute>>) -> World {
    World {
        routes,
        namespaces: vec![namespace("a", "vdc-a"), namespace("a2", "vdc-a"), namespace("b", "vdc-b")],
        services: vec![service("a", "portal"), service("b", "portal")],
        slices: vec![
            slice(
                "a",
                "portal",
                SLICE_LABELS,
                &[("10.11.0.7", true), ("10.11.0.5", true), ("10.11.0.6", false)],
            ),
            slice("b", "portal", SLICE_LABELS, &[("10.11.0.9", true)]),
        ],
    }
}

fn rules() -> Rules {
    Rules { port: 80, backends: vec!["10.11.0.0/16".parse().unwrap()] }
}

fn verdict(plan: &Plan, namespace: &str, name: &str) -> (bool, &'static str, &'static str) {
    let key = RouteKey { namespace: namespace.into(), name: name.into() };
    let verdict = &plan.verdicts[&key];
    (verdict.accepted.good, verdict.accepted.reason, verdict.resolved.reason)
}

fn served(plan: &Plan) -> BTreeMap<&str, Vec<(PathRule, Vec<String>)>> {
    let entry = |entry: &Entry| {
        (entry.path.clone(), entry.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect())
    };
    plan.table
        .hosts
        .iter()
        .map(|(host, entries)| (host.as_str(), entries.iter().map(entry).collect()))
        .collect()
}

#[test]
fn ready_endpoints_of_the_own_service_are_served() {
    let plan = plan(&world(vec![route("a", "r", "01", "Q.Example", to("portal"))]), &rules());
    let expected = (PathRule::Prefix("/".into()), vec!["10.11.0.5:8080".into(), "10.11.0.7:8080".into()]);
    assert_eq!(served(&plan), BTreeMap::from([("q.example", vec![expected])]));
    assert_eq!(verdict(&plan, "a", "r"), (true, "Accepted", "ResolvedRefs"));
}

#[test]
fn the_oldest_route_keeps_its_host_whatever_the_order_of_arrival() {
    let old = route("b", "old", "01", "q.example", to("portal"));
    let young = route(
        "a",
        "young",
        "02",
        "q.example",
        json!([{
            "matches": [{"path": {"type": "PathPrefix", "value": "/login"}}],
            "backendRefs": [{"name": "portal", "port": 80}],
        }]),
    );
    let one = plan(&world(vec![young.clone(), old.clone()]), &rules());
    assert_eq!(one, plan(&world(vec![old, young]), &rules()));
    assert_eq!(served(&one)["q.example"][0].1, ["10.11.0.9:8080"]);
    assert_eq!(served(&one)["q.example"].len(), 1);
    assert_eq!(verdict(&one, "a", "young"), (false, "HostnameConflict", "ResolvedRefs"));
}

#[test]
fn namespaces_of_one_vdc_share_a_host_by_path_and_the_longest_path_wins() {
    let api = json!([{
        "matches": [
            {"path": {"type": "Exact", "value": "/api"}},
            {"path": {"type": "PathPrefix", "value": "/api/"}},
            {"path": {"type": "PathPrefix", "value": "/"}},
        ],
        "backendRefs": [{"name": "missing", "port": 80}],
    }]);
    let routes =
        vec![route("a", "r", "01", "q.example", to("portal")), route("a2", "api", "02", "q.example", api)];
    let plan = plan(&world(routes), &rules());
    let paths: Vec<_> = served(&plan)["q.example"].iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(
        paths,
        [PathRule::Exact("/api".into()), PathRule::Prefix("/api".into()), PathRule::Prefix("/".into())]
    );
    assert_eq!(served(&plan)["q.example"][2].1.len(), 2);
    assert_eq!(verdict(&plan, "a2", "api"), (true, "Accepted", "BackendNotFound"));
}

#[test]
fn a_route_outside_a_vdc_is_not_served() {
    let plan = plan(&world(vec![route("default", "r", "01", "q.example", to("portal"))]), &rules());
    assert!(plan.table.hosts.is_empty());
    assert_eq!(verdict(&plan, "default", "r").1, "NotAllowedByListeners");
}

#[test]
fn backends_of_other_namespaces_and_other_kinds_are_refused() {
    for (backend, reason) in [
        (json!({"name": "portal", "namespace": "b", "port": 80}), "RefNotPermitted"),
        (json!({"name": "portal", "kind": "Secret", "port": 80}), "InvalidKind"),
        (json!({"name": "portal", "port": 81}), "BackendNotFound"),
        (json!({"name": "nobody", "port": 80}), "BackendNotFound"),
    ] {
        let rules_of_route = json!([{"backendRefs": [backend]}]);
        let plan = plan(&world(vec![route("a", "r", "01", "q.example", rules_of_route)]), &rules());
        assert_eq!(verdict(&plan, "a", "r"), (true, "Accepted", reason));
        assert_eq!(served(&plan)["q.example"][0].1, Vec::<String>::new());
    }
}

#[test]
fn what_we_do_not_act_on_is_refused_instead_of_ignored() {
    let ours = to("portal");
    for (host, rules_of_route) in [
        ("*.example", ours.clone()),
        ("q.example\n    bind :81", ours.clone()),
        ("q.example", json!([{"filters": [{"type": "URLRewrite"}]}])),
        ("q.example", json!([{"matches": [{"headers": [{"name": "x", "value": "y"}]}]}])),
        ("q.example", json!([{"matches": [{"path": {"type": "RegularExpression", "value": "/.*"}}]}])),
        ("q.example", json!([{"matches": [{"path": {"value": "/a } { always_true"}}]}])),
    ] {
        let plan = plan(&world(vec![route("a", "r", "01", host, rules_of_route)]), &rules());
        assert!(plan.table.hosts.is_empty(), "{host}");
        assert_eq!(verdict(&plan, "a", "r").1, "UnsupportedValue");
    }
}

#[test]
fn hand_written_slices_and_addresses_outside_the_pods_are_not_believed() {
    let mut world = world(vec![route("a", "r", "01", "q.example", to("portal"))]);
    world.slices = vec![
        slice("a", "portal", "endpointslicemirroring-controller.k8s.io", &[("10.11.0.1", true)]),
        slice(
            "a",
            "portal",
            SLICE_LABELS,
            &[("192.168.77.1", true), ("127.0.0.1", true), ("10.11.0.8", true)],
        ),
    ];
    assert_eq!(served(&plan(&world, &rules()))["q.example"][0].1, ["10.11.0.8:8080"]);
    let anywhere = Rules { port: 80, backends: Vec::new() };
    let plan = plan(&world, &anywhere);
    assert_eq!(served(&plan)["q.example"][0].1, ["10.11.0.8:8080", "192.168.77.1:8080"]);
}

#[test]
fn weights_are_shares_of_backends_and_not_of_their_pods() {
    let mut world = world(vec![route(
        "a",
        "r",
        "01",
        "q.example",
        json!([{"backendRefs": [
            {"name": "portal", "port": 80, "weight": 90},
            {"name": "canary", "port": 80, "weight": 10},
            {"name": "off", "port": 80, "weight": 0},
        ]}]),
    )]);
    world.services.extend([service("a", "canary"), service("a", "off")]);
    world.slices.push(slice("a", "canary", SLICE_LABELS, &[("10.11.0.20", true)]));
    world.slices.push(slice("a", "off", SLICE_LABELS, &[("10.11.0.21", true)]));
    let plan = plan(&world, &rules());
    let weights: Vec<u16> = plan.table.hosts["q.example"][0].endpoints.iter().map(|e| e.weight).collect();
    // Two pods share 90, one pod has 10.
    assert_eq!(weights, [256, 256, 56]);
}
