//! Tests of what becomes of a hall's volumes and replicas at one site.

use super::*;
use crate::hall::tests::bozhou;
use crate::vdc::tests::{slice, valid};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use yunting_crds::hall_volume::HallClaim;

const SITE: &str = "guoyang";
const VDC: &str = "9d2e7c44-52d3-4c39-8a6e-0c6b6f1f7a21";

fn hall() -> ValidHallSlice {
    ValidHallSlice::check(&bozhou(), &valid(&slice())).unwrap()
}

fn claim() -> HallClaim {
    HallClaim { component: "db".to_owned(), volume: "data".to_owned(), ordinal: 0 }
}

fn wanted(volume: &str, bytes: i64) -> WantedReplica {
    let from =
        Remote { site: "qiaocheng".to_owned(), node: "qiaocheng-1".to_owned(), volume: volume.to_owned() };
    WantedReplica { claim: claim(), from, bytes, desired: Desired::Present, volume_gone_at: None }
}

fn room(node: &str, free: i64) -> Room {
    Room { node: node.to_owned(), address: format!("{node}:9443"), free }
}

#[allow(clippy::needless_pass_by_value)] // reads better in tables
fn standing(volume: &str, node: &str, state: &str, conditions: Value) -> BTreeMap<String, VolumeReplica> {
    let from = Remote { node: node.to_owned(), ..wanted(volume, 1).from };
    let object = json!({"apiVersion": "yunting.io/v1alpha1", "kind": "VolumeReplica", "metadata": {"name": volume},
        "spec": {"node": "a", "vdc": VDC, "from": from, "token": {"generation": 3, "epoch": 4}, "state": state},
        "status": {"conditions": conditions}});
    [(volume.to_owned(), serde_json::from_value(object).unwrap())].into()
}

fn decided(
    wanted: &[WantedReplica],
    standing: &BTreeMap<String, VolumeReplica>,
    rooms: &[Room],
) -> Vec<Kept> {
    let all = keep(
        VDC,
        SITE,
        wanted,
        standing,
        |name| (name == "taken").then(|| "another's".to_owned()),
        rooms.to_vec(),
    );
    all.into_iter().map(|(_, kept)| kept).collect()
}

#[test]
fn a_claim_is_the_halls_only_by_the_whole_name_that_its_set_gives_it() {
    let hall = hall();
    let object = &hall.components[2].object;
    let namespace = &hall.components[2].namespace;
    let named = |name: String| claim_of(&hall, namespace, &name);
    assert_eq!(named(format!("data-data-{object}-0")), Some(claim()));
    assert_eq!(named(format!("data-data-{object}-12")).unwrap().ordinal, 12);
    for other in ["-00", "-", "-x", "-1-1", "-+1", ""] {
        assert_eq!(named(format!("data-data-{object}{other}")), None, "{other}");
    }
    assert_eq!(named(format!("data-log-{object}-0")), None);
    assert_eq!(claim_of(&hall, "elsewhere", &format!("data-data-{object}-0")), None);
}

#[test]
fn volumes_of_other_drivers_and_of_nobody_are_none_of_the_halls() {
    let hall = hall();
    let (object, namespace) = (hall.components[2].object.clone(), hall.components[2].namespace.clone());
    let bound = |name: String, volume: &str| Bound {
        namespace: namespace.clone(),
        name,
        volume: volume.to_owned(),
        bytes: 7,
    };
    let claims = [
        bound(format!("data-data-{object}-1"), "ours"),
        bound(format!("data-data-{object}-0"), "foreign"),
        bound("scratch".to_owned(), "ours-too"),
    ];
    let node = |volume: &str| volume.starts_with("ours").then(|| "n".to_owned());
    let all = volumes(&hall, claims, node);
    assert_eq!(
        all,
        [HallVolume {
            claim: HallClaim { ordinal: 1, ..claim() },
            name: "ours".to_owned(),
            node: "n".to_owned(),
            bytes: 7
        }]
    );
}

#[test]
fn no_more_volumes_are_told_than_the_slice_takes() {
    let hall = hall();
    let (object, namespace) = (hall.components[2].object.clone(), hall.components[2].namespace.clone());
    let claim = |n: u32| {
        let (name, volume) = (format!("data-data-{object}-{n}"), format!("v{n}"));
        Bound { namespace: namespace.clone(), name, volume, bytes: 7 }
    };
    let all = volumes(&hall, (0..300).map(claim), |_| Some("n".to_owned()));
    assert_eq!((all.len(), all[255].claim.ordinal), (256, 255));
}

#[test]
fn a_replica_goes_where_most_room_is_and_what_is_given_is_not_given_twice() {
    let rooms = [room("b", 10), room("a", 10), room("c", 5)];
    let all = decided(&[wanted("one", 6), wanted("two", 6), wanted("three", 6)], &BTreeMap::new(), &rooms);
    let node = |kept: &Kept| match kept {
        Kept::Make(spec) => spec.node.clone(),
        Kept::No(reason, _) => (*reason).to_owned(),
        other => format!("{other:?}"),
    };
    assert_eq!(all.iter().map(node).collect::<Vec<_>>(), ["a", "b", "ProviderMissing"]);
    let Kept::Make(spec) = &all[0] else { panic!("{all:?}") };
    assert_eq!((spec.token, spec.state, spec.vdc.as_str()), (Token::default(), Of::Receiving, VDC));
    assert!(
        matches!(&decided(&[wanted("one", 1)], &BTreeMap::new(), &[])[0], Kept::No(_, why) if why.contains("--replicas"))
    );
}

