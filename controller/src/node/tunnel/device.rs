//! The TUN link and WireGuard on it. What a probe sends goes the same way as what pods send, but never comes to the link: it is
//! put in and taken out here.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};

use gotatun::device::{self, Peer};
use gotatun::packet::{Ip, Packet, PacketBufPool};
use gotatun::tun::{IpRecv, IpSend, MtuWatcher};
use gotatun::udp::socket::{UdpSocket, UdpSocketFactory};
use gotatun::udp::{UdpTransportFactory, UdpTransportFactoryParams};
use gotatun::x25519::{PublicKey, StaticSecret};
use tokio::sync::mpsc;
use tun_rs::{AsyncDevice, DeviceBuilder};
use yunting_plan::vdc::cidr::Network;
use zeroize::Zeroizing;

use super::LINK;
use crate::context::Context;

/// Largest packet of the link: what is left of 1500 bytes after IPv4, UDP and WireGuard, as everywhere.
const MTU: u16 = 1420;
/// Seconds between two signs of life: firewalls between sites forget a way after half a minute.
const KEEPALIVE: u16 = 10;
/// Probes that wait.
const WAITING: usize = 1024;
/// IPv4's number for experiments (RFC 3692): no pod's packet has it, because the boundary lets only TCP cross.
const EXPERIMENT: u8 = 253;
/// Bytes of an IPv4 header without options.
const HEADER: usize = 20;
/// What a probe asks for, and what answers it.
const ASK: u8 = 1;
const ANSWER: u8 = 2;

type Inner = device::Device<(Wire, Tun, TunReceiver)>;

/// The link.
pub(super) struct Device {
    inner: Inner,
    /// Its number in the kernel.
    pub(super) number: u32,
}

/// What others may do with it.
pub(super) struct Handle(Arc<Probes>);

/// Listens on one address only.
struct Wire(Ipv4Addr, UdpSocketFactory);

impl UdpTransportFactory for Wire {
    type Send = UdpSocket;
    type Recv = UdpSocket;

    async fn bind(&mut self, params: &UdpTransportFactoryParams) -> io::Result<(UdpSocket, UdpSocket)> {
        let params = UdpTransportFactoryParams { addr: Some(IpAddr::V4(self.0)), ..params.clone() };
        self.1.bind(&params).await
    }
}

/// Where what was opened goes.
struct Tun {
    device: Arc<AsyncDevice>,
    probes: Arc<Probes>,
}

impl IpSend for Tun {
    async fn send(&mut self, packet: Packet<Ip>) -> io::Result<()> {
        let packet = packet.into_bytes();
        if self.probes.took(&packet) {
            return Ok(());
        }
        self.device.send(&packet).await.map(drop)
    }
}

/// Where what is to be sealed comes from.
struct TunReceiver {
    device: Arc<AsyncDevice>,
    probes: mpsc::Receiver<Vec<u8>>,
}

impl IpRecv for TunReceiver {
    async fn recv<'a>(
        &'a mut self,
        pool: &mut PacketBufPool,
    ) -> io::Result<impl Iterator<Item = Packet<Ip>> + Send + 'a> {
        loop {
            let mut packet = pool.get();
            let length = tokio::select! {
                length = self.device.recv(&mut packet) => length?,
                Some(probe) = self.probes.recv() => {
                    let Some(room) = packet.get_mut(..probe.len()) else { continue };
                    room.copy_from_slice(&probe);
                    probe.len()
                }
            };
            packet.truncate(length);
            // What is no packet is let fall.
            if let Ok(packet) = packet.try_into_ip() {
                return Ok(std::iter::once(packet));
            }
        }
    }

    fn mtu(&self) -> MtuWatcher {
        MtuWatcher::new(MTU)
    }
}

/// Probes on their way.
struct Probes {
    /// What stands for this node.
    own: Ipv4Addr,
    out: mpsc::Sender<Vec<u8>>,
    /// Markers that came back.
    back: Mutex<BTreeSet<Vec<u8>>>,
}

impl Probes {
    /// Takes what is a probe and answers it; whether it was one. From whom it came WireGuard has seen.
    fn took(&self, packet: &[u8]) -> bool {
        let (Some(header), Some((kind, marker))) =
            (packet.first_chunk::<HEADER>(), packet.get(HEADER..).and_then(<[u8]>::split_first))
        else {
            return false;
        };
        if header[0] != 0x45 || header[9] != EXPERIMENT {
            return false;
        }
        let [.., source, target] = header.as_chunks::<4>().0 else { return false };
        let (from, to) = (Ipv4Addr::from(*source), Ipv4Addr::from(*target));
        match *kind {
            ASK if to == self.own => drop(self.out.try_send(probe(self.own, from, ANSWER, marker))),
            ANSWER if to == self.own => {
                self.back.lock().unwrap_or_else(PoisonError::into_inner).insert(marker.to_vec());
            }
            _ => (),
        }
        true
    }
}

