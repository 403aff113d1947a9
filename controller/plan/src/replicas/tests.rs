//! Tests of which site keeps replicas of whose volumes.

use super::*;
use crate::hall::tests::bozhou;
use serde_json::{Value, json};

const VOLUME: &str = "pvc-1";

fn hall(rpo: Option<u32>) -> HallSpec {
    let spec = bozhou();
    serde_json::from_value(json!({
        "vdcRef": {"name": "service-hall"}, "displayName": "涡阳厅", "availabilityClass": "Gold", "rpoSeconds": rpo,
        "components": spec.components.iter().map(|c| &c.component).collect::<Vec<_>>(),
    }))
    .unwrap()
}

/// The slices of a hall that is active at qiaocheng and stands by at guoyang.
fn slices() -> Vec<(String, HallSliceSpec)> {
    let mut standby = bozhou();
    for component in &mut standby.components {
        component.role = HallRole::Standby;
    }
    vec![("guoyang".to_owned(), standby), ("qiaocheng".to_owned(), bozhou())]
}

fn slice(spec: &HallSliceSpec, status: Value) -> HallSlice {
    let mut slice = HallSlice::new("hall-x", spec.clone());
    slice.metadata.generation = Some(5);
    let mut status = status;
    status["observedGeneration"] = json!(5);
    slice.status = Some(serde_json::from_value(status).unwrap());
    slice
}

fn claim() -> Value {
    json!({"component": "db", "volume": "data", "ordinal": 0})
}

fn volumes() -> Value {
    json!([{"claim": claim(), "name": VOLUME, "node": "qiaocheng-1", "bytes": 10}])
}

fn state(site: &str, ready: &str, reason: &str) -> Value {
    json!([{"claim": claim(), "name": VOLUME, "site": site, "node": "guoyang-1", "address": "10.0.0.1:9443",
        "ready": ready, "reason": reason, "message": "why"}])
}

fn places<'a>(home: &'a HallSlice, abroad: &'a HallSlice) -> BTreeMap<String, Place<'a>> {
    let place = |slice, custody| Place { slice: Some(slice), native: true, custody, fresh: true };
    [("qiaocheng".to_owned(), place(home, None)), ("guoyang".to_owned(), place(abroad, Some("certificate")))]
        .into()
}

fn filled(spec: &HallSpec, places: &BTreeMap<String, Place<'_>>) -> Vec<(String, HallSliceSpec)> {
    let mut all = slices();
    fill(spec, &mut all, places);
    all
}

#[test]
fn what_one_site_has_the_other_is_to_keep_and_is_sent_when_it_has_a_place() {
    let [(_, standby), (_, active)] = slices().try_into().unwrap();
    let home = slice(&active, json!({"volumes": volumes()}));
    let abroad = slice(&standby, json!({}));
    let all = filled(&hall(None), &places(&home, &abroad));
    assert_eq!(all[0].1.replicas.len(), 1);
    assert_eq!(all[0].1.replicas[0].from.site, "qiaocheng");
    assert_eq!(all[0].1.replicas[0].from.node, "qiaocheng-1");
    assert!(all[1].1.copies.is_empty() && all[1].1.replicas.is_empty() && all[0].1.copies.is_empty());
    let abroad = slice(&standby, json!({"replicas": state("qiaocheng", "False", "InProgress")}));
    let all = filled(&hall(Some(10)), &places(&home, &abroad));
    let copies = &all[1].1.copies;
    assert_eq!((copies[0].site.as_str(), copies[0].rpo_seconds), ("guoyang", 10));
    assert_eq!(
        (copies[0].custody.as_str(), copies[0].volumes[0].node.as_str()),
        ("certificate", "guoyang-1")
    );
}

