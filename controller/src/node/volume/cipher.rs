//! How a volume's ciphertext is made, opened, grown and closed: an ext4 file system in one file, whose one directory is
//! encrypted by the kernel (fscrypt v2: AES-256-XTS for content, AES-256-CTS for names; adr 0012).
//!
//! The key is added to the mounted file system and to nothing else: the kernel keeps it while that is mounted, whatever
//! becomes of this process, and forgets it when the last mount goes.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{MountFlags, mount};

use super::error::Error;
use super::tool::{self, run};
use super::{mounts, tool::failed};
use crate::keys::DataKey;

/// Of the layout, as headers say it.
pub const VERSION: u32 = 1;
/// File with the file system in the subvolume.
const IMAGE: &str = "image";
/// The encrypted directory in it: the root of a file system cannot be.
const DATA: &str = "data";
/// Bytes of the least file system that is worth its journal.
const LEAST: u64 = 16 << 20;
/// What fscrypt is told by; reads a key from its standard input.
const XFS_IO: &str = "xfs_io";
/// Where mkfs would discard: the file is fresh. What is initialised later would be written after the first snapshot.
const MADE: &str = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";

/// How long is waited for one who is about to let a volume go, in milliseconds.
const WAITS: [u64; 4] = [5, 20, 100, 500];

pub(super) fn image(subvolume: &Path) -> PathBuf {
    subvolume.join(IMAGE)
}

/// What pods see of a volume that is open at a place.
///
/// The place itself is the root of the file system and no pod's: a kubelet does not ask for a volume to be closed as long as
/// it finds what it shows to pods at another place as well.
pub fn data(place: &Path) -> PathBuf {
    place.join(DATA)
}

/// Where the file system is mounted until its directory is encrypted and it is shown at `place`.
fn opening(place: &Path) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.with_file_name(format!(".{name}"))
}

/// Makes an empty one of so many bytes in a fresh subvolume.
pub async fn create(volume: &str, subvolume: &Path, size: u64) -> Result<(), Error> {
    if size < LEAST {
        return Err(Error::Invalid(format!("a volume has at least {LEAST} bytes, and {size} are asked for")));
    }
    let image = image(subvolume);
    extend(&image, size)?;
    let words = ["-q", "-F", "-b", "4096", "-m", "0", "-O", "encrypt", "-E", MADE].map(Path::new);
    let what = format!("make the file system of volume {volume}");
    run(&what, "mkfs.ext4", words.into_iter().chain([image.as_path()])).await.map(drop)
}

/// The file has so many bytes, and none less than before. It has holes: what is not written takes no room.
pub fn extend(image: &Path, size: u64) -> Result<(), Error> {
    let grow = || {
        let file = File::options().create(true).append(true).open(image)?;
        if file.metadata()?.len() < size {
            file.set_len(size)?;
        }
        file.sync_all()
    };
    grow().map_err(Error::file("give more bytes to", image))
}

/// Gives the file of a volume more bytes.
pub fn grow_image(subvolume: &Path, size: u64) -> Result<(), Error> {
    extend(&image(subvolume), size)
}

/// Opens it at a place, where it may be open already; what is in it is then in [`data`] of the place.
pub async fn open(volume: &str, subvolume: &Path, key: &DataKey, place: &Path) -> Result<(), Error> {
    if is_open(place)? {
        return Ok(());
    }
    let opening = opening(place);
    // One that a process before this one did not come to show.
    mounts::take_away(&opening)?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&opening)
        .map_err(Error::file("make", &opening))?;
    let device = attach(volume, &image(subvolume)).await?;
    let ready = unlock(volume, &device, key, &opening).await;
    // The device goes when its last mount goes, or now if there is none.
    let words = ["--detach".as_ref(), device.as_path()];
    let detached = run(&format!("let go of {}", device.display()), "losetup", words).await.map(drop);
    let shown = ready.and(detached).and_then(|()| mounts::bind(&opening, place, false));
    mounts::remove(&opening)?;
    shown
}

async fn unlock(volume: &str, device: &Path, key: &DataKey, place: &Path) -> Result<(), Error> {
    fill(volume, device).await?;
    let flags = MountFlags::NOATIME | MountFlags::NODEV | MountFlags::NOSUID;
    mount(device, place, "ext4", flags, c"errors=remount-ro")
        .map_err(|e| Error::file("mount", place)(e.into()))?;
    let name = add_key(volume, key, place).await?;
    let data = place.join(DATA);
    match fs::create_dir(&data) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Error::file("make", data)(error));
        }
        _ => (),
    }
    // A directory that has a policy keeps it, and this says so by failing; which one it has is asked next.
    let policy = format!("set_encpolicy -v 2 -c AES-256-XTS -n AES-256-CTS {name}");
    let what = format!("encrypt the directory of volume {volume}");
    let set = tool::end(&what, XFS_IO, xfs_io(&policy, &data), &[]).await?;
    let has = tool::end(&what, XFS_IO, xfs_io("get_encpolicy", &data), &[]).await?;
    if has.out.contains(&name) {
        return Ok(());
    }
    if has.out.contains("key identifier") {
        return Err(Error::WrongKey(volume.to_owned()));
    }
    Err(failed(&what, XFS_IO, &set))
}

