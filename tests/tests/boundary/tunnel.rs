//! Two sites and the tunnel between their nodes: who reaches whom, what is on the wire, and what happens when it goes.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use yunting_crds::tunnel::TunnelState;
use yunting_lab::pki::Authority;
use yunting_plan::boundary::matrix::{Matrix, Party};
use yunting_tests::netns::comes_back;
use yunting_tests::node::across::{Across, Side};
use yunting_tests::node::site::{PORTS, SITES};
use yunting_tests::tap::Tap;

const TEXT: &str = "Yunting-Marker-that-crosses-sites";

/// Every pod of one site to every pod of the other at every port; what differs from what both ends know, and how many pass.
fn compare(from: &Side, to: &Side) -> (Vec<String>, usize) {
    let (here, there) = (Matrix::new(&from.facts), Matrix::new(&to.facts));
    let (mut wrong, mut open) = (Vec::new(), 0);
    for (i, asks) in from.facts.pods.iter().enumerate() {
        let pairs: Vec<_> = to.facts.pods.iter().flat_map(|pod| PORTS.map(|port| (pod, port))).collect();
        let may = |pod: &yunting_plan::boundary::Pod, port| {
            here.may(Party::Pod(asks), Party::Abroad(pod.address), port)
                && there.may(Party::Abroad(asks.address), Party::Pod(pod), port)
        };
        let wanted: Vec<_> = pairs
            .iter()
            .map(|(pod, port)| (SocketAddr::new(pod.address.into(), *port), may(pod, *port)))
            .collect();
        let seen = from.world.reach(&from.world.pod(i), &wanted).unwrap();
        for ((pod, port), (reached, (_, may))) in pairs.iter().zip(seen.into_iter().zip(&wanted)) {
            open += usize::from(reached);
            if reached != *may {
                wrong.push(format!("{} to {} at {port}: {reached}", asks.name, pod.name));
            }
        }
    }
    (wrong, open)
}

fn call(from: &Side, to: SocketAddr) -> TcpStream {
    let open = move || TcpStream::connect_timeout(&to, std::time::Duration::from_secs(5));
    let stream = from.world.within(&from.world.pod(from.pod("approval")), open).unwrap();
    stream.join().unwrap().unwrap()
}

/// Whether a connection from a forged address of a namespace is answered.
fn forged(side: &Side, netns: &str, from: Ipv4Addr, to: SocketAddr) -> bool {
    side.world.run(netns, &["ip", "addr", "add", &format!("{from}/32"), "dev", "lo"]).unwrap();
    let ask = move || -> std::io::Result<bool> {
        let own = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        set_socket_reuseaddr(&own, true)?;
        bind(&own, &SocketAddr::new(from.into(), 0))?;
        rustix::net::sockopt::set_socket_timeout(
            &own,
            rustix::net::sockopt::Timeout::Send,
            Some(yunting_tests::netns::DROPPED),
        )?;
        connect(&own, &to)?;
        Ok(comes_back(&TcpStream::from(own)))
    };
    side.world.within(netns, ask).unwrap().join().unwrap().unwrap_or(false)
}

#[test]
fn what_both_ends_declare_crosses_and_nothing_else() {
    let (across, _one, _other) = Across::connected().unwrap();
    let (wrong, open) = compare(&across.away, &across.home);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{open} ways lead home");
    assert_eq!(open, 2, "each hall's approval calls its own database");
    let (wrong, open) = compare(&across.home, &across.away);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(open, 0, "nothing runs there alone");
}

/// The probe can fail: without boundaries everything crosses, in the clear.
#[test]
fn without_boundaries_everything_crosses() {
    let across = Across::start().unwrap();
    let (wrong, open) = compare(&across.away, &across.home);
    println!("{open} ways are open, {} of which must not be", wrong.len());
    assert!(wrong.len() > 300, "{}", wrong.len());
}

#[test]
fn a_forged_source_does_not_come_through_the_tunnel() {
    let (across, _one, _other) = Across::connected().unwrap();
    let (home, away) = (&across.home, &across.away);
    let db = home.at("db", 5432);
    // The other site's node is in somebody else's hands: its boundary is gone, and it sends what it likes.
    away.world.nft("delete table inet yunting").unwrap();
    away.world.run(&away.world.node(), &["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0"]).unwrap();
    let stranger = away.world.pod(away.pod("portal"));
    for source in [
        // One of ours, one that this peer does not have, one of no known pod, and its own true address.
        home.at("approval", 1).ip(),
        Ipv4Addr::new(10, 13, 0, 2).into(),
        Ipv4Addr::new(10, 12, 77, 7).into(),
        away.at("portal", 1).ip(),
    ] {
        let std::net::IpAddr::V4(source) = source else { unreachable!() };
        assert!(!forged(away, &stranger, source, db), "{source} came through");
    }
    // Who may call does, so that silence says something.
    assert!(away.world.reaches(&away.world.pod(away.pod("approval")), db.ip(), 5432).unwrap());
}

