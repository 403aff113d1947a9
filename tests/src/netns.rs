//! Doing things as one who sits in a network namespace: a pod, a node, the world outside.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use yunting_lab::power;
use yunting_lab::spec::{Lab, Site, WAN_GATEWAY};

/// Time after which a connection that got no answer counts as dropped. In one machine an answer takes microseconds.
pub const DROPPED: Duration = Duration::from_millis(700);

/// How often an end that is to answer and did not is asked again.
const AGAIN: usize = 4;

/// Does something in a namespace, in a thread of its own; what it starts is there, too.
///
/// # Errors
/// When the namespace cannot be entered; nothing was done then.
pub fn within<T: Send + 'static>(
    netns: &Path,
    act: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<JoinHandle<T>> {
    let file = File::open(netns).with_context(|| format!("cannot open {}", netns.display()))?;
    let (sender, receiver) = mpsc::channel();
    let handle = thread::spawn(move || {
        let entered = move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network));
        let went = entered.is_ok();
        let _ = sender.send(entered);
        assert!(went, "a thread that is not in its namespace does nothing");
        act()
    });
    receiver.recv()?.with_context(|| format!("cannot enter {}", netns.display()))?;
    Ok(handle)
}

/// The same, and waits for it.
///
/// # Errors
/// When the namespace cannot be entered or the thread panicked.
pub fn run<T: Send + 'static>(netns: &Path, act: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
    within(netns, act)?.join().map_err(|_| anyhow!("what was done in {} ended early", netns.display()))
}

/// The network namespaces of a site's pods, by address.
///
/// # Errors
/// When the site has no power or its namespaces cannot be listed.
pub fn of_pods(lab: &Lab, site: &Site) -> anyhow::Result<HashMap<Ipv4Addr, PathBuf>> {
    let init = power::first_process(lab, site)?;
    let place = ["/proc", &init.to_string(), "root", "run", "netns"].iter().collect::<PathBuf>();
    let files = std::fs::read_dir(&place).with_context(|| format!("cannot list {}", place.display()))?;
    let mut found = HashMap::new();
    for file in files {
        let path = file?.path();
        // One that goes away meanwhile is nobody's.
        if let Ok(Some(address)) = run(&path, own_address) {
            found.insert(address, path);
        }
    }
    Ok(found)
}

/// The address that somebody here sends from.
fn own_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // Nothing is sent: the kernel chooses a route and an address.
    socket.connect((WAN_GATEWAY, 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// Asks each of these at once.
///
/// # Errors
/// As [`run`].
pub fn each(
    netns: &Path,
    targets: Vec<SocketAddr>,
    ask: fn(SocketAddr) -> bool,
) -> anyhow::Result<Vec<bool>> {
    let all = run(netns, move || -> Vec<bool> {
        // A new thread is in the namespace of the one that made it.
        let asked: Vec<_> = targets.into_iter().map(|to| thread::spawn(move || ask(to))).collect();
        asked.into_iter().map(|one| one.join().unwrap_or(false)).collect()
    })?;
    ensure!(!all.is_empty(), "nothing was asked");
    Ok(all)
}

/// Asks each of these at once; those that are to be open and did not answer again, because on a busy machine an answer may
/// come late. What is to be closed has one chance to be open.
///
/// # Errors
/// As [`run`].
pub fn ways(
    netns: &Path,
    wanted: &[(SocketAddr, bool)],
    ask: fn(SocketAddr) -> bool,
) -> anyhow::Result<Vec<bool>> {
    let mut seen = each(netns, wanted.iter().map(|w| w.0).collect(), ask)?;
    for _ in 0..AGAIN {
        let late: Vec<usize> = (0..seen.len()).filter(|i| wanted[*i].1 && !seen[*i]).collect();
        if late.is_empty() {
            break;
        }
        let again = each(netns, late.iter().map(|i| wanted[*i].0).collect(), ask)?;
        late.into_iter().zip(again).for_each(|(i, reached)| seen[i] = reached);
    }
    Ok(seen)
}

/// Whether a connection can be opened and a byte comes back.
pub fn echoes(to: SocketAddr) -> bool {
    TcpStream::connect_timeout(&to, DROPPED).is_ok_and(|stream| comes_back(&stream))
}

/// Whether somebody accepts a connection.
pub fn accepts(to: SocketAddr) -> bool {
    TcpStream::connect_timeout(&to, DROPPED).is_ok()
}

/// Whether packets pass both ways: somebody answers, or a refusal comes back.
pub fn passes(to: SocketAddr) -> bool {
    match TcpStream::connect_timeout(&to, DROPPED) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
    }
}

/// Whether what is sent over a connection comes back in time.
pub fn comes_back(mut stream: &TcpStream) -> bool {
    let mut byte = [0];
    stream.set_read_timeout(Some(DROPPED)).is_ok()
        && stream.write_all(b"x").is_ok()
        && stream.read_exact(&mut byte).is_ok()
}
