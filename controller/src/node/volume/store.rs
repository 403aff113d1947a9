//! Subvolumes of the node's volume disk. What is being made or removed has a name that begins with a dot and is cleared
//! away at the next start, so a volume is there whole or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfs, statfs, statvfs};

use jiff::Timestamp;
use tokio::sync::{Mutex, MutexGuard};

use super::error::Error;
use super::header::Header;
use super::replica::disk::Disk;
use super::tool::run;

/// The program for subvolumes.
pub(super) const BTRFS: &str = "btrfs";
/// Type of a btrfs file system, as statfs(2) says it.
const MAGIC: i64 = 0x9123_683e;
/// Directories of the disk.
const VOLUMES: &str = "volumes";
const SNAPSHOTS: &str = "snapshots";
/// Of volumes of other sites.
pub(super) const REPLICAS: &str = "replicas";
/// Subvolume in a snapshot's directory, beside the header: that changes when keys are wrapped anew, and this never.
const CONTENT: &str = "content";
/// What is being made, and what is being removed.
const FRESH: &str = ".new-";
const GONE: &str = ".gone-";
/// Longest name of a volume or snapshot.
const NAME: usize = 128;

/// The disk.
pub struct Store {
    root: PathBuf,
    promise: Mutex<()>,
}

/// A volume that is being made.
pub struct Fresh {
    /// Its subvolume.
    pub place: PathBuf,
    volume: String,
}

/// Bytes of the disk, and of it what volumes were promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Of the disk.
    pub total: u64,
    /// To volumes.
    pub promised: u64,
    /// Bytes that snapshots may come to hold: all of what their volumes held, once those are written anew.
    pub snapshots: u64,
}

impl Room {
    /// Bytes of the largest volume that can still be made. Each counts twice: what a snapshot keeps and what is
    /// written after it stand side by side at worst. A twentieth stays free, which btrfs needs to work.
    pub fn left(self) -> u64 {
        ((self.total / 20 * 19).saturating_sub(self.snapshots) / 2).saturating_sub(self.promised)
    }
}

/// Checks a name: it becomes a directory's.
pub fn name(text: &str) -> Result<&str, Error> {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let good = (1..=NAME).contains(&text.len()) && text.bytes().all(known);
    if good && !text.starts_with(['.', '-']) {
        return Ok(text);
    }
    let shown: String = text.chars().take(80).collect();
    Err(Error::Invalid(format!(
        "{shown:?} is no name of a volume: at most {NAME} of a-z, 0-9, '-' and '.', beginning with a letter or digit"
    )))
}

impl Store {
    /// Uses this directory of a btrfs file system.
    pub fn open(root: &Path) -> Result<Self, Error> {
        fs::create_dir_all(root).map_err(Error::file("make", root))?;
        let kind = statfs(root).map_err(|e| Error::file("look at", root)(e.into()))?.f_type;
        if kind != MAGIC {
            let text =
                format!("{} is not on a btrfs file system; volumes need its snapshots", root.display());
            return Err(Error::Invalid(text));
        }
        for directory in [VOLUMES, SNAPSHOTS].map(|d| root.join(d)) {
            fs::create_dir_all(&directory).map_err(Error::file("make", &directory))?;
        }
        Ok(Self { root: root.to_owned(), promise: Mutex::default() })
    }

    fn volumes(&self) -> PathBuf {
        self.root.join(VOLUMES)
    }

    /// Where a volume is, or would be.
    pub fn place(&self, volume: &str) -> PathBuf {
        self.volumes().join(volume)
    }

    /// Where a snapshot is, or would be.
    pub fn snapshot_place(&self, snapshot: &str) -> PathBuf {
        self.root.join(SNAPSHOTS).join(snapshot)
    }

    /// Whether there is a volume, snapshot or replica of that name, whatever its header says.
    pub fn has(&self, name: &str) -> bool {
        self.place(name).exists() || self.snapshot_place(name).exists() || self.is_replica(name)
    }

    /// Whether there is a replica of that name.
    pub fn is_replica(&self, name: &str) -> bool {
        self.root.join(REPLICAS).join(name).exists()
    }

    /// Header of a volume; nothing where there is none of that name.
    pub fn find(&self, volume: &str) -> Result<Option<Header>, Error> {
        found(&self.place(volume))
    }

    /// What a snapshot holds.
    pub fn content(&self, snapshot: &str) -> PathBuf {
        self.snapshot_place(snapshot).join(CONTENT)
    }

