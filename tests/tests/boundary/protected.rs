//! Protected pods, through the real node controller: closed from birth, opened by a right alone, and closed whatever
//! becomes of the process or of the program.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use yunting_controller::node::gate::local::{Answer, Ask, GroupState};
use yunting_controller::node::gate::{BootTime, Gate};
use yunting_crds::node_report::GateState;
use yunting_plan::vdc::Uid;
use yunting_tests::netns::comes_back;
use yunting_tests::node::flood::Flood;
use yunting_tests::node::process::{Node, eventually};

use super::streams::connect;

const GROUP: &str = "9c444840-9dc0-11d1-b245-5ffdce74fad2";
const OTHER: &str = "ac444840-9dc0-11d1-b245-5ffdce74fad2";
/// Pods of each world: two that are protected, one that is not.
const ONE: usize = 0;
const TWO: usize = 1;
const FREE: usize = 2;
const LAST: usize = 3;
/// Time after a deadline, or after a program was taken away, in which something may still pass.
const AT_MOST: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(100)];
/// Time for which it is seen that nothing passes.
const LONG_AFTER: Duration = Duration::from_millis(300);

fn reached(node: &Node, to: usize) -> bool {
    node.world.reaches(&node.world.pod(FREE), node.facts.pods[to].address, 8080).unwrap()
}

/// What is closed has one chance to be open.
fn closed(node: &Node, to: usize) -> bool {
    let to = SocketAddr::new(node.facts.pods[to].address.into(), 8080);
    node.world.reach(&node.world.pod(FREE), &[(to, false)]).unwrap() == [false]
}

fn open_until(until: BootTime) -> Ask {
    Ask::Open { group: GROUP.to_owned(), deadline_boottime_ns: until.nanoseconds() }
}

fn open_for(node: &Node, time: Duration) -> BootTime {
    let until = BootTime::now() + time;
    let told = node.ask(&open_until(until)).unwrap();
    assert!(
        told.groups[0].open && told.groups[0].deadline_boottime_ns == Some(until.nanoseconds()),
        "{told:?}"
    );
    until
}

fn state(node: &Node) -> GroupState {
    node.ask(&Ask::State { group: Some(GROUP.to_owned()) }).unwrap().groups.remove(0)
}

/// A node on which one pod of the group and one of nobody are attached.
fn started() -> Node {
    let node = Node::start(4).unwrap();
    node.gate("Armed").unwrap();
    node.attach(ONE, Some(GROUP)).unwrap();
    node.attach(FREE, None).unwrap();
    node
}