fn xfs_io(command: &str, at: &Path) -> [String; 4] {
    ["-F".to_owned(), "-c".to_owned(), command.to_owned(), at.display().to_string()]
}

/// Adds the key to the file system; what the kernel calls it.
async fn add_key(volume: &str, key: &DataKey, place: &Path) -> Result<String, Error> {
    let what = format!("give the kernel the key of volume {volume}");
    let ended = tool::end(&what, XFS_IO, xfs_io("add_enckey", place), key.bytes()).await?;
    let name = ended.out.rsplit(' ').next().unwrap_or_default();
    let good = name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit());
    if good { Ok(name.to_owned()) } else { Err(failed(&what, XFS_IO, &ended)) }
}

/// A device that shows the file.
async fn attach(volume: &str, image: &Path) -> Result<PathBuf, Error> {
    let what = format!("show volume {volume} as a device");
    // One that a process before this one made and did not come to mount.
    let old = ["--noheadings", "--output", "NAME", "--associated"].map(Path::new);
    let old = run(&what, "losetup", old.into_iter().chain([image])).await?;
    for device in old.lines().map(str::trim).filter(|d| !d.is_empty()) {
        run(&what, "losetup", ["--detach", device]).await?;
    }
    // Past the page cache, which would hold everything twice, and in blocks of 4,096 bytes, as both file systems write.
    let words = ["--find", "--show", "--direct-io=on", "--sector-size", "4096"].map(Path::new);
    run(&what, "losetup", words.into_iter().chain([image])).await.map(PathBuf::from)
}

/// The file system takes all of its file, which may have been given more bytes. Its journal is played back meanwhile.
async fn fill(volume: &str, device: &Path) -> Result<(), Error> {
    let what = format!("look through the file system of volume {volume}");
    let words = ["-p".as_ref(), device.as_os_str()];
    let ended = tool::end(&what, "e2fsck", words, &[]).await?;
    // 1: repaired what a power cut leaves behind.
    if !matches!(ended.code, Some(0 | 1)) {
        return Err(failed(&what, "e2fsck", &ended));
    }
    if !smaller_than_device(device).await? {
        return Ok(());
    }
    let words = ["-f".as_ref(), "-p".as_ref(), device.as_os_str()];
    let ended = tool::end(&what, "e2fsck", words, &[]).await?;
    if !matches!(ended.code, Some(0 | 1)) {
        return Err(failed(&what, "e2fsck", &ended));
    }
    run(&format!("grow the file system of volume {volume}"), "resize2fs", [device]).await.map(drop)
}

async fn smaller_than_device(device: &Path) -> Result<bool, Error> {
    let what = format!("look at {}", device.display());
    let words = ["--getsize64".as_ref(), device.as_os_str()];
    let bytes: u64 = run(&what, "blockdev", words).await?.parse().unwrap_or_default();
    let text = run(&what, "dumpe2fs", ["-h".as_ref(), device.as_os_str()]).await?;
    let blocks = text.lines().find_map(|l| l.strip_prefix("Block count:")?.trim().parse::<u64>().ok());
    Ok(blocks.is_some_and(|blocks| blocks.saturating_mul(4096).saturating_add(LEAST / 16) < bytes))
}

/// Grows it while it is open, where the kernel lets us (CAP_SYS_RESOURCE); whether it has all its bytes now.
pub async fn grow_open(volume: &str, place: &Path) -> Result<bool, Error> {
    let Some(mounted) = mounts::at(place)? else { return Ok(false) };
    let what = format!("grow the file system of volume {volume}");
    run(&what, "losetup", ["--set-capacity", &mounted.source]).await?;
    if !smaller_than_device(Path::new(&mounted.source)).await? {
        return Ok(true);
    }
    let ended = tool::end(&what, "resize2fs", [&mounted.source], &[]).await?;
    if ended.code != Some(0) {
        tracing::info!(volume, said = ended.words, "the volume grows when it is opened next");
    }
    Ok(ended.code == Some(0))
}

/// Whether it is open there: only what has its key is shown.
pub fn is_open(place: &Path) -> Result<bool, Error> {
    Ok(mounts::at(place)?.is_some_and(|m| m.kind == "ext4"))
}

/// Gives back to the disk what files that are gone have held. What cannot be given back now is at the next closing.
pub async fn trim(volume: &str, place: &Path) {
    if !is_open(place).unwrap_or_default() {
        return;
    }
    if let Err(error) = run(&format!("give back the room of volume {volume}"), "fstrim", [place]).await {
        tracing::info!(
            error = crate::error::chain(&error),
            "room of files that are gone is not given back yet"
        );
    }
}

/// Closes it: the kernel forgets the key.
pub fn close(place: &Path) -> Result<(), Error> {
    mounts::remove(&opening(place))?;
    mounts::remove(place)
}

/// The same for a volume that was probed: a program that this process started meanwhile has the probe's files, too, until it
/// runs, which is over in milliseconds.
pub async fn close_probed(place: &Path) -> Result<(), Error> {
    for wait in WAITS {
        match close(place) {
            Err(error) if error.is_busy() => tokio::time::sleep(Duration::from_millis(wait)).await,
            ended => return ended,
        }
    }
    close(place)
}