    /// Header of a snapshot; nothing where there is none of that name.
    pub fn find_snapshot(&self, snapshot: &str) -> Result<Option<Header>, Error> {
        found(&self.snapshot_place(snapshot))
    }

    /// All volumes; those with a damaged header are told and left out.
    pub fn all(&self) -> Result<Vec<Header>, Error> {
        headers(&self.volumes())
    }

    /// Headers of all snapshots, as of volumes.
    pub fn snapshots(&self) -> Result<Vec<Header>, Error> {
        headers(&self.root.join(SNAPSHOTS))
    }

    /// Waits until nobody else promises room: of two at once, both would be promised the same. Held until it is on the disk.
    pub async fn promising(&self) -> MutexGuard<'_, ()> {
        self.promise.lock().await
    }

    /// How much is promised of how much.
    pub fn room(&self) -> Result<Room, Error> {
        let disk = self.disk()?;
        let promised = self.all()?.iter().fold(0, |sum: u64, h| sum.saturating_add(h.size));
        let snapshots = self.snapshots()?.iter().fold(0, |sum: u64, h| sum.saturating_add(h.size));
        let snapshots = snapshots.saturating_add(self.replicas()?);
        Ok(Room { total: disk.f_blocks.saturating_mul(disk.f_frsize), promised, snapshots })
    }

    /// Bytes that replicas may come to hold: what is kept, and what arrives.
    fn replicas(&self) -> Result<u64, Error> {
        let directory = self.root.join(REPLICAS);
        let Ok(all) = names(&directory) else { return Ok(0) };
        let disk = Disk::open(&self.root)?;
        all.iter().try_fold(0, |sum: u64, name| {
            let size = disk.replica(name)?.map_or(0, |r| r.size);
            Ok(sum.saturating_add(size.saturating_mul(2)))
        })
    }

    fn disk(&self) -> Result<StatVfs, Error> {
        statvfs(&self.root).map_err(|e| Error::file("look at", &self.root)(e.into()))
    }

    /// Begins an empty volume.
    pub async fn begin(&self, volume: &str) -> Result<Fresh, Error> {
        let place = self.place(&format!("{FRESH}{volume}"));
        clear(&place).await?;
        let words = ["subvolume", "create"].map(Path::new);
        run(&format!("make volume {volume}"), BTRFS, words.into_iter().chain([place.as_path()])).await?;
        Ok(Fresh { place, volume: volume.to_owned() })
    }

    /// Begins a volume with what another subvolume holds.
    pub async fn begin_from(&self, volume: &str, source: &Path) -> Result<Fresh, Error> {
        let place = self.place(&format!("{FRESH}{volume}"));
        clear(&place).await?;
        let words = ["subvolume", "snapshot"].map(Path::new);
        let what = format!("make volume {volume} from {}", source.display());
        run(&what, BTRFS, words.into_iter().chain([source, place.as_path()])).await?;
        Ok(Fresh { place, volume: volume.to_owned() })
    }

    /// Makes a snapshot of a volume, which may be in use; it is on the disk when this returns.
    pub async fn snapshot(&self, volume: &str, header: &Header) -> Result<(), Error> {
        let snapshot = &header.volume;
        let (from, fresh) = (self.place(volume), self.snapshot_place(&format!("{FRESH}{snapshot}")));
        self.clear_snapshot(&fresh).await?;
        fs::create_dir(&fresh).map_err(Error::file("make", &fresh))?;
        let words = ["subvolume", "snapshot", "-r"].map(Path::new);
        let what = format!("make snapshot {snapshot} of volume {volume}");
        let content = fresh.join(CONTENT);
        run(&what, BTRFS, words.into_iter().chain([from.as_path(), content.as_path()])).await?;
        header.write(&fresh)?;
        self.sync(&fresh).await?;
        let place = self.snapshot_place(snapshot);
        fs::rename(&fresh, &place).map_err(Error::file("keep", &place))?;
        sync_directory(&self.root.join(SNAPSHOTS))
    }

    /// When a snapshot was made.
    pub async fn made(&self, snapshot: &str) -> Result<Timestamp, Error> {
        let (what, place) = (format!("look at snapshot {snapshot}"), self.content(snapshot));
        let words = ["subvolume", "show"].map(Path::new);
        let text = run(&what, BTRFS, words.into_iter().chain([place.as_path()])).await?;
        let time =
            text.lines().find_map(|line| line.trim().strip_prefix("Creation time:")).unwrap_or_default();
        Timestamp::strptime("%Y-%m-%d %H:%M:%S %z", time.trim()).map_err(|error| Error::Tool {
            what,
            program: BTRFS,
            said: error.to_string(),
        })
    }

    /// Removes a snapshot. What is not there is removed.
    pub async fn remove_snapshot(&self, snapshot: &str) -> Result<(), Error> {
        let (place, gone) =
            (self.snapshot_place(snapshot), self.snapshot_place(&format!("{GONE}{snapshot}")));
        self.clear_snapshot(&gone).await?;
        if place.exists() {
            fs::rename(&place, &gone).map_err(Error::file("remove", &place))?;
            sync_directory(&self.root.join(SNAPSHOTS))?;
        }
        self.clear_snapshot(&gone).await
    }

    async fn clear_snapshot(&self, place: &Path) -> Result<(), Error> {
        clear(&place.join(CONTENT)).await?;
        match fs::remove_dir_all(place) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("remove", place)(error))
            }
            _ => Ok(()),
        }
    }

    /// The volume is made: it has its name, and is on the disk, when this returns.
    pub async fn finish(&self, fresh: Fresh, header: &Header) -> Result<(), Error> {
        header.write(&fresh.place)?;
        self.sync(&fresh.place).await?;
        let place = self.place(&fresh.volume);
        fs::rename(&fresh.place, &place).map_err(Error::file("keep", &place))?;
        sync_directory(&self.volumes())
    }

    /// Removes a volume. What is not there is removed.
    pub async fn remove(&self, volume: &str) -> Result<(), Error> {
        let (place, gone) = (self.place(volume), self.place(&format!("{GONE}{volume}")));
        clear(&gone).await?;
        if place.exists() {
            fs::rename(&place, &gone).map_err(Error::file("remove", &place))?;
            sync_directory(&self.volumes())?;
        }
        clear(&gone).await
    }

    /// Clears away what a process before this one did not finish.
    pub async fn tidy(&self) -> Result<(), Error> {
        for name in names(&self.volumes())?.iter().filter(|n| n.starts_with('.')) {
            tracing::info!(name, "a volume that was not finished is cleared away");
            clear(&self.place(name)).await?;
        }
        for name in names(&self.root.join(SNAPSHOTS))?.iter().filter(|n| n.starts_with('.')) {
            tracing::info!(name, "a snapshot that was not finished is cleared away");
            self.clear_snapshot(&self.snapshot_place(name)).await?;
        }
        Ok(())
    }

    async fn sync(&self, place: &Path) -> Result<(), Error> {
        let words = ["filesystem", "sync"].map(Path::new);
        run("bring a volume to the disk", BTRFS, words.into_iter().chain([place])).await.map(drop)
    }
}

