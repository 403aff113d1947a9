use super::*;
use proptest::prelude::*;
use serde_json::json;

fn hard(pods: u64, cpu: u64) -> Hard {
    Hard::from([("pods".to_owned(), pods), ("requests.cpu".to_owned(), cpu)])
}

/// An API server that has taken what was written; its count of limits comes later.
#[derive(Debug, Clone, Default)]
struct Server {
    shown: Option<Shown>,
}

impl Server {
    fn write(&mut self, limits: &Limits) {
        let status = self.shown.take().map(|s| s.status).unwrap_or_default();
        let text = json!({
            "metadata": {"annotations": {labels::LIMITS: limits.annotation()}},
            "spec": {"hard": limits.hard.iter().map(|(k, v)| (k.clone(), Resource::of_key(k).unwrap().unit().print(*v))).collect::<BTreeMap<_, _>>()},
        });
        self.shown = Some(Shown { status, ..Shown::read(&text) });
    }

    fn confirm(&mut self) {
        if let Some(s) = &mut self.shown {
            s.status = s.spec.clone();
        }
    }

    fn enforces(&self, key: &str) -> u64 {
        self.shown.as_ref().and_then(|s| s.status.get(key).copied()).unwrap_or(0)
    }
}

fn count(version: u64) -> Count {
    Count { since: BTreeMap::from([(What::Pod, Since { version, at: 5 })]), used: BTreeMap::new() }
}

fn settled(server: &mut Server, target: &Hard) {
    for _ in 0..9 {
        let step = next(server.shown.as_ref(), target, true, Some(&count(77)));
        server.write(&step.limits);
        server.confirm();
    }
}

#[test]
fn growing_is_one_write() {
    let mut server = Server::default();
    settled(&mut server, &hard(4, 1000));
    let step = next(server.shown.as_ref(), &hard(9, 2000), false, None);
    assert_eq!((step.limits.hard, step.want), (hard(9, 2000), Want::Nothing));
}

#[test]
fn only_what_shrinks_is_frozen_and_it_gets_its_limit_when_zero_was_seen_and_counted() {
    let mut server = Server::default();
    settled(&mut server, &hard(20, 1000));
    let target = hard(10, 3000);
    let step = next(server.shown.as_ref(), &target, false, None);
    assert_eq!(step.limits.hard, hard(0, 3000));
    assert_eq!(step.limits.marks["pods"], Mark::Frozen { from: 20 });
    assert_eq!(step.want, Want::Zero(vec!["pods".to_owned()]));
    server.write(&step.limits);
    // Not confirmed: the same again, which writes nothing; what is said to be enforced is still the old limit.
    assert_eq!(next(server.shown.as_ref(), &target, false, None).limits, step.limits);
    assert_eq!(server.shown.as_ref().unwrap().at_most()["pods"], 20);
    server.confirm();
    let step = next(server.shown.as_ref(), &target, false, None);
    assert_eq!(step.want, Want::Count(BTreeSet::from([What::Pod])));
    assert_eq!(server.shown.as_ref().unwrap().at_most()["pods"], 20);
    let step = next(server.shown.as_ref(), &target, false, Some(&count(50)));
    assert_eq!((&step.limits.hard, step.want), (&target, Want::Nothing));
    assert_eq!(step.limits.marks["pods"], Mark::Since(Since { version: 50, at: 5 }));
    assert!(!step.limits.marks.contains_key("requests.cpu"));
    server.write(&step.limits);
    server.confirm();
    assert_eq!(server.shown.as_ref().unwrap().at_most()["pods"], 10);
    assert_eq!(next(server.shown.as_ref(), &target, false, None).want, Want::Nothing);
}

#[test]
fn a_limit_of_zero_is_counted_too() {
    let mut server = Server::default();
    settled(&mut server, &hard(20, 0));
    settled(&mut server, &hard(0, 0));
    let shown = server.shown.unwrap();
    assert_eq!(shown.marks.unwrap()["pods"], Mark::Since(Since { version: 77, at: 5 }));
    assert_eq!(shown.status["pods"], 0);
}

