//! The gate's self-test: real packets over a pair of links of its own, in network namespaces that end with the test. Closed
//! nothing passes, open everything does, past the deadline nothing again; both ways, TCP, UDP and ARP.
//!
//! It uses the program and the maps that the pods' links use. Its link has a number that no other link of the node gets,
//! since the maps know links by number alone.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::sched::{CloneFlags, unshare};
use yunting_plan::boundary::Link;
use yunting_plan::vdc::Uid;

use super::keeper::Gates;
use super::{BootTime, Gate};

/// Number of the test's link.
const NUMBER: u32 = 2_147_000_001;
/// Its name.
const LINK: &str = "canary";
/// Its group; no API server gives such a uid.
const GROUP: &str = "00000000-0000-0000-0000-00000000ca7a";
/// Time for which a closed gate is watched.
const CLOSED: Duration = Duration::from_millis(150);
/// Time for an open one to let everything pass: a machine that is busy is not one whose gate is broken.
const OPEN: Duration = Duration::from_secs(5);
/// Time before the deadline whose end is waited for.
const SHORT: Duration = Duration::from_millis(50);
/// Pause between two packets.
const PAUSE: Duration = Duration::from_millis(10);
/// Fewest packets that have to have been dropped at a closed gate: one of each kind, each way.
const DROPPED: u64 = 6;
/// Port of everything. Those below 1024 need a right of their own.
const PORT: u16 = 40009;
/// The two ends: the node's and the pod's. Each has more addresses, one for each step: an address that is asked for by ARP
/// in vain is not asked for again at once.
const ENDS: [Ipv4Addr; 2] = [Ipv4Addr::new(169, 254, 77, 1), Ipv4Addr::new(169, 254, 77, 2)];
/// Their hardware addresses, known beforehand so that TCP and UDP do not wait for ARP.
const HARD: [&str; 2] = ["02:00:00:00:00:01", "02:00:00:00:00:02"];
/// What is sent.
const KINDS: [&str; 6] =
    ["TCP to the pod", "UDP to the pod", "ARP to the pod", "TCP from it", "UDP from it", "ARP from it"];

/// What a test has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The gate does what it is for.
    Passed,
    /// It does not: what it did.
    Failed(String),
    /// Nothing was shown.
    NotRun(String),
}

/// Tests.
pub(super) fn test(gates: &Arc<Gates>) -> Outcome {
    let tried = Uid::new(GROUP).map_err(anyhow::Error::from).and_then(|group| {
        let outcome = Ground::lay(gates, group.clone()).and_then(|ground| ground.steps());
        // What is left stands on a link that is no more; the next test begins by taking it away.
        let _ = clear(gates, &group);
        outcome
    });
    tried.unwrap_or_else(|error| Outcome::NotRun(format!("{error:#}")))
}

/// Two ends of a link that the gate holds.
struct Ground<'a> {
    gates: &'a Arc<Gates>,
    group: Uid,
    ends: [End; 2],
    sockets: [Sockets; 2],
}

impl<'a> Ground<'a> {
    fn lay(gates: &'a Arc<Gates>, group: Uid) -> anyhow::Result<Self> {
        let [node, pod] = [End::start()?, End::start()?];
        wire(&node, &pod)?;
        clear(gates, &group)?;
        let (held, link, of) = (gates.clone(), Link::new(LINK)?, group.clone());
        let number = node.run(move || with(&held, |gate| gate.guard(&link, &of)))??;
        ensure!(number == NUMBER, "the test's link has number {number} and not {NUMBER}");
        let sockets = [Sockets::open(&node)?, Sockets::open(&pod)?];
        Ok(Self { gates, group, ends: [node, pod], sockets })
    }

    fn steps(&self) -> anyhow::Result<Outcome> {
        let wrong = match self.closed()? {
            None => match self.open()? {
                None => self.past()?,
                wrong => wrong,
            },
            wrong => wrong,
        };
        Ok(wrong.map_or(Outcome::Passed, Outcome::Failed))
    }

    fn exchange(&self, step: u8, patience: Duration) -> anyhow::Result<[bool; 6]> {
        exchange(&self.ends, &self.sockets, step, patience)
    }

