//! What probes of real volumes on a real disk show: that of ours they find nothing but ciphertext, that they would find clear
//! text, and that they neither keep a volume open nor make one full.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use yunting_controller::context::Context;
use yunting_controller::metrics::Metrics;
use yunting_controller::node::volume::cipher;
use yunting_controller::node::volume::header::Header;
use yunting_controller::node::volume::locks::Locks;
use yunting_controller::node::volume::probe::{Texts, look};
use yunting_controller::node::volume::prober::Prober;
use yunting_crds::node_report::{VdcVolumes, VolumesState};
use yunting_plan::vdc::encryption::Outcome;

use super::disk::Disk;

const SIZE: u64 = 32 << 20;

fn context() -> Context {
    // Whoever is first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Context::new(Arc::new(Metrics::new().unwrap()))
}

/// Probes a volume that is open.
fn probe(disk: &Disk, volume: &str) -> Outcome {
    let texts = Texts::fresh(&context()).unwrap();
    look(&disk.store.place(volume), &disk.at(volume), &texts, &|| false).unwrap()
}

fn prober(disk: &Disk) -> (Prober, Arc<Locks>, Context) {
    let (locks, context) = (Arc::<Locks>::default(), context());
    let open = disk.at("any").parent().unwrap().to_owned();
    (Prober::new(disk.store.clone(), open, locks.clone(), context.clone()), locks, context)
}

fn one(said: &[VdcVolumes]) -> (VolumesState, u32, u32, Vec<&str>) {
    let [of] = said else { panic!("{said:?}") };
    (of.state, of.open, of.encrypted, of.findings.iter().map(|f| f.volume.as_str()).collect())
}

/// As the driver closes what was probed: other tests start programs at the same time.
async fn close(disk: &Disk, volume: &str) {
    cipher::close_probed(&disk.at(volume)).await.unwrap();
}

/// Opens a volume as nobody does: what pods would see is a plain directory.
async fn open_plain(disk: &Disk, volume: &str) {
    disk.make(volume, SIZE).await;
    let at = disk.at(volume);
    fs::create_dir_all(&at).unwrap();
    let image = disk.store.place(volume).join("image");
    let mounted = Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at).status().unwrap();
    assert!(mounted.success());
    fs::create_dir(cipher::data(&at)).unwrap();
}

/// Fills a volume; what fits in no more.
fn fill(directory: &Path) {
    let mut file = File::create(directory.join("filler")).unwrap();
    let block = vec![0x5a; 64 << 10];
    while file.write_all(&block).and_then(|()| file.sync_data()).is_ok() {}
}

#[tokio::test]
async fn of_an_open_volume_ciphertext_is_found() {
    let disk = Disk::new(400 << 20);
    disk.make("one", SIZE).await;
    let data = disk.open("one", 1).await.unwrap();
    let free = |at: &Path| rustix::fs::statvfs(at).unwrap().f_bavail;
    let before = free(&data);
    let begun = std::time::Instant::now();
    for _ in 0..10 {
        assert_eq!(probe(&disk, "one"), Outcome::Encrypted);
    }
    println!("a probe takes {:?}", begun.elapsed() / 10);
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
    close(&disk, "one").await;
    assert!(disk.mounts().is_empty() && disk.devices().is_empty());
    // Nothing of it is left.
    let data = disk.open("one", 1).await.unwrap();
    assert_eq!(free(&data), before);
    close(&disk, "one").await;
}

#[tokio::test]
async fn clear_text_in_a_volume_is_found() {
    let disk = Disk::new(400 << 20);
    open_plain(&disk, "plain").await;
    let outcome = probe(&disk, "plain");
    assert!(matches!(outcome, Outcome::Plain(_)), "{outcome:?}");
    disk.make("good", SIZE).await;
    disk.open("good", 1).await.unwrap();
    let (mut prober, _, context) = prober(&disk);
    let said = prober.turn().await.unwrap();
    assert_eq!(one(&said), (VolumesState::Plain, 2, 1, vec!["plain"]));
    assert_eq!(context.metrics.plain_volumes.get(), 1);
    close(&disk, "plain").await;
    let said = prober.turn().await.unwrap();
    assert_eq!(one(&said), (VolumesState::Encrypted, 1, 1, vec![]));
    assert!(said[0].oldest_proof.is_some());
    assert_eq!(context.metrics.plain_volumes.get(), 0);
    close(&disk, "good").await;
    assert!(prober.turn().await.unwrap().is_empty());
}

