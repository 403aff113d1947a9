//! Connections that stand while the table changes, addresses that are forged, and other protocols.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};

use yunting_plan::boundary::ruleset;
use yunting_plan::boundary::table::Table;

use yunting_tests::netns::{DROPPED, comes_back};
use yunting_tests::node::site::facts;
use yunting_tests::node::world::{World, named};

pub fn connect(world: &World, from: usize, to: Ipv4Addr, port: u16) -> TcpStream {
    let open = move || TcpStream::connect(SocketAddr::new(to.into(), port));
    world.within(&world.pod(from), open).unwrap().join().unwrap().unwrap()
}

#[test]
fn a_call_that_is_withdrawn_ends_at_once() {
    let mut facts = facts();
    let world = World::start(&facts).unwrap();
    world.guard(&facts).unwrap();
    let ((portal, _), (_, approval)) = (named(&facts, "portal").unwrap(), named(&facts, "approval").unwrap());
    let stream = connect(&world, portal, approval.address, 8080);
    assert!(comes_back(&stream));
    let before = Table::of(&facts);
    let hall = &mut facts.halls[0];
    hall.components[0].calls.clear();
    hall.components[1].callers.clear();
    let after = Table::of(&facts);
    world.nft(&ruleset::change(&before, &after).unwrap()).unwrap();
    assert!(!comes_back(&stream), "a connection goes on that is no longer declared");
    world.nft(&ruleset::change(&after, &before).unwrap()).unwrap();
    assert!(comes_back(&stream) || comes_back(&stream), "what was sent meanwhile is sent again");
}

#[test]
fn the_whole_table_anew_ends_no_connection() {
    let facts = facts();
    let world = World::start(&facts).unwrap();
    world.guard(&facts).unwrap();
    let ((portal, _), (_, approval)) = (named(&facts, "portal").unwrap(), named(&facts, "approval").unwrap());
    let stream = connect(&world, portal, approval.address, 8080);
    for round in 0..20 {
        world.guard(&facts).unwrap();
        assert!(comes_back(&stream), "round {round}");
        assert!(world.reaches(&world.pod(portal), approval.address, 8080).unwrap(), "round {round}");
    }
}

/// While the table is loaded again and again, something that may not pass is tried all the time.
#[test]
fn the_whole_table_anew_opens_no_hole() {
    let facts = facts();
    let world = World::start(&facts).unwrap();
    world.guard(&facts).unwrap();
    let ((from, _), (_, db)) = (named(&facts, "portal").unwrap(), named(&facts, "db").unwrap());
    let to = SocketAddr::new(db.address.into(), 9999);
    let receiver = world
        .within(&world.pod(named(&facts, "db").unwrap().0), || UdpSocket::bind(("0.0.0.0", 9999)).unwrap())
        .unwrap()
        .join()
        .unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let flood = world
        .within(&world.pod(from), move || {
            let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
            let mut sent = 0_u64;
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                sent += u64::from(socket.send_to(b"x", to).is_ok());
            }
            sent
        })
        .unwrap();
    for _ in 0..50 {
        world.guard(&facts).unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let sent = flood.join().unwrap();
    receiver.set_nonblocking(true).unwrap();
    let mut bytes = [0; 8];
    assert!(receiver.recv(&mut bytes).is_err(), "a packet came through while the table was loaded");
    println!("{sent} packets were refused while the table was loaded 50 times");
    assert!(sent > 1000);
    // The way itself works.
    world.nft(&ruleset::nothing()).unwrap();
    receiver.set_nonblocking(false).unwrap();
    receiver.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let again =
        world.within(&world.pod(from), move || UdpSocket::bind(("0.0.0.0", 0)).unwrap().send_to(b"x", to));
    again.unwrap().join().unwrap().unwrap();
    assert!(receiver.recv(&mut bytes).is_ok(), "the probe of this test cannot fail");
}

#[test]
fn a_forged_address_passes_nothing() {
    let facts = facts();
    let world = World::start(&facts).unwrap();
    world.guard(&facts).unwrap();
    let ((portal, caller), (_, approval)) =
        (named(&facts, "portal").unwrap(), named(&facts, "approval").unwrap());
    assert!(world.reaches(&world.pod(portal), approval.address, 8080).unwrap());
    // A pod that is nobody's takes the address of one that may.
    let (thief, _) = named(&facts, "pod").unwrap();
    let netns = world.pod(thief);
    world.run(&netns, &["ip", "addr", "flush", "dev", "eth0"]).unwrap();
    world.run(&netns, &["ip", "addr", "add", &format!("{}/32", caller.address), "dev", "eth0"]).unwrap();
    world.run(&netns, &["ip", "route", "replace", "10.11.255.254", "dev", "eth0"]).unwrap();
    world.run(&netns, &["ip", "route", "replace", "default", "via", "10.11.255.254", "dev", "eth0"]).unwrap();
    // Even with the way back leading to it.
    let back = format!("{}", caller.address);
    world.run(&world.node(), &["ip", "route", "replace", &back, "dev", &format!("veth{thief}")]).unwrap();
    assert!(!world.reaches(&netns, approval.address, 8080).unwrap());
}

