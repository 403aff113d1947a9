//! Tests of calls over the border of a site.

use super::*;
use crate::hall::hall_objects;
use crate::hall::tests::bozhou;
use crate::vdc::tests::{facts, slice, valid};
use yunting_crds::hall::{AvailabilityClass, HallRole};
use yunting_crds::hall_slice::HallSliceSpec;

/// The hall at the standby site: its database runs elsewhere.
fn standby() -> HallSliceSpec {
    let mut spec = bozhou();
    spec.components[2].role = HallRole::Standby;
    spec.elsewhere = vec![Elsewhere {
        site: "qiaocheng".to_owned(),
        ends: vec![TunnelEnd {
            node: "qiaocheng-1".to_owned(),
            address: "192.168.77.1:51820".to_owned(),
            networks: vec!["10.11.0.0/16".to_owned()],
        }],
        pods: vec![pod("db", "10.11.0.7", true)],
    }];
    spec
}

fn pod(component: &str, address: &str, ready: bool) -> HallPod {
    HallPod { component: component.to_owned(), address: address.to_owned(), ready }
}

fn check(spec: &HallSliceSpec) -> ValidHallSlice {
    ValidHallSlice::check(spec, &valid(&slice())).unwrap()
}

fn slices_of_endpoints(spec: &HallSliceSpec) -> Vec<Object> {
    let all = hall_objects(&check(spec), &valid(&slice()), &facts());
    all.into_iter().filter(|o| o.key.kind.kind == "EndpointSlice").collect()
}

#[test]
fn only_what_keeps_data_is_called_from_elsewhere() {
    let (home, away) = (check(&bozhou()), check(&standby()));
    let names = |of: &dyn Fn(&ValidComponent) -> bool, hall: &ValidHallSlice| -> Vec<String> {
        hall.components.iter().filter(|c| of(c)).map(|c| c.name.to_string()).collect()
    };
    assert_eq!(names(&|c| home.exports(c), &home), ["db"]);
    assert!(names(&|c| home.imports(c), &home).is_empty());
    assert_eq!(names(&|c| away.imports(c), &away), ["db"]);
    assert!(names(&|c| away.exports(c), &away).is_empty());
    for class in [AvailabilityClass::Gold, AvailabilityClass::Silver, AvailabilityClass::Bronze] {
        let spec = HallSliceSpec { availability_class: class, ..standby() };
        let hall = check(&spec);
        assert!(!hall.components.iter().any(|c| hall.imports(c) || hall.exports(c)), "{class:?}");
        assert!(hall.elsewhere.is_empty(), "{class:?}");
    }
}

#[test]
fn the_service_of_what_runs_elsewhere_answers_from_there() {
    let all = slices_of_endpoints(&standby());
    let [one] = all.as_slice() else { panic!("{all:?}") };
    let body = &one.body;
    let away = check(&standby());
    let db = &away.components[2];
    assert_eq!(body["metadata"]["labels"]["kubernetes.io/service-name"], db.object.as_str());
    assert_eq!(body["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"], "yunting");
    assert_eq!(body["endpoints"][0]["addresses"][0], "10.11.0.7");
    assert_eq!(body["ports"][0]["port"], 5432);
    // Where it runs itself, nothing is said to be elsewhere.
    assert!(slices_of_endpoints(&HallSliceSpec { elsewhere: standby().elsewhere, ..bozhou() }).is_empty());
    let mut unready = standby();
    unready.elsewhere[0].pods[0].ready = false;
    assert!(slices_of_endpoints(&unready).is_empty());
}

#[test]
fn what_the_hub_says_of_another_site_adds_addresses_only() {
    let read = |change: &dyn Fn(&mut Elsewhere)| {
        let mut spec = standby();
        change(&mut spec.elsewhere[0]);
        check(&spec).elsewhere
    };
    assert_eq!(read(&|_| ())[0].pods.len(), 1);
    // Outside the networks of its ends, of no component of the hall, or no address.
    for bad in [pod("db", "10.12.0.7", true), pod("cache", "10.11.0.7", true), pod("db", "10.11.0.700", true)]
    {
        assert!(read(&|e| e.pods = vec![bad.clone()])[0].pods.is_empty(), "{bad:?}");
    }
    for networks in [&["0.0.0.0/0"][..], &[], &["10.11.0.0/16", "128.0.0.0/1"], &["10.11.0.0"]] {
        let networks: Vec<String> = networks.iter().map(|n| (*n).to_owned()).collect();
        let said = read(&|e| e.ends[0].networks.clone_from(&networks));
        assert!(said[0].ends.is_empty() && said[0].pods.is_empty(), "{networks:?}");
    }
}

