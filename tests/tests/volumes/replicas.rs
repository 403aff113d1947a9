//! Points of a volume on their way to another node: two disks, mutual TLS over loopback, `btrfs send` and `receive`; and
//! what becomes of them when the other end is somebody else, the wire is cut, a right is over or a stream is forged.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use yunting_controller::error::chain;
use yunting_controller::node::volume::error::Error;
use yunting_controller::node::volume::replica::disk::StreamOf;
use yunting_controller::node::volume::replica::receiver::{Answer, Offer};
use yunting_controller::node::volume::replica::sender::{Order, Sender};
use yunting_crds::VolumeReplicationSpec;
use yunting_crds::replication::Point;
use yunting_crds::volume_replica::ReplicaState;
use yunting_lab::pki::Authority;
use yunting_plan::replication::Sending;
use yunting_tests::node::process::eventually;

use super::pair::{
    NAME, Pair, REPLICA, SIZE, TEXT, VDC, VOLUME, asked, confirmed, machine, noise, remote, remove, serve,
    token, uri, write,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_has_what_was_synced_and_takes_only_what_is_new() {
    let pair = Pair::new().await;
    let (sender, open) = (pair.sender(), pair.opened_at_home());
    let big = noise(16 << 20);
    write(&open.join("big"), &big);
    let first = pair.point(1, 1).await;
    let whole = pair.send(&sender, pair.at, &Sending::default(), &first).await.unwrap();
    assert!(whole > 16 << 20, "{whole}");
    assert_eq!(pair.read(&first, "first").await, TEXT.as_bytes());
    assert_eq!(pair.read(&first, "big").await, big);
    // Sent again it is there already.
    assert_eq!(pair.send(&sender, pair.at, &Sending::default(), &first).await.unwrap(), 0);
    write(&open.join("second"), &noise(1 << 20));
    let expected = fs::read(open.join("second")).unwrap();
    let second = pair.point(1, 2).await;
    let some = pair.send(&sender, pair.at, &confirmed(&first), &second).await.unwrap();
    assert!(some > 1 << 20 && some < whole / 4, "{some} of {whole}");
    assert_eq!(pair.read(&second, "second").await, expected);
    // Idle: next to nothing.
    let third = pair.point(1, 3).await;
    let idle = pair.send(&sender, pair.at, &confirmed(&second), &third).await.unwrap();
    println!("whole {whole}, some {some}, idle {idle} bytes");
    assert!(idle < 1 << 20, "{idle}");
    assert_eq!(pair.points_abroad(), [2, 3], "so many are kept");
    // Points that somebody has removed, here or there, are sent whole.
    remove(&pair.abroad.points().received(REPLICA, &third));
    assert_eq!(pair.points_abroad(), [2]);
    let fourth = pair.point(1, 4).await;
    let again = pair.send(&sender, pair.at, &confirmed(&third), &fourth).await.unwrap();
    assert!(again > whole, "{again}");
    pair.home.points().keep_sending(NAME, &confirmed(&fourth)).await.unwrap();
    assert!(pair.home.points().sending(NAME).unwrap().confirmed.is_some());
    remove(&pair.home.points().point(NAME, &fourth));
    assert_eq!(pair.home.points().sending(NAME).unwrap().confirmed, None);
    assert_eq!(pair.read(&fourth, "second").await, expected);
    // Nothing in the clear on either disk, and the same look finds what is.
    assert_eq!((pair.home.found(TEXT), pair.abroad.found(TEXT)), (0, 0));
    fs::write(pair.abroad.store.place("clear"), TEXT).unwrap();
    assert!(pair.abroad.found(TEXT) > 0);
    pair.home.close(VOLUME).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_somebody_else_gets_and_gives_nothing() {
    let pair = Pair::new().await;
    let point = pair.point(1, 1).await;
    let (foreign, state) = (Authority::new("machines").unwrap(), Sending::default());
    let known = &pair.authority;
    let of = |signed: &Authority, trusted: &Authority, uri: &str| {
        Sender::new(pair.home.points(), machine(signed, trusted, pair.home.files(), uri), None)
    };
    // Another node, and a node of another site, of the same authority.
    for other in ["yunting://site/near/node/near-2", "yunting://site/other/node/near-1"] {
        let refused = pair.send(&of(known, known, other), pair.at, &state, &point).await.unwrap_err();
        assert!(chain(&refused).contains("has no replica"), "{other}: {}", chain(&refused));
    }
    // One whose certificate is somebody else's word.
    let refused = pair.send(&of(&foreign, known, &uri("near")), pair.at, &state, &point).await.unwrap_err();
    println!("{}", chain(&refused));
    assert!(matches!(refused, Error::Connect { .. } | Error::Remote(_)), "{}", chain(&refused));
    // The other end is not who it should be, or of another authority.
    let refused = pair.send(&of(known, &foreign, &uri("near")), pair.at, &state, &point).await.unwrap_err();
    assert!(matches!(refused, Error::Connect { .. }), "{}", chain(&refused));
    let spec = VolumeReplicationSpec { to: remote("elsewhere", REPLICA), ..asked(pair.at) };
    let order = Order { name: NAME, spec: &spec, size: SIZE, sealed: "c2VhbGVk" };
    let refused = pair.sender().send(order, &state, &point).await.unwrap_err();
    let words = chain(&refused);
    assert!(words.contains(&uri("abroad")) && words.contains("is wanted"), "{words}");
    // A volume or a VDC that the replica is not one of.
    let offer = |volume: &str, vdc: &str| Offer {
        replica: REPLICA.to_owned(),
        volume: volume.to_owned(),
        vdc: vdc.to_owned(),
        point: point.clone(),
        parents: Vec::new(),
        size: SIZE,
        sealed: String::new(),
    };
    for (volume, vdc) in [("pvc-other", VDC), (VOLUME, "bbbbbbbb-1111")] {
        let refused = pair.receiver.offer(&uri("near"), offer(volume, vdc)).await.unwrap_err();
        assert!(matches!(refused, Error::Invalid(_)), "{refused}");
    }
    assert!(pair.points_abroad().is_empty());
    pair.home.close(VOLUME).await;
}

/// Carries so many bytes to the other end, and then none.
async fn cutting(to: SocketAddr, after: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (after, far) = (after.clone(), TcpStream::connect(to).await.unwrap());
            tokio::spawn(async move {
                let (mut near_read, mut near_write) = near.into_split();
                let (mut far_read, mut far_write) = far.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut far_read, &mut near_write).await });
                let mut bytes = vec![0; 1 << 16];
                loop {
                    let read = near_read.read(&mut bytes).await.unwrap_or(0);
                    let left = after.load(Ordering::SeqCst);
                    if read == 0 || left < read as u64 {
                        return;
                    }
                    after.store(left - read as u64, Ordering::SeqCst);
                    if far_write.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    at
}

/// What was made of a stream that is cut goes, and only the stream stays.
fn cleared(pair: &Pair, before: &[String]) {
    let look = || (pair.abroad.subvolumes() == before).then_some(());
    tokio::task::block_in_place(|| eventually("half a point goes", look)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_goes_on_where_it_was() {
    let pair = Pair::new().await;
    let (sender, open) = (pair.sender(), pair.opened_at_home());
    let big = noise(24 << 20);
    write(&open.join("big"), &big);
    let (point, state) = (pair.point(1, 1).await, Sending::default());
    let left = Arc::new(AtomicU64::new(10 << 20));
    let wire = cutting(pair.at, left.clone()).await;
    let before = pair.abroad.subvolumes();
    let cut = pair.send(&sender, wire, &state, &point).await.unwrap_err();
    println!("{}", chain(&cut));
    assert!(pair.points_abroad().is_empty(), "half a point");
    cleared(&pair, &before);
    // Both ends anew: what has arrived is on the disk.
    let (_, at) = serve(&pair.abroad, &pair.authority, &pair.spec).await;
    let sent = pair.send(&pair.sender(), at, &state, &point).await.unwrap();
    assert!(sent > 12 << 20 && sent < 20 << 20, "{sent} bytes after 10 MiB had arrived of some 25");
    assert_eq!(pair.read(&point, "big").await, big);
    // What has arrived and is not how the stream begins is sent anew.
    write(&open.join("more"), &noise(4 << 20));
    let next = pair.point(1, 2).await;
    left.store(2 << 20, Ordering::SeqCst);
    let before = pair.abroad.subvolumes();
    pair.send(&sender, wire, &confirmed(&point), &next).await.unwrap_err();
    cleared(&pair, &before);
    let stream = pair.abroad.points().stream(REPLICA);
    let mut arrived = fs::read(&stream).unwrap();
    assert!(arrived.len() > 1 << 19, "{}", arrived.len());
    arrived[1000] ^= 1;
    fs::write(&stream, &arrived).unwrap();
    left.store(u64::MAX, Ordering::SeqCst);
    let sent = pair.send(&sender, wire, &confirmed(&point), &next).await.unwrap();
    assert!(sent > 4 << 20, "{sent}");
    let expected = fs::read(open.join("more")).unwrap();
    assert_eq!(pair.read(&next, "more").await, expected);
    pair.home.close(VOLUME).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_over_is_refused_at_the_beginning_and_at_the_end() {
    let pair = Pair::new().await;
    let sender = pair.sender();
    let first = pair.point(1, 1).await;
    pair.send(&sender, pair.at, &Sending::default(), &first).await.unwrap();
    // It ends while a stream is under way: what was agreed on is not taken.
    let second = pair.point(1, 2).await;
    let offer = Offer {
        replica: REPLICA.to_owned(),
        volume: VOLUME.to_owned(),
        vdc: VDC.to_owned(),
        point: second.clone(),
        parents: vec![first.uuid.clone()],
        size: SIZE,
        sealed: "c2VhbGVk".to_owned(),
    };
    let answer = pair.receiver.offer(&uri("near"), offer).await.unwrap();
    let Answer::Send { parent, arrived: 0, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(parent, first.uuid);
    let stream = stream_of(&pair, &second, Some(&first));
    let of = StreamOf { point: second.clone(), parent };
    let mut intake = pair.receiver.begin(&uri("near"), REPLICA, of, 0).await.unwrap();
    intake.take(&stream).await.unwrap();
    pair.spec.lock().unwrap().token = token(2);
    let refused = intake.end(stream.len() as u64, &sha256(&stream)).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{}", chain(&refused));
    assert_eq!(pair.points_abroad(), [1]);
    let refused = pair.send(&sender, pair.at, &confirmed(&first), &second).await.unwrap_err();
    assert!(chain(&refused).contains("right is over"), "{}", chain(&refused));
    // Who has the new right goes on from the same point, and the old one is over for good, whatever the object says.
    let third = pair.point(2, 3).await;
    pair.send(&sender, pair.at, &confirmed(&first), &third).await.unwrap();
    pair.spec.lock().unwrap().token = token(1);
    let fourth = pair.point(1, 4).await;
    let refused = pair.send(&sender, pair.at, &confirmed(&first), &fourth).await.unwrap_err();
    assert!(chain(&refused).contains("right is over"), "{}", chain(&refused));
    pair.spec.lock().unwrap().state = ReplicaState::Active;
    let fifth = pair.point(3, 5).await;
    let refused = pair.send(&sender, pair.at, &confirmed(&third), &fifth).await.unwrap_err();
    assert!(chain(&refused).contains("active"), "{}", chain(&refused));
    assert_eq!(pair.points_abroad(), [1, 3]);
    pair.home.close(VOLUME).await;
}

/// What `btrfs send` makes of a point.
fn stream_of(pair: &Pair, point: &Point, parent: Option<&Point>) -> Vec<u8> {
    let place = |p: &Point| pair.home.points().point(NAME, p);
    let mut command = std::process::Command::new("btrfs");
    command.args(["send", "-q", "--proto", "1"]);
    if let Some(parent) = parent {
        command.arg("-p").arg(place(parent));
    }
    let output = command.arg(place(point)).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_changed_or_forged_touches_nothing() {
    let pair = Pair::new().await;
    let point = pair.point(1, 1).await;
    let whole = stream_of(&pair, &point, None);
    let of = StreamOf { point: point.clone(), parent: String::new() };
    let offer = Offer {
        replica: REPLICA.to_owned(),
        volume: VOLUME.to_owned(),
        vdc: VDC.to_owned(),
        point: point.clone(),
        parents: Vec::new(),
        size: SIZE,
        sealed: "c2VhbGVk".to_owned(),
    };
    let outside = |name: &str| {
        let mut forged = whole.clone();
        for at in memchr::memmem::find_iter(&whole, "volume.json").collect::<Vec<_>>() {
            forged[at..at + name.len()].copy_from_slice(name.as_bytes());
        }
        forged
    };
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let before = pair.abroad.subvolumes();
    // A hash that is another; blocks that the kernel's own sums find; names outside.
    let tries = [
        (damaged.clone(), sha256(&whole)),
        (damaged.clone(), sha256(&damaged)),
        (outside("../evil.jso"), sha256(&outside("../evil.jso"))),
        (outside("/etc/passwd"), sha256(&outside("/etc/passwd"))),
        (whole[..middle].to_vec(), sha256(&whole[..middle])),
    ];
    for (bytes, digest) in tries {
        let answer = pair.receiver.offer(&uri("near"), offer.clone()).await.unwrap();
        assert!(matches!(answer, Answer::Send { arrived: 0, .. }), "{answer:?}");
        let mut intake = pair.receiver.begin(&uri("near"), REPLICA, of.clone(), 0).await.unwrap();
        let refused = match intake.take(&bytes).await {
            Ok(()) => intake.end(bytes.len() as u64, &digest).await.unwrap_err(),
            Err(error) => error,
        };
        println!("{}", chain(&refused));
        assert!(matches!(refused, Error::Damaged(_) | Error::Tool { .. }), "{}", chain(&refused));
        assert!(pair.points_abroad().is_empty());
        assert_eq!(pair.abroad.subvolumes(), before, "{}", chain(&refused));
    }
    // What was not agreed on is not taken at all.
    let other = StreamOf { parent: point.uuid.clone(), ..of.clone() };
    assert!(pair.receiver.begin(&uri("near"), REPLICA, other, 0).await.is_err());
    pair.send(&pair.sender(), pair.at, &Sending::default(), &point).await.unwrap();
    let after = pair.abroad.subvolumes();
    assert_eq!(after.len(), before.len() + 1, "one point and nothing else: {after:?}");
    pair.home.close(VOLUME).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_sent_in_a_second_than_is_allowed_and_no_replica_is_taken_without_room() {
    let pair = Pair::new().await;
    write(&pair.opened_at_home().join("big"), &noise(8 << 20));
    let point = pair.point(1, 1).await;
    let own = machine(&pair.authority, &pair.authority, pair.home.files(), &uri("near"));
    let slow = Sender::new(pair.home.points(), own, std::num::NonZeroU32::new(4 << 20));
    let since = Instant::now();
    let sent = pair.send(&slow, pair.at, &Sending::default(), &point).await.unwrap();
    let least = Duration::from_millis(sent * 800 / (4 << 20));
    println!("{sent} bytes in {:?}", since.elapsed());
    assert!(since.elapsed() >= least, "{sent} bytes in {:?}, not less than {least:?}", since.elapsed());
    let spec = asked(pair.at);
    let next = pair.point(1, 2).await;
    let order = Order { name: NAME, spec: &spec, size: 1 << 40, sealed: "c2VhbGVk" };
    // What a replica may come to hold is promised to nobody else.
    let room = pair.abroad.store.room().unwrap();
    assert_eq!(room.snapshots, 2 * SIZE);
    let refused = pair.sender().send(order, &confirmed(&point), &next).await.unwrap_err();
    assert!(chain(&refused).contains("needs room"), "{}", chain(&refused));
    assert_eq!(pair.points_abroad(), [1]);
    pair.home.close(VOLUME).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_or_is_another_volumes_mixes_nothing() {
    let pair = Pair::new().await;
    let point = pair.point(1, 1).await;
    pair.send(&pair.sender(), pair.at, &Sending::default(), &point).await.unwrap();
    let offer = |volume: &str| Offer {
        replica: REPLICA.to_owned(),
        volume: volume.to_owned(),
        vdc: VDC.to_owned(),
        point: point.clone(),
        parents: Vec::new(),
        size: SIZE,
        sealed: String::new(),
    };
    // The replica was made anew, of another volume.
    pair.spec.lock().unwrap().from = remote("near", "pvc-other");
    let refused = pair.receiver.offer(&uri("near"), offer("pvc-other")).await.unwrap_err();
    assert!(matches!(refused, Error::NotNow(_)), "{refused}");
    pair.abroad.points().forget_replica(REPLICA).await.unwrap();
    let answer = pair.receiver.offer(&uri("near"), offer("pvc-other")).await.unwrap();
    assert!(matches!(answer, Answer::Send { arrived: 0, .. }), "{answer:?}");
    // A volume has its name.
    pair.abroad.make(REPLICA, SIZE).await;
    let refused = pair.receiver.offer(&uri("near"), offer("pvc-other")).await.unwrap_err();
    assert!(matches!(refused, Error::Other(_)), "{refused}");
    pair.home.close(VOLUME).await;
}
