//! Changes of a volume sent to another disk as points are, and the same bytes copied there over plain TCP, in turns; and what an
//! idle volume's point costs.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
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

use super::disks::{Disk, VDC};
use crate::report::Ratio;

const VOLUME: &str = "pvc-home";
const REPLICA: &str = "pvc-abroad";
const NAME: &str = "of-the-bench";
/// The issue's bar: at least 0.6 of a copy's speed.
const BAR: f64 = 1.0 / 0.6;
const TOKEN: Token = Token { generation: 1, epoch: 1 };

/// Measures with so many bytes of changes a turn.
pub async fn measure(turns: usize, bytes: u64, say: &dyn Fn(&str)) -> anyhow::Result<Vec<Ratio>> {
    let room = bytes * 6 + (4 << 30);
    let (home, abroad) = (Disk::new(room)?, Disk::new(room)?);
    let size = bytes * 2 + (512 << 20);
    let open = home.volume(VOLUME, size).await?;
    let authority = Authority::new("machines")?;
    let at = serve(&abroad, &authority).await?;
    let sender = Sender::new(home.points()?, machine(&authority, home.files(), "near")?, None);
    let spec = asked(at);
    let order = Order { name: NAME, spec: &spec, size, sealed: "c2VhbGVk" };
    let target = abroad.plain("copies")?.join("copy");
    let mut state = Sending::default();
    let mut sequence = 0;
    let mut point = async |state: &mut Sending| -> anyhow::Result<(f64, u64)> {
        sequence += 1;
        let fresh = Point {
            token: TOKEN,
            sequence,
            uuid: String::new(),
            begun_at: Time(Timestamp::UNIX_EPOCH),
            closed: false,
        };
        let since = Instant::now();
        let uuid = home.points()?.make(&home.store.place(VOLUME), NAME, &fresh.name()).await?;
        let fresh = Point { uuid, ..fresh };
        let sent = sender.send(order, state, &fresh).await?;
        let took = since.elapsed().as_secs_f64();
        *state = Sending { sequence, confirmed: Some(fresh), pending: None };
        home.points()?.keep_sending(NAME, state).await?;
        Ok((took, sent))
    };
    point(&mut state).await.context("the first point")?;
    let (mut ratios, mut rates, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=turns {
        noise(&open.join("changes"), bytes)?;
        let (took, sent) = point(&mut state).await?;
        let copied = copy(&open.join("changes"), &target)?;
        ratios.push(took / copied);
        rates.push(as_f64(sent) / took / 1e6);
        idle.push(as_f64(point(&mut state).await?.1));
        say(&format!(
            "turn {turn} of {turns} of replication: {sent} bytes in {took:.1} s, a copy in {copied:.1} s"
        ));
    }
    Ok(vec![
        Ratio::new("replication of changes, time ÷ a copy over the same wire", ratios, BAR),
        Ratio::shown("replication of changes, MB/s", rates),
        Ratio::shown("a point of an idle volume, bytes", idle),
    ])
}

#[allow(clippy::cast_precision_loss)] // far below 2^52
fn as_f64(number: u64) -> f64 {
    number as f64
}

/// A machine that the authority knows.
fn machine(authority: &Authority, files: &Path, site: &str) -> anyhow::Result<Machine> {
    let directory = tempfile::tempdir_in(files)?.keep();
    let uri = format!("yunting://site/{site}/node/{site}-1");
    authority.issue(&Subject::peer("a-node").uri(&uri))?.write(&directory, "machine")?;
    std::fs::write(directory.join("ca.crt"), authority.cert())?;
    let file = |name: &str| directory.join(name);
    Ok(Machine { certificate: file("machine.crt"), key: file("machine.key"), authority: file("ca.crt") })
}

fn remote(site: &str, volume: &str) -> Remote {
    Remote { site: site.to_owned(), node: format!("{site}-1"), volume: volume.to_owned() }
}

/// The end that receives, over loopback.
async fn serve(abroad: &Disk, authority: &Authority) -> anyhow::Result<SocketAddr> {
    // Whoever is first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let spec = VolumeReplicaSpec {
        node: "abroad-1".to_owned(),
        vdc: VDC.to_owned(),
        from: remote("near", VOLUME),
        token: TOKEN,
        keep: 2,
        state: ReplicaState::Receiving,
    };
    let wanted = Box::new(move |name: &str| (name == REPLICA).then(|| spec.clone()));
    let receiver = Receiver::new(abroad.points()?, abroad.store.clone(), wanted, Box::new(|_| ()));
    let own = machine(authority, abroad.files(), "abroad")?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    tokio::spawn(service::serve_on(Arc::new(receiver), own, listener));
    Ok(at)
}

fn asked(at: SocketAddr) -> VolumeReplicationSpec {
    VolumeReplicationSpec {
        node: "near-1".to_owned(),
        vdc: VDC.to_owned(),
        volume: VOLUME.to_owned(),
        to: remote("abroad", REPLICA),
        address: at.to_string(),
        custody: String::new(),
        token: TOKEN,
        rpo_seconds: 10,
        mode: ReplicationMode::Continuous,
    }
}

/// Bytes that nothing shrinks, on the disk.
fn noise(file: &Path, bytes: u64) -> anyhow::Result<()> {
    let mut to = File::create(file)?;
    std::io::copy(&mut File::open("/dev/urandom")?.take(bytes), &mut to)?;
    to.sync_all()?;
    Ok(())
}

/// Seconds of a copy of a file over loopback, until it is on the other disk.
fn copy(from: &Path, to: &Path) -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    let to = to.to_owned();
    let since = Instant::now();
    let receiver = std::thread::spawn(move || -> anyhow::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut file = File::create(to)?;
        relay(&mut stream, &mut file)?;
        Ok(file.sync_all()?)
    });
    let mut stream = TcpStream::connect(at)?;
    relay(&mut File::open(from)?, &mut stream)?;
    drop(stream);
    receiver.join().map_err(|_| anyhow!("the copy ended early"))??;
    Ok(since.elapsed().as_secs_f64())
}

/// As programs copy: a buffer at a time.
fn relay(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            n => to.write_all(buffer.get(..n).unwrap_or_default())?,
        }
    }
}
