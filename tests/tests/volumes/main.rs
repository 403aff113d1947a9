//! Volumes on a real disk: what the node's driver does with subvolumes, keys and mounts, and what becomes of them when
//! something is missing, wrong, full or was left in the middle. Each test has a disk of its own.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod asks;
mod crashes;
mod custody;
mod disk;
mod pair;
mod probes;
mod replicas;
mod sanity;
mod served;
mod vault;

use std::fs;
use std::process::Command;

use yunting_controller::node::volume::error::Error;
use yunting_controller::node::volume::header::Header;
use yunting_controller::node::volume::{cipher, store};

use disk::Disk;

/// What is written, and looked for.
const TEXT: &str = "Yunting-Marker-of-a-volume";

#[tokio::test]
async fn a_volume_opens_with_its_key_alone_and_shows_nothing_without() {
    let disk = Disk::new(400 << 20);
    disk.make("one", 64 << 20).await;
    let at = disk.open("one", 1).await.unwrap();
    fs::write(at.join(TEXT), TEXT).unwrap();
    disk.close("one").await;
    assert!(!disk.at("one").exists(), "an empty directory is left");
    // Nothing of it in the clear: neither the name nor the content.
    let image = fs::read(disk.store.place("one").join("image")).unwrap();
    let found = image.windows(TEXT.len()).filter(|w| *w == TEXT.as_bytes()).count();
    assert_eq!(found, 0);
    let wrong = disk.open("one", 2).await.unwrap_err();
    assert!(matches!(wrong, Error::WrongKey(_)), "{wrong}");
    assert!(disk.mounts().is_empty() && disk.devices().is_empty(), "{:?}", disk.mounts());
    let at = disk.open("one", 1).await.unwrap();
    assert_eq!(fs::read_to_string(at.join(TEXT)).unwrap(), TEXT);
    // Opened twice is opened once.
    disk.open("one", 1).await.unwrap();
    assert_eq!(disk.mounts().len(), 1, "{:?}", disk.mounts());
    disk.close("one").await;
    disk.close("one").await;
    assert!(disk.mounts().is_empty() && disk.devices().is_empty());
}

#[tokio::test]
async fn a_text_in_the_clear_would_be_found() {
    let disk = Disk::new(200 << 20);
    let file = disk.store.place("clear");
    fs::write(&file, format!("some {TEXT} text")).unwrap();
    let image = fs::read(&file).unwrap();
    assert_eq!(image.windows(TEXT.len()).filter(|w| *w == TEXT.as_bytes()).count(), 1);
}

#[tokio::test]
async fn a_volume_that_was_given_more_room_has_it_when_it_is_opened() {
    let disk = Disk::new(400 << 20);
    let header = disk.make("grows", 32 << 20).await;
    let size = |at: &std::path::Path| {
        let seen = rustix::fs::statvfs(at).unwrap();
        seen.f_blocks * seen.f_frsize
    };
    let at = disk.open("grows", 1).await.unwrap();
    fs::write(at.join("kept"), TEXT).unwrap();
    let before = size(&at);
    let place = disk.store.place("grows");
    Header { size: 96 << 20, ..header }.write(&place).unwrap();
    cipher::grow_image(&place, 96 << 20).unwrap();
    // In use: the kernel may say no, and the volume goes on as it is.
    let grown = cipher::grow_open("grows", &at).await.unwrap();
    assert_eq!(grown, size(&at) > before);
    disk.close("grows").await;
    let at = disk.open("grows", 1).await.unwrap();
    assert!(size(&at) > before + (48 << 20), "{before} was, {} is", size(&at));
    assert_eq!(fs::read_to_string(at.join("kept")).unwrap(), TEXT);
    disk.close("grows").await;
}