#[test]
fn what_comes_in_the_clear_is_dropped_though_it_is_declared() {
    let across = Across::start().unwrap();
    let (home, away) = (&across.home, &across.away);
    let (caller, db) = (away.world.pod(away.pod("approval")), home.at("db", 5432));
    assert!(away.world.reaches(&caller, db.ip(), 5432).unwrap(), "nothing is closed yet");
    home.guard().unwrap();
    assert!(!away.world.reaches(&caller, db.ip(), 5432).unwrap(), "it came in the clear");
}

#[test]
fn what_is_declared_does_not_leave_in_the_clear() {
    let across = Across::start().unwrap();
    let away = &across.away;
    // That nothing comes back says nothing of what has left: it is looked for on the wire.
    let mut open = call(away, across.home.at("db", 5432));
    assert!(comes_back(&open), "nothing is closed yet");
    away.guard().unwrap();
    let tap = Tap::start(&across.wire(), TEXT.to_owned()).unwrap();
    open.write_all(TEXT.as_bytes()).unwrap();
    assert!(!comes_back(&open), "it crosses in the clear");
    assert_eq!(tap.heard().unwrap().found, 0, "it left in the clear");
    // What waited leaves, and is heard, where nothing holds it.
    let tap = Tap::start(&across.wire(), TEXT.to_owned()).unwrap();
    away.world.nft("delete table inet yunting").unwrap();
    assert!(late(&open));
    assert!(tap.heard().unwrap().found > 0, "what is in the clear was not heard");
}

#[test]
fn nothing_on_the_wire_is_in_the_clear_and_without_a_tunnel_nothing_is_sent() {
    let (across, one, other) = Across::connected().unwrap();
    let (home, away) = (&across.home, &across.away);
    let db = home.at("db", 5432);
    let mut stream = call(away, db);
    let tap = Tap::start(&across.wire(), TEXT.to_owned()).unwrap();
    stream.write_all(TEXT.as_bytes()).unwrap();
    assert!(comes_back(&stream), "the call crosses");
    // Its own end of the tunnel goes; what is sent now waits and leaves by no other way.
    other.stop().unwrap();
    stream.write_all(TEXT.as_bytes()).unwrap();
    assert!(!away.world.reaches(&away.world.pod(away.pod("approval")), db.ip(), 5432).unwrap());
    let heard = tap.heard().unwrap();
    println!("{} bytes on the wire, {} of the text", heard.bytes, heard.found);
    assert!(heard.bytes > 500, "nothing was heard at all");
    assert_eq!(heard.found, 0, "the text is on the wire");
    drop(one);
    // The tap can hear: without boundaries the same call is in the clear.
    for side in [home, away] {
        side.world.nft("delete table inet yunting").unwrap();
    }
    let tap = Tap::start(&across.wire(), TEXT.to_owned()).unwrap();
    let mut open = call(away, db);
    open.write_all(TEXT.as_bytes()).unwrap();
    assert!(comes_back(&open));
    assert!(tap.heard().unwrap().found > 0, "what is in the clear was not heard");
}

#[test]
fn calls_go_on_when_either_end_starts_anew() {
    let (across, one, other) = Across::connected().unwrap();
    let (home, away) = (&across.home, &across.away);
    let stream = call(away, home.at("db", 5432));
    assert!(comes_back(&stream));
    // A new process has a new key.
    one.stop().unwrap();
    let one = home.tunnel().unwrap();
    one.until(TunnelState::Encrypted).unwrap();
    assert!(late(&stream), "the call does not go on after its called end started anew");
    other.stop().unwrap();
    one.until(TunnelState::Down).unwrap();
    let other = away.tunnel().unwrap();
    other.until(TunnelState::Encrypted).unwrap();
    one.until(TunnelState::Encrypted).unwrap();
    assert!(late(&stream), "the call does not go on after its calling end started anew");
}

/// What was lost is sent again, later and later: several chances.
fn late(stream: &TcpStream) -> bool {
    (0..20).any(|_| comes_back(stream))
}

#[test]
fn a_peer_that_is_not_who_it_is_meant_to_be_gets_nothing() {
    let across = Across::start().unwrap();
    let bad = Authority::new("machines").unwrap();
    let one = across.home.tunnel().unwrap();
    // Of another authority that has the same name; and of ours, but another site's node.
    for (authority, site, why) in [
        (&bad, SITES[1], "certificate"),
        (&across.authority, "mengcheng", "yunting://site/mengcheng/node/n-1"),
    ] {
        let other = across.away.tunnel_as(across.machine(authority, site).unwrap()).unwrap();
        let said = one.wait(why, |peer| peer.state == TunnelState::Down && peer.why.contains(why)).unwrap();
        println!("{}", said.why);
        other.stop().unwrap();
    }
    let other = across.away.tunnel().unwrap();
    one.until(TunnelState::Encrypted).unwrap();
    other.until(TunnelState::Encrypted).unwrap();
}
