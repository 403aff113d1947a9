//! The node's end of the tunnel to other sites: WireGuard in this process over a TUN link, with the nodes that halls' slices
//! name as peers.
//!
//! `device` is the link and the protocol, `exchange` how peers' public keys come, `keep` who is a peer now, `routes` what leads
//! into the link, `probe` and `wire` whether it is ciphertext that leaves the node, `report` what the site is told.
//!
//! Must never: write its private key down or say it to anybody, take a peer's key from an object, or send a packet of a pod
//! anywhere but through the tunnel. The boundary judges what goes in and comes out; here only whose it is.

mod device;
mod exchange;
mod keep;
mod probe;
mod report;
mod routes;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use yunting_crds::tunnel::TunnelState;
use yunting_plan::boundary::Link;
use yunting_plan::tunnel::{self as plan, Wanted};
use yunting_plan::vdc::cidr::Network;

use super::volume::replica::tls::{self, Machine};
use crate::context::Context;
pub(super) use report::{tell, withdraw};

/// Name of the link.
pub const LINK: &str = "yunting0";
/// Things heard of peers that wait.
const WAITING: usize = 256;

/// How a node takes part in the tunnel.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who this machine is to other nodes.
    pub machine: Machine,
    /// UDP for WireGuard, TCP for the exchange of keys.
    pub listen: SocketAddrV4,
    /// Where nodes of other sites reach it.
    pub address: SocketAddrV4,
    /// Networks of this node's pods; empty: what the Node says.
    pub pods: Vec<Network>,
    /// Who encrypts.
    pub wireguard: WireGuard,
}

/// Who encrypts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WireGuard {
    /// This process, over a TUN link: on every kernel.
    #[default]
    Userspace,
    /// The kernel. Not built yet.
    Kernel,
}

/// What one end is.
#[derive(Debug, Clone)]
pub struct Own {
    /// What its machine's certificate says of it.
    pub uri: String,
    /// Networks of its pods.
    pub pods: BTreeSet<Network>,
    /// Networks of all other sites' pods.
    pub abroad: BTreeSet<Network>,
    /// Public key of this process.
    pub key: [u8; 32],
}

/// The tunnel of this process.
pub struct Tunnel {
    own: Own,
    machine: Machine,
    listen: SocketAddrV4,
    context: Context,
    wanted: watch::Sender<BTreeMap<String, Wanted>>,
    peers: Mutex<BTreeMap<String, Peer>>,
    heard: mpsc::Sender<Heard>,
    device: device::Handle,
}

/// The parts that [`Tunnel::run`] needs.
pub struct Parts {
    device: device::Device,
    heard: mpsc::Receiver<Heard>,
    listener: TcpListener,
}

/// What is known of a peer.
#[derive(Debug, Clone, Default)]
struct Peer {
    /// Its key, once it said one that may be used.
    key: Option<[u8; 32]>,
    /// When it was last asked, and whether that goes on.
    asked: Option<Instant>,
    asking: bool,
    /// Why there is no tunnel.
    why: Option<String>,
    /// What the last probe showed.
    last: Option<(TunnelState, &'static str, Instant)>,
    proved_at: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
}

/// What came of an exchange with a peer.
struct Heard {
    uri: String,
    said: Result<Said, String>,
    /// We asked, and it answered or did not.
    answered: bool,
}

/// What a peer says of itself.
#[derive(Debug, Clone)]
struct Said {
    key: [u8; 32],
    networks: Vec<String>,
}

impl Tunnel {
    /// Makes the link, and a key that is nowhere but here; nothing is a peer yet.
    pub async fn open(
        options: &Options,
        pods: BTreeSet<Network>,
        abroad: BTreeSet<Network>,
        context: Context,
    ) -> anyhow::Result<(Arc<Self>, Parts)> {
        if options.wireguard == WireGuard::Kernel {
            bail!("WireGuard of the kernel is not built yet; start with --tunnel-wireguard userspace");
        }
        let Some(place) = pods.iter().next().map(Network::base) else {
            bail!("it is not known in which networks this node's pods are; name them with --tunnel-pods");
        };
        if let Some(both) = pods.iter().find(|p| abroad.iter().any(|a| a.contains(p) || p.contains(a))) {
            bail!("{both} is named as a network of this node's pods and, with --abroad, as another site's");
        }
        let uri = own_uri(&options.machine)?;
        let (device, handle, key) =
            device::Device::open(options.listen, place, &context).await.with_context(|| {
                format!("cannot make the tunnel's link {LINK} and listen on udp {}", options.listen)
            })?;
        let listener = TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("cannot listen on tcp {} for other nodes' keys", options.listen))?;
        let (sender, heard) = mpsc::channel(WAITING);
        let tunnel = Self {
            own: Own { uri, pods, abroad, key },
            machine: options.machine.clone(),
            listen: options.listen,
            context,
            wanted: watch::Sender::default(),
            peers: Mutex::default(),
            heard: sender,
            device: handle,
        };
        Ok((Arc::new(tunnel), Parts { device, heard, listener }))
    }

