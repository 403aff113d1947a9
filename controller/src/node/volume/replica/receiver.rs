//! The end that receives: says which points are wanted, and gives a point its place when its stream was whole. The plan
//! decides, when a stream begins and again when it has ended; the highest token that was seen is on the disk before anything is
//! taken under it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;
use yunting_crds::VolumeReplicaSpec;
use yunting_crds::replication::Point;
use yunting_crds::volume_replica::ReplicaState;
use yunting_plan::replication::{Admission, Floor, admit};

use super::super::error::Error;
use super::super::locks::Locks;
use super::super::store::{Store, name};
use super::disk::{Disk, Replica, StreamOf, identity};
use super::intake::{Begun, Intake};

/// Bytes by which a stream may be longer than what its volume may hold: what it says besides, and an eighth.
const BESIDES: u64 = 64 << 20;

/// What is wanted of a replica, by its name.
pub type Wanted = Box<dyn Fn(&str) -> Option<VolumeReplicaSpec> + Send + Sync>;
/// Told whenever a replica has changed.
pub type Changed = Box<dyn Fn(&str) + Send + Sync>;

/// A node's replicas.
pub struct Receiver {
    pub(super) disk: Disk,
    store: Arc<Store>,
    wanted: Wanted,
    changed: Changed,
    /// Who sends to a replica, one at a time.
    turns: Locks,
    /// Who looks at or changes what is known of one; held for no longer than that takes.
    states: Locks,
}

/// A point that is offered.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Name of the replica.
    pub replica: String,
    /// Name of the volume at the sender.
    pub volume: String,
    /// Uid of the VDC.
    pub vdc: String,
    /// The point.
    pub point: Point,
    /// Uuids of points that the sender can compare with.
    pub parents: Vec<String>,
    /// Bytes that the volume may hold.
    pub size: u64,
    /// The volume's key, sealed to this site.
    pub sealed: String,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is here.
    Have,
    /// It is to be sent.
    Send {
        /// As what differs from the point of that uuid; empty: whole.
        parent: String,
        /// Bytes of it that have arrived before.
        arrived: u64,
        /// Their SHA-256.
        digest: Vec<u8>,
    },
}

impl Receiver {
    /// Keeps replicas on this disk.
    pub fn new(disk: Disk, store: Arc<Store>, wanted: Wanted, changed: Changed) -> Self {
        Self { disk, store, wanted, changed, turns: Locks::default(), states: Locks::default() }
    }

    /// Waits until nobody sends to a replica, and keeps it so.
    pub(super) async fn alone(&self, replica: &str) -> OwnedMutexGuard<()> {
        self.turns.take(replica).await
    }

    /// Waits until what is known of a replica is whole, and keeps it so. Taken after a turn, never before one.
    pub(super) async fn settled(&self, replica: &str) -> OwnedMutexGuard<()> {
        self.states.take(replica).await
    }

    /// The replica's spec, if it is the caller's to send to.
    fn spec(&self, peer: &str, replica: &str) -> Result<VolumeReplicaSpec, Error> {
        // The same answer for what is not there and for what is somebody else's: who asks learns nothing.
        let none = || Error::Missing(format!("{peer} has no replica {replica:?} on this node"));
        let spec = (self.wanted)(name(replica)?).ok_or_else(none)?;
        if spec.from.uri() == peer { Ok(spec) } else { Err(none()) }
    }

    fn floor(spec: &VolumeReplicaSpec) -> Floor {
        Floor { token: spec.token, active: spec.state == ReplicaState::Active }
    }

    /// Answers an offer. From then on nothing is taken under a lesser token.
    pub async fn offer(&self, peer: &str, offer: Offer) -> Result<Answer, Error> {
        let spec = self.spec(peer, &offer.replica)?;
        if spec.from.volume != offer.volume || spec.vdc != offer.vdc {
            return Err(Error::Invalid(format!(
                "replica {} is one of volume {} of VDC {}, and volume {} of VDC {} is offered",
                offer.replica, spec.from.volume, spec.vdc, offer.volume, offer.vdc
            )));
        }
        if spec.state == ReplicaState::Receiving && self.store.find(&offer.replica)?.is_some() {
            return Err(Error::Other(format!(
                "a volume {} is on this node already: give the replica another name",
                offer.replica
            )));
        }
        let _turn = self.alone(&offer.replica).await;
        let _state = self.settled(&offer.replica).await;
        let before = self.disk.replica(&offer.replica)?;
        if before.as_ref().is_some_and(|r| !r.is_of(&spec.vdc, &spec.from)) {
            (self.changed)(&offer.replica);
            let text = format!("what is left of another replica {} is being removed", offer.replica);
            return Err(Error::NotNow(text));
        }
        let kept = before.clone().map(|r| r.received).unwrap_or_default();
        let admission = admit(Self::floor(&spec), &kept, &offer.point, &offer.parents)?;
        let room = self.store.promising().await;
        self.has_room(&offer, before.as_ref())?;
        let mut replica = Replica {
            vdc: spec.vdc,
            from: spec.from,
            size: offer.size,
            sealed: offer.sealed,
            wrapped: before.as_ref().and_then(|r| r.wrapped.clone()),
            received: kept,
        };
        replica.received.token = offer.point.token;
        if before.as_ref() != Some(&replica) {
            self.disk.keep_replica(&offer.replica, &replica)?;
            (self.changed)(&offer.replica);
        }
        drop(room);
        let Admission::Take(parent) = admission else { return Ok(Answer::Have) };
        let of = StreamOf { point: offer.point, parent: parent.unwrap_or_default() };
        if self.disk.stream_of(&offer.replica)?.as_ref() != Some(&of) {
            self.disk.begin_stream(&offer.replica, &of)?;
        }
        let (arrived, hash) = hashed(self.disk.stream(&offer.replica)).await?;
        Ok(Answer::Send { parent: of.parent, arrived, digest: hash.finalize().to_vec() })
    }