#[test]
fn a_protected_pod_is_closed_from_birth_and_opens_by_a_right_alone() {
    let node = started();
    assert!(closed(&node, ONE), "closed from birth");
    assert!(
        !node.world.reaches(&node.world.node(), node.facts.pods[ONE].address, 8080).unwrap(),
        "from its node"
    );
    let (now, minute) = (BootTime::now(), Duration::from_mins(1));
    let open = |group: &str, ns: u64| Ask::Open { group: group.to_owned(), deadline_boottime_ns: ns };
    for (ask, why) in [
        (open(GROUP, 0), "deadline 0 is no deadline"),
        (open(GROUP, 1), "a right that comes late opens nothing"),
        (open(GROUP, (now + 11 * minute).nanoseconds()), "nobody has a right for more than"),
        (open(GROUP, u64::MAX), "nobody has a right for more than"),
        (open(OTHER, (now + minute).nanoseconds()), "no pod of group"),
        (open("gold", (now + minute).nanoseconds()), "is no UUID"),
    ] {
        let refused = node.ask(&ask).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
    assert_eq!(state(&node).deadline_boottime_ns, None, "a refused right");
    assert!(closed(&node, ONE));
    let until = open_for(&node, minute);
    assert!(reached(&node, ONE));
    // A new pod has what is left of its group's right.
    node.attach(TWO, Some(GROUP)).unwrap();
    assert!(reached(&node, TWO));
    assert_eq!(state(&node).deadline_boottime_ns, Some(until.nanoseconds()));
    let told = node.ask(&Ask::Close { group: GROUP.to_owned() }).unwrap();
    assert!(!told.groups[0].open && told.groups[0].deadline_boottime_ns.is_none(), "{told:?}");
    assert!(closed(&node, ONE) && closed(&node, TWO));
    assert!(state(&node).links.iter().all(|l| l.dropped > 0 && !l.down));
}

/// Whoever is taken down is let go of before the answer, and down; nobody else's link is touched.
#[test]
fn what_is_taken_down_or_not_understood_has_no_network() {
    let node = started();
    node.attach(TWO, Some(GROUP)).unwrap();
    open_for(&node, Duration::from_mins(5));
    assert!(reached(&node, ONE) && reached(&node, TWO));
    let pins = || std::fs::read_dir(node.pins.path()).unwrap().count();
    let before = pins();
    node.del(ONE).unwrap();
    node.del(ONE).unwrap();
    assert_eq!(pins(), before - 2, "the link's two pins");
    assert!(closed(&node, ONE) && reached(&node, TWO));
    assert_eq!(state(&node).links.len(), 1);
    let refused = node.attach(LAST, Some("gold")).unwrap_err().to_string();
    assert!(refused.contains("is no UUID"), "{refused}");
}

/// Neither a start anew nor what happens before it changes what the kernel has.
#[test]
fn a_start_anew_takes_over_what_stands() {
    let node = started();
    node.crash();
    node.gate("Armed").unwrap();
    assert!(closed(&node, ONE), "closed stays closed");
    let until = open_for(&node, Duration::from_mins(5));
    let stream = connect(&node.world, FREE, node.facts.pods[ONE].address, 8080);
    assert!(comes_back(&stream));
    node.crash();
    assert!(comes_back(&stream), "while nobody runs");
    let told = node.gate("Armed").unwrap();
    assert_eq!(told.groups[0].deadline_boottime_ns, Some(until.nanoseconds()), "{told:?}");
    assert!(comes_back(&stream) && reached(&node, ONE));
    node.ask(&Ask::Close { group: GROUP.to_owned() }).unwrap();
    assert!(closed(&node, ONE));
}

/// Until packets were sent for a while after a moment; the flood shows something only then.
fn sent_long_after(flood: &Flood, moment: BootTime) {
    eventually("the flood goes on", || flood.sent_after(moment + LONG_AFTER).then_some(())).unwrap();
}

fn flood(node: &Node) -> Flood {
    let (from, to) = (node.world.pod(FREE), node.world.pod(ONE));
    Flood::start(&node.world, &from, &to, node.facts.pods[ONE].address).unwrap()
}

#[test]
fn the_gate_closes_at_its_deadline_whatever_becomes_of_the_process() {
    let node = started();
    let flood = flood(&node);
    for kill in [false, true] {
        // An address that nobody answered for is asked for again after a second.
        let (until, before) = (open_for(&node, Duration::from_secs(3)), flood.passed());
        eventually("the flood passes", || (flood.passed() > before).then_some(())).unwrap();
        if kill {
            node.process.away();
        } else {
            node.process.freeze().unwrap();
        }
        sent_long_after(&flood, until);
        let late = flood.last().after(until);
        println!("killed {kill}: the last that passed was sent {late:?} after the deadline");
        assert!(flood.passed() > before + 20, "nothing passed in time, which shows nothing");
        assert!(
            late <= AT_MOST[0],
            "killed {kill}: a packet passed that was sent {late:?} after the deadline"
        );
        if kill {
            node.process.back();
        } else {
            node.process.go_on().unwrap();
        }
        node.gate("Armed").unwrap();
    }
}

/// A right that lies in the socket while the process is stopped, and is applied when its deadline has gone by.
#[test]
fn a_right_that_comes_late_opens_nothing() {
    let node = started();
    let flood = flood(&node);
    let mut stream = UnixStream::connect(node.gate_socket()).unwrap();
    node.process.freeze().unwrap();
    let until = BootTime::now() + Duration::from_millis(200);
    let line = serde_json::to_string(&open_until(until)).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    sent_long_after(&flood, until);
    node.process.go_on().unwrap();
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer).unwrap();
    let Answer::Error { error } = serde_json::from_str(&answer).unwrap() else { panic!("{answer}") };
    assert!(error.contains("a right that comes late opens nothing"), "{error}");
    let now = BootTime::now();
    sent_long_after(&flood, now);
    assert_eq!(flood.passed(), 0);
    // The way itself works.
    open_for(&node, Duration::from_mins(1));
    eventually("the flood passes", || (flood.passed() > 0).then_some(())).unwrap();
}

