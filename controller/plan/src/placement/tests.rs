//! Tests of placement: each reason, and that choosing again changes nothing.

use super::*;
use proptest::prelude::*;
use yunting_crds::vdc::PlacementRule;

fn site(name: &str, cpu: u64) -> SiteView {
    SiteView {
        name: name.into(),
        region: "bozhou".into(),
        failure_domain: format!("{name}-1"),
        state: SiteState::Enabled,
        ready: true,
        room: Amounts::new().with(Kind::Cpu, cpu),
        dr_reserve_percent: 0,
        promised: Share::default(),
    }
}

fn rule(count: u32, preferred: &[&str], required: &[&str]) -> Sites {
    let text = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect();
    let placement =
        PlacementRule { count, preferred: text(preferred), required: text(required), residency: vec![] };
    Sites { names: vec![], placement: Some(placement), spread: Spread::FailureDomain }
}

fn ask(sites: &Sites, cpu: u64, current: &[&str], views: &[SiteView]) -> Placement {
    let quota = Amounts::new().with(Kind::Cpu, cpu);
    let current: Vec<String> = current.iter().map(|s| (*s).to_owned()).collect();
    place(&Request { sites, quota: &quota, reserve: &Reserve::None, current: &current }, views)
}

fn reason<'a>(p: &'a Placement, site: &str) -> &'a str {
    &p.choices.iter().find(|c| c.site == site).unwrap().reason
}

#[test]
fn preference_gives_the_roles_and_every_site_a_reason() {
    let views = [site("a", 100), site("b", 900), site("c", 500)];
    let p = ask(&rule(2, &["c"], &[]), 100, &[], &views);
    assert_eq!(p.chosen, ["c", "b"]);
    assert_eq!([reason(&p, "c"), reason(&p, "b"), reason(&p, "a")], ["Preferred", "Headroom", "NotNeeded"]);
    assert_eq!(p.choices.iter().find(|c| c.site == "c").unwrap().role, SiteRole::Active);
}

#[test]
fn a_site_without_room_says_how_much_is_missing() {
    let p = ask(&rule(1, &["a"], &[]), 200, &[], &[site("a", 100), site("b", 300)]);
    assert_eq!(p.chosen, ["b"]);
    let a = p.choices.iter().find(|c| c.site == "a").unwrap();
    assert_eq!(a.message, "site a has too little room: cpu 200m asked, 100m allowed in all with this VDC");
}

#[test]
fn sites_of_one_failure_domain_are_not_both_chosen() {
    let mut twin = site("b", 900);
    twin.failure_domain = "a-1".into();
    let p = ask(&rule(2, &["a"], &[]), 10, &[], &[site("a", 100), twin, site("c", 50)]);
    assert_eq!(p.chosen, ["a", "c"]);
    assert_eq!(reason(&p, "b"), "FailureDomain");
}

#[test]
fn what_was_chosen_stays_even_when_silent_full_or_cordoned() {
    let mut a = site("a", 1);
    (a.ready, a.state) = (false, SiteState::Cordoned);
    let p = ask(&rule(1, &["b"], &[]), 100, &["a"], &[a, site("b", 900)]);
    assert_eq!(p.chosen, ["a"]);
    assert_eq!(reason(&p, "a"), "Kept");
}

#[test]
fn a_demanded_site_displaces_one_that_is_not() {
    let p = ask(&rule(2, &[], &["c"]), 10, &["a", "b"], &[site("a", 99), site("b", 99), site("c", 99)]);
    assert_eq!(p.chosen, ["a", "c"]);
}

#[test]
fn what_cannot_be_met_chooses_nothing_and_says_what_is_missing() {
    let views = [site("a", 100)];
    let p = ask(&rule(2, &[], &[]), 10, &[], &views);
    assert!(p.chosen.is_empty());
    assert!(p.failure.unwrap().starts_with("2 sites asked, 1 fit"));
    let unknown = ask(&rule(1, &["nowhere"], &[]), 10, &[], &views);
    assert!(unknown.failure.unwrap().contains("\"nowhere\", which is no site"));
}

#[test]
fn reserves_may_use_what_ordinary_promises_may_not() {
    let mut a = site("a", 100);
    a.dr_reserve_percent = 30;
    assert!(ask(&rule(1, &[], &[]), 71, &[], std::slice::from_ref(&a)).chosen.is_empty());
    assert_eq!(ask(&rule(1, &[], &[]), 70, &[], std::slice::from_ref(&a)).chosen, ["a"]);
}

proptest! {
    #[test]
    fn choosing_again_changes_nothing(count in 1u32..4, rooms in proptest::collection::vec(0u64..500, 4), cpu in 0u64..300) {
        let views: Vec<SiteView> = rooms.iter().enumerate().map(|(i, r)| site(&format!("s{i}"), *r)).collect();
        let wish = rule(count, &["s2"], &[]);
        let first = ask(&wish, cpu, &[], &views);
        let names: Vec<&str> = first.chosen.iter().map(String::as_str).collect();
        if !names.is_empty() {
            prop_assert_eq!(&ask(&wish, cpu, &names, &views).chosen, &first.chosen);
        }
        prop_assert_eq!(first.choices.len(), views.len());
    }
}