#[test]
fn what_stands_stays_as_it_is_and_what_is_anothers_is_not_taken() {
    let rooms = [room("b", 10)];
    let there = standing("one", "qiaocheng-1", "Receiving", json!([]));
    assert_eq!(decided(&[wanted("one", 6)], &there, &rooms), [Kept::Stands]);
    let elsewhere = standing("one", "qiaocheng-2", "Receiving", json!([]));
    assert_eq!(decided(&[wanted("one", 6)], &elsewhere, &rooms), [Kept::Replace]);
    // A volume that people may work with is no replica to be made anew.
    let active = standing("one", "qiaocheng-2", "Active", json!([]));
    assert_eq!(decided(&[wanted("one", 6)], &active, &rooms), [Kept::Stands]);
    assert!(matches!(&decided(&[wanted("taken", 6)], &there, &rooms)[0], Kept::No("NameCollision", _)));
    let mut own = wanted("one", 6);
    SITE.clone_into(&mut own.from.site);
    assert!(matches!(&decided(&[own], &BTreeMap::new(), &rooms)[0], Kept::No("Invalid", _)));
}

fn gone_one() -> WantedReplica {
    WantedReplica { volume_gone_at: Some(Time(Timestamp::UNIX_EPOCH)), ..wanted("one", 1) }
}

fn absent() -> WantedReplica {
    WantedReplica { desired: Desired::Absent, ..wanted("one", 1) }
}

#[test]
fn only_what_receives_is_given_up_and_only_when_it_is_said() {
    let receiving = standing("one", "qiaocheng-1", "Receiving", json!([]));
    let active = standing("one", "qiaocheng-1", "Active", json!([]));
    let none = BTreeMap::new();
    let one = |wanted: WantedReplica, there| decided(&[wanted], there, &[room("a", 10)]).remove(0);
    assert_eq!(one(absent(), &receiving), Kept::Remove);
    assert_eq!(one(absent(), &active), Kept::Stands);
    assert_eq!(one(gone_one(), &receiving), Kept::Stands);
    assert!(decided(&[], &receiving, &[]).is_empty());
    // A person took it away: it has nothing to come from.
    assert_eq!(one(gone_one(), &none), Kept::Nothing);
    assert_eq!(one(absent(), &none), Kept::Nothing);
    let said = |wanted: &WantedReplica| kept_state(wanted, Ok(receiving.get("one")), &[room("a", 1)]);
    let kept = said(&gone_one());
    assert_eq!((kept.ready.as_str(), kept.reason.as_str()), ("False", "VolumeGone"));
    assert!(
        kept.message.contains("1970-01-01") && kept.message.contains("no whole point"),
        "{}",
        kept.message
    );
    assert!(said(&absent()).message.contains("it goes"));
}

fn ready(status: &str) -> Value {
    json!([{"type": "Ready", "status": status, "reason": "AsAsked", "message": "words that change", "lastTransitionTime": "2026-01-01T00:00:00Z"}])
}

#[test]
fn a_replica_is_ready_only_when_its_node_says_so_and_can_be_reached() {
    let state = |state: &str, conditions: Value, rooms: &[Room]| {
        let there = standing("one", "qiaocheng-1", state, conditions);
        let said = kept_state(&wanted("one", 1), Ok(there.get("one")), rooms);
        (said.ready, said.reason, said.message)
    };
    let rooms = [room("a", 1)];
    let (yes, _, words) = state("Receiving", ready("True"), &rooms);
    assert_eq!((yes.as_str(), words.as_str()), ("True", ""));
    assert_eq!(state("Receiving", ready("False"), &rooms).0, "False");
    assert_eq!(state("Receiving", json!([]), &rooms).1, "InProgress");
    assert_eq!(state("Receiving", ready("True"), &[]).1, "ProviderMissing");
    assert_eq!(state("Active", ready("True"), &rooms).1, "Divergent");
    let refused = kept_state(&wanted("one", 1), Err(("NameCollision", "why")), &rooms);
    assert_eq!(
        (refused.ready.as_str(), refused.reason.as_str(), refused.node),
        ("False", "NameCollision", None)
    );
}

#[test]
fn only_the_halls_own_volumes_are_sent_and_who_moved_it_is_not_taken_back() {
    let copy = WantedCopy {
        claim: claim(),
        name: "one".to_owned(),
        node: "a".to_owned(),
        address: "a:1".to_owned(),
    };
    let to = WantedCopies {
        site: SITE.to_owned(),
        custody: "c".to_owned(),
        rpo_seconds: 9,
        volumes: vec![copy.clone()],
    };
    let own = HallVolume { claim: claim(), name: "one".to_owned(), node: "n".to_owned(), bytes: 1 };
    let spec = send(VDC, &to, &copy, std::slice::from_ref(&own), None).unwrap();
    assert_eq!(
        (spec.node.as_str(), spec.to.uri().as_str(), spec.rpo_seconds),
        ("n", "yunting://site/guoyang/node/a", 9)
    );
    let moved = HallVolume { claim: HallClaim { ordinal: 1, ..claim() }, ..own.clone() };
    for others in [vec![], vec![moved], vec![HallVolume { name: "two".to_owned(), ..own.clone() }]] {
        assert!(send(VDC, &to, &copy, &others, None).unwrap_err().contains("not that of"));
    }
    let raised = VolumeReplicationSpec {
        token: Token { generation: 1, epoch: 2 },
        mode: yunting_crds::volume_replication::ReplicationMode::Final,
        ..spec.clone()
    };
    let standing = VolumeReplication::new("x", raised.clone());
    let again = send(VDC, &to, &copy, &[own], Some(&standing)).unwrap();
    assert_eq!(again, raised);
    assert!(!other_way(&raised, &again));
    assert!(other_way(&raised, &VolumeReplicationSpec { node: "m".to_owned(), ..again }));
}
