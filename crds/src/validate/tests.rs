//! What the validator says, and that it knows every word the schemas use.

use serde_json::{Value, json};

use super::{RULES, create, structure, transition, update, words};

fn hall() -> Value {
    let image = format!("localhost/yunting-hall@sha256:{}", "a".repeat(64));
    let component = |name: &str, zone: &str| {
        json!({"name": name, "zone": zone, "image": image, "resources": {"cpu": "10m", "memory": "32Mi"},
            "ports": [{"name": "http", "port": 8080}]})
    };
    let mut db = component("db", "Data");
    db["kind"] = json!("Stateful");
    db["volumes"] = json!([{"name": "data", "size": "2Gi", "mountPath": "/data"}]);
    json!({
        "apiVersion": "yunting.io/v1alpha1", "kind": "Hall",
        "metadata": {"name": "guoyang", "namespace": "bureau-x"},
        "spec": {"vdcRef": {"name": "service-hall"}, "displayName": "涡阳厅",
            "components": [component("portal", "Portal"), db, component("approval", "Approval")]}
    })
}

fn said(result: Result<(), Vec<super::Problem>>) -> Vec<String> {
    result.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn a_good_object_passes_and_may_be_written_again() {
    assert_eq!(said(create("Hall", &hall())), [""; 0]);
    assert_eq!(said(update("Hall", &hall(), &hall())), [""; 0]);
}

#[test]
fn a_refusal_names_field_value_limit_and_remedy() {
    let mut bad = hall();
    bad["spec"]["components"][0]["replicas"] = json!(101);
    bad["spec"]["components"][1]["image"] = json!("postgres:15");
    bad["spec"]["components"][2]["resources"]["cpu"] = json!(1);
    bad["spec"]["colour"] = json!("red");
    let said = said(create("Hall", &bad));
    assert_eq!(said[0].split(';').next(), Some("spec.colour: unknown field"));
    assert_eq!(said[1], "spec.components[0].replicas: 101 is too large: the most is 100");
    assert!(
        said[2]
            .starts_with("spec.components[1].image: \"postgres:15\" does not fit: name the image by digest")
    );
    assert!(
        said[3].contains("\"1\" is a number, it must be of type string; write \"1\" with quotes"),
        "{}",
        said[3]
    );
    assert_eq!(said.len(), 4);
}

#[test]
fn a_time_is_a_time() {
    let text = include_str!("../../samples/good/hall-slice.yaml");
    let mut slice: serde_json::Value = serde_yaml::from_str(text).unwrap();
    let mut verdict = |time: &str| {
        slice["spec"]["replicas"][1]["volumeGoneAt"] = json!(time);
        said(create("HallSlice", &slice))
    };
    for good in ["2026-10-01T08:00:00Z", "2026-10-01T08:00:00.5Z"] {
        assert_eq!(verdict(good), [""; 0], "{good}");
    }
    for bad in ["", "x", "2026-10-01", "2026-10-01 08:00:00Z", "2026-13-01T08:00:00Z"] {
        let said = verdict(bad);
        assert!(
            said[0].starts_with("spec.replicas[1].volumeGoneAt: ") && said[0].contains("write a time of UTC"),
            "{said:?}"
        );
    }
}

#[test]
fn entries_are_compared_by_their_keys_not_their_places() {
    let mut moved = hall();
    moved["spec"]["components"].as_array_mut().unwrap().reverse();
    assert_eq!(said(update("Hall", &hall(), &moved)), [""; 0]);

    let mut added = hall();
    let mut new = added["spec"]["components"][0].clone();
    new["name"] = json!("extra");
    added["spec"]["components"].as_array_mut().unwrap().insert(0, new);
    assert_eq!(said(update("Hall", &hall(), &added)), [""; 0]);

    let mut removed = hall();
    removed["spec"]["components"].as_array_mut().unwrap().remove(0);
    assert_eq!(said(update("Hall", &hall(), &removed)), [""; 0]);

    let mut shrunk = added;
    shrunk["spec"]["components"][2]["volumes"][0]["size"] = json!("1Gi");
    assert_eq!(said(update("Hall", &hall(), &shrunk)), ["spec.components[2]: volumes[].size only grows"]);
}

#[test]
fn a_removed_entry_is_seen_by_the_rule_above_the_list() {
    let mut without = hall();
    without["spec"]["components"][1]["volumes"] = json!([]);
    let said = said(update("Hall", &hall(), &without));
    assert!(said.iter().any(|s| s.contains("cannot be added, removed or renamed")), "{said:?}");
}

#[test]
fn a_null_is_an_absent_field() {
    let mut null = hall();
    null["spec"]["availabilityClass"] = Value::Null;
    null["spec"]["slo"] = Value::Null;
    assert_eq!(said(create("Hall", &null)), [""; 0]);
    null["spec"]["displayName"] = Value::Null;
    assert!(said(create("Hall", &null))[0].starts_with("spec.displayName: is missing and needed"));
}

#[test]
fn what_is_no_object_or_no_kind_is_said_and_nothing_panics() {
    assert!(
        said(create("Hal", &hall()))[0]
            .contains("\"Hal\" is no kind of yunting.io; there are AccessGrant, Bureau, DeletionCertificate")
    );
    for odd in [json!(null), json!([]), json!("x"), json!(1), json!({"spec": []}), json!({"metadata": 1})] {
        assert!(create("Hall", &odd).is_err(), "{odd} was accepted");
        assert!(update("Hall", &odd, &odd).is_err(), "{odd} was accepted");
    }
}

/// Calls `each` with every schema node of every kind and how many lists it lies in.
fn walk(schema: &Value, lists: usize, each: &mut dyn FnMut(&Value, usize)) {
    each(schema, lists);
    for property in schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|p| p.values()) {
        walk(property, lists, each);
    }
    if let Some(items) = schema.get("items") {
        walk(items, lists + 1, each);
    }
}

#[test]
fn every_word_pattern_and_depth_of_the_schemas_is_known() {
    for (kind, rules) in RULES.iter() {
        walk(&rules.schema, 0, &mut |node, lists| {
            for word in node.as_object().unwrap().keys() {
                assert!(structure::KNOWN.contains(&word.as_str()), "{kind}: nobody checks {word}");
            }
            if let Some(pattern) = node.get("pattern").and_then(Value::as_str) {
                let known = words::PATTERNS.iter().any(|(text, _)| *text == pattern);
                assert!(known, "{kind}: no words for {pattern}");
            }
            assert!(lists <= transition::DEPTH, "{kind}: lists lie {lists} deep");
        });
    }
}

#[test]
fn every_rule_can_be_read() {
    fn errors(schema: &kube::core::cel::CompiledSchema) -> usize {
        let below = schema.properties.values().map(errors).sum::<usize>();
        schema.compilation_errors().len() + below + schema.items.as_deref().map_or(0, errors)
    }
    for (kind, rules) in RULES.iter() {
        assert_eq!(errors(&rules.compiled), 0, "{kind}");
    }
}