impl Handle {
    /// Sends a marker to what stands for a peer.
    pub(super) fn ask(&self, to: Ipv4Addr, marker: &[u8]) {
        // Where too many wait it is as if this one were lost.
        drop(self.0.out.try_send(probe(self.0.own, to, ASK, marker)));
    }

    /// Takes what came back.
    pub(super) fn back(&self) -> BTreeSet<Vec<u8>> {
        std::mem::take(&mut *self.0.back.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An IPv4 packet. Its checksum is nobody's to look at: the seal proves more.
fn probe(from: Ipv4Addr, to: Ipv4Addr, kind: u8, marker: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER + 1 + marker.len()).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    let mut packet = vec![0x45, 0, high, low, 0, 0, 0, 0, 64, EXPERIMENT, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.push(kind);
    packet.extend(marker);
    packet
}

impl Device {
    /// Makes the link with a new key; the public one.
    pub(super) async fn open(
        listen: SocketAddrV4,
        own: Ipv4Addr,
        context: &Context,
    ) -> anyhow::Result<(Self, Handle, [u8; 32])> {
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(&Zeroizing::new(context.random(32)?));
        let private = StaticSecret::from(*seed);
        let public = PublicKey::from(&private).to_bytes();
        let tun = DeviceBuilder::new().name(LINK).mtu(MTU).build_async()?;
        let number = tun.if_index()?;
        let tun = Arc::new(tun);
        let (out, probes) = mpsc::channel(WAITING);
        let shared = Arc::new(Probes { own, out, back: Mutex::default() });
        let inner = device::build()
            .with_udp(Wire(*listen.ip(), UdpSocketFactory::default()))
            .with_ip_pair(
                Tun { device: tun.clone(), probes: shared.clone() },
                TunReceiver { device: tun, probes },
            )
            .with_private_key(private)
            .with_listen_port(listen.port())
            .build()
            .await?;
        // Without peers it would not listen yet.
        inner.clear_peers().await?;
        Ok((Self { inner, number }, Handle(shared), public))
    }

    /// A peer with this key, and nothing but these networks behind it.
    pub(super) async fn put(
        &self,
        key: [u8; 32],
        at: SocketAddrV4,
        networks: &BTreeSet<Network>,
    ) -> anyhow::Result<()> {
        let mut peer = Peer::new(PublicKey::from(key)).with_endpoint(at.into());
        peer.keepalive = Some(KEEPALIVE);
        for network in networks {
            peer.allowed_ips.push(ipnetwork::IpNetwork::new(network.base().into(), network.prefix())?);
        }
        Ok(self.inner.add_or_update_peer(peer).await?)
    }

    /// No peer has this key any more.
    pub(super) async fn remove(&self, key: [u8; 32]) -> anyhow::Result<()> {
        self.inner.remove_peer(&PublicKey::from(key)).await?;
        Ok(())
    }

    /// Waits until it works no more.
    pub(super) async fn ended(&mut self) {
        self.inner.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probes() -> (Probes, mpsc::Receiver<Vec<u8>>) {
        let (out, sent) = mpsc::channel(4);
        (Probes { own: Ipv4Addr::new(10, 11, 0, 0), out, back: Mutex::default() }, sent)
    }

    #[test]
    fn a_probe_is_answered_and_never_comes_to_the_link() {
        let (probes, mut sent) = probes();
        let other = Ipv4Addr::new(10, 12, 0, 0);
        assert!(probes.took(&probe(other, probes.own, ASK, b"marker")));
        assert_eq!(sent.try_recv().unwrap(), probe(probes.own, other, ANSWER, b"marker"));
        assert!(probes.took(&probe(other, probes.own, ANSWER, b"mine")));
        assert_eq!(probes.back.lock().unwrap().iter().next().unwrap(), b"mine");
        // Not for this node: taken all the same, and answered by nobody.
        assert!(probes.took(&probe(other, Ipv4Addr::new(10, 11, 0, 9), ASK, b"marker")));
        assert!(sent.try_recv().is_err());
    }

    #[test]
    fn what_pods_send_goes_on() {
        let (probes, _sent) = probes();
        let mut packet = probe(Ipv4Addr::LOCALHOST, probes.own, ASK, b"marker");
        packet[9] = 6;
        assert!(!probes.took(&packet));
        assert!(!probes.took(&[]));
        assert!(!probes.took(&[0x45; HEADER]));
    }
}
