//! Asks as a pod would: in its network namespace, by opening TCP connections.
//!
//! A thread enters one namespace after another and begins the connections there; a socket stays in the namespace in which
//! it was made, so all are waited for together.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Time after which no answer means that nothing passes. Within a site an answer takes less than a millisecond.
const PATIENCE: Duration = Duration::from_millis(700);
/// Connections at once: sockets of this process.
const AT_ONCE: usize = 512;

/// Ends that are asked from one namespace.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// The namespace's file.
    pub(super) netns: PathBuf,
    /// What is asked.
    pub(super) targets: Vec<(Ipv4Addr, u16)>,
}

/// What came of a job: for each target whether packets pass both ways; nothing where the namespace cannot be entered.
pub(super) type Answer = Option<Vec<bool>>;

/// Does all of it, in a thread of its own: this one would be elsewhere afterwards.
pub(super) async fn ask(jobs: Vec<Job>) -> Vec<Answer> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let count = jobs.len();
    let started = std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
        let _ = sender.send(all(&jobs));
    });
    if let Err(error) = started {
        tracing::warn!(%error, "no thread for the probes");
        return vec![None; count];
    }
    receiver.await.unwrap_or_else(|_| vec![None; count])
}

/// As many jobs together as there may be connections at once; one that is larger alone.
fn all(jobs: &[Job]) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(jobs.len());
    let mut rest = jobs;
    while !rest.is_empty() {
        let mut connections = 0;
        let fits = |job: &&Job| {
            connections += job.targets.len();
            connections <= AT_ONCE
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (now, later) = rest.split_at(count);
        answers.extend(together(now));
        rest = later;
    }
    answers
}

fn together(jobs: &[Job]) -> Vec<Answer> {
    let mut states = Vec::new();
    let begun: Vec<Option<usize>> = jobs.iter().map(|job| begin_job(job, &mut states)).collect();
    wait(&mut states);
    let mut passed = states.into_iter().map(|s| matches!(s, State::Done(true)));
    begun.into_iter().map(|count| Some(passed.by_ref().take(count?).collect())).collect()
}

/// Begins what is to be asked in a namespace; how many connections, or nothing where it cannot be entered.
fn begin_job(job: &Job, states: &mut Vec<State>) -> Option<usize> {
    let entered = File::open(&job.netns).map_err(|e| e.to_string()).and_then(|file| {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(|e| e.to_string())
    });
    if let Err(error) = entered {
        tracing::debug!(error, netns = %job.netns.display(), "a pod's network namespace cannot be entered");
        return None;
    }
    states.extend(job.targets.iter().map(|(address, port)| begin(*address, *port)));
    Some(job.targets.len())
}

/// A connection on its way, or what became of it.
enum State {
    Waiting(OwnedFd),
    Done(bool),
}

/// Until something is known of all, or it is too late.
fn wait(states: &mut [State]) {
    let until = Instant::now() + PATIENCE;
    loop {
        let waiting: Vec<usize> =
            (0..states.len()).filter(|i| matches!(states.get(*i), Some(State::Waiting(_)))).collect();
        let left = until.saturating_duration_since(Instant::now());
        if waiting.is_empty() || left.is_zero() {
            break;
        }
        for index in ready(states, &waiting, left) {
            if let Some(state) = states.get_mut(index)
                && let State::Waiting(socket) = state
            {
                let passed = socket_error(&*socket).is_ok_and(passes);
                *state = State::Done(passed);
            }
        }
    }
}

fn begin(address: Ipv4Addr, port: u16) -> State {
    let made = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    );
    let Ok(socket) = made else { return State::Done(false) };
    match connect(&socket, &SocketAddrV4::new(address, port)) {
        Err(Errno::INPROGRESS) => State::Waiting(socket),
        connected => State::Done(passes(connected)),
    }
}

/// A refusal comes from the other end: packets pass both ways.
fn passes(connected: Result<(), Errno>) -> bool {
    matches!(connected, Ok(()) | Err(Errno::CONNREFUSED))
}

/// Those of the waiting ones of which something is known by now.
fn ready(states: &[State], waiting: &[usize], left: Duration) -> Vec<usize> {
    let sockets = waiting.iter().filter_map(|i| match states.get(*i) {
        Some(State::Waiting(socket)) => Some((*i, socket)),
        _ => None,
    });
    let (indices, sockets): (Vec<usize>, Vec<&OwnedFd>) = sockets.unzip();
    let mut polled: Vec<PollFd<'_>> = sockets.iter().map(|s| PollFd::new(*s, PollFlags::OUT)).collect();
    let left = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or_default(),
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    if poll(&mut polled, Some(&left)).is_err() {
        return Vec::new();
    }
    let known = indices.into_iter().zip(&polled).filter(|(_, p)| !p.revents().is_empty());
    known.map(|(i, _)| i).collect()
}
