//! The end that receives, as other nodes reach it: gRPC over mutual TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use yunting_crds::replication::{EXACT, Point, Token};
use yunting_replication::v1;
use yunting_replication::v1::part::Part as Piece;
use yunting_replication::v1::replication_server::{Replication, ReplicationServer};

use super::disk::StreamOf;
use super::receiver::{Answer, Offer, Receiver};
use super::tls::Machine;
use crate::node::machines::{ALIVE, OPENING, accept, peer};

/// Bytes that may be on their way to here: what a fifth of a second takes at 80 MB/s. The default would hold a line over some
/// hundred kilometres to a part of what it carries.
const WINDOW: u32 = 16 << 20;
/// Bytes of a frame, so that a part is one.
const FRAME: u32 = 1 << 19;

/// Serves other nodes until it cannot.
pub async fn serve(receiver: Arc<Receiver>, machine: Machine, at: SocketAddr) -> anyhow::Result<()> {
    machine.server().context("this machine cannot show who it is to other nodes")?;
    let listener =
        TcpListener::bind(at).await.with_context(|| format!("cannot listen on {at} for replicas"))?;
    serve_on(receiver, machine, listener).await
}

/// The same, on a socket that listens.
pub async fn serve_on(
    receiver: Arc<Receiver>,
    machine: Machine,
    listener: TcpListener,
) -> anyhow::Result<()> {
    let (sender, connections) = mpsc::channel(OPENING);
    let accepting = accept("replicas", listener, machine, sender);
    let serving = Server::builder()
        .http2_keepalive_interval(Some(ALIVE))
        .http2_keepalive_timeout(Some(ALIVE))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(FRAME)
        .add_service(ReplicationServer::new(Service(receiver)))
        .serve_with_incoming(ReceiverStream::new(connections));
    tokio::select! {
        ended = serving => ended.context("replicas are not served any more"),
        () = accepting => Ok(()),
    }
}

struct Service(Arc<Receiver>);

#[tonic::async_trait]
impl Replication for Service {
    async fn offer(&self, request: Request<v1::OfferRequest>) -> Result<Response<v1::OfferReply>, Status> {
        let peer = peer(&request)?;
        let asked = request.into_inner();
        let offer = Offer {
            replica: asked.replica,
            volume: asked.volume,
            vdc: asked.vdc,
            point: point(asked.point)?,
            parents: asked.parents,
            size: asked.size,
            sealed: asked.sealed,
        };
        let answer = self.0.offer(&peer.0, offer).await?;
        Ok(Response::new(match answer {
            Answer::Have => v1::OfferReply { have: true, ..v1::OfferReply::default() },
            Answer::Send { parent, arrived, digest } => {
                v1::OfferReply { have: false, parent, arrived, digest }
            }
        }))
    }

    async fn send(&self, request: Request<Streaming<v1::Part>>) -> Result<Response<v1::SendReply>, Status> {
        let (receiver, peer) = (self.0.clone(), peer(&request)?);
        // On its own: a connection that is gone ends what waits for the answer, and not what has to be cleared away.
        let taking = tokio::spawn(async move { take(&receiver, &peer.0, request.into_inner()).await });
        let taken = taking.await.map_err(|_| Status::internal("whoever took the stream has ended"))?;
        taken.map(|()| Response::new(v1::SendReply {}))
    }
}

/// Takes a stream to its end, or to where it is cut.
async fn take(receiver: &Receiver, peer: &str, mut parts: Streaming<v1::Part>) -> Result<(), Status> {
    let Some(Piece::Begin(begin)) = next(&mut parts).await? else {
        return Err(Status::invalid_argument("a stream begins with `begin`"));
    };
    let of = StreamOf { point: point(begin.point)?, parent: begin.parent };
    let mut intake = receiver.begin(peer, &begin.replica, of, begin.offset).await?;
    loop {
        let cut = match next(&mut parts).await {
            Ok(Some(Piece::Data(bytes))) => {
                intake.take(&bytes).await?;
                continue;
            }
            Ok(Some(Piece::End(end))) => return Ok(intake.end(end.length, &end.digest).await?),
            Ok(Some(Piece::Begin(_))) => Status::invalid_argument("a stream begins once"),
            Ok(None) => Status::aborted("the stream ended without `end`"),
            Err(cut) => cut,
        };
        intake.cut().await?;
        return Err(cut);
    }
}

async fn next(parts: &mut Streaming<v1::Part>) -> Result<Option<Piece>, Status> {
    Ok(parts.message().await?.and_then(|part| part.part))
}

fn point(point: Option<v1::Point>) -> Result<Point, Status> {
    let missing = || Status::invalid_argument("point is missing");
    let v1::Point { token, sequence, uuid, begun_at, closed } = point.ok_or_else(missing)?;
    let v1::Token { generation, epoch } = token.ok_or_else(missing)?;
    let begun_at = begun_at.parse().map_err(|_| Status::invalid_argument("point.begun_at is no time"))?;
    if uuid.len() != 36 || !uuid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        return Err(Status::invalid_argument("point.uuid is no uuid"));
    }
    if [generation, epoch, sequence].iter().any(|number| *number > EXACT) {
        return Err(Status::invalid_argument("a number of the point is larger than any that is used"));
    }
    Ok(Point { token: Token { generation, epoch }, sequence, uuid, begun_at: Time(begun_at), closed })
}

/// A point as it is sent.
pub(super) fn said(point: &Point) -> v1::Point {
    let Token { generation, epoch } = point.token;
    v1::Point {
        token: Some(v1::Token { generation, epoch }),
        sequence: point.sequence,
        uuid: point.uuid.clone(),
        begun_at: point.begun_at.0.to_string(),
        closed: point.closed,
    }
}