#[test]
fn a_quota_that_was_lost_or_never_limited_a_key_is_frozen_first() {
    let lost = next(None, &hard(4, 1000), false, None).limits;
    assert_eq!(lost.hard, hard(0, 0));
    assert_eq!(lost.marks["pods"], Mark::Frozen { from: 4 });
    assert_eq!(next(None, &hard(4, 1000), true, None).limits, Limits::born(&hard(4, 1000)));
    let shown =
        Shown { spec: Hard::from([("pods".to_owned(), 4)]), marks: Some(Marks::new()), ..Shown::default() };
    let step = next(Some(&shown), &hard(4, 1000), false, None);
    assert_eq!(step.limits.hard, hard(4, 0));
    let unmarked = Shown { spec: hard(4, 1000), status: hard(4, 1000), marks: None };
    assert_eq!(next(Some(&unmarked), &hard(4, 1000), false, None).limits.hard, hard(0, 0));
}

#[test]
fn a_namespace_takes_only_what_another_has_given() {
    let mut both = [Server::default(), Server::default()];
    settled(&mut both[0], &hard(20, 500));
    settled(&mut both[1], &hard(10, 500));
    let targets = [hard(10, 500), hard(20, 600)];
    for round in 0..24 {
        let seen = both.clone().map(|s| s.shown);
        let paced = paced(&targets, &seen);
        for (server, target) in both.iter_mut().zip(&paced) {
            let limits = next(server.shown.as_ref(), target, false, Some(&count(60))).limits;
            server.write(&limits);
        }
        both[usize::from(round % 3 == 0)].confirm();
        let sum: u64 = both.iter().map(|s| s.enforces("pods")).sum();
        assert!(sum <= 30, "{sum} in round {round}");
    }
    let [giver, taker] = both;
    assert_eq!((giver.enforces("pods"), taker.enforces("pods")), (10, 20));
    assert_eq!(taker.enforces("requests.cpu"), 600);
}

proptest! {
    /// Whatever targets come in whatever order, and wherever a process stops: no limit is raised past its target while
    /// it is being lowered, what is said to be enforced at most is, and in the end it is as asked, with nothing at zero.
    #[test]
    fn it_ends_at_the_target_and_says_no_less_than_is_enforced(
        moves in prop::collection::vec((0u64..30, 0u64..9000, any::<bool>(), any::<bool>()), 1..40),
    ) {
        let mut server = Server::default();
        let mut last = hard(7, 7);
        for (pods, cpu, confirms, counts) in moves {
            last = hard(pods, cpu);
            let known = count(9);
            let step = next(server.shown.as_ref(), &last, true, counts.then_some(&known));
            let before = server.shown.clone();
            server.write(&step.limits);
            for key in ["pods", "requests.cpu"] {
                let (now, old) = (step.limits.hard[key], before.as_ref().and_then(|s| s.spec.get(key).copied()));
                prop_assert!(now == last[key] || now == 0);
                // A lower limit is never written over a higher one at once.
                prop_assert!(now == 0 || old.is_none_or(|old| now >= old));
                prop_assert!(server.shown.as_ref().unwrap().at_most()[key] >= server.enforces(key));
            }
            if confirms { server.confirm() }
        }
        settled(&mut server, &last);
        let shown = server.shown.unwrap();
        prop_assert_eq!(&shown.status, &last);
        prop_assert!(shown.lowering().is_empty());
        prop_assert_eq!(shown.at_most(), last);
    }

    #[test]
    fn marks_are_read_as_they_were_written(version in any::<u64>(), at in any::<i64>(), from in any::<u64>()) {
        let limits = Limits {
            hard: hard(1, 2),
            marks: Marks::from([
                ("pods".to_owned(), Mark::Since(Since { version, at })),
                ("requests.cpu".to_owned(), Mark::Frozen { from }),
            ]),
        };
        let text = json!({"metadata": {"annotations": {labels::LIMITS: limits.annotation()}}});
        prop_assert_eq!(Shown::read(&text).marks, Some(limits.marks));
    }
}
