//! The gate in a real kernel: what passes, what does not, and to the moment at which it closes.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use yunting_controller::node::gate::{BootTime, Counted, Error, Gate, LONGEST};
use yunting_plan::boundary::{Facts, Link};
use yunting_plan::vdc::Uid;
use yunting_tests::netns::comes_back;

use super::streams::connect;
use yunting_tests::node::pins::Pins;
use yunting_tests::node::process::eventually;
use yunting_tests::node::site::facts;
use yunting_tests::node::world::{World, named};

const GROUP: &str = "9c444840-9dc0-11d1-b245-5ffdce74fad2";
const OTHER: &str = "ac444840-9dc0-11d1-b245-5ffdce74fad2";

fn group(text: &str) -> Uid {
    Uid::new(text).unwrap()
}

/// Does something with the gates of the world's node.
fn gate<T: Send + 'static>(
    world: &World,
    pins: &Pins,
    act: impl FnOnce(&mut Gate) -> T + Send + 'static,
) -> T {
    let path = pins.path();
    world.within(&world.node(), move || act(&mut Gate::start(&path).unwrap())).unwrap().join().unwrap()
}

/// A world in which one pod's link is guarded, its boundary open.
fn guarded() -> (World, Pins, Facts, Link) {
    let facts = facts();
    let world = World::start(&facts).unwrap();
    world.guard(&facts).unwrap();
    let link = named(&facts, "approval").unwrap().1.link.clone().unwrap();
    let (pins, of) = (Pins::new().unwrap(), link.clone());
    gate(&world, &pins, move |g| g.guard(&of, &group(GROUP)).unwrap());
    (world, pins, facts, link)
}

fn reached(world: &World, facts: &Facts) -> bool {
    let ((portal, _), (_, approval)) = (named(facts, "portal").unwrap(), named(facts, "approval").unwrap());
    world.reaches(&world.pod(portal), approval.address, 8080).unwrap()
}

fn open_for(world: &World, pins: &Pins, time: Duration) {
    gate(world, pins, move |g| g.open(&group(GROUP), BootTime::now() + time).unwrap());
}

#[test]
fn a_gate_is_closed_from_birth_and_opens_for_its_group_alone() {
    let (world, pins, facts, link) = guarded();
    assert!(!reached(&world, &facts), "closed from birth");
    gate(&world, &pins, |g| g.open(&group(OTHER), BootTime::now() + Duration::from_mins(1)).unwrap());
    assert!(!reached(&world, &facts), "another group's right");
    open_for(&world, &pins, Duration::from_mins(1));
    assert!(reached(&world, &facts));
    gate(&world, &pins, |g| g.close(&group(GROUP)).unwrap());
    assert!(!reached(&world, &facts), "closed");
    let counted: Counted = gate(&world, &pins, move |g| {
        assert!(g.stands(&link));
        g.counted(&link).unwrap()
    });
    assert!(counted.passed > 3 && counted.dropped > 3, "{counted:?}");
}

/// Closed means both directions, the node's own packets, everything that is no IP, and connections that stand.
#[test]
fn a_closed_gate_lets_nothing_through() {
    let (world, pins, facts, link) = guarded();
    let ((portal, _), (at, approval)) =
        (named(&facts, "portal").unwrap(), named(&facts, "approval").unwrap());
    open_for(&world, &pins, Duration::from_mins(1));
    let stream = connect(&world, portal, approval.address, 8080);
    assert!(comes_back(&stream));
    assert!(world.reaches(&world.node(), approval.address, 8080).unwrap(), "the kubelet's probe");
    gate(&world, &pins, |g| g.close(&group(GROUP)).unwrap());
    assert!(!comes_back(&stream), "a connection that stands");
    assert!(!world.reaches(&world.node(), approval.address, 8080).unwrap(), "the kubelet's probe");
    // The pod asks who has an address: no IP, and only to its own node.
    world.run(&world.pod(at), &["ip", "neigh", "flush", "dev", "eth0"]).unwrap();
    let dropped = || {
        let of = link.clone();
        gate(&world, &pins, move |g| g.counted(&of).unwrap().dropped)
    };
    let before = dropped();
    assert!(!world.reaches(&world.pod(at), named(&facts, "db").unwrap().1.address, 5432).unwrap());
    assert!(dropped() > before);
    let neighbours = world.run(&world.pod(at), &["ip", "neigh", "show", "dev", "eth0"]).unwrap();
    assert!(!neighbours.contains("REACHABLE"), "{neighbours}");
    // The same right again opens again.
    open_for(&world, &pins, Duration::from_mins(1));
    assert!(reached(&world, &facts));
}

