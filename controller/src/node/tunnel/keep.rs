//! Who is a peer now: those that slices name, as soon as they have said who they are; and routes into the link.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use yunting_plan::tunnel::{self as plan, Wanted};

use super::device::Device;
use super::{Heard, Peer, Tunnel, due, exchange, routes};

/// How often it is looked whether a peer is to be asked.
const LOOK: Duration = Duration::from_millis(500);
/// How often routes are put back, in looks: somebody else may have changed them.
const ROUTES: u32 = 4;

/// Keeps it so until the device works no more.
pub(super) async fn keep(
    tunnel: &Arc<Tunnel>,
    mut device: Device,
    mut heard: mpsc::Receiver<Heard>,
) -> anyhow::Result<()> {
    let mut wanted = tunnel.wanted.subscribe();
    // What was wanted before counts, too.
    wanted.mark_changed();
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = 0_u32;
    loop {
        tokio::select! {
            changed = wanted.changed() => {
                changed?;
                sort_out(tunnel, &device).await?;
            }
            Some(heard) = heard.recv() => take(tunnel, &device, heard).await?,
            () = device.ended() => bail!("the tunnel's link is gone, or its socket; see the lines before"),
            _ = tick.tick() => {
                if turn.is_multiple_of(ROUTES) {
                    lead(tunnel, &device);
                }
                turn = turn.wrapping_add(1);
                ask(tunnel);
            }
        }
    }
}

fn lead(tunnel: &Tunnel, device: &Device) {
    for network in &tunnel.own.abroad {
        if let Err(error) = routes::put(device.number, *network) {
            tracing::warn!(%network, %error, "a network of another site does not lead into the tunnel");
        }
    }
}

/// Who is no peer any more loses its key; one whose networks or place changed has to say again who it is.
async fn sort_out(tunnel: &Tunnel, device: &Device) -> anyhow::Result<()> {
    let wanted = tunnel.wanted.borrow().clone();
    let gone: Vec<[u8; 32]> = {
        let mut peers = tunnel.peers();
        let gone = peers.iter().filter(|(uri, _)| !wanted.contains_key(*uri)).filter_map(|(_, p)| p.key);
        let gone = gone.collect();
        peers.retain(|uri, _| wanted.contains_key(uri));
        for uri in wanted.keys() {
            // Asked anew at once.
            peers.entry(uri.clone()).or_default().asked = None;
        }
        gone
    };
    for key in gone {
        device.remove(key).await?;
    }
    Ok(())
}

/// Asks those that are due.
fn ask(tunnel: &Arc<Tunnel>) {
    let wanted = tunnel.wanted.borrow().clone();
    let now: Vec<(String, Wanted)> = {
        let mut peers = tunnel.peers();
        let due = wanted.into_iter().filter(|(uri, _)| peers.get(uri).is_some_and(due)).collect::<Vec<_>>();
        for (uri, _) in &due {
            if let Some(peer) = peers.get_mut(uri) {
                (peer.asking, peer.asked) = (true, Some(Instant::now()));
            }
        }
        due
    };
    for (uri, wanted) in now {
        let tunnel = tunnel.clone();
        tokio::spawn(async move { exchange::ask(&tunnel, uri, wanted).await });
    }
}

/// Takes what was heard of a peer.
async fn take(tunnel: &Tunnel, device: &Device, heard: Heard) -> anyhow::Result<()> {
    let Heard { uri, said, answered } = heard;
    let wanted = tunnel.wanted.borrow().get(&uri).cloned();
    // It is no peer any more.
    let Some(wanted) = wanted else { return Ok(()) };
    let before = {
        let mut peers = tunnel.peers();
        let peer = peers.entry(uri.clone()).or_default();
        peer.asking &= !answered;
        peer.key
    };
    let said = said.and_then(|said| {
        let networks = plan::agreed(&wanted, &said.networks)?;
        if said.key == tunnel.own.key || tunnel.has(&uri, said.key) {
            return Err("it says a key that is another node's".to_owned());
        }
        Ok((said.key, networks))
    });
    match said {
        Ok((key, networks)) => {
            if let Some(old) = before.filter(|old| *old != key) {
                device.remove(old).await?;
            }
            device.put(key, wanted.end.address, &networks).await?;
            if before != Some(key) {
                tracing::info!(peer = uri, "the key of a node of another site was exchanged");
            }
            tunnel.note(&uri, |peer| (peer.key, peer.why) = (Some(key), None));
        }
        Err(why) => {
            // Not reached now: what was agreed before holds, as far as it works.
            tracing::warn!(peer = uri, why, "there is no new word from a node of another site");
            tunnel.note(&uri, |peer| peer.why = Some(why));
        }
    }
    Ok(())
}

impl Tunnel {
    /// Whether another peer has this key.
    fn has(&self, uri: &str, key: [u8; 32]) -> bool {
        self.peers().iter().any(|(other, peer)| other != uri && peer.key == Some(key))
    }

    fn note(&self, uri: &str, note: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.peers().get_mut(uri) {
            note(peer);
        }
    }
}
