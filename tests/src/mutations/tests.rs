use serde_json::json;

use super::*;

fn vdc() -> Value {
    json!({"apiVersion": "yunting.io/v1alpha1", "kind": "VirtualDataCenter", "metadata": {"name": "v"},
        "spec": {"quota": {"cpu": "2"}, "namespaces": [{"name": "app"}], "sites": {"names": ["a"]}}})
}

fn of(field: &str) -> Vec<Mutation> {
    let all = changes("VirtualDataCenter", &vdc());
    let some = all.into_iter().filter(|c| c.field == field);
    some.flat_map(|c| judged("VirtualDataCenter", &vdc(), &c)).collect()
}

fn specs(field: &str, verdict: Verdict) -> Vec<Value> {
    of(field).into_iter().filter(|m| m.verdict == verdict).map(|m| m.spec).collect()
}

#[test]
fn fields_are_those_of_the_schema() {
    let all = fields("VirtualDataCenter");
    for field in ["spec.namespaces", "spec.namespaces[].access", "spec.isolation.egress[].ports"] {
        assert!(all.contains(field), "{field} is none of {all:?}");
    }
    assert!(!all.iter().any(|f| f.contains("status")));
}

#[test]
fn an_amount_becomes_another_and_is_written_otherwise_and_left_out() {
    let cpus: Vec<Value> =
        specs("spec.quota.cpu", Verdict::Accepted).iter().map(|s| s["quota"]["cpu"].clone()).collect();
    for wanted in [json!("4"), json!("2000m"), Value::Null] {
        assert!(cpus.contains(&wanted), "{wanted} is none of {cpus:?}");
    }
    assert!(!specs("spec.quota.cpu", Verdict::Refused).is_empty());
}

#[test]
fn what_is_not_set_is_set_with_what_it_lies_in() {
    let zones = specs("spec.isolation.egress[].cidr", Verdict::Accepted);
    assert!(zones.iter().any(|s| s["isolation"]["egress"][0]["cidr"].is_string()), "{zones:?}");
}

#[test]
fn a_rule_over_two_fields_gets_another_field_changed() {
    let counts = specs("spec.sites.placement.count", Verdict::Accepted);
    assert!(counts.iter().any(|s| s["sites"]["names"].is_null()), "{counts:?}");
    let modes = specs("spec.drReserve.mode", Verdict::Accepted);
    assert!(modes.iter().any(|s| s["drReserve"]["mode"] == "Fixed"), "{modes:?}");
}

#[test]
fn a_list_gets_one_more_and_one_less() {
    let lengths: Vec<usize> =
        of("spec.namespaces").iter().filter_map(|m| m.spec["namespaces"].as_array().map(Vec::len)).collect();
    assert!(lengths.contains(&2) && lengths.contains(&0), "{lengths:?}");
}

#[test]
fn what_cannot_be_changed_is_foretold() {
    assert!(!specs("spec.encryption.keyProvider", Verdict::RefusedHere).is_empty());
    assert!(values::hosts_are_a_tenants_own());
}

fn hall() -> Value {
    let part = |name: &str, more: Value| {
        let mut part = json!({"name": name, "zone": "Approval", "image": format!("localhost/a@sha256:{}", "a".repeat(64)),
            "resources": {"cpu": "1", "memory": "1Gi"}, "ports": [{"name": "http", "port": 8080}]});
        part.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        part
    };
    let secret = json!({"secretRefs": [{"name": "s"}],
        "env": [{"name": "A", "secretKey": {"name": "s", "key": "k"}}, {"name": "B", "value": "s"}]});
    json!({"apiVersion": "yunting.io/v1alpha1", "kind": "Hall", "metadata": {"name": "h"},
        "spec": {"vdcRef": {"name": "v"}, "displayName": "厅", "components": [part("front", json!({"calls": [{"component": "back"}]})),
            part("back", secret)]}})
}

fn taken_away(what: &str) -> Vec<Mutation> {
    let change = changes("Hall", &hall()).into_iter().find(|c| c.what == what).unwrap();
    judged("Hall", &hall(), &change)
}

#[test]
fn what_names_something_that_is_taken_away_goes_along() {
    let without = taken_away("spec.components: without entry 1");
    assert_eq!(without[0].spec["components"][0]["calls"], hall()["spec"]["components"][0]["calls"]);
    let components = &without[1].spec["components"];
    assert_eq!((components.as_array().unwrap().len(), &components[0]["calls"]), (1, &json!([])));
    let closed = &taken_away("spec.components[1].ports: left out")[1].spec["components"];
    assert_eq!((closed.as_array().unwrap().len(), &closed[0]["calls"]), (2, &json!([])));
    let secret = &taken_away("spec.components[1].secretRefs: without entry 0")[1].spec["components"][1];
    assert_eq!(secret["env"].as_array().unwrap().len(), 1, "{secret}");
}