/// Nobody closes it: who opened it is gone.
#[test]
fn it_closes_by_itself_at_its_deadline() {
    let (world, pins, facts, _) = guarded();
    let direct = named(&facts, "pod3").unwrap();
    let (of, both) = (direct.1.link.clone().unwrap(), Duration::from_millis(400));
    let until = gate(&world, &pins, move |g| {
        g.guard(&of, &group(OTHER)).unwrap();
        let until = BootTime::now() + both;
        g.open(&group(OTHER), until).unwrap();
        until
    });
    // Whoever writes flushes everything that nftables has, too: the gate does not need it.
    world.nft("flush ruleset\n").unwrap();
    let receiver = world.within(&world.pod(direct.0), || UdpSocket::bind(("0.0.0.0", 9999)).unwrap());
    let receiver = receiver.unwrap().join().unwrap();
    let to = SocketAddr::new(direct.1.address.into(), 9999);
    let flood = world.within(&world.node(), move || {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        let mut after = 0;
        // On for a quarter of a second after the deadline.
        while BootTime::now().after(until) < Duration::from_millis(250) {
            let sent = BootTime::now();
            after += u64::from(sent > until);
            let _ = socket.send_to(&sent.nanoseconds().to_be_bytes(), to);
        }
        after
    });
    let after = flood.unwrap().join().unwrap();
    receiver.set_nonblocking(true).unwrap();
    let (mut bytes, mut last, mut count) = ([0; 8], BootTime::from_nanoseconds(0), 0_u64);
    while receiver.recv(&mut bytes).is_ok() {
        last = last.max(BootTime::from_nanoseconds(u64::from_be_bytes(bytes)));
        count += 1;
    }
    println!("{count} packets kept before the deadline, {after} sent after it");
    assert!(count > 10 && after > 100, "{count} before and {after} after: the flood shows nothing");
    assert!(last <= until, "a packet passed that was sent {:?} after the deadline", last.after(until));
}

/// A right that is written late, after a pause, opens nothing.
#[test]
fn a_late_apply_opens_nothing() {
    let (world, pins, facts, _) = guarded();
    let computed = BootTime::now();
    gate(&world, &pins, move |g| g.open(&group(GROUP), computed).unwrap());
    assert!(!reached(&world, &facts));
    let far = BootTime::now() + LONGEST + Duration::from_mins(1);
    let refused = gate(&world, &pins, move |g| g.open(&group(GROUP), far));
    assert!(matches!(refused, Err(Error::TooFar(_))), "{refused:?}");
    let zero = gate(&world, &pins, |g| g.open(&group(GROUP), BootTime::from_nanoseconds(0)));
    zero.unwrap();
    assert!(!reached(&world, &facts), "zero is no eternity");
}

/// Each of these starts anew upon what is pinned, as after a kill: nothing opens, closes or is lost.
#[test]
fn a_start_anew_changes_nothing() {
    let (world, pins, facts, link) = guarded();
    let until = BootTime::now() + Duration::from_mins(1);
    gate(&world, &pins, move |g| g.open(&group(GROUP), until).unwrap());
    let ((portal, _), (_, approval)) = (named(&facts, "portal").unwrap(), named(&facts, "approval").unwrap());
    let stream = connect(&world, portal, approval.address, 8080);
    for round in 0..20 {
        let of = link.clone();
        let state = gate(&world, &pins, move |g| {
            g.guard(&of, &group(GROUP)).unwrap();
            g.state(&group(GROUP)).unwrap()
        });
        assert_eq!(state, Some(until), "round {round}");
        assert!(comes_back(&stream), "round {round}");
    }
    gate(&world, &pins, |g| g.close(&group(GROUP)).unwrap());
    let of = link.clone();
    gate(&world, &pins, move |g| g.guard(&of, &group(GROUP)).unwrap());
    assert!(!reached(&world, &facts));
    let number = pinned_links(&pins.path());
    gate(&world, &pins, move |g| {
        assert!(g.stands(&link));
        for n in number {
            g.release(n).unwrap();
        }
        // The kernel takes a program off some time after its last pin is gone.
        eventually("the check sees that it is gone", || (!g.stands(&link)).then_some(())).unwrap();
    });
    assert!(reached(&world, &facts), "released");
}

fn pinned_links(place: &Path) -> Vec<u32> {
    let names = std::fs::read_dir(place).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    names.filter_map(|n| n.strip_suffix("-in")?.parse().ok()).collect()
}