    /// Who is to be a peer. The same ones again change nothing.
    pub fn want(&self, wanted: BTreeMap<String, Wanted>) {
        self.wanted.send_if_modified(|now| {
            let changed = *now != wanted;
            *now = wanted;
            changed
        });
    }

    /// The same by what halls at this site say.
    pub fn want_of(&self, halls: &[yunting_plan::hall::ValidHallSlice]) {
        self.want(plan::wanted(&self.own.uri, &self.own.abroad, halls));
    }

    /// Works until it cannot.
    pub async fn run(self: Arc<Self>, parts: Parts) -> anyhow::Result<()> {
        let Parts { device, heard, listener } = parts;
        tokio::select! {
            ended = keep::keep(&self, device, heard) => ended,
            ended = exchange::serve(self.clone(), listener) => ended,
            () = probe::keep(&self) => Ok(()),
        }
    }

    /// How each peer stands.
    pub fn states(&self) -> Vec<yunting_crds::tunnel::TunnelPeer> {
        let (wanted, peers) = (self.wanted.borrow().clone(), self.peers());
        let of = |(uri, wanted): (&String, &Wanted)| {
            let peer = peers.get(uri).cloned().unwrap_or_default();
            let last = peer.last.map(|(state, why, at)| (state, why, at.elapsed()));
            plan::shown(wanted, &plan::Known { last, proved_at: peer.proved_at, why: peer.why })
        };
        wanted.iter().map(of).collect()
    }

    fn peers(&self) -> MutexGuard<'_, BTreeMap<String, Peer>> {
        // Nothing panics while it is held, so a poisoned lock still holds a whole map.
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What this machine's certificate says of it.
fn own_uri(machine: &Machine) -> anyhow::Result<String> {
    let chain = tls::certificates(&machine.certificate)?;
    let uri = chain.first().and_then(tls::uri);
    uri.with_context(|| format!("{} does not say which machine this is", machine.certificate.display()))
}

/// Whether a peer is asked for its key now: often until it has answered and the tunnel works, seldom afterwards.
fn due(peer: &Peer) -> bool {
    const SOON: Duration = Duration::from_secs(1);
    const LATER: Duration = Duration::from_mins(1);
    let works = peer.key.is_some() && !matches!(peer.last, Some((TunnelState::Down, ..)));
    let wait = if works { LATER } else { SOON };
    !peer.asking && peer.asked.is_none_or(|at| at.elapsed() >= wait)
}

/// The link as the boundary knows it.
pub fn link() -> Option<Link> {
    Link::new(LINK).ok()
}

/// An address that stands for a node in probes: the first of its pods' networks, which is no pod's.
fn place(networks: &BTreeSet<Network>) -> Option<Ipv4Addr> {
    networks.iter().next().map(Network::base)
}