/// A packet that comes from outside with the address of a pod that is here.
#[test]
fn a_forged_address_from_outside_passes_nothing() {
    let facts = facts();
    let world = World::start(&facts).unwrap();
    let namespace = &facts.vdcs[0].namespaces[1].at_site;
    let mut direct = facts.pods.iter().enumerate().filter(|(_, p)| p.namespace == *namespace);
    let ((_, one), (two, other)) = (direct.next().unwrap(), direct.next().unwrap());
    let bind = || UdpSocket::bind(("0.0.0.0", 9999)).unwrap();
    let receiver = world.within(&world.pod(two), bind).unwrap().join().unwrap();
    receiver.set_read_timeout(Some(std::time::Duration::from_millis(700))).unwrap();
    world
        .run(&world.outside(), &["ip", "addr", "add", &format!("{}/32", one.address), "dev", "eth0"])
        .unwrap();
    let (from, to) = (one.address, SocketAddr::new(other.address.into(), 9999));
    let forge = || {
        let send = move || UdpSocket::bind((from, 0)).unwrap().send_to(b"x", to).unwrap();
        world.within(&world.outside(), send).unwrap().join().unwrap()
    };
    let mut bytes = [0; 8];
    forge();
    assert!(receiver.recv(&mut bytes).is_ok(), "the probe of this test cannot fail");
    world.guard(&facts).unwrap();
    forge();
    assert!(receiver.recv(&mut bytes).is_err());
}

#[test]
fn version_six_of_the_protocol_is_closed() {
    let facts = facts();
    let world = World::start(&facts).unwrap();
    let ((portal, _), (approval, _)) = (named(&facts, "portal").unwrap(), named(&facts, "approval").unwrap());
    let address = |i: usize| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::try_from(i).unwrap() + 1);
    let node = world.node();
    for i in [portal, approval] {
        let (own, netns, link) = (address(i).to_string(), world.pod(i), format!("veth{i}"));
        world.run(&netns, &["ip", "addr", "add", &format!("{own}/128"), "dev", "eth0", "nodad"]).unwrap();
        world.run(&node, &["ip", "addr", "add", "fe80::1/64", "dev", &link, "nodad"]).unwrap();
        world.run(&node, &["ip", "route", "add", &own, "dev", &link]).unwrap();
        world.run(&netns, &["ip", "route", "add", "default", "via", "fe80::1", "dev", "eth0"]).unwrap();
    }
    world.run(&node, &["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"]).unwrap();
    let to = address(approval);
    let listener =
        world.within(&world.pod(approval), || std::net::TcpListener::bind("[::]:7777").unwrap()).unwrap();
    let listener = listener.join().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"x");
        }
    });
    assert!(world.reaches(&world.pod(portal), to, 7777).unwrap(), "the probe of this test cannot fail");
    world.guard(&facts).unwrap();
    assert!(!world.reaches(&world.pod(portal), to, 7777).unwrap());
}

/// Names are asked for over UDP, and answered to everybody but who is nobody's.
#[test]
fn names_are_answered_over_udp() {
    let facts = facts();
    let world = World::start(&facts).unwrap();
    world.guard(&facts).unwrap();
    let dns = facts.pods.iter().position(|p| !p.names.is_empty()).unwrap();
    let bind = || UdpSocket::bind(("0.0.0.0", 53)).unwrap();
    let server = world.within(&world.pod(dns), bind).unwrap().join().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 8];
        while let Ok((n, from)) = server.recv_from(&mut bytes) {
            let _ = server.send_to(&bytes[..n], from);
        }
    });
    let to = SocketAddr::new(facts.pods[dns].address.into(), 53);
    let ask = move || {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        socket.set_read_timeout(Some(DROPPED)).unwrap();
        socket.send_to(b"x", to).unwrap();
        socket.recv(&mut [0; 8]).is_ok()
    };
    let asks = |i: usize| world.within(&world.pod(i), ask).unwrap().join().unwrap();
    let ((portal, _), (db, _)) = (named(&facts, "portal").unwrap(), named(&facts, "db").unwrap());
    assert!((0..5).any(|_| asks(portal)) && (0..5).any(|_| asks(db)));
    let (nobody, _) = named(&facts, "pod5").unwrap();
    assert!(!asks(nobody));
}

/// A service's address is translated before the boundary judges.
#[test]
fn a_service_is_judged_by_the_pod_behind_it() {
    let facts = facts();
    let world = World::start(&facts).unwrap();
    world.guard(&facts).unwrap();
    let ((portal, _), (_, approval)) = (named(&facts, "portal").unwrap(), named(&facts, "approval").unwrap());
    let (db, _) = named(&facts, "db").unwrap();
    let service = Ipv4Addr::new(10, 96, 0, 10);
    let translate = format!(
        "table ip services {{\n chain pre {{\n type nat hook prerouting priority dstnat\n ip daddr {service} tcp dport 9000 dnat to {}:8080\n }}\n }}\n",
        approval.address
    );
    world.nft(&translate).unwrap();
    assert!(
        world.reaches(&world.pod(portal), service, 9000).unwrap(),
        "a declared call by the service's address"
    );
    assert!(!world.reaches(&world.pod(db), service, 9000).unwrap(), "a call that nobody declared");
}