/// Time goes, and what was written into the volume is in its image. Only the clock of whoever waits is moved.
async fn later(data: &Path, minutes: u64) {
    rustix::fs::syncfs(File::open(data).unwrap()).unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(minutes)).await;
    tokio::time::resume();
}

/// What nobody writes into is not written into by probes again and again: its points stay empty. What somebody writes into is
/// probed as before.
#[tokio::test]
async fn a_volume_that_nobody_writes_into_is_left_alone() {
    let disk = Disk::new(400 << 20);
    disk.make("one", SIZE).await;
    let data = disk.open("one", 1).await.unwrap();
    let (mut prober, ..) = prober(&disk);
    let image = disk.store.place("one").join("image");
    let changed = || fs::metadata(&image).unwrap().modified().unwrap();
    let mut proofs = Vec::new();
    let mut turn = async || {
        let before = changed();
        let said = prober.turn().await.unwrap();
        assert_eq!(one(&said), (VolumesState::Encrypted, 1, 1, vec![]));
        proofs.push(said[0].oldest_proof.clone().unwrap());
        changed() != before
    };
    assert!(turn().await, "the first probe writes nothing");
    later(&data, 1).await;
    assert!(!turn().await, "it was noted when the probe had settled");
    for _ in 0..3 {
        later(&data, 5).await;
        assert!(!turn().await, "a volume that nobody writes into was written into");
    }
    fs::write(data.join("file"), "a pod's").unwrap();
    later(&data, 5).await;
    assert!(turn().await, "a pod wrote and nobody looked");
    later(&data, 1).await;
    assert!(!turn().await);
    later(&data, 25 * 60).await;
    assert!(turn().await, "nobody looked for a day");
    assert!(proofs.is_sorted(), "{proofs:?}");
    close(&disk, "one").await;
}

/// What the mount shows is another image than the one that is looked at.
#[tokio::test]
async fn a_place_that_is_not_the_images_proves_nothing() {
    let disk = Disk::new(400 << 20);
    disk.make("one", SIZE).await;
    disk.make("two", SIZE).await;
    disk.open("one", 1).await.unwrap();
    let texts = Texts::fresh(&context()).unwrap();
    let outcome = look(&disk.store.place("two"), &disk.at("one"), &texts, &|| false).unwrap();
    assert!(matches!(outcome, Outcome::Unproved(_)), "{outcome:?}");
    close(&disk, "one").await;
}

#[tokio::test]
async fn a_full_volume_is_unproved_and_stays_as_it_is() {
    let disk = Disk::new(400 << 20);
    disk.make("full", SIZE).await;
    let data = disk.open("full", 1).await.unwrap();
    fill(&data);
    let outcome = probe(&disk, "full");
    assert!(matches!(&outcome, Outcome::Unproved(why) if why.contains("full")), "{outcome:?}");
    let (mut prober, ..) = prober(&disk);
    assert_eq!(one(&prober.turn().await.unwrap()), (VolumesState::Unproved, 1, 0, vec!["full"]));
    // With room again it is probed as any other.
    fs::remove_file(data.join("filler")).unwrap();
    File::open(&data).unwrap().sync_all().unwrap();
    assert_eq!(probe(&disk, "full"), Outcome::Encrypted);
    close(&disk, "full").await;
}

#[tokio::test]
async fn a_full_disk_and_a_volume_that_is_read_only_are_unproved() {
    let disk = Disk::new(400 << 20);
    disk.make("one", SIZE).await;
    disk.open("one", 1).await.unwrap();
    let filler = disk.store.place("filler");
    assert!(disk.fill(&filler), "there was room");
    let outcome = probe(&disk, "one");
    assert!(matches!(&outcome, Outcome::Unproved(why) if why.contains("disk")), "{outcome:?}");
    fs::remove_file(&filler).unwrap();
    disk.sync();
    let read_only = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.at("one")).status().unwrap();
    assert!(read_only.success());
    let outcome = probe(&disk, "one");
    assert!(matches!(&outcome, Outcome::Unproved(why) if why.contains("read-only")), "{outcome:?}");
    close(&disk, "one").await;
}