/// Takes the program off one way of the protected pod's link: the last moment at which it was seen to stand, and the longest
/// time for which a question about links had to wait for the kernel until well after.
///
/// The kernel has one lock for all links of the machine. Whoever takes many namespaces down at once, as other tests do, holds
/// it for tenths of a second, and nobody can look at a link or take it down meanwhile.
fn detach(node: &Node, way: &str) -> (BootTime, Duration) {
    let files = std::fs::read_dir(node.pins.path()).unwrap().map(|f| f.unwrap().path());
    // A self-test's own link has a number of ten digits.
    let of_a_pod =
        |f: &PathBuf| f.file_name().is_some_and(|n| n.len() < 10 && n.to_str().unwrap().ends_with(way));
    let [pin] = files.filter(of_a_pod).collect::<Vec<_>>().try_into().unwrap();
    let (pins, link) = (node.pins.path(), node.facts.pods[ONE].link.clone().unwrap());
    let act = move || {
        let gate = Gate::start(&pins).unwrap();
        assert!(gate.stands(&link));
        std::fs::remove_file(pin).unwrap();
        let (mut stood, mut gone, mut longest) = (BootTime::now(), false, Duration::ZERO);
        loop {
            let now = BootTime::now();
            gone |= !gate.stands(&link);
            longest = longest.max(BootTime::now().after(now));
            if !gone {
                stood = now;
            }
            if now.after(stood) > LONG_AFTER {
                assert!(gone, "the program stands without a pin");
                return (stood, longest);
            }
            std::thread::sleep(Duration::from_millis(1)); // between two looks
        }
    };
    node.world.within(&node.world.node(), act).unwrap().join().unwrap()
}

/// Has the node know its pod's hardware address for good: otherwise a packet would wait for an answer by ARP, which a leak
/// of one way does not bring.
fn know(node: &Node) {
    let text = node.world.run(&node.world.pod(ONE), &["ip", "-o", "link", "show", "eth0"]).unwrap();
    let hard = text.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap();
    let (address, link) =
        (node.facts.pods[ONE].address.to_string(), node.facts.pods[ONE].link.clone().unwrap());
    let words =
        ["ip", "neigh", "replace", &address, "lladdr", hard, "dev", &link.to_string(), "nud", "permanent"];
    node.world.run(&node.world.node(), &words).unwrap();
}

#[test]
fn a_link_whose_program_is_gone_is_taken_down_at_once() {
    let node = started();
    let flood = flood(&node);
    // Open: what passed goes on no longer. Closed: what leaks ends.
    for (open, way) in [(true, "-in"), (true, "-out"), (false, "-out")] {
        know(&node);
        if open {
            open_for(&node, Duration::from_mins(5));
            let before = flood.passed();
            eventually("the flood passes", || (flood.passed() > before + 100).then_some(())).unwrap();
        }
        let before = flood.passed();
        let (gone, waited) = detach(&node, way);
        sent_long_after(&flood, gone);
        let late = flood.last().after(gone);
        let said = node.process.line("\"down\":1").unwrap_or_default();
        println!(
            "open {open}, without {way}: the last that passed was sent {late:?} after; the kernel let wait {waited:?}\n{said}"
        );
        assert!(flood.passed() > before, "nothing passed without the program, which shows nothing");
        // Three questions and an act, one after the other.
        let bound = AT_MOST[1] + 4 * waited;
        assert!(
            late <= bound,
            "open {open}, without {way}: a packet passed that was sent {late:?} after, {bound:?} at most; {said}"
        );
        assert!(!said.is_empty());
        node.gate("Armed").unwrap();
        let up = || (!state(&node).links[0].down).then_some(());
        eventually("the link is up again", up).unwrap();
        let (now, before) = (BootTime::now(), flood.passed());
        sent_long_after(&flood, now);
        assert_eq!(flood.passed(), before, "mended, and open without a right");
        assert_eq!(state(&node).deadline_boottime_ns, None);
    }
    open_for(&node, Duration::from_mins(5));
    let before = flood.passed();
    eventually("the flood passes", || (flood.passed() > before).then_some(())).unwrap();
}