    /// From birth.
    fn closed(&self) -> anyhow::Result<Option<String>> {
        let passed = named(self.exchange(1, CLOSED)?, true);
        let dropped = with(self.gates, |gate| gate.counted_on(NUMBER))?.dropped;
        let shown = passed.is_some() || dropped >= DROPPED;
        ensure!(shown, "only {dropped} packets reached the closed gate, which shows nothing");
        Ok(passed.map(|what| format!("closed from birth, and {what} passed")))
    }

    fn open(&self) -> anyhow::Result<Option<String>> {
        if let Err(error) = with(self.gates, |gate| gate.open(&self.group, BootTime::now() + 2 * OPEN)) {
            return Ok(Some(format!("no group can be opened: {error:#}")));
        }
        let held_up = named(self.exchange(2, OPEN)?, false);
        Ok(held_up.map(|what| format!("open, and {what} did not pass within {OPEN:?}")))
    }

    /// Nobody closes it.
    fn past(&self) -> anyhow::Result<Option<String>> {
        let until = BootTime::now() + SHORT;
        with(self.gates, |gate| gate.open(&self.group, until))?;
        while BootTime::now() <= until {
            std::thread::sleep(PAUSE);
        }
        let passed = named(self.exchange(3, CLOSED)?, true);
        Ok(passed.map(|what| format!("past the deadline {what} passed")))
    }
}

fn with<T>(gates: &Gates, act: impl FnOnce(&mut Gate) -> Result<T, super::Error>) -> anyhow::Result<T> {
    let mut inner = gates.inner();
    let gate = inner.gate.as_mut().map_err(|why| anyhow::anyhow!(why.clone()))?;
    Ok(act(gate)?)
}

fn clear(gates: &Gates, group: &Uid) -> anyhow::Result<()> {
    with(gates, |gate| {
        gate.close(group)?;
        gate.release(NUMBER)
    })
}

