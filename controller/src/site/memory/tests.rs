use super::*;
use serde_json::json;
use yunting_crds::labels;

fn object(value: &str) -> Object {
    let kind = yunting_plan::object::api_kind::<k8s_openapi::api::core::v1::ConfigMap>();
    Object::from_value(
        kind,
        json!({"metadata": {"name": "m", "namespace": "n", "labels": {labels::VDC_UID: "v"}}, "data": {"k": value}}),
    )
}

/// The object as a watch shows it at a version.
fn shown(object: &Object, version: u64) -> Child {
    let mut body = object.body.clone();
    body["metadata"]["resourceVersion"] = json!(version.to_string());
    body["metadata"]["uid"] = json!("u");
    Child::of(&object.key.kind, serde_json::from_value(body).unwrap())
}

fn stands(memory: &Memory, children: &Children, object: &Object) -> bool {
    matches!(memory.standing(children, object), Standing::Stands)
}

#[tokio::test(start_paused = true)]
async fn a_write_stands_until_the_watch_says_otherwise() {
    let (memory, children, desired) = (Memory::default(), Children::fixed(), object("a"));
    assert!(matches!(memory.standing(&children, &desired), Standing::Missing));
    memory.remember(&desired, Some("10"));
    assert!(stands(&memory, &children, &desired));
    assert_eq!(memory.value(&children, &desired.key).unwrap()["data"]["k"], "a");
    // News from before the write changes nothing, its own neither; later drift does.
    children.show(shown(&object("old"), 9));
    assert!(stands(&memory, &children, &desired));
    children.show(shown(&desired, 10));
    assert!(stands(&memory, &children, &desired));
    children.show(shown(&object("drift"), 11));
    assert!(matches!(memory.standing(&children, &desired), Standing::Differs(_)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_prints_otherwise_is_not_written_to_again() {
    let (memory, children, desired) = (Memory::default(), Children::fixed(), object("1000"));
    children.show(shown(&object("1k"), 10));
    memory.remember(&desired, Some("10"));
    assert!(stands(&memory, &children, &desired));
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_after_a_write_is_missing() {
    let (memory, children, desired) = (Memory::default(), Children::fixed(), object("a"));
    memory.remember(&desired, Some("10"));
    memory.seen(&shown(&desired, 7).end(8));
    assert!(stands(&memory, &children, &desired), "an older incarnation went");
    memory.seen(&shown(&desired, 10).end(12));
    assert!(matches!(memory.standing(&children, &desired), Standing::Missing));
}

#[tokio::test(start_paused = true)]
async fn what_no_watch_shows_is_believed_for_a_while_only() {
    let (memory, children, desired) = (Memory::default(), Children::fixed(), object("a"));
    memory.remember(&desired, Some("10"));
    tokio::time::advance(BELIEVED * 2).await;
    assert!(matches!(memory.standing(&children, &desired), Standing::Missing));
}

const SLICE: &str = r#"{
    "term": 1, "source": {"bureau": "edu", "name": "v", "uid": "1b4e28ba-2fa1", "generation": 1}, "desired": "Present",
    "role": "Active", "state": "Active",
    "namespaces": [{"name": "app", "access": "HallsOnly", "quota": {"cpu": "1", "memory": "1Gi", "pods": 1}}]
}"#;

/// These halls with a component each in the only namespace.
fn residents(names: &[&str]) -> Residents {
    let spec: yunting_crds::VdcSliceSpec = serde_json::from_str(SLICE).unwrap();
    let hall = |(i, name): (usize, &&str)| -> yunting_crds::HallSliceSpec {
        let component = json!({
            "name": "web", "namespace": "app", "zone": "Portal", "image": "i", "resources": {"cpu": "1", "memory": "1Gi"},
        });
        serde_json::from_value(json!({
            "term": 1, "source": {"bureau": "edu", "name": name, "uid": format!("7d444840-{i}"), "generation": 1},
            "vdc": {"name": "v", "uid": "1b4e28ba-2fa1"}, "desired": "Present", "role": "Active", "displayName": name,
            "availabilityClass": "Gold", "components": [{"role": "Active", "component": component}],
        }))
        .unwrap()
    };
    let halls: Vec<_> = names.iter().enumerate().map(hall).collect();
    Residents::new(&yunting_plan::vdc::ValidVdcSlice::try_from(&spec).unwrap(), &halls, [])
}

const PLACE: &str = "v-app-1b4e28ba";

#[test]
fn a_hall_counts_only_after_a_pass_that_saw_it_took_rights_away() {
    let memory = Memory::default();
    let exams = HallName::new("exams").unwrap();
    assert!(!memory.counts("v", PLACE, &exams), "no pass yet");
    let seen = memory.look("v", || residents(&["exams"]));
    assert!(!memory.counts("v", PLACE, &exams), "the pass has only looked");
    assert!(memory.count("v", seen.clone()));
    assert!(memory.counts("v", PLACE, &exams) && !memory.counts("v", "other", &exams));
    assert!(!memory.count("v", seen), "nothing is news twice");
}

#[test]
fn a_hall_that_came_back_waits_for_the_pass_that_missed_it() {
    let memory = Memory::default();
    let (exams, other) = (HallName::new("exams").unwrap(), HallName::new("other").unwrap());
    memory.count("v", residents(&["exams", "other"]));
    // A pass looks while the hall is away: from here on it may grant rights that the hall must not meet.
    let seen = memory.look("v", || residents(&["other"]));
    assert!(!memory.counts("v", PLACE, &exams) && memory.counts("v", PLACE, &other));
    memory.count("v", seen);
    assert!(!memory.counts("v", PLACE, &exams));
    let seen = memory.look("v", || residents(&["exams", "other"]));
    memory.count("v", seen);
    assert!(memory.counts("v", PLACE, &exams));
    memory.forget_vdc("v");
    assert!(!memory.counts("v", PLACE, &exams));
}
