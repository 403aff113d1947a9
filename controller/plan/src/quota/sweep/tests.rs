use super::*;
use crate::quota::charge::{Born, What};
use proptest::prelude::*;

const LOWERED: Since = Since { version: 100, at: 1000 };

fn pod(name: &str, version: u64, started: bool, cpu: u64) -> Thing {
    Thing {
        what: What::Pod,
        name: name.into(),
        uid: name.into(),
        hall: None,
        born: Born { at: i64::try_from(version).unwrap() * 10, seen: version, exact: true },
        started,
        leaving: false,
        charges: [(Resource::Pods, 1), (Resource::RequestsCpu, cpu)].into(),
    }
}

fn only(resource: Resource, hard: u64) -> BTreeMap<Resource, Limit> {
    BTreeMap::from([(resource, Limit { hard, since: LOWERED })])
}

fn names<'a>(taken: &[Taken<'a>]) -> Vec<&'a str> {
    taken.iter().map(|t| t.thing.name.as_ref()).collect()
}

fn nobody(_: &Thing) -> bool {
    false
}

#[test]
fn the_newest_goes_first_and_what_has_not_started_before_it() {
    let things = [pod("old", 101, true, 0), pod("new", 103, true, 0), pod("waits", 102, false, 0)];
    let table =
        [(3, vec![]), (2, vec!["waits"]), (1, vec!["waits", "new"]), (0, vec!["waits", "new", "old"])];
    for (hard, gone) in table {
        assert_eq!(names(&sweep(&only(Resource::Pods, hard), &things, nobody)), gone, "limit {hard}");
    }
}

#[test]
fn what_is_older_than_the_limit_stays_and_nothing_comes_on_top_of_it() {
    let things =
        [pod("a", 1, false, 0), pod("b", 2, false, 0), pod("c", 99, false, 0), pod("late", 101, true, 0)];
    assert_eq!(names(&sweep(&only(Resource::Pods, 1), &things, nobody)), ["late"]);
    assert!(sweep(&only(Resource::Pods, 1), &things[..3], nobody).is_empty());
}

#[test]
fn what_is_on_its_way_out_costs_nothing_and_is_not_taken_again() {
    let mut things = [pod("a", 101, true, 0), pod("b", 102, true, 0)];
    things[1].leaving = true;
    assert!(sweep(&only(Resource::Pods, 1), &things, nobody).is_empty());
}

#[test]
fn the_protected_stay_whatever_they_cost() {
    let things = [pod("a", 101, true, 0), pod("kept", 102, false, 0)];
    let taken = sweep(&only(Resource::Pods, 1), &things, |t| &*t.name == "kept");
    assert_eq!(names(&taken), ["a"]);
}

#[test]
fn a_large_new_one_spares_the_small_ones_before_it() {
    // Newest first takes the small one, then the large one; then the small one need not have gone.
    let things = [pod("base", 101, true, 500), pod("large", 102, false, 800), pod("small", 103, false, 100)];
    assert_eq!(names(&sweep(&only(Resource::RequestsCpu, 1000), &things, nobody)), ["large"]);
}

#[test]
fn a_frozen_or_unconfirmed_limit_takes_nothing() {
    let text = |marks: &str, status: &str| {
        serde_json::json!({
            "metadata": {"annotations": {yunting_crds::labels::LIMITS: marks}},
            "spec": {"hard": {"pods": "4"}}, "status": {"hard": {"pods": status}},
        })
    };
    let of = |marks: &str, status: &str| limits(&Shown::read(&text(marks, status)));
    assert!(of(r#"{"pods":"frozen@9"}"#, "4").is_empty());
    assert!(of("{}", "3").is_empty());
    assert!(of("not marks", "4").is_empty());
    assert_eq!(of("{}", "4")[&Resource::Pods], Limit { hard: 4, since: Since::BIRTH });
    let since = Since { version: 7, at: 9 };
    assert_eq!(of(r#"{"pods":"7@9"}"#, "4")[&Resource::Pods], Limit { hard: 4, since });
}

#[test]
fn a_stray_is_what_came_after_the_closing() {
    let things = [pod("before", 100, true, 0), pod("after", 101, false, 0)];
    let closed = Since { version: 100, at: i64::MAX };
    assert_eq!(strays(&things, closed).iter().map(|t| t.name.as_ref()).collect::<Vec<_>>(), ["after"]);
}

fn thing() -> impl Strategy<Value = Thing> {
    let leaving = prop::bool::weighted(0.1);
    (1u64..200, any::<bool>(), any::<bool>(), leaving, 0u64..500, 0u64..3).prop_map(
        |(version, started, exact, leaving, cpu, services)| {
            let mut thing = pod("", version, started, cpu);
            thing.born.exact = exact;
            thing.leaving = leaving;
            thing.charges = thing
                .charges
                .iter()
                .copied()
                .chain([(Resource::Services, services)])
                .filter(|(_, amount)| *amount > 0)
                .collect();
            thing
        },
    )
}

proptest! {
    #[test]
    fn it_takes_enough_and_no_more_and_nothing_old(
        mut things in prop::collection::vec(thing(), 0..30),
        pods in 0u64..30, cpu in 0u64..6000, services in 0u64..40,
        since in prop::collection::vec(0u64..220, 3), kept in 1u64..7,
    ) {
        for (i, thing) in things.iter_mut().enumerate() {
            thing.uid = i.to_string().into();
        }
        let at = |version: u64| Since { version, at: i64::try_from(version).unwrap() * 10 };
        let limits = BTreeMap::from([
            (Resource::Pods, Limit { hard: pods, since: at(since[0]) }),
            (Resource::RequestsCpu, Limit { hard: cpu, since: at(since[1]) }),
            (Resource::Services, Limit { hard: services, since: at(since[2]) }),
        ]);
        let protected = |t: &Thing| kept > 1 && t.born.seen.is_multiple_of(kept);
        let taken = sweep(&limits, &things, protected);
        for t in &taken {
            prop_assert!(t.thing.born.after(limits[&t.over].since), "older than the limit: {t:?}");
            prop_assert!(!protected(t.thing) && !t.thing.leaving);
        }
        let gone = |except: Option<usize>| -> Vec<&Thing> {
            let uids: Vec<&str> = taken.iter().enumerate().filter(|(i, _)| Some(*i) != except).map(|(_, t)| &*t.thing.uid).collect();
            things.iter().filter(|t| !t.leaving && !uids.contains(&&*t.uid)).collect()
        };
        let above = |left: &[&Thing]| limits.iter().any(|(r, l)| {
            let fixed: u64 = things.iter().filter(|t| !t.leaving && (!t.born.after(l.since) || protected(t))).map(|t| t.charge(*r)).sum();
            left.iter().map(|t| t.charge(*r)).sum::<u64>() > l.hard.max(fixed)
        });
        prop_assert!(!above(&gone(None)), "still above a limit");
        for (i, t) in taken.iter().enumerate() {
            prop_assert!(above(&gone(Some(i))), "{t:?} need not have gone");
        }
    }
}
