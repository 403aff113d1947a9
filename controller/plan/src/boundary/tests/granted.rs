//! Grants between two VDCs: a way is open where both ends say so of the same grant, and nowhere else.

use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use yunting_crds::hall_grant::SliceGrant;
use yunting_crds::hall_slice::HallSliceSpec;
use yunting_crds::vdc::LifecycleState;

use super::*;
use crate::vdc::tests::UID;

const HALL: &str = "7d444840-9dc0-11d1-b245-5ffdce74fad2";
const GRANT: &str = "3c444840-9dc0-11d1-b245-5ffdce74fad2";
const NOW: &str = "2027-01-01T00:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// The consumer's end: the first hall's approval calls the second's database.
fn calls() -> SliceGrant {
    serde_json::from_value(json!({
        "uid": GRANT, "side": "Consumer", "component": "approval",
        "peer": {"vdc": OTHER, "hall": OTHER_HALL, "component": "db"},
        "service": {"bureau": "public-security", "name": "query"},
        "ports": [{"name": "pg", "port": 5432}], "until": "2027-06-30T16:00:00Z",
    }))
    .unwrap()
}

/// The producer's.
fn called() -> SliceGrant {
    serde_json::from_value(json!({
        "uid": GRANT, "side": "Producer", "component": "db",
        "peer": {"vdc": UID, "hall": HALL, "component": "approval"},
        "service": {"bureau": "public-security", "name": "query"},
        "ports": [{"name": "pg", "port": 5432}], "until": "2027-06-30T16:00:00Z",
    }))
    .unwrap()
}

/// The site with these grants in the slices of its two halls.
fn with(grants: [&[SliceGrant]; 2], now: Timestamp) -> Facts {
    let mut facts = facts();
    let mut specs = [bozhou(), bozhou()];
    specs[1].source.uid = OTHER_HALL.to_owned();
    specs[1].vdc.uid = OTHER.to_owned();
    let halls = specs.iter_mut().zip(&facts.vdcs).zip(grants).map(|((spec, vdc), grants)| {
        spec.grants = grants.to_vec();
        ValidHallSlice::standing(spec, vdc).unwrap().with_grants(spec, vdc, now)
    });
    facts.halls = halls.collect();
    facts
}

/// Ways from pods of one hall to those of another.
fn open(facts: &Facts) -> BTreeSet<(String, String, u16)> {
    let (table, matrix) = (Table::of(facts), Matrix::new(facts));
    let mut open = BTreeSet::new();
    for from in &facts.pods {
        for to in facts.pods.iter().filter(|p| p.hall_uid.is_some() && p.hall_uid != from.hall_uid) {
            for port in PORTS {
                let (a, b) = (Party::Pod(from), Party::Pod(to));
                assert_eq!(judge(&table, a, b, port), matrix.may(a, b, port), "{a:?} {b:?} {port}");
                let of = |p: &Pod| {
                    format!(
                        "{}/{}",
                        p.hall_uid.as_deref().unwrap_or("-"),
                        p.component.as_deref().unwrap_or("-")
                    )
                };
                if from.hall_uid.is_some() && matrix.may(a, b, port) {
                    open.insert((of(from), of(to), port));
                }
            }
        }
    }
    open
}

#[test]
fn what_both_have_agreed_passes_and_nothing_else() {
    let facts = with([&[calls()], &[called()]], now());
    agrees(&facts);
    let none = open(&with([&[], &[]], now()));
    let more: Vec<_> = open(&facts).difference(&none).cloned().collect();
    assert_eq!(more, [(format!("{HALL}/approval"), format!("{OTHER_HALL}/db"), 5432)]);
}

#[test]
fn one_ends_word_opens_nothing() {
    let none = Table::of(&with([&[], &[]], now()));
    let changed = |change: &dyn Fn(&mut SliceGrant)| {
        let mut grant = called();
        change(&mut grant);
        grant
    };
    let other = "9d444840-9dc0-11d1-b245-5ffdce74fad2".to_owned();
    let wrong = [
        changed(&|g| g.uid.clone_from(&other)),
        changed(&|g| g.peer.vdc = OTHER.to_owned()),
        changed(&|g| g.peer.hall.clone_from(&other)),
        changed(&|g| g.peer.component = "portal".to_owned()),
        changed(&|g| g.component = "approval".to_owned()),
        changed(&|g| g.component = "nothing".to_owned()),
        changed(&|g| g.ports[0].port = 8080),
        changed(&|g| g.until = NOW.to_owned()),
        changed(&|g| g.until = "some day".to_owned()),
        changed(&|g| g.side = yunting_crds::hall_grant::GrantSide::Consumer),
    ];
    assert_eq!(Table::of(&with([&[calls()], &[]], now())), none, "the consumer's word alone");
    assert_eq!(Table::of(&with([&[], &[called()]], now())), none, "the producer's word alone");
    for grant in wrong {
        assert_eq!(Table::of(&with([&[calls()], std::slice::from_ref(&grant)], now())), none, "{grant:?}");
    }
    assert_ne!(Table::of(&with([&[calls()], &[called()]], now())), none);
}

