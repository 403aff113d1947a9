use super::*;
use crate::protocol::record::tests::active;
use crate::protocol::record::{Method, Seat};
use crate::protocol::timing::{Millis, Profile};
use crate::protocol::{Sound, timing::Timing};

const GROUP: Group = Group(7);
const L1: Leadership = Leadership(Revision(10));
const L2: Leadership = Leadership(Revision(20));

fn timing() -> Timing {
    Profile::Fast.timing()
}

fn w() -> Millis {
    timing().wait::<Sound>()
}

fn fencing() -> Known {
    let token = Token { generation: 1, epoch: 1 };
    let active = Record { token, timing: timing(), longest: w(), ..active("a") };
    let to = Seat { site: "b".parse().unwrap(), node: None };
    Known { record: active.fenced::<Sound>(None, to, "r").unwrap(), changed: Revision(30) }
}

fn leader(leadership: Leadership) -> Leader {
    let mut leader = Leader::default();
    leader.elected(leadership);
    leader
}

fn node(name: &str) -> Node {
    name.parse().unwrap()
}

fn said(token: Token) -> Acknowledged {
    Acknowledged { token, method: Method::Gate, finals: [].into() }
}

fn proof(leader: &Leader, now: BootTime, site: &Site, outside: &Outside) -> Result<Proof, NotYet> {
    leader.proof::<Sound>(now, GROUP, &fencing(), site, outside)
}

#[test]
fn a_leader_waits_from_when_it_saw_the_fencing() {
    let (now, known) = (BootTime(5_000_000), fencing());
    let mut leader = leader(L1);
    let nobody = |leader: &Leader, now| proof(leader, now, &Site::default(), &Outside::default());
    assert_eq!(nobody(&leader, now), Err(NotYet::NotSeen(known.record.token)));
    leader.saw::<Sound>(now, GROUP, &known, false);
    leader.saw::<Sound>(now + Millis(500), GROUP, &known, true);
    let end = now + w();
    assert_eq!(nobody(&leader, BootTime(end.0 - 1)), Err(NotYet::Waiting { left_ns: 1, silent: Vec::new() }));
    assert_eq!(nobody(&leader, end), Ok(Proof::Waited));
}

#[test]
fn what_one_leadership_waited_is_nothing_to_the_next() {
    let (now, known) = (BootTime(5_000_000), fencing());
    let mut leader = leader(L1);
    leader.saw::<Sound>(now, GROUP, &known, false);
    leader.deposed();
    let end = now + w();
    let nobody = |leader: &Leader, now| proof(leader, now, &Site::default(), &Outside::default());
    assert_eq!(nobody(&leader, end), Err(NotYet::NotLeading));
    leader.elected(L2);
    assert_eq!(
        nobody(&leader, end),
        Err(NotYet::NotSeen(known.record.token)),
        "the same process, not the same"
    );
    leader.saw::<Sound>(end, GROUP, &known, true);
    assert!(matches!(nobody(&leader, end), Err(NotYet::Waiting { .. })));
    assert_eq!(nobody(&leader, end + w()), Ok(Proof::Waited));
    // Nor is it to the next fencing of the same leadership.
    let next = Known { record: known.record.retargeted(seat("c")).unwrap(), ..known };
    let later = end + w();
    let waits = leader.proof::<Sound>(later, GROUP, &next, &Site::default(), &Outside::default());
    assert_eq!(waits, Err(NotYet::NotSeen(next.record.token)));
}

fn seat(site: &str) -> Seat {
    Seat { site: site.parse().unwrap(), node: None }
}

#[test]
fn every_node_with_a_beat_acknowledges_this_fencing() {
    let (leader, token) = (leader(L1), fencing().record.token);
    let site = |beating: &[&str], acknowledged: &[(&str, Token)]| Site {
        beating: beating.iter().map(|n| node(n)).collect(),
        running: [node("n0")].into(),
        acknowledged: acknowledged.iter().map(|(n, t)| (node(n), said(*t))).collect(),
    };
    let ask = |site: &Site| proof(&leader, BootTime(0), site, &Outside::default());
    let all = site(&["n0", "n1"], &[("n0", token), ("n1", token)]);
    assert_eq!(ask(&all), Ok(Proof::Acknowledged([].into())));
    let earlier = Token { epoch: token.epoch - 1, ..token };
    for no in [
        site(&["n0", "n1"], &[("n0", token)]),
        site(&["n0", "n1"], &[("n0", token), ("n1", earlier)]),
        site(&["n0", "n1"], &[("n0", token), ("n1", token.next())]),
        site(&["n0", "n1"], &[("n0", token), ("n2", token)]),
        site(&[], &[("n0", token)]),
    ] {
        assert!(ask(&no).is_err(), "{no:?}");
    }
    // After a restore nobody knows whose word would be enough.
    let restored = Known { record: fencing().record.restored::<Sound>(), changed: Revision(1) };
    let all = site(&["n0"], &[("n0", restored.record.token)]);
    assert!(leader.proof::<Sound>(BootTime(0), GROUP, &restored, &all, &Outside::default()).is_err());
}

#[test]
fn a_fence_or_two_people_end_it_too() {
    let leader = leader(L1);
    let ask = |outside: &Outside| proof(&leader, BootTime(0), &Site::default(), outside);
    let fence = Outside { fence: Some("array".to_owned()), ..Outside::default() };
    assert_eq!(ask(&fence), Ok(Proof::Fenced("array".to_owned())));
    let people = |names: &[&str]| Outside {
        attested: names.iter().map(|n| (*n).to_owned()).collect(),
        ..Outside::default()
    };
    assert!(ask(&people(&["li", "li"])).is_err(), "one person twice is one person");
    let two = Proof::Attested(["li".to_owned(), "wang".to_owned()]);
    assert_eq!(ask(&people(&["wang", "li"])), Ok(two));
}

#[test]
fn nothing_is_promoted_that_is_behind_its_final_point() {
    let point = |sequence| Point { token: Token { generation: 1, epoch: 1 }, sequence, uuid: "u".to_owned() };
    let proof = Proof::Acknowledged([("data".to_owned(), point(8))].into());
    let with = |p| Manifest([("data".to_owned(), (node("n9"), Some(point(p))))].into());
    let try_it = |manifest| promote::<Sound>(&fencing().record, &proof, manifest, 0);
    assert!(matches!(try_it(with(7)), Err(Refused::Manifest(NotPromoted::BehindFinal { .. }))));
    assert!(matches!(try_it(Manifest::default()), Err(Refused::Manifest(_))));
    assert_eq!(try_it(with(8)).unwrap().volumes["data"].promoted, Some(point(8)));
}

#[test]
fn a_transaction_compares_the_leader_and_every_record_it_follows_on() {
    let change = |n: u128| Change { group: Group(n), follows: Revision(5), next: fencing().record };
    let changes: Vec<_> = (0..121).map(change).collect();
    let all = transactions(L1, &changes);
    assert_eq!(all.iter().map(|t| t.writes.len()).collect::<Vec<_>>(), [60, 60, 1]);
    for transaction in &all {
        assert_eq!(transaction.leader, ("/yunting/v1/leader", L1));
        let compared = transaction.unchanged.iter().map(|(key, _)| key);
        assert!(compared.eq(transaction.writes.iter().map(|(key, _)| key)));
    }
}
