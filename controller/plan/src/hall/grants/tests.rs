//! Tests of what grants become at a site, besides ways of the boundary.

use super::*;
use crate::hall::hall_objects;
use crate::hall::tests::bozhou;
use crate::vdc::tests::{UID, facts, slice, valid};
use serde_json::json;

const OTHER: &str = "2b4e28ba-2fa1-11d2-883f-0016d3cca427";
const HALLS: [&str; 2] = ["7d444840-9dc0-11d1-b245-5ffdce74fad2", "8d444840-9dc0-11d1-b245-5ffdce74fad2"];

fn now() -> Timestamp {
    "2027-01-01T00:00:00Z".parse().unwrap()
}

fn grant(uid: &str, side: GrantSide) -> SliceGrant {
    let (own, peer, component) = match side {
        GrantSide::Consumer => ("approval", (OTHER, HALLS[1]), "portal"),
        GrantSide::Producer => ("portal", (UID, HALLS[0]), "approval"),
    };
    serde_json::from_value(json!({
        "uid": uid, "side": side, "component": own, "peer": {"vdc": peer.0, "hall": peer.1, "component": component},
        "service": {"bureau": "public-security", "name": "query"},
        "ports": [{"name": "http", "port": 8080}], "until": "2027-06-30T16:00:00Z",
    }))
    .unwrap()
}

fn hall(side: GrantSide, uids: &[&str]) -> ValidHallSlice {
    let (mut spec, mut vdc) = (bozhou(), slice());
    if side == GrantSide::Producer {
        OTHER.clone_into(&mut spec.vdc.uid);
        HALLS[1].clone_into(&mut spec.source.uid);
        OTHER.clone_into(&mut vdc.source.uid);
    }
    spec.grants = uids.iter().map(|uid| grant(uid, side)).collect();
    let vdc = valid(&vdc);
    ValidHallSlice::check(&spec, &vdc).unwrap().with_grants(&spec, &vdc, now())
}

fn peers(uids: &[&str], pods: &[(&str, &str, bool)]) -> BTreeMap<String, Peer> {
    let pod = |(component, address, ready): &(&str, &str, bool)| OwnPod {
        component: (*component).to_owned(),
        address: address.parse().unwrap(),
        ready: *ready,
    };
    let peer = Peer { hall: hall(GrantSide::Producer, uids), pods: pods.iter().map(pod).collect() };
    BTreeMap::from([(HALLS[1].to_owned(), peer)])
}

#[test]
fn a_service_is_called_by_a_name_in_the_callers_own_namespace() {
    let consumer = hall(GrantSide::Consumer, &["g1"]);
    let pods =
        [("portal", "10.11.0.9", true), ("portal", "10.11.0.8", false), ("approval", "10.11.0.7", true)];
    let all = aliases(&consumer, &peers(&["g1"], &pods));
    let [service, endpoints] = all.as_slice() else { panic!("{all:?}") };
    let name = grant_alias(HALLS[0], "approval", "public-security", "query");
    assert_eq!((service.key.kind.kind, &service.key.name), ("Service", &name));
    assert_eq!(service.key.namespace.as_deref(), Some(consumer.components[1].namespace.as_str()));
    assert!(service.body["spec"].get("selector").is_none());
    assert_eq!(service.body["metadata"]["labels"][labels::HALL_UID], HALLS[0]);
    assert_eq!(endpoints.body["metadata"]["labels"][SERVICE_NAME], name.as_str());
    assert_eq!(endpoints.body["endpoints"].as_array().unwrap().len(), 1);
    assert_eq!(endpoints.body["endpoints"][0]["addresses"][0], "10.11.0.9");
    assert_eq!(endpoints.body["ports"][0]["port"], 8080);
    // Nobody answers: the name is there, and nothing behind it.
    assert_eq!(aliases(&consumer, &peers(&["g1"], &[])).len(), 1);
}

#[test]
fn without_the_others_word_there_is_no_name() {
    let pods = [("portal", "10.11.0.9", true)];
    assert!(aliases(&hall(GrantSide::Consumer, &["g1"]), &peers(&[], &pods)).is_empty());
    assert!(aliases(&hall(GrantSide::Consumer, &["g1"]), &peers(&["g2"], &pods)).is_empty());
    assert!(aliases(&hall(GrantSide::Consumer, &["g1"]), &BTreeMap::new()).is_empty());
    assert!(aliases(&hall(GrantSide::Consumer, &[]), &peers(&["g1"], &pods)).is_empty());
}

#[test]
fn a_grant_that_follows_another_changes_no_name() {
    let pods = [("portal", "10.11.0.9", true)];
    let one = aliases(&hall(GrantSide::Consumer, &["g1"]), &peers(&["g1"], &pods));
    let two = aliases(&hall(GrantSide::Consumer, &["g1", "g2"]), &peers(&["g1", "g2"], &pods));
    assert_eq!(one, two);
    assert_eq!(aliases(&hall(GrantSide::Consumer, &["g2"]), &peers(&["g2"], &pods)), one);
}

#[test]
fn policies_open_both_ends_and_only_while_the_grant_is_there() {
    let policy = |hall: &ValidHallSlice, component: &str| {
        let all = hall_objects(hall, &valid(&slice()), &facts());
        let found = all.into_iter().find(|o| {
            o.key.kind.kind == "NetworkPolicy" && o.body["metadata"]["labels"][labels::COMPONENT] == component
        });
        found.unwrap().body
    };
    let (from, to) = (hall(GrantSide::Consumer, &["g1"]), hall(GrantSide::Producer, &["g1"]));
    let out = policy(&from, "approval")["spec"]["egress"].clone();
    let rule = out.as_array().unwrap().last().unwrap();
    assert_eq!(rule["to"][0]["namespaceSelector"]["matchLabels"][labels::VDC_UID], OTHER);
    assert_eq!(rule["to"][0]["podSelector"]["matchLabels"][labels::HALL_UID], HALLS[1]);
    assert_eq!(rule["ports"][0]["port"], 8080);
    let into = policy(&to, "portal")["spec"]["ingress"].clone();
    let rule = into.as_array().unwrap().last().unwrap();
    assert_eq!(rule["from"][0]["namespaceSelector"]["matchLabels"][labels::VDC_UID], UID);
    assert_eq!(rule["from"][0]["podSelector"]["matchLabels"][labels::COMPONENT], "approval");
    // Others of the hall, and the same ones without a grant, are as they were.
    let none = hall(GrantSide::Consumer, &[]);
    assert_eq!(policy(&from, "portal"), policy(&none, "portal"));
    assert_ne!(policy(&from, "approval"), policy(&none, "approval"));
}