#[test]
fn a_grant_ends_by_the_clock_alone() {
    let at = |time: &str| Table::of(&with([&[calls()], &[called()]], time.parse().unwrap()));
    let none = Table::of(&with([&[], &[]], now()));
    assert_ne!(at("2027-06-30T15:59:59Z"), none);
    assert_eq!(at("2027-06-30T16:00:00Z"), none);
    let facts = with([&[calls()], &[called()]], now());
    assert_eq!(facts.next_end(), Some("2027-06-30T16:00:00Z".parse().unwrap()));
    assert_eq!(with([&[], &[]], now()).next_end(), None);
}

#[test]
fn a_withdrawal_only_takes_elements_away() {
    let (with_it, without) = (with([&[calls()], &[called()]], now()), with([&[calls()], &[]], now()));
    let text = ruleset::change(&Table::of(&with_it), &Table::of(&without)).unwrap();
    assert!(text.lines().all(|l| l.starts_with("delete element inet yunting calls ")), "{text}");
    let rules = |facts: &Facts| ruleset::whole(&Table::of(facts)).matches(" goto ").count();
    assert_eq!(rules(&with_it), rules(&without), "grants are elements, never rules");
}

#[test]
fn a_vdc_or_hall_that_is_not_in_use_has_no_grants() {
    let (mut spec, mut vdc) = (bozhou(), valid(&slice()));
    spec.grants = vec![calls()];
    let hall = || ValidHallSlice::standing(&spec, &valid(&slice())).unwrap();
    assert_eq!(hall().with_grants(&spec, &vdc, now()).grants.calls.len(), 1);
    assert!(hall().grants.calls.is_empty(), "without a clock there are none");
    for state in [LifecycleState::Frozen, LifecycleState::Released] {
        vdc.state = state;
        assert!(hall().with_grants(&spec, &vdc, now()).grants.calls.is_empty(), "{state:?}");
    }
    vdc.state = LifecycleState::Active;
    let absent = HallSliceSpec { desired: yunting_crds::common::Desired::Absent, ..spec.clone() };
    assert!(hall().with_grants(&absent, &vdc, now()).grants.calls.is_empty());
    // Zone Data calls nothing outside, whatever the hub says.
    let data =
        HallSliceSpec { grants: vec![SliceGrant { component: "db".to_owned(), ..calls() }], ..spec.clone() };
    assert!(hall().with_grants(&data, &vdc, now()).grants.calls.is_empty());
}

proptest! {
    #[test]
    fn any_grants_open_what_both_name(
        said in proptest::collection::vec((0_usize..2, 0_usize..2, 0_usize..3, 0_usize..3, 0_usize..2), 0..6),
    ) {
        let halls = [HALL, OTHER_HALL];
        let names = ["portal", "approval", "db"];
        let ports = [("http", 8080), ("http", 8080), ("pg", 5432)];
        let mut grants: [Vec<SliceGrant>; 2] = [Vec::new(), Vec::new()];
        for (number, (end, producer, from, to, both)) in said.iter().enumerate() {
            let uid = format!("{number}c444840-9dc0-11d1-b245-5ffdce74fad2");
            let consumer = 1 - producer;
            let vdcs = [UID, OTHER];
            let port = vec![serde_json::from_value(json!({"name": ports[*to].0, "port": ports[*to].1})).unwrap()];
            let peer = |vdc: usize, component: usize| serde_json::from_value(json!({
                "vdc": vdcs[vdc], "hall": halls[vdc], "component": names[component],
            })).unwrap();
            let out = SliceGrant { uid: uid.clone(), component: names[*from].to_owned(), peer: peer(*producer, *to), ports: port.clone(), ..calls() };
            let into = SliceGrant { uid, component: names[*to].to_owned(), peer: peer(consumer, *from), ports: port, ..called() };
            if *both == 1 || *end == 0 { grants[consumer].push(out); }
            if *both == 1 || *end == 1 { grants[*producer].push(into); }
        }
        let facts = with([&grants[0], &grants[1]], now());
        let none = open(&with([&[], &[]], now()));
        let expected: BTreeSet<_> = said.iter().filter(|(_, _, from, _, both)| *both == 1 && names[*from] != "db").map(|(_, producer, from, to, _)| {
            (format!("{}/{}", halls[1 - producer], names[*from]), format!("{}/{}", halls[*producer], names[*to]), ports[*to].1)
        }).collect();
        let found: BTreeSet<_> = open(&facts).difference(&none).cloned().collect();
        prop_assert_eq!(found, expected);
    }
}
