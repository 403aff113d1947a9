//! Looks all the time whether it is ciphertext that goes to peers: a marker goes through the tunnel and comes back while the wire
//! is listened to; then the same marker is sent once in the clear, which has to be seen, or nothing is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use data_encoding::HEXLOWER;
use tokio::net::UdpSocket;
use tokio::time::{Instant, MissedTickBehavior, interval};
use yunting_plan::tunnel::{Evidence, read};

use super::wire::Wire;
use super::{Tunnel, place};

/// Time between two turns.
const TURN: Duration = Duration::from_secs(5);
/// Time for a marker to come back.
const BACK: Duration = Duration::from_secs(2);
/// Time for what is in the clear to be seen on the own link.
const SEEN: Duration = Duration::from_secs(1);
/// How often frames are read.
const READ: Duration = Duration::from_millis(10);
/// Bytes of a turn's marker, and digits of a peer's number in it.
const MARKER: usize = 32;
const DIGITS: usize = 8;

/// A peer that is asked.
struct Target {
    uri: String,
    at: SocketAddrV4,
    place: Ipv4Addr,
    number: Vec<u8>,
}

/// Does so for ever.
pub(super) async fn keep(tunnel: &Tunnel) {
    let mut tick = interval(TURN);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let targets = targets(tunnel);
        if targets.is_empty() {
            continue;
        }
        match turn(tunnel, &targets).await {
            Ok(all) => tell(tunnel, &targets, &all),
            Err(error) => {
                // Nothing is shown, and what was shown becomes old.
                tracing::warn!(%error, "the tunnel cannot be probed; listening to frames needs CAP_NET_RAW");
            }
        }
    }
}

/// Peers whose keys are known.
fn targets(tunnel: &Tunnel) -> Vec<Target> {
    let (wanted, peers) = (tunnel.wanted.borrow().clone(), tunnel.peers());
    let known = wanted.into_iter().filter(|(uri, _)| peers.get(uri).is_some_and(|p| p.key.is_some()));
    let of = |(number, (uri, wanted)): (usize, (String, yunting_plan::tunnel::Wanted))| {
        let place = place(&wanted.end.networks)?;
        Some(Target {
            uri,
            at: wanted.end.address,
            place,
            number: format!("{number:0DIGITS$x}").into_bytes(),
        })
    };
    known.enumerate().filter_map(of).collect()
}

async fn turn(tunnel: &Tunnel, targets: &[Target]) -> io::Result<Vec<Evidence>> {
    let random = tunnel.context.random(MARKER).map_err(io::Error::other)?;
    let text = HEXLOWER.encode(&random).into_bytes();
    let marker = |t: &Target| [text.as_slice(), &t.number].concat();
    let mut wire = Wire::open()?;
    tunnel.device.back();
    for target in targets {
        tunnel.device.ask(target.place, &marker(target));
    }
    let (mut seen, mut answered) = (BTreeMap::new(), BTreeSet::new());
    let since = Instant::now();
    while answered.len() < targets.len() && since.elapsed() < BACK {
        tokio::time::sleep(READ).await;
        answered.extend(tunnel.device.back().into_iter().filter(|m| m.starts_with(&text)));
        wire.count(&text, DIGITS, &mut seen)?;
    }
    // What came in with the last answer.
    wire.count(&text, DIGITS, &mut seen)?;
    let socket = UdpSocket::bind(SocketAddrV4::new(*tunnel.listen.ip(), 0)).await?;
    for target in targets {
        // WireGuard at the other end takes it for noise.
        if let Err(error) = socket.send_to(&marker(target), target.at).await {
            tracing::debug!(%error, "a marker in the clear could not be sent");
        }
    }
    let (mut control, since) = (BTreeMap::new(), Instant::now());
    while targets.iter().any(|t| !control.contains_key(&t.number)) && since.elapsed() < SEEN {
        tokio::time::sleep(READ).await;
        wire.count(&text, DIGITS, &mut control)?;
    }
    let number = |of: &BTreeMap<Vec<u8>, u64>, t: &Target| of.get(&t.number).copied().unwrap_or_default();
    let of = |t: &Target| Evidence {
        answered: answered.contains(&marker(t)),
        seen: number(&seen, t),
        control: number(&control, t),
    };
    Ok(targets.iter().map(of).collect())
}

fn tell(tunnel: &Tunnel, targets: &[Target], all: &[Evidence]) {
    let (now, mut peers) = (tunnel.context.now(), tunnel.peers());
    for (target, evidence) in targets.iter().zip(all) {
        let (state, why) = read(*evidence);
        let Some(peer) = peers.get_mut(&target.uri) else { continue };
        match state {
            yunting_crds::tunnel::TunnelState::Encrypted => peer.proved_at = Some(now.clone()),
            yunting_crds::tunnel::TunnelState::Clear => {
                tracing::error!(peer = target.uri, "what goes to another site is in the clear");
            }
            _ => (),
        }
        peer.last = Some((state, why, Instant::now()));
    }
}