    /// A replica takes as much room as its volume, twice: what is kept, and what arrives.
    fn has_room(&self, offer: &Offer, before: Option<&Replica>) -> Result<(), Error> {
        let known = before.map_or(0, |r| r.size);
        let (more, left) = (offer.size.saturating_sub(known), self.store.room()?.left());
        if more > left {
            return Err(Error::NoRoom(format!(
                "replica {} needs room for a volume of {} bytes, and this node has it for {left} more",
                offer.replica, offer.size
            )));
        }
        Ok(())
    }

    /// Begins to take what was agreed on, from `offset`, as far as it has arrived.
    pub async fn begin(
        &self,
        peer: &str,
        replica: &str,
        of: StreamOf,
        offset: u64,
    ) -> Result<Intake<'_>, Error> {
        let spec = self.spec(peer, replica)?;
        let turn = self.alone(replica).await;
        let agreed = self.disk.stream_of(replica)?;
        if agreed.as_ref() != Some(&of) {
            return Err(Error::NotNow(format!("that point of {replica} was not agreed on: offer it again")));
        }
        let size = self.admitted(&spec, replica, &of)?.size;
        let longest = size.saturating_add(size / 8).saturating_add(BESIDES);
        let place = self.disk.stream(replica);
        let (arrived, hash) = hashed(place.clone()).await?;
        let (length, hash) = match offset {
            0 => (0, Sha256::new()),
            offset if offset == arrived => (arrived, hash),
            other => {
                let text = format!("{arrived} bytes have arrived, and {other} are said: offer it again");
                return Err(Error::NotNow(text));
            }
        };
        let file = from(&place, length).map_err(Error::file("open", &place))?;
        let begun = Begun { name: replica.to_owned(), peer: peer.to_owned(), of, length, longest, hash };
        Intake::begin(self, begun, file, turn).await
    }

    /// What is known of the replica, if the point is still to be taken as it is sent.
    fn admitted(&self, spec: &VolumeReplicaSpec, name: &str, of: &StreamOf) -> Result<Replica, Error> {
        let missing = || Error::NotNow(format!("nothing is known of replica {name}: offer the point again"));
        let replica = self.disk.replica(name)?.ok_or_else(missing)?;
        let parents: Vec<String> = Some(of.parent.clone()).filter(|p| !p.is_empty()).into_iter().collect();
        match admit(Self::floor(spec), &replica.received, &of.point, &parents)? {
            Admission::Take(parent) if parent.clone().unwrap_or_default() == of.parent => Ok(replica),
            _ => Err(Error::NotNow(format!("another point of {name} came meanwhile: offer it again"))),
        }
    }
}

impl Receiver {
    /// A point was received: it takes its place if it is what was sent and its right is not over by now.
    pub(super) async fn settle(&self, peer: &str, name: &str, of: &StreamOf) -> Result<(), Error> {
        let received = identity(&self.disk.incoming_of(name).join(of.point.name())).await?.received;
        if received != of.point.uuid {
            return Err(Error::Damaged(format!(
                "a point of {name} was received as {received}, and {} was sent",
                of.point.uuid
            )));
        }
        // What is on its way to the disk need not get there twice.
        self.disk.drop_stream(name)?;
        // Its right may be over by now.
        let _state = self.settled(name).await;
        let spec = self.spec(peer, name)?;
        let mut replica = self.admitted(&spec, name, of)?;
        self.disk.arrived(name, &mut replica, &of.point, spec.keep).await?;
        tracing::debug!(replica = name, sequence = of.point.sequence, "a point has arrived");
        (self.changed)(name);
        Ok(())
    }
}

/// The file of a stream, to be written on behind so many bytes.
fn from(place: &Path, length: u64) -> std::io::Result<File> {
    let mut file = File::options().create(true).truncate(false).write(true).open(place)?;
    file.set_len(length)?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

/// Length and hash of what has arrived.
async fn hashed(place: PathBuf) -> Result<(u64, Sha256), Error> {
    let of = place.clone();
    let work = move || {
        let mut file = match File::open(&place) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((0, Sha256::new())),
            Err(error) => return Err(error),
        };
        let (mut hash, mut length, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 18]);
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                return Ok((length, hash));
            }
            hash.update(buffer.get(..read).unwrap_or_default());
            length += read as u64;
        }
    };
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    done.map_err(Error::file("read", of))
}
