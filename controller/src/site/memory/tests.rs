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