#[tokio::test]
async fn a_snapshot_of_what_is_in_use_opens_as_a_volume_of_its_own() {
    let disk = Disk::new(400 << 20);
    let header = disk.make("source", 64 << 20).await;
    let at = disk.open("source", 1).await.unwrap();
    fs::write(at.join("before"), TEXT).unwrap();
    fs::File::open(at.join("before")).unwrap().sync_all().unwrap();
    let own = Header { volume: "snap".to_owned(), source: Some("source".to_owned()), ..header.clone() };
    disk.store.snapshot("source", &own).await.unwrap();
    fs::write(at.join("after"), TEXT).unwrap();
    assert_eq!(disk.store.find_snapshot("snap").unwrap(), Some(own));
    disk.store.made("snap").await.unwrap();
    let fresh = disk.store.begin_from("copy", &disk.store.content("snap")).await.unwrap();
    disk.store.finish(fresh, &Header { volume: "copy".to_owned(), ..header }).await.unwrap();
    let copy = disk.open("copy", 1).await.unwrap();
    assert_eq!(fs::read_to_string(copy.join("before")).unwrap(), TEXT);
    assert!(!copy.join("after").exists());
    fs::write(copy.join("own"), TEXT).unwrap();
    assert!(!at.join("own").exists());
    disk.close("copy").await;
    disk.close("source").await;
    // The snapshot outlives its volume, and goes without a trace.
    disk.store.remove("source").await.unwrap();
    assert_eq!(disk.store.find("source").unwrap(), None);
    assert_eq!(disk.store.snapshots().unwrap().len(), 1);
    disk.store.remove_snapshot("snap").await.unwrap();
    disk.store.remove_snapshot("snap").await.unwrap();
    assert_eq!(disk.subvolumes(), ["volumes/copy"]);
}

#[tokio::test]
async fn what_was_left_in_the_middle_is_cleared_away_or_gone_on_with() {
    let disk = Disk::new(400 << 20);
    disk.make("whole", 32 << 20).await;
    let fresh = disk.store.begin("half").await.unwrap();
    cipher::create("half", &fresh.place, 32 << 20).await.unwrap();
    drop(fresh);
    // Removed as far as the name.
    disk.make("going", 32 << 20).await;
    fs::rename(disk.store.place("going"), disk.store.place(".gone-going")).unwrap();
    assert_eq!(disk.store.all().unwrap().len(), 1);
    disk.store.tidy().await.unwrap();
    assert_eq!(disk.subvolumes(), ["volumes/whole"]);
    // Shown as a device, and mounted where nobody looks, by a process that ended there.
    let image = disk.store.place("whole").join("image");
    let opening = disk.at(".whole");
    fs::create_dir_all(&opening).unwrap();
    let mounted = Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&opening).status().unwrap();
    assert!(mounted.success());
    disk.open("whole", 1).await.unwrap();
    assert_eq!(disk.mounts(), [disk.at("whole")]);
    disk.close("whole").await;
    assert!(disk.devices().is_empty(), "{:?}", disk.devices());
}

#[tokio::test]
async fn a_damaged_header_is_told_and_changes_nothing_for_others() {
    let disk = Disk::new(400 << 20);
    disk.make("good", 32 << 20).await;
    disk.make("bad", 32 << 20).await;
    let file = disk.store.place("bad").join("volume.json");
    let text = fs::read_to_string(&file).unwrap();
    for broken in ["", "{}", &text[..text.len() / 2], &text.replace("\"version\": 1", "\"version\": 9")] {
        fs::write(&file, broken).unwrap();
        let error = disk.store.find("bad").unwrap_err();
        assert!(matches!(error, Error::Header { .. }), "{error}");
        assert_eq!(disk.store.all().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_synced() {
    let disk = Disk::new(300 << 20);
    disk.make("one", 64 << 20).await;
    let at = disk.open("one", 1).await.unwrap();
    fs::write(at.join("kept"), TEXT).unwrap();
    fs::File::open(at.join("kept")).unwrap().sync_all().unwrap();
    // Somebody else fills it.
    let filler = disk.store.place("filler");
    let full = disk.fill(&filler);
    let wrote = fs::write(at.join("lost"), vec![7; 16 << 20])
        .and_then(|()| fs::File::open(at.join("lost"))?.sync_all());
    assert!(full && wrote.is_err(), "there was room");
    disk.close("one").await;
    fs::remove_file(&filler).unwrap();
    disk.sync();
    let at = disk.open("one", 1).await.unwrap();
    assert_eq!(fs::read_to_string(at.join("kept")).unwrap(), TEXT);
    fs::write(at.join("again"), TEXT).unwrap();
    disk.close("one").await;
}

#[tokio::test]
async fn another_file_system_is_refused_and_so_is_too_small_a_volume() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let error = store::Store::open(directory.path()).err().unwrap();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    let disk = Disk::new(200 << 20);
    let fresh = disk.store.begin("small").await.unwrap();
    let error = cipher::create("small", &fresh.place, 1 << 20).await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
}