/// Removes a subvolume. What is not there is removed.
pub(super) async fn clear(place: &Path) -> Result<(), Error> {
    if !place.exists() {
        return Ok(());
    }
    let words = ["subvolume", "delete", "--commit-after"].map(Path::new);
    let what = format!("remove {}", place.display());
    run(&what, BTRFS, words.into_iter().chain([place])).await.map(drop)
}

fn sync_directory(directory: &Path) -> Result<(), Error> {
    File::open(directory).and_then(|d| d.sync_all()).map_err(Error::file("sync", directory))
}

/// What is in a directory.
pub(super) fn names(directory: &Path) -> Result<Vec<String>, Error> {
    let list = fs::read_dir(directory).map_err(Error::file("list", directory))?;
    Ok(list.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn found(place: &Path) -> Result<Option<Header>, Error> {
    if place.exists() { Header::read(place).map(Some) } else { Ok(None) }
}

/// Headers of all subvolumes in a directory; what is damaged is told and left out.
fn headers(directory: &Path) -> Result<Vec<Header>, Error> {
    let mut all = Vec::new();
    for name in names(directory)?.iter().filter(|n| !n.starts_with('.')) {
        match Header::read(&directory.join(name)) {
            Ok(header) => all.push(header),
            Err(error) => tracing::error!(name, error = crate::error::chain(&error), "a volume is damaged"),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        assert!(name("pvc-0b8f").is_ok());
        for bad in ["", ".", "..", ".new-x", "a/b", "-f", "A", "a b", &"a".repeat(129)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_more_is_promised_than_there_is_with_every_volume_written_anew() {
        let room = Room { total: 2_000, promised: 100, snapshots: 0 };
        assert_eq!(room.left(), 850);
        assert_eq!(Room { snapshots: 100, ..room }.left(), 800);
        assert_eq!(Room { promised: 2_000, ..room }.left(), 0);
    }
}
