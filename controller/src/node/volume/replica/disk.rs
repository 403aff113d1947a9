//! Points on the disk: those that are sent, beside the volumes they are of, and those that were received. What each end
//! knows of the other is in a file beside them; what that does not name is cleared away.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;
use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;
use yunting_crds::replication::{Point, Remote};
use yunting_crds::volume_key::WrappedKey;
use yunting_plan::replication::{Received, Sending, surplus};

use super::super::error::Error;
use super::super::json;
use super::super::store::{BTRFS, REPLICAS, clear, names};
use super::super::tool::run;

/// Directories.
const POINTS: &str = "points";
const INCOMING: &str = "incoming";
/// Files.
const STATE: &str = "state.json";
const STREAM: &str = "stream";
const STREAM_OF: &str = "stream.json";

/// The disk of volumes.
#[derive(Debug, Clone)]
pub struct Disk {
    root: PathBuf,
}

/// What is known of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Replica {
    /// Uid of its VDC.
    pub vdc: String,
    /// The volume.
    pub from: Remote,
    /// Bytes that the volume may hold.
    pub size: u64,
    /// The volume's key, sealed to this site's custody key.
    pub sealed: String,
    /// The volume's key as this site has wrapped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrapped: Option<WrappedKey>,
    /// Its points.
    pub received: Received,
}

impl Replica {
    /// Whether it is what is asked for now. One that was deleted and made anew may be of another volume.
    pub fn is_of(&self, vdc: &str, from: &Remote) -> bool {
        self.vdc == vdc && self.from == *from
    }
}

/// Which stream has arrived in part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StreamOf {
    /// Of which point.
    pub point: Point,
    /// Uuid of the point that it was made from; empty: of none.
    pub parent: String,
}

impl Disk {
    /// The one whose volumes are in this directory.
    pub fn open(root: &Path) -> Result<Self, Error> {
        for directory in [POINTS, REPLICAS].map(|d| root.join(d)) {
            fs::create_dir_all(&directory).map_err(Error::file("make", &directory))?;
        }
        Ok(Self { root: root.to_owned() })
    }

    fn of(&self, replication: &str) -> PathBuf {
        self.root.join(POINTS).join(replication)
    }

    /// Where a point that is sent is.
    pub fn point(&self, replication: &str, point: &Point) -> PathBuf {
        self.of(replication).join(point.name())
    }

    /// What the sending end knows; nothing was sent where it does not say. Points that somebody has removed are none: the
    /// next one is sent whole.
    pub fn sending(&self, replication: &str) -> Result<Sending, Error> {
        let known: Sending = json::read(&self.of(replication).join(STATE))?.unwrap_or_default();
        let here = |point: &Point| self.point(replication, point).exists();
        Ok(Sending { confirmed: known.confirmed.filter(here), pending: known.pending.filter(here), ..known })
    }

    /// Keeps it, and of the points those that it names.
    pub async fn keep_sending(&self, replication: &str, state: &Sending) -> Result<(), Error> {
        let directory = self.of(replication);
        fs::create_dir_all(&directory).map_err(Error::file("make", &directory))?;
        write(&directory.join(STATE), state)?;
        let named: Vec<String> = state.confirmed.iter().chain(&state.pending).map(Point::name).collect();
        clear_others(&directory, &named).await
    }

    /// Makes a point of the subvolume of a volume, and says its uuid. It is on the disk then.
    pub async fn make(&self, volume: &Path, replication: &str, name: &str) -> Result<String, Error> {
        let directory = self.of(replication);
        fs::create_dir_all(&directory).map_err(Error::file("make", &directory))?;
        if full(&directory)? {
            let text = "no point is made while less than a twentieth of the volume disk is free: what it keeps would take the room of volumes";
            return Err(Error::NoRoom(text.to_owned()));
        }
        let place = directory.join(name);
        clear(&place).await?;
        let what = format!("make a point of {}", volume.display());
        let words = ["subvolume", "snapshot", "-r"].map(Path::new);
        run(&what, BTRFS, words.into_iter().chain([volume, place.as_path()])).await?;
        run(&what, BTRFS, ["filesystem".as_ref(), "sync".as_ref(), place.as_path()]).await?;
        Ok(identity(&place).await?.own)
    }

