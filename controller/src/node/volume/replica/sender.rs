//! The end that sends: offers a point, and sends of its stream what the other end has not.

use std::num::NonZeroU32;
use std::time::Duration;

use leaky_bucket::RateLimiter;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use yunting_crds::VolumeReplicationSpec;
use yunting_crds::replication::Point;
use yunting_crds::volume_replication::Divergent;
use yunting_plan::replication::Sending;
use yunting_replication::v1;
use yunting_replication::v1::part::Part as Piece;
use yunting_replication::v1::replication_client::ReplicationClient;

use super::super::error::Error;
use super::disk::Disk;
use super::service::said;
use super::stream::Made;
use super::tls::Machine;
use crate::node::machines::connect;

/// Bytes of a part.
const PART: usize = 1 << 18;
/// Parts that wait for the wire.
const WAITING: usize = 4;
/// How often what may be sent is counted anew.
const TICK: Duration = Duration::from_millis(100);

/// Sends points of this node's volumes.
pub struct Sender {
    disk: Disk,
    machine: Machine,
    limit: Option<RateLimiter>,
}

/// What is sent of which volume to whom.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// Name of the replication.
    pub name: &'a str,
    /// What is wanted.
    pub spec: &'a VolumeReplicationSpec,
    /// Bytes that the volume may hold.
    pub size: u64,
    /// Its key, sealed to the other site.
    pub sealed: &'a str,
}

impl Sender {
    /// Sends from this disk as this machine, no faster than so many bytes in a second over all volumes.
    pub fn new(disk: Disk, machine: Machine, bytes_per_second: Option<NonZeroU32>) -> Self {
        let limit = bytes_per_second.map(|rate| {
            let each = usize::try_from(rate.get()).unwrap_or(usize::MAX) / 10;
            let each = each.max(1);
            RateLimiter::builder().initial(each).max(each.max(PART)).refill(each).interval(TICK).build()
        });
        Self { disk, machine, limit }
    }

    /// Offers a point and sends it; how many bytes that were. The other end has it whole then.
    pub async fn send(&self, order: Order<'_>, state: &Sending, point: &Point) -> Result<u64, Error> {
        let mut client = self.connect(order.spec).await?;
        let parents = state.confirmed.iter().map(|p| p.uuid.clone()).collect();
        let answer = client.offer(offer(order, point, parents)).await?.into_inner();
        if answer.have {
            return Ok(0);
        }
        let parent = state.confirmed.as_ref().filter(|p| p.uuid == answer.parent);
        if parent.is_none() && !answer.parent.is_empty() {
            return Err(Error::Damaged(format!(
                "the other end of {} wants what differs from {}, which it was not told of",
                order.name, answer.parent
            )));
        }
        Stream { sender: self, order, point, parent, answer: &answer }.send(&mut client).await
    }

    /// How far the pending point is from the one that the other end has, which takes nothing more.
    pub async fn divergent(&self, name: &str, state: &Sending) -> Result<Option<Divergent>, Error> {
        let (Some(point), Some(confirmed)) = (&state.pending, &state.confirmed) else { return Ok(None) };
        let parent = self.disk.point(name, confirmed);
        let bytes = Made::begin(&self.disk.point(name, point), Some(&parent))?.length().await?;
        Ok(Some(Divergent { point: point.clone(), bytes: i64::try_from(bytes).unwrap_or(i64::MAX) }))
    }

    async fn connect(&self, spec: &VolumeReplicationSpec) -> Result<ReplicationClient<Channel>, Error> {
        let config = self.machine.client(&spec.to.uri()).map_err(|e| Error::Machine(Box::new(e)));
        let failed = |why: Box<dyn std::error::Error + Send + Sync>| Error::Connect {
            to: spec.to.uri(),
            at: spec.address.clone(),
            source: why,
        };
        connect(config?, &spec.address).await.map(ReplicationClient::new).map_err(failed)
    }

    async fn wait(&self, bytes: usize) {
        if let Some(limit) = &self.limit {
            limit.acquire(bytes).await;
        }
    }
}

fn offer(order: Order<'_>, point: &Point, parents: Vec<String>) -> v1::OfferRequest {
    v1::OfferRequest {
        replica: order.spec.to.volume.clone(),
        volume: order.spec.volume.clone(),
        vdc: order.spec.vdc.clone(),
        point: Some(said(point)),
        parents,
        size: order.size,
        sealed: order.sealed.to_owned(),
    }
}

/// A point on its way.
struct Stream<'a> {
    sender: &'a Sender,
    order: Order<'a>,
    point: &'a Point,
    parent: Option<&'a Point>,
    answer: &'a v1::OfferReply,
}

impl Stream<'_> {
    /// Sends what has not arrived, or all where what has arrived is not how the stream begins now; how many bytes that were.
    async fn send(&self, client: &mut ReplicationClient<Channel>) -> Result<u64, Error> {
        let (mut made, mut hash) = (self.make()?, Sha256::new());
        let mut offset = self.answer.arrived;
        let same = skip(&mut made, &mut hash, offset).await?;
        if !same || hash.clone().finalize().as_slice() != self.answer.digest {
            tracing::info!(replication = self.order.name, arrived = offset, "what has arrived is sent anew");
            (made, hash, offset) = (self.make()?, Sha256::new(), 0);
        }
        let (sender, parts) = mpsc::channel(WAITING);
        let feeding = self.feed(made, hash, offset, sender);
        let sending = client.send(ReceiverStream::new(parts));
        let (fed, sent) = tokio::join!(feeding, sending);
        // Where the other end refuses, nobody takes what is fed: its words come first.
        sent?;
        fed
    }

    fn make(&self) -> Result<Made, Error> {
        let disk = &self.sender.disk;
        let place = |point: &Point| disk.point(self.order.name, point);
        Made::begin(&place(self.point), self.parent.map(place).as_deref())
    }

    async fn feed(
        &self,
        mut made: Made,
        mut hash: Sha256,
        offset: u64,
        sender: mpsc::Sender<v1::Part>,
    ) -> Result<u64, Error> {
        let cut = || Error::NotNow(format!("the other end of {} takes no more", self.order.name));
        let put = async |piece| sender.send(v1::Part { part: Some(piece) }).await.map_err(|_| cut());
        let parent = self.parent.map(|p| p.uuid.clone()).unwrap_or_default();
        let (replica, point) = (self.order.spec.to.volume.clone(), Some(said(self.point)));
        put(Piece::Begin(v1::Begin { replica, point, parent, offset })).await?;
        let mut length = offset;
        loop {
            let mut part = vec![0; PART];
            let read = made.read(&mut part).await?;
            if read == 0 {
                break;
            }
            part.truncate(read);
            hash.update(&part);
            length += read as u64;
            self.sender.wait(read).await;
            put(Piece::Data(part)).await?;
        }
        made.end().await?;
        put(Piece::End(v1::End { length, digest: hash.finalize().to_vec() })).await?;
        Ok(length - offset)
    }
}

/// Hashes the first bytes of a stream; whether it has as many.
async fn skip(made: &mut Made, hash: &mut Sha256, bytes: u64) -> Result<bool, Error> {
    let mut left = bytes;
    let mut part = vec![0; PART];
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(PART);
        let Some(room) = part.get_mut(..want) else { return Ok(false) };
        let read = made.read(room).await?;
        hash.update(room.get(..read).unwrap_or_default());
        if read < want {
            return Ok(false);
        }
        left -= read as u64;
    }
    Ok(true)
}