/// Whoever watches the gate rests while nobody is protected, and the first pod's program may be taken off right after its
/// birth. More than once: it may have been about to look by chance.
#[test]
fn the_first_protected_pod_is_watched_from_its_birth() {
    for round in 0..3 {
        let node = Node::start(4).unwrap();
        node.gate("Armed").unwrap();
        node.attach(FREE, None).unwrap();
        let flood = flood(&node);
        node.attach(ONE, Some(GROUP)).unwrap();
        know(&node);
        open_for(&node, Duration::from_mins(5));
        let (gone, waited) = detach(&node, "-in");
        sent_long_after(&flood, gone);
        let late = flood.last().after(gone);
        println!("round {round}: {late:?} after; the kernel let wait {waited:?}");
        assert!(flood.passed() > 0, "nothing passed, which shows nothing");
        assert!(
            late <= AT_MOST[1] + 4 * waited,
            "round {round}: a packet passed that was sent {late:?} after"
        );
    }
}

/// Does something to the map of deadlines past the controller.
fn past_the_controller(node: &Node, act: impl Fn(&mut Gate, &Uid) + Send + 'static) {
    let pins = node.pins.path();
    let all = move || {
        let mut gate = Gate::start(&pins).unwrap();
        for number in 0..4096_u32 {
            act(&mut gate, &Uid::new(&format!("{number:08x}-9dc0-11d1-b245-5ffdce74fad2")).unwrap());
        }
    };
    node.world.within(&node.world.node(), all).unwrap().join().unwrap();
}

/// The map is full, so that no gate can be opened: packets show it, where programs and maps are all in their places.
#[test]
fn a_gate_that_fails_its_test_is_broken_and_says_so() {
    let node = started();
    let armed =
        node.report(|r| r.gate.as_ref().is_some_and(|g| g.state == GateState::Armed)).unwrap().gate.unwrap();
    assert!(armed.tested_at.is_some() && armed.program.is_some() && !armed.kernel.is_empty(), "{armed:?}");
    assert!(node.metrics().unwrap().contains("yunting_gate_state{state=\"Armed\"} 1"));
    past_the_controller(&node, |gate, group| {
        // The last ones find no room.
        let _ = gate.open(group, BootTime::now() + Duration::from_mins(9));
    });
    assert_eq!(node.ask(&Ask::Test).unwrap().gate, "Broken");
    let broken =
        node.report(|r| r.gate.as_ref().is_some_and(|g| g.state == GateState::Broken)).unwrap().gate.unwrap();
    println!("{broken:?}");
    assert!(broken.detail.unwrap().contains("self-test"));
    let metrics = node.metrics().unwrap();
    assert!(metrics.contains("yunting_gate_state{state=\"Broken\"} 1"), "{metrics}");
    eventually("the link is down", || state(&node).links[0].down.then_some(())).unwrap();
    let refused = node.attach(TWO, Some(GROUP)).unwrap_err().to_string();
    assert!(refused.contains("the gate of this node is Broken"), "{refused}");
    let refused = node.ask(&open_until(BootTime::now() + Duration::from_secs(9))).unwrap_err().to_string();
    assert!(refused.contains("not armed"), "{refused}");
    past_the_controller(&node, |gate, group| gate.close(group).unwrap());
    node.gate("Armed").unwrap();
    eventually("the link is up again", || (!state(&node).links[0].down).then_some(())).unwrap();
    assert!(closed(&node, ONE), "up, and closed");
    open_for(&node, Duration::from_mins(1));
    assert!(reached(&node, ONE));
}

/// Where there is no gate, who needs none has a network, and who needs one has none and is told why.
#[test]
fn a_node_without_a_gate_takes_ordinary_pods_alone() {
    let node = Node::with_pins(3, Some(std::path::Path::new("/proc/none"))).unwrap();
    let told = node.gate("Absent").unwrap();
    assert!(told.detail.contains("BPF file system"), "{told:?}");
    node.attach(FREE, None).unwrap();
    let report = node.report(|r| r.gate.as_ref().is_some_and(|g| g.state == GateState::Absent)).unwrap();
    assert!(report.gate.unwrap().tested_at.is_none());
    let refused = node.attach(ONE, Some(GROUP)).unwrap_err().to_string();
    assert!(refused.contains("the gate of this node is Absent"), "{refused}");
    assert!(closed(&node, ONE));
}
