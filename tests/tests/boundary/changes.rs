//! Changes of the table: each is one transaction, and what it leads to is the same as the whole table anew.

use yunting_plan::boundary::ruleset;
use yunting_plan::boundary::table::Table;

use yunting_tests::node::site::facts;
use yunting_tests::node::world::{World, named};

/// Once in so many times, by a small generator of choices that is the same in each run.
fn once_in(times: u64, state: &mut u64) -> bool {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33).is_multiple_of(times)
}

#[test]
fn a_change_leads_to_what_the_whole_would_be() {
    let all = facts();
    let world = World::start(&all).unwrap();
    let mut now = all.clone();
    world.guard(&now).unwrap();
    let mut seed = 7;
    for round in 0..30 {
        let mut next = all.clone();
        next.pods.retain(|_| !once_in(3, &mut seed));
        next.vdcs[0].egress.retain(|_| !once_in(2, &mut seed));
        next.vdcs[1].portal = !once_in(2, &mut seed);
        if once_in(4, &mut seed) {
            next.halls.pop();
        }
        let text = ruleset::change(&Table::of(&now), &Table::of(&next)).unwrap_or_default();
        world.nft(&text).unwrap();
        let changed = world.ruleset().unwrap();
        world.guard(&next).unwrap();
        assert_eq!(lines(&changed), lines(&world.ruleset().unwrap()), "round {round}");
        now = next;
    }
}

/// Elements come in no order.
fn lines(ruleset: &str) -> Vec<String> {
    let mut words: Vec<String> = ruleset.split([',', '\n', '{', '}']).map(|w| w.trim().to_owned()).collect();
    words.sort();
    words
}

#[test]
fn rules_of_others_stay_and_nothing_of_ours_is_left() {
    let facts = facts();
    let world = World::start(&facts).unwrap();
    world.nft("table inet foreign {\n chain c {\n type filter hook forward priority 0\n }\n}\n").unwrap();
    let before = world.ruleset().unwrap();
    world.guard(&facts).unwrap();
    world.guard(&facts).unwrap();
    assert!(world.ruleset().unwrap().contains("table inet yunting"));
    world.nft(&ruleset::nothing()).unwrap();
    assert_eq!(world.ruleset().unwrap(), before);
    world.nft(&ruleset::nothing()).unwrap();
}

/// What somebody else's rule refuses stays refused.
#[test]
fn what_we_let_pass_is_still_judged_by_others() {
    let facts = facts();
    let world = World::start(&facts).unwrap();
    world.guard(&facts).unwrap();
    let ((portal, _), (_, approval)) = (named(&facts, "portal").unwrap(), named(&facts, "approval").unwrap());
    assert!(world.reaches(&world.pod(portal), approval.address, 8080).unwrap());
    let refuse = format!(
        "table inet foreign {{\n chain c {{\n type filter hook forward priority 0\n ip daddr {} drop\n }}\n}}\n",
        approval.address
    );
    world.nft(&refuse).unwrap();
    assert!(!world.reaches(&world.pod(portal), approval.address, 8080).unwrap());
}