/// Those that passed, or those that did not.
fn named(passed: [bool; 6], which: bool) -> Option<String> {
    let all: Vec<&str> = KINDS.iter().zip(passed).filter(|(_, p)| *p == which).map(|(k, _)| *k).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// Connects the two ends.
fn wire(node: &End, pod: &End) -> anyhow::Result<()> {
    let [hard, other] = HARD;
    let make = format!(
        "link add name {LINK} index {NUMBER} address {hard} type veth peer name {LINK} address {other} netns {}\n",
        pod.thread
    );
    let addresses = |own: usize, other: usize| {
        let more = (1..=3).map(|step| format!("addr add {}/24 dev {LINK}\n", asked(own, step)));
        let (address, peer, hard) = (ENDS[own], ENDS[other], HARD[other]);
        format!("link set lo up\naddr add {address}/24 dev {LINK}\n{}", more.collect::<String>())
            + &format!("link set {LINK} up\nneigh replace {peer} lladdr {hard} dev {LINK} nud permanent\n")
    };
    let (of_node, of_pod) = (make + &addresses(0, 1), addresses(1, 0));
    node.run(move || ip(&of_node))??;
    pod.run(move || ip(&of_pod))?
}

/// The address of an end that is asked for by ARP in a step.
fn asked(end: usize, step: u8) -> Ipv4Addr {
    let [a, b, c, d] = ENDS.get(end).copied().unwrap_or(Ipv4Addr::UNSPECIFIED).octets();
    Ipv4Addr::new(a, b, c, d * 10 + step)
}

fn ip(batch: &str) -> anyhow::Result<()> {
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("ip cannot be started; the gate's self-test needs iproute2")?;
    child.stdin.take().context("ip has no input")?.write_all(batch.as_bytes())?;
    let done = child.wait_with_output()?;
    ensure!(done.status.success(), "ip refused it: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// What an end listens with.
struct Sockets {
    udp: UdpSocket,
    _tcp: TcpListener,
}

impl Sockets {
    fn open(end: &End) -> anyhow::Result<Self> {
        let open = || -> std::io::Result<Self> {
            let any = Ipv4Addr::UNSPECIFIED;
            let (udp, tcp) = (UdpSocket::bind((any, PORT))?, TcpListener::bind((any, PORT))?);
            udp.set_nonblocking(true)?;
            Ok(Self { udp, _tcp: tcp })
        };
        end.run(open)?.context("the gate's self-test cannot listen")
    }

    /// A step's packet, or one whose way has to be asked for by ARP first.
    fn send(&self, step: u8, to: Ipv4Addr) -> std::io::Result<usize> {
        self.udp.send_to(&[step], (to, PORT))
    }

    /// Whether something of a step came. What was sent in the one before it may be late.
    fn received(&self, step: u8) -> bool {
        let mut bytes = [0; 8];
        std::iter::from_fn(|| self.udp.recv(&mut bytes).ok().map(|n| (n, bytes[0]))).any(|of| of == (1, step))
    }
}

/// Sends everything both ways until all has passed or it is too late; what passed, in the order of [`KINDS`].
fn exchange(
    ends: &[End; 2],
    sockets: &[Sockets; 2],
    step: u8,
    patience: Duration,
) -> anyhow::Result<[bool; 6]> {
    let ([node, pod], [at_node, at_pod]) = (ends, sockets);
    let [of_node, of_pod] = ENDS;
    let connect = |from: &End, to: Ipv4Addr| {
        from.begin(move || TcpStream::connect_timeout(&SocketAddr::from((to, PORT)), patience).is_ok())
    };
    let (to_pod, to_node) = (connect(node, of_pod)?, connect(pod, of_node)?);
    let (mut passed, since) = ([false; 6], Instant::now());
    while since.elapsed() < patience && passed.contains(&false) {
        // What the kernel cannot send does not pass.
        let _ = (at_node.send(step, of_pod), at_node.send(0, asked(1, step)));
        let _ = (at_pod.send(step, of_node), at_pod.send(0, asked(0, step)));
        std::thread::sleep(PAUSE);
        let [tcp_to, udp_to, arp_to, tcp_from, udp_from, arp_from] = &mut passed;
        *udp_to |= at_pod.received(step);
        *udp_from |= at_node.received(step);
        *tcp_to |= to_pod.try_recv().unwrap_or(false);
        *tcp_from |= to_node.try_recv().unwrap_or(false);
        // An end that connects does nothing else meanwhile.
        if (*tcp_to && *tcp_from) || since.elapsed() >= patience {
            *arp_to |= node.run(move || answered(asked(1, step)))?;
            *arp_from |= pod.run(move || answered(asked(0, step)))?;
        }
    }
    Ok(passed)
}

/// Whether an address was asked for by ARP here and answered.
fn answered(address: Ipv4Addr) -> bool {
    let text = std::fs::read_to_string("/proc/thread-self/net/arp").unwrap_or_default();
    let own = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
    let mut own = own.filter(|words| words.first().is_some_and(|w| *w == address.to_string()));
    // The third word has the flags; 2 is "complete".
    own.any(|words| words.get(2) == Some(&"0x2"))
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own, which ends with it.
struct End {
    thread: i32,
    jobs: mpsc::Sender<Job>,
}

impl End {
    fn start() -> anyhow::Result<Self> {
        let (jobs, todo) = mpsc::channel::<Job>();
        let (sender, started) = mpsc::channel();
        let work = move || {
            let entered =
                unshare(CloneFlags::CLONE_NEWNET).map(|()| rustix::thread::gettid().as_raw_nonzero().get());
            let went = entered.is_ok();
            let _ = sender.send(entered);
            if went {
                for job in todo {
                    job();
                }
            }
        };
        std::thread::Builder::new().name("canary".to_owned()).spawn(work)?;
        let thread = started.recv()?.context("no network namespace for the gate's self-test")?;
        Ok(Self { thread, jobs })
    }

    /// Does something there.
    fn begin<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> anyhow::Result<Receiver<T>> {
        let (sender, receiver) = mpsc::channel();
        let job: Job = Box::new(move || {
            let _ = sender.send(act());
        });
        self.jobs.send(job).ok().context("an end of the gate's self-test is gone")?;
        Ok(receiver)
    }

    /// The same, and waits for it.
    fn run<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
        Ok(self.begin(act)?.recv()?)
    }
}