#[test]
fn what_was_not_heard_takes_nothing_away() {
    let [(_, mut standby), (_, mut active)] = slices().try_into().unwrap();
    let home = slice(&active, json!({"volumes": volumes()}));
    let abroad = slice(&standby, json!({"replicas": state("qiaocheng", "True", "AsAsked")}));
    let before = filled(&hall(None), &places(&home, &abroad));
    (standby, active) = (before[0].1.clone(), before[1].1.clone());
    assert!(!standby.replicas.is_empty() && !active.copies.is_empty());
    // Sites that cannot say, and those that spoke of another generation.
    let cases = [
        (slice(&active, json!({})), slice(&standby, json!({}))),
        (slice(&active, json!({"volumes": volumes()})), slice(&standby, json!({}))),
    ];
    for (home, abroad) in &cases {
        assert_eq!(filled(&hall(None), &places(home, abroad)), before);
    }
    let mut old = slice(&active, json!({"volumes": []}));
    old.metadata.generation = Some(6);
    let abroad = slice(&standby, json!({"replicas": state("qiaocheng", "True", "AsAsked")}));
    assert_eq!(filled(&hall(None), &places(&old, &abroad)), before);
    // The node that keeps it does not say where it is.
    let mut silent = state("qiaocheng", "False", "ProviderMissing");
    silent[0].as_object_mut().unwrap().remove("address");
    let (home, silent) =
        (slice(&active, json!({"volumes": volumes()})), slice(&standby, json!({"replicas": silent})));
    assert_eq!(filled(&hall(None), &places(&home, &silent)), before);
    // The site that has the volumes says that there is none.
    let none = slice(&active, json!({"volumes": []}));
    let after = filled(&hall(None), &places(&none, &abroad));
    assert!(after[0].1.replicas.is_empty() && after[1].1.copies.is_empty());
}

#[test]
fn where_nothing_replicates_nothing_is_asked_for() {
    let [(_, standby), (_, active)] = slices().try_into().unwrap();
    let home = slice(&active, json!({"volumes": volumes()}));
    let abroad = slice(&standby, json!({}));
    let mut places = places(&home, &abroad);
    places.get_mut("guoyang").unwrap().native = false;
    assert!(filled(&hall(None), &places)[0].1.replicas.is_empty());
    let said = replicated(&hall(None), &slices(), &places).unwrap();
    assert_eq!((said.state, said.reason), (State::False, reason::PROVIDER_MISSING));
}

fn said(home: Value, abroad: Value, quiet: Option<&str>) -> Statement {
    let [(_, standby), (_, active)] = slices().try_into().unwrap();
    let (home, abroad) = (slice(&active, home), slice(&standby, abroad));
    let mut places = places(&home, &abroad);
    if let Some(site) = quiet {
        places.get_mut(site).unwrap().fresh = false;
    }
    replicated(&hall(None), &slices(), &places).unwrap()
}

#[test]
fn it_is_replicated_only_when_both_ends_say_so_of_the_same_volume() {
    let good = || json!({"volumes": volumes(), "copies": state("guoyang", "True", "AsAsked")});
    let kept = || json!({"replicas": state("qiaocheng", "True", "AsAsked")});
    assert_eq!(said(good(), kept(), None).state, State::True);
    let late = json!({"volumes": volumes(), "copies": state("guoyang", "False", "ReplicationBehind")});
    let refused = json!({"replicas": state("qiaocheng", "False", "KeyRefused")});
    let mut other = volumes();
    other[0]["name"] = json!("pvc-2");
    let moved = json!({"volumes": other, "copies": state("guoyang", "True", "AsAsked")});
    for (home, abroad, reason) in [
        (late, kept(), reason::REPLICATION_BEHIND),
        (good(), refused, reason::KEY_REFUSED),
        (good(), json!({"replicas": []}), reason::REPLICATION_MISSING),
        (json!({"volumes": volumes()}), kept(), reason::REPLICATION_MISSING),
        (json!({}), kept(), reason::REPLICATION_MISSING),
        (moved, kept(), reason::REPLICATION_MISSING),
    ] {
        let said = said(home, abroad, None);
        assert_eq!((said.state, said.reason), (State::False, reason), "{}", said.message);
    }
    for site in ["qiaocheng", "guoyang"] {
        let said = said(good(), kept(), Some(site));
        assert_eq!((said.state, said.reason), (State::Unknown, reason::SITE_SILENT));
    }
}

#[test]
fn nothing_is_said_of_a_hall_that_keeps_nothing_or_lives_at_one_site() {
    let bronze = HallSpec { availability_class: AvailabilityClass::Bronze, ..hall(None) };
    assert!(replicated(&bronze, &slices(), &BTreeMap::new()).is_none());
    let mut stateless = hall(None);
    stateless.components.retain(|c| c.kind == ComponentKind::Stateless);
    assert!(replicated(&stateless, &slices(), &BTreeMap::new()).is_none());
    let alone = &slices()[1..];
    let said = replicated(&hall(None), alone, &BTreeMap::new()).unwrap();
    assert_eq!((said.state, said.reason), (State::False, reason::SINGLE_SITE));
    assert_eq!((rpo(&hall(None)), rpo(&hall(Some(7)))), (60, 7));
}
