use proptest::prelude::*;

use super::*;
use crate::protocol::Sound;
use crate::protocol::timing::Profile;

fn seat(site: &str) -> Seat {
    Seat { site: site.parse().unwrap(), node: None }
}

/// A record under which a site holds.
pub(in crate::protocol) fn active(site: &str) -> Record {
    let timing = Profile::Standard.timing();
    Record {
        token: Token { generation: 1, epoch: 4 },
        holder: Some(site.parse().unwrap()),
        phase: Phase::Active,
        from: None,
        to: None,
        run: None,
        timing,
        longest: timing.wait::<Sound>(),
        members: "h".to_owned(),
        replicas: BTreeSet::new(),
        volumes: BTreeMap::new(),
        moved: None,
    }
}

#[test]
fn keys_are_as_the_design_names_them() {
    let (group, site, node) = (Group(1), "guoyang".parse().unwrap(), "n0".parse().unwrap());
    assert_eq!(key(group), "/yunting/v1/auth/00000000-0000-0000-0000-000000000001");
    assert_eq!(beat_key(&site, &node), "/yunting/v1/beat/guoyang/n0");
    assert_eq!(beats_of(&site), "/yunting/v1/beat/guoyang/");
    assert_eq!(
        acknowledgement_key(group, &site, &node),
        "/yunting/v1/fenced/00000000-0000-0000-0000-000000000001/guoyang/n0"
    );
}

#[test]
fn a_record_is_read_as_it_was_written_and_nothing_else_is() {
    let record = active("a").fenced::<Sound>(None, seat("b"), "run").unwrap();
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    let more = text.replacen('{', "{\"writer\":\"b\",", 1);
    assert!(serde_json::from_str::<Record>(&more).is_err(), "a field that nobody knows");
    let less = text.replace("\"longest\":27756,", "");
    assert!(serde_json::from_str::<Record>(&less).is_err(), "a field that is missing");
}

#[test]
fn nobody_holds_between_two_holders() {
    let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
    let before = active("a");
    assert!(before.grants(&a) && !before.grants(&b) && before.concerns(&a) && !before.concerns(&b));
    let fencing = before.fenced::<Sound>(None, seat("b"), "run").unwrap();
    assert_eq!((fencing.token.epoch, fencing.phase, &fencing.holder), (5, Phase::Fencing, &None));
    assert!(!fencing.grants(&a) && !fencing.grants(&b) && fencing.fences(&a) && !fencing.fences(&b));
    assert!(fencing.concerns(&a) && fencing.concerns(&b));
    let after = fencing.promoted::<Sound>(Manifest::default(), 7, true).unwrap();
    assert_eq!((after.token, after.holder.as_ref()), (fencing.token, Some(&b)));
    assert_eq!(after.moved, Some(Move { from: Some(seat("a")), to: seat("b"), at: 7 }));
    let back = fencing.aborted().unwrap();
    assert_eq!((back.token.epoch, back.holder.as_ref(), back.phase), (6, Some(&a), Phase::Active));
    let other = fencing.retargeted(seat("c")).unwrap();
    assert_eq!((other.token.epoch, &other.from, &other.to), (6, &Some(seat("a")), &Some(seat("c"))));
}

#[test]
fn nothing_follows_that_may_not() {
    let (before, token) = (active("a"), active("a").token);
    assert_eq!(before.fenced::<Sound>(None, seat("a"), "r"), Err(Illegal::NoMove));
    assert_eq!(before.aborted(), Err(Illegal::Active(token)));
    assert_eq!(before.retargeted(seat("b")), Err(Illegal::Active(token)));
    assert_eq!(before.promoted::<Sound>(Manifest::default(), 0, true), Err(Illegal::Active(token)));
    let fencing = before.fenced::<Sound>(None, seat("b"), "r").unwrap();
    assert_eq!(fencing.fenced::<Sound>(None, seat("c"), "r"), Err(Illegal::Fencing(fencing.token)));
    assert_eq!(fencing.retargeted(seat("a")), Err(Illegal::NoMove), "that is an abort");
    let restored = fencing.restored::<Sound>();
    assert_eq!(restored.token, Token { generation: 2, epoch: 5 });
    assert_eq!((restored.phase, &restored.holder, &restored.from), (Phase::Fencing, &None, &None));
    assert_eq!(restored.aborted(), Err(Illegal::NobodyBefore(restored.token)));
    let promoted = restored.promoted::<Sound>(Manifest::default(), 0, true);
    assert_eq!(promoted, Err(Illegal::NoTarget(restored.token)));
}

#[test]
fn a_member_moves_within_a_site_by_the_same_way() {
    let node = |name: &str| Some(name.parse::<Node>().unwrap());
    let to = Seat { node: node("n2"), ..seat("a") };
    let fencing = active("a").fenced::<Sound>(node("n1"), to.clone(), "r").unwrap();
    assert!(!fencing.grants(&to.site) && fencing.fences(&to.site));
    let points = Manifest([("data".to_owned(), (node("n2").unwrap(), None))].into());
    let after = fencing.promoted::<Sound>(points, 0, true).unwrap();
    assert_eq!(after.volumes["data"].node, node("n2").unwrap());
    assert_eq!(active("a").fenced::<Sound>(to.node.clone(), to, "r"), Err(Illegal::NoMove));
}

#[test]
fn an_earlier_longer_right_is_waited_for_until_somebody_else_held() {
    let long = active("a");
    let short = long.timed::<Sound>(Profile::Fast.timing());
    assert_eq!(short.wait::<Sound>(), Millis(27_756));
    let fencing = short.fenced::<Sound>(None, seat("b"), "r").unwrap();
    assert_eq!(fencing.aborted().unwrap().wait::<Sound>(), Millis(27_756), "an abort is no change of holder");
    assert_eq!(fencing.restored::<Sound>().wait::<Sound>(), Millis(27_756));
    let after = fencing.promoted::<Sound>(Manifest::default(), 0, true).unwrap();
    assert_eq!(after.wait::<Sound>(), Profile::Fast.timing().wait::<Sound>());
    let attested = fencing.promoted::<Sound>(Manifest::default(), 0, false).unwrap();
    assert_eq!(attested.wait::<Sound>(), Millis(27_756), "nobody proved that the earlier rights are over");
}

proptest! {
    /// Whatever is asked in whatever order: the token never goes down, a holder follows only on a fencing or an abort, and
    /// nobody holds while it is Fencing.
    #[test]
    fn tokens_only_grow(steps in prop::collection::vec(0_u8..7, 1..40)) {
        let mut record = active("a");
        for step in steps {
            let next = match step {
                0 => record.fenced::<Sound>(None, seat("b"), "r"),
                1 => record.fenced::<Sound>(None, seat("a"), "r"),
                2 => record.promoted::<Sound>(Manifest::default(), 0, true),
                3 => record.aborted(),
                4 => record.retargeted(seat("c")),
                5 => Ok(record.timed::<Sound>(Profile::Fast.timing())),
                _ => Ok(record.restored::<Sound>()),
            };
            let Ok(next) = next else { continue };
            prop_assert!(next.token >= record.token);
            prop_assert_eq!(next.phase == Phase::Active, next.holder.is_some());
            prop_assert!(next.phase == Phase::Fencing || (next.from.is_none() && next.to.is_none()));
            if next.holder != record.holder && next.holder.is_some() {
                prop_assert_eq!(record.phase, Phase::Fencing);
            }
            if next.phase != record.phase || next.to != record.to {
                prop_assert!(next.token > record.token || step == 2);
            }
            record = next;
        }
    }
}