    /// Replications that have points here.
    pub fn replications(&self) -> Result<Vec<String>, Error> {
        names(&self.root.join(POINTS))
    }

    /// Removes every point of a replication. What is not there is removed.
    pub async fn forget_sending(&self, replication: &str) -> Result<(), Error> {
        let directory = self.of(replication);
        if !directory.exists() {
            return Ok(());
        }
        // The state goes first: one whose removal was cut off is none.
        let _ = fs::remove_file(directory.join(STATE));
        remove(&directory).await
    }

    fn replica_of(&self, replica: &str) -> PathBuf {
        self.root.join(REPLICAS).join(replica)
    }

    /// What is known of a replica; nothing where nothing was offered yet. Points that somebody has removed are none.
    pub fn replica(&self, replica: &str) -> Result<Option<Replica>, Error> {
        let mut known: Option<Replica> = json::read(&self.replica_of(replica).join(STATE))?;
        if let Some(known) = &mut known {
            known.received.points.retain(|point| self.received(replica, point).exists());
        }
        Ok(known)
    }

    /// Replicas that are here.
    pub fn replicas(&self) -> Result<Vec<String>, Error> {
        names(&self.root.join(REPLICAS))
    }

    /// Keeps what is known of a replica.
    pub fn keep_replica(&self, name: &str, replica: &Replica) -> Result<(), Error> {
        let directory = self.replica_of(name);
        let points = directory.join(POINTS);
        fs::create_dir_all(&points).map_err(Error::file("make", &points))?;
        write(&directory.join(STATE), replica)
    }

    /// Where a received point is: in a directory of its own, since a subvolume that cannot be written cannot be moved.
    pub fn received(&self, replica: &str, point: &Point) -> PathBuf {
        self.replica_of(replica).join(POINTS).join(point.name()).join(point.name())
    }

    /// File of the stream that is arriving.
    pub fn stream(&self, replica: &str) -> PathBuf {
        self.replica_of(replica).join(STREAM)
    }

    /// Which one has arrived in part.
    pub fn stream_of(&self, replica: &str) -> Result<Option<StreamOf>, Error> {
        json::read(&self.replica_of(replica).join(STREAM_OF))
    }

    /// Another one arrives from now on: nothing of it is here.
    pub fn begin_stream(&self, replica: &str, of: &StreamOf) -> Result<(), Error> {
        self.end_stream(replica)?;
        write(&self.replica_of(replica).join(STREAM_OF), of)
    }

    /// What has arrived is not needed any more.
    pub fn end_stream(&self, replica: &str) -> Result<(), Error> {
        remove_file(&self.replica_of(replica).join(STREAM_OF))?;
        self.drop_stream(replica)
    }

    /// The bytes that have arrived are not needed any more; which stream they were of stays known.
    pub fn drop_stream(&self, replica: &str) -> Result<(), Error> {
        remove_file(&self.stream(replica))
    }

    /// Where what is being received is.
    pub fn incoming_of(&self, replica: &str) -> PathBuf {
        self.replica_of(replica).join(INCOMING)
    }

    /// An empty directory for what is being received.
    pub async fn incoming(&self, replica: &str) -> Result<PathBuf, Error> {
        let directory = self.incoming_of(replica);
        self.clear_incoming(replica).await?;
        fs::create_dir_all(&directory).map_err(Error::file("make", &directory))?;
        Ok(directory)
    }

    /// What was being received is not needed any more.
    pub async fn clear_incoming(&self, replica: &str) -> Result<(), Error> {
        remove(&self.incoming_of(replica)).await
    }