#[test]
fn other_sites_are_told_of_what_is_called_and_of_who_calls() {
    let own = |component: &str, last: u8| OwnPod {
        component: component.to_owned(),
        address: Ipv4Addr::new(10, 12, 0, last),
        ready: true,
    };
    let all = || ["portal", "approval", "db", "nothing"].into_iter().zip(1..).map(|(c, n)| own(c, n));
    let names = |spec: &HallSliceSpec| -> Vec<String> {
        told(&check(spec), all()).into_iter().map(|p| p.component).collect()
    };
    assert_eq!(names(&standby()), ["approval"]);
    assert_eq!(names(&bozhou()), ["db"]);
    let gold = HallSliceSpec { availability_class: AvailabilityClass::Gold, ..standby() };
    assert!(names(&gold).is_empty());
    let many =
        (0..=u8::MAX).flat_map(|n| [own("approval", n), OwnPod { ready: false, ..own("approval", n) }]);
    assert_eq!(told(&check(&standby()), many).len(), tunnel::PODS);
}

#[test]
fn without_a_tunnel_calls_are_refused_and_it_is_said_why() {
    let say = |spec: &HallSliceSpec, tunnel: Tunnel| connected(&check(spec), &tunnel, Transport::Required);
    assert_eq!(say(&bozhou(), Tunnel::Missing), None);
    let missing = say(&standby(), Tunnel::Missing).unwrap();
    assert_eq!((missing.state, missing.reason), (State::False, reason::TUNNEL_MISSING));
    assert!(missing.message.contains("db") && missing.message.contains("--tunnel"), "{}", missing.message);
    assert_eq!(say(&standby(), Tunnel::Stands).unwrap().state, State::True);
    let down = say(&standby(), Tunnel::Down("nothing comes back".to_owned())).unwrap();
    assert_eq!((down.state, down.reason), (State::False, reason::TUNNEL_MISSING));
    let mut other = standby();
    other.elsewhere[0].ends.clear();
    let there = say(&other, Tunnel::Stands).unwrap();
    assert_eq!((there.state, there.reason), (State::False, reason::TUNNEL_MISSING));
    let mut waits = standby();
    waits.elsewhere[0].pods[0].ready = false;
    assert_eq!(say(&waits, Tunnel::Stands).unwrap().reason, reason::IN_PROGRESS);
}

#[test]
fn policies_open_for_pods_elsewhere_by_address() {
    let policy = |spec: &HallSliceSpec, component: &str| {
        let all = hall_objects(&check(spec), &valid(&slice()), &facts());
        let own = |o: &&Object| {
            o.key.kind.kind == "NetworkPolicy"
                && o.body["metadata"]["labels"]["yunting.io/component"] == component
        };
        all.iter().find(own).unwrap().body["spec"].clone()
    };
    let out = policy(&standby(), "approval");
    assert_eq!(out["egress"][0]["to"][1]["ipBlock"]["cidr"], "10.11.0.7/32");
    assert_eq!(out["egress"][0]["ports"][0]["port"], 5432);
    let mut home = bozhou();
    home.elsewhere = standby().elsewhere;
    home.elsewhere[0].pods = vec![pod("approval", "10.11.0.3", true), pod("portal", "10.11.0.2", true)];
    let within = policy(&home, "db");
    assert_eq!(within["ingress"][0]["from"][1]["ipBlock"]["cidr"], "10.11.0.3/32");
    assert_eq!(within["ingress"][0]["from"].as_array().unwrap().len(), 2);
    // What is not exported opens for nobody elsewhere.
    assert!(!policy(&home, "approval").to_string().contains("ipBlock"));
}
