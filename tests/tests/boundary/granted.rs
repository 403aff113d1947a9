//! Grants between VDCs as packets: what both ends say passes, what one says does not, a withdrawal ends what stands, and the end
//! of a grant is the node's own to see.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use yunting_crds::SliceRecord;
use yunting_plan::boundary::Facts;
use yunting_plan::boundary::ruleset;
use yunting_plan::boundary::table::Table;
use yunting_tests::netns::{DROPPED, comes_back};
use yunting_tests::node::process::{Node, eventually};
use yunting_tests::node::site::{granted, slices};
use yunting_tests::node::world::World;

use super::streams::connect;

/// Time before its end at which a grant may be taken out: the node is ahead by so much, and looks every second.
const AHEAD: Duration = Duration::from_secs(2);

#[allow(clippy::disallowed_methods)] // the node reads the same clock
fn now() -> Timestamp {
    Timestamp::now()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A component's pod of one of the two halls, by its place in the world.
fn pod(facts: &Facts, hall: usize, component: &str) -> usize {
    let uid = facts.halls[hall].uid.as_str();
    let is = |p: &yunting_plan::boundary::Pod| {
        p.hall_uid.as_deref() == Some(uid)
            && p.component.as_deref() == Some(component)
            && p.namespace == facts.halls[hall].components[0].namespace
    };
    facts.pods.iter().position(is).unwrap()
}

/// What is to be closed has one chance to be open.
fn closed(world: &World, facts: &Facts, from: usize, to: usize, port: u16) -> bool {
    let to = SocketAddr::new(facts.pods[to].address.into(), port);
    world.reach(&world.pod(from), &[(to, false)]).unwrap() == [false]
}

#[test]
fn what_both_say_passes_and_a_withdrawal_ends_it_at_once() {
    let (at, until) = (time("2027-01-01T00:00:00Z"), time("2027-06-30T16:00:00Z"));
    let both = granted(until, at, [true, true]);
    let world = World::start(&both).unwrap();
    let (from, to) = (pod(&both, 0, "approval"), pod(&both, 1, "db"));
    let target = both.pods[to].address;
    for said in [[false, false], [true, false], [false, true]] {
        world.guard(&granted(until, at, said)).unwrap();
        assert!(closed(&world, &both, from, to, 5432), "{said:?}");
    }
    world.guard(&both).unwrap();
    assert!(world.reaches(&world.pod(from), target, 5432).unwrap(), "both have agreed");
    for (from, to, port, what) in [
        (from, to, 8080, "another port"),
        (pod(&both, 0, "portal"), to, 5432, "another component"),
        (from, pod(&both, 1, "approval"), 8080, "to another component"),
        (to, from, 8080, "the other way"),
        (from, pod(&both, 1, "db"), 443, "a port that nobody declared"),
    ] {
        assert!(closed(&world, &both, from, to, port), "{what}");
    }
    // Each end alone ends what stands.
    for said in [[false, true], [true, false]] {
        let stream = connect(&world, from, target, 5432);
        assert!(comes_back(&stream));
        let (before, after) = (Table::of(&both), Table::of(&granted(until, at, said)));
        world.nft(&ruleset::change(&before, &after).unwrap()).unwrap();
        assert!(!comes_back(&stream), "a connection goes on that is granted no more: {said:?}");
        assert!(closed(&world, &both, from, to, 5432), "{said:?}");
        world.nft(&ruleset::change(&after, &before).unwrap()).unwrap();
        assert!(world.reaches(&world.pod(from), target, 5432).unwrap(), "when it is granted again");
    }
}

/// The real node controller with the site's records and nobody else: no hub, and no controller of the site.
#[test]
fn a_node_ends_a_grant_by_itself() {
    let far = now() + Duration::from_hours(1);
    let mut facts = granted(far, now(), [true, true]);
    let kept = [pod(&facts, 0, "approval"), pod(&facts, 1, "db"), pod(&facts, 0, "portal")];
    facts.pods = kept.iter().map(|i| facts.pods[*i].clone()).collect();
    for (number, pod) in (0_u8..).zip(&mut facts.pods) {
        pod.address = std::net::Ipv4Addr::new(10, 11, 0, number + 1);
        pod.link = yunting_plan::boundary::Link::new(&format!("veth{number}")).ok();
    }
    let node = Node::with_facts(facts).unwrap();
    node.gate("Armed").unwrap();
    let target = node.facts.pods[1].address;
    let until = now() + Duration::from_secs(20);
    recorded(&node, until);
    (0..3).for_each(|pod| node.attach(pod, None).unwrap());
    let passes = || node.world.reaches(&node.world.pod(0), target, 5432).unwrap().then_some(());
    if let Err(error) = eventually("the grant", passes) {
        panic!("{error:#}\n{}\n{}", node.world.ruleset().unwrap(), node.process.tail(20));
    }
    assert!(closed(&node.world, &node.facts, 2, 1, 5432), "another component");
    let stream = connect(&node.world, 0, target, 5432);
    assert!(comes_back(&stream));
    let before = now();
    assert!(before + AHEAD < until, "this machine took until {before}: nothing was seen of the grant");
    // One answer may be late on a busy machine; after the end none comes.
    eventually("the end", || (!comes_back(&stream) && !comes_back(&stream)).then_some(())).unwrap();
    let ended = now();
    assert!(ended + AHEAD >= until, "it ended too early, at {ended}");
    // Seen by two bytes that got no answer: they were sent before the end, or one of them was.
    let late = ended.duration_since(until);
    assert!(late < jiff::SignedDuration::try_from(2 * DROPPED).unwrap(), "it ended {late} late");
    assert!(closed(&node.world, &node.facts, 0, 1, 5432), "after its end");
}

/// Namespaces and records, as a site's controller leaves them.
#[allow(clippy::disallowed_methods)] // a test writes as a site's controller does
fn recorded(node: &Node, until: Timestamp) {
    let client = node.server().client().clone();
    node.block_on(async {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let names: std::collections::BTreeSet<&String> =
            node.facts.pods.iter().map(|p| &p.namespace).collect();
        for name in names {
            let body = json!({"metadata": {"name": name}});
            let body = serde_json::from_value(body).unwrap();
            namespaces.create(&PostParams::default(), &body).await.unwrap();
        }
        let records: Api<SliceRecord> = Api::all(client);
        for (vdc, hall) in slices(until) {
            let specs = [
                (format!("vdc-{}", vdc.source.uid), json!({"uid": "u", "generation": 1, "vdc": vdc})),
                (format!("hall-{}", hall.source.uid), json!({"uid": "u", "generation": 1, "hall": hall})),
            ];
            for (name, spec) in specs {
                let body = json!({"apiVersion": "yunting.io/v1alpha1", "kind": "SliceRecord",
                    "metadata": {"name": name}, "spec": spec});
                let body = serde_json::from_value(body).unwrap();
                records.create(&PostParams::default(), &body).await.unwrap();
            }
        }
    });
}