    /// A point is whole: it takes its place, and of the older ones as many stay as are kept.
    pub async fn arrived(
        &self,
        name: &str,
        replica: &mut Replica,
        point: &Point,
        keep: u32,
    ) -> Result<(), Error> {
        let points = self.replica_of(name).join(POINTS);
        let place = points.join(point.name());
        // One that was whole when a process before this one ended, and not yet said to be.
        remove(&place).await?;
        let from = self.incoming_of(name);
        fs::rename(&from, &place).map_err(Error::file("keep", &place))?;
        let what = format!("bring a point of {name} to the disk");
        run(&what, BTRFS, ["filesystem".as_ref(), "sync".as_ref(), place.as_path()]).await?;
        replica.received.points.push(point.clone());
        let gone = surplus(&replica.received, keep).len();
        replica.received.points.drain(..gone);
        self.keep_replica(name, replica)?;
        self.end_stream(name)?;
        let named: Vec<String> = replica.received.points.iter().map(Point::name).collect();
        for other in names(&points)?.iter().filter(|n| !named.contains(n)) {
            remove(&points.join(other)).await?;
        }
        Ok(())
    }

    /// Removes a replica with all its points. What is not there is removed.
    pub async fn forget_replica(&self, replica: &str) -> Result<(), Error> {
        let directory = self.replica_of(replica);
        if !directory.exists() {
            return Ok(());
        }
        // The state goes first: one whose removal was cut off is none.
        let _ = fs::remove_file(directory.join(STATE));
        let points = directory.join(POINTS);
        for point in if points.exists() { names(&points)? } else { Vec::new() } {
            remove(&points.join(point)).await?;
        }
        self.clear_incoming(replica).await?;
        fs::remove_dir_all(&directory).map_err(Error::file("remove", &directory))
    }
}

/// As what the kernel knows a subvolume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its uuid.
    pub own: String,
    /// Uuid of what it was received from; empty: it was not.
    pub received: String,
}

/// Asks the kernel.
pub async fn identity(subvolume: &Path) -> Result<Identity, Error> {
    let what = format!("look at {}", subvolume.display());
    let text = run(&what, BTRFS, ["subvolume".as_ref(), "show".as_ref(), subvolume]).await?;
    let field =
        |name: &str| text.lines().find_map(|l| l.trim().strip_prefix(name)).unwrap_or_default().trim();
    let (own, received) = (field("UUID:"), field("Received UUID:"));
    if own.len() != 36 {
        return Err(Error::Tool { what, program: BTRFS, said: format!("no uuid in what it says: {text}") });
    }
    let received = if received == "-" { "" } else { received };
    Ok(Identity { own: own.to_owned(), received: received.to_owned() })
}

/// Whether less than a twentieth of the disk is free, which btrfs needs to work and volumes to be written.
pub(super) fn full(place: &Path) -> Result<bool, Error> {
    let seen = statvfs(place).map_err(|e| Error::file("look at", place)(e.into()))?;
    Ok(seen.f_bavail < seen.f_blocks / 20)
}

/// Removes a file. What is not there is removed.
fn remove_file(file: &Path) -> Result<(), Error> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", file)(error)),
        _ => Ok(()),
    }
}

/// Removes all subvolumes in a directory but those of these names.
async fn clear_others(directory: &Path, named: &[String]) -> Result<(), Error> {
    for name in names(directory)?.into_iter().filter(|n| !named.contains(n)) {
        let place = directory.join(name);
        if place.is_dir() {
            clear(&place).await?;
        }
    }
    Ok(())
}

/// Removes a directory with the subvolumes and files in it. What is not there is removed.
async fn remove(directory: &Path) -> Result<(), Error> {
    if !directory.exists() {
        return Ok(());
    }
    clear_others(directory, &[]).await?;
    fs::remove_dir_all(directory).map_err(Error::file("remove", directory))
}

/// A disk that is busy may take its time, in which others of this process go on.
fn write<T: Serialize>(file: &Path, value: &T) -> Result<(), Error> {
    block_in_place(|| json::write(file, value))
}
