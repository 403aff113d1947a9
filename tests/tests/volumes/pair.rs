//! Two sites with one node each, a disk each, and a volume at one of them that is sent to the other.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use tokio::net::TcpListener;
use yunting_controller::node::volume::cipher;
use yunting_controller::node::volume::error::Error;
use yunting_controller::node::volume::replica::receiver::Receiver;
use yunting_controller::node::volume::replica::sender::{Order, Sender};
use yunting_controller::node::volume::replica::service;
use yunting_controller::node::volume::replica::tls::Machine;
use yunting_crds::replication::{Point, Remote, Token};
use yunting_crds::volume_replica::ReplicaState;
use yunting_crds::volume_replication::ReplicationMode;
use yunting_crds::{VolumeReplicaSpec, VolumeReplicationSpec};
use yunting_lab::pki::{Authority, Subject};
use yunting_plan::replication::Sending;

use super::disk::Disk;

pub const VDC: &str = "aaaaaaaa-1111";
pub const VOLUME: &str = "pvc-at-home";
pub const REPLICA: &str = "pvc-abroad";
pub const NAME: &str = "of-the-test";
pub const TEXT: &str = "Yunting-Marker-of-a-replica";
pub const SIZE: u64 = 64 << 20;

pub fn uri(node: &str) -> String {
    format!("yunting://site/{node}/node/{node}-1")
}

pub fn remote(site: &str, volume: &str) -> Remote {
    Remote { site: site.to_owned(), node: format!("{site}-1"), volume: volume.to_owned() }
}

/// A machine that the authority knows by this URI.
pub fn machine(authority: &Authority, trusted: &Authority, files: &Path, uri: &str) -> Machine {
    let directory = tempfile::tempdir_in(files).unwrap().keep();
    authority.issue(&Subject::peer("a-node").uri(uri)).unwrap().write(&directory, "machine").unwrap();
    fs::write(directory.join("ca.crt"), trusted.cert()).unwrap();
    let file = |name: &str| directory.join(name);
    Machine { certificate: file("machine.crt"), key: file("machine.key"), authority: file("ca.crt") }
}

/// Two sites with one node each.
pub struct Pair {
    pub home: Disk,
    pub abroad: Disk,
    pub authority: Authority,
    pub receiver: Arc<Receiver>,
    pub spec: Arc<Mutex<VolumeReplicaSpec>>,
    pub at: SocketAddr,
}

impl Pair {
    /// With a volume at home that is open, in which a text is synced.
    pub async fn new() -> Self {
        // Whoever is first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (home, abroad) = (Disk::new(600 << 20), Disk::new(600 << 20));
        home.make(VOLUME, SIZE).await;
        let at = home.open(VOLUME, 1).await.unwrap();
        write(&at.join("first"), TEXT.as_bytes());
        let authority = Authority::new("machines").unwrap();
        let spec = VolumeReplicaSpec {
            node: "abroad-1".to_owned(),
            vdc: VDC.to_owned(),
            from: remote("near", VOLUME),
            token: token(1),
            keep: 2,
            state: ReplicaState::Receiving,
        };
        let spec = Arc::new(Mutex::new(spec));
        let (receiver, at) = serve(&abroad, &authority, &spec).await;
        Self { home, abroad, authority, receiver, spec, at }
    }

    pub fn sender(&self) -> Sender {
        let own = machine(&self.authority, &self.authority, self.home.files(), &uri("near"));
        Sender::new(self.home.points(), own, None)
    }

    pub fn opened_at_home(&self) -> std::path::PathBuf {
        cipher::data(&self.home.at(VOLUME))
    }

    /// Makes a point of the volume as it is now.
    pub async fn point(&self, epoch: u64, sequence: u64) -> Point {
        let begun_at = Time(Timestamp::UNIX_EPOCH);
        let point = Point { token: token(epoch), sequence, uuid: String::new(), begun_at, closed: false };
        let place = self.home.store.place(VOLUME);
        let uuid = self.home.points().make(&place, NAME, &point.name()).await.unwrap();
        Point { uuid, ..point }
    }

    pub async fn send(
        &self,
        sender: &Sender,
        at: SocketAddr,
        state: &Sending,
        point: &Point,
    ) -> Result<u64, Error> {
        let spec = asked(at);
        let order = Order { name: NAME, spec: &spec, size: SIZE, sealed: "c2VhbGVk" };
        sender.send(order, state, point).await
    }

    /// Opens the newest point as a volume, and reads a file of it.
    pub async fn read(&self, point: &Point, file: &str) -> Vec<u8> {
        let at = self.opened(point).await;
        let bytes = fs::read(at.join(file)).unwrap();
        self.abroad.close("tried").await;
        bytes
    }

    pub async fn opened(&self, point: &Point) -> std::path::PathBuf {
        let from = self.abroad.points().received(REPLICA, point);
        self.abroad.store.remove("tried").await.unwrap();
        let fresh = self.abroad.store.begin_from("tried", &from).await.unwrap();
        let header = yunting_controller::node::volume::header::Header::read(&fresh.place).unwrap();
        self.abroad.store.finish(fresh, &header).await.unwrap();
        self.abroad.open("tried", 1).await.unwrap()
    }

    pub fn points_abroad(&self) -> Vec<u64> {
        let known = self.abroad.points().replica(REPLICA).unwrap();
        known.map(|r| r.received.points.iter().map(|p| p.sequence).collect()).unwrap_or_default()
    }
}

/// The node of the replica, as a process that was just started.
pub async fn serve(
    abroad: &Disk,
    authority: &Authority,
    spec: &Arc<Mutex<VolumeReplicaSpec>>,
) -> (Arc<Receiver>, SocketAddr) {
    let of = spec.clone();
    let wanted = Box::new(move |name: &str| {
        (name == REPLICA).then(|| of.lock().unwrap_or_else(PoisonError::into_inner).clone())
    });
    let receiver = Receiver::new(abroad.points(), abroad.store.clone(), wanted, Box::new(|_| ()));
    let receiver = Arc::new(receiver);
    let own = machine(authority, authority, abroad.files(), &uri("abroad"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(service::serve_on(receiver.clone(), own, listener));
    (receiver, at)
}

pub fn asked(at: SocketAddr) -> VolumeReplicationSpec {
    VolumeReplicationSpec {
        node: "near-1".to_owned(),
        vdc: VDC.to_owned(),
        volume: VOLUME.to_owned(),
        to: remote("abroad", REPLICA),
        address: at.to_string(),
        custody: String::new(),
        token: token(1),
        rpo_seconds: 10,
        mode: ReplicationMode::Continuous,
    }
}

pub fn token(epoch: u64) -> Token {
    Token { generation: 1, epoch }
}

pub fn write(file: &Path, bytes: &[u8]) {
    fs::write(file, bytes).unwrap();
    fs::File::open(file).unwrap().sync_all().unwrap();
}

pub fn remove(point: &Path) {
    let done = std::process::Command::new("btrfs").args(["-q", "subvolume", "delete"]).arg(point).status();
    assert!(done.unwrap().success());
}

pub fn noise(bytes: usize) -> Vec<u8> {
    let mut all = vec![0; bytes];
    let mut file = fs::File::open("/dev/urandom").unwrap();
    std::io::Read::read_exact(&mut file, &mut all).unwrap();
    all
}

pub fn confirmed(point: &Point) -> Sending {
    Sending { sequence: point.sequence, confirmed: Some(point.clone()), pending: None }
}