/// At whatever step somebody comes who wants the volume: the probe leaves, and the volume closes.
#[tokio::test]
async fn a_volume_that_is_wanted_meanwhile_closes() {
    let disk = Disk::new(400 << 20);
    disk.make("one", SIZE).await;
    for steps in 0..4 {
        disk.open("one", 1).await.unwrap();
        let texts = Texts::fresh(&context()).unwrap();
        let asked = Cell::new(0);
        let leave = || {
            asked.set(asked.get() + 1);
            asked.get() > steps
        };
        let outcome = look(&disk.store.place("one"), &disk.at("one"), &texts, &leave);
        assert_eq!(outcome.is_none(), steps < 3, "after {steps} steps: {outcome:?}");
        close(&disk, "one").await;
        assert!(disk.mounts().is_empty() && disk.devices().is_empty());
    }
}

/// What somebody has open until a moment later.
#[tokio::test]
async fn a_volume_closes_as_soon_as_nobody_has_it_open() {
    let disk = Disk::new(400 << 20);
    disk.make("one", SIZE).await;
    let data = disk.open("one", 1).await.unwrap();
    let held = File::open(&data).unwrap();
    let busy = cipher::close(&disk.at("one")).unwrap_err();
    assert!(busy.is_busy(), "{busy}");
    let at = disk.at("one");
    let mut closing = std::pin::pin!(cipher::close_probed(&at));
    assert!(futures::poll!(&mut closing).is_pending());
    drop(held);
    closing.await.unwrap();
    assert!(disk.mounts().is_empty() && disk.devices().is_empty());
}

/// Who has the volume's lock is not waited for, and who waits for it has it while the prober goes round.
#[tokio::test(flavor = "multi_thread")]
async fn steps_of_a_volume_and_its_probes_stay_out_of_each_others_way() {
    let disk = Disk::new(400 << 20);
    disk.make("one", SIZE).await;
    disk.open("one", 1).await.unwrap();
    let (mut prober, locks, _) = prober(&disk);
    let held = locks.take("one").await;
    assert_eq!(one(&prober.turn().await.unwrap()), (VolumesState::Unproved, 1, 0, vec!["one"]));
    drop(held);
    let (done, mut ended) = tokio::sync::oneshot::channel();
    let going = tokio::spawn(async move {
        while ended.try_recv().is_err() {
            prober.turn().await.unwrap();
            tokio::task::yield_now().await;
        }
        prober
    });
    for _ in 0..20 {
        let turn = locks.take("one").await;
        close(&disk, "one").await;
        disk.open("one", 1).await.unwrap();
        drop(turn);
    }
    done.send(()).unwrap();
    let mut prober = going.await.unwrap();
    assert_eq!(one(&prober.turn().await.unwrap()), (VolumesState::Encrypted, 1, 1, vec![]));
    close(&disk, "one").await;
}

/// A snapshot that is made while a probe has its files opens as any other, and nothing of the probe is in it.
#[tokio::test]
async fn a_snapshot_in_the_middle_of_a_probe_opens() {
    let disk = Disk::new(400 << 20);
    let header = disk.make("one", SIZE).await;
    disk.open("one", 1).await.unwrap();
    let texts = Texts::fresh(&context()).unwrap();
    let place = disk.store.place("copy");
    let asked = Cell::new(0);
    let snapshot = || {
        asked.set(asked.get() + 1);
        if asked.get() == 3 {
            let mut made = Command::new("btrfs");
            made.args(["-q", "subvolume", "snapshot"]).arg(disk.store.place("one")).arg(&place);
            assert!(made.status().unwrap().success());
        }
        false
    };
    let outcome = look(&disk.store.place("one"), &disk.at("one"), &texts, &snapshot);
    assert_eq!(outcome, Some(Outcome::Encrypted));
    close(&disk, "one").await;
    Header { volume: "copy".to_owned(), ..header }.write(&place).unwrap();
    let data = disk.open("copy", 1).await.unwrap();
    assert_eq!(fs::read_dir(data).unwrap().count(), 0);
    assert_eq!(probe(&disk, "copy"), Outcome::Encrypted);
    close(&disk, "copy").await;
}
