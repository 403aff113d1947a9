//! Tests of which site keeps replicas of whose volumes.

use super::*;
use crate::hall::tests::bozhou;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use yunting_crds::common::Desired;

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
    fill(spec, &mut all, places, &at(0));
    all
}

/// So many days later.
fn at(days: i64) -> Time {
    Time(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * days))
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
}

/// What is said of the replicas of guoyang after so many days, with these volumes at qiaocheng and this at guoyang.
fn later(days: i64, before: &HallSliceSpec, volumes: &Value, here: &Value) -> Vec<WantedReplica> {
    let [_, (_, active)] = slices().try_into().unwrap();
    let home = slice(&active, json!({"volumes": volumes}));
    let abroad = slice(before, json!({"replicas": here}));
    let mut all = slices();
    fill(&hall(None), &mut all, &places(&home, &abroad), &at(days));
    all.remove(0).1.replicas
}

#[test]
fn the_last_points_of_a_volume_that_is_gone_stay_until_a_person_or_a_month_says_so() {
    let [(_, standby), (_, active)] = slices().try_into().unwrap();
    let home = slice(&active, json!({"volumes": volumes()}));
    let fresh = slice(&standby, json!({}));
    let before = filled(&hall(None), &places(&home, &fresh))[0].1.clone();
    let here = state("qiaocheng", "True", "AsAsked");
    // The claim came back with another volume, or there is none.
    let mut another = volumes();
    another[0]["name"] = json!("pvc-2");
    for standing in [json!([]), another.clone()] {
        let all = later(1, &before, &standing, &here);
        assert_eq!(all.len(), 1 + standing.as_array().unwrap().len(), "{all:?}");
        let old = all.iter().find(|w| w.from.volume == VOLUME).unwrap();
        assert_eq!((old.desired, old.volume_gone_at.as_ref()), (Desired::Present, Some(&at(1))));
    }
    let mut gone = before.clone();
    gone.replicas = later(1, &before, &another, &here);
    assert!(kept::told(&[("guoyang".to_owned(), gone.clone())]).contains("pvc-1 of data of db-0 at guoyang"));
    // The time that it went at stays; what is not heard of its site says nothing.
    assert_eq!(later(30, &gone, &another, &here), gone.replicas);
    let month = later(32, &gone, &another, &here);
    assert_eq!((month[1].desired, month[1].volume_gone_at.as_ref()), (Desired::Absent, Some(&at(1))));
    // A person took it away.
    assert_eq!(later(2, &gone, &another, &json!([])).len(), 1);
    // It was back, after all.
    assert_eq!(later(2, &gone, &volumes(), &here)[0].volume_gone_at, None);
}

#[test]
fn a_replica_goes_when_its_hall_does_not_ask_for_it() {
    let [(_, standby), (_, active)] = slices().try_into().unwrap();
    let home = slice(&active, json!({"volumes": volumes()}));
    let fresh = slice(&standby, json!({}));
    let before = filled(&hall(None), &places(&home, &fresh))[0].1.clone();
    let fewer = |spec: &HallSpec, mut slices: Vec<(String, HallSliceSpec)>, here: Value| {
        let abroad = slice(&before, json!({"replicas": here}));
        let home = slice(&active, json!({"volumes": []}));
        fill(spec, &mut slices, &places(&home, &abroad), &at(1));
        slices.remove(0).1.replicas
    };
    let mut none = hall(None);
    none.components.retain(|c| c.kind == ComponentKind::Stateless);
    let here = || state("qiaocheng", "True", "AsAsked");
    let all = fewer(&none, slices(), here());
    assert_eq!((all.len(), all[0].desired), (1, Desired::Absent));
    // It is named until the site has nothing of it.
    let gone = HallSliceSpec { replicas: all, ..before.clone() };
    let again = slice(&gone, json!({"replicas": []}));
    let home = slice(&active, json!({"volumes": []}));
    let mut all = slices();
    fill(&none, &mut all, &places(&home, &again), &at(1));
    assert!(all[0].1.replicas.is_empty());
    // What runs here now is nothing that is kept of another site: nobody is told to take it away.
    let mut turned = slices();
    turned.swap(0, 1);
    (turned[0].0, turned[1].0) = ("guoyang".to_owned(), "qiaocheng".to_owned());
    assert!(fewer(&hall(None), turned, here()).is_empty());
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
