//! How peers' public keys come: asked for and told over mutual TLS, where the certificate says whose they are.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use yunting_plan::tunnel::Wanted;
use yunting_replication::tunnel as v1;
use yunting_replication::tunnel::tunnel_client::TunnelClient;
use yunting_replication::tunnel::tunnel_server::{Tunnel as Exchange, TunnelServer};

use super::{Heard, Own, Said, Tunnel};
use crate::node::machines::{ALIVE, CONNECT, OPENING, accept, connect, peer};

/// Most networks that a node has; what says more is not understood.
const NETWORKS: usize = yunting_crds::tunnel::NETWORKS;

/// Answers other nodes until it cannot.
pub(super) async fn serve(tunnel: Arc<Tunnel>, listener: TcpListener) -> anyhow::Result<()> {
    tunnel.machine.server().context("this machine cannot show who it is to other nodes")?;
    let (sender, connections) = mpsc::channel(OPENING);
    let accepting = accept("the tunnel", listener, tunnel.machine.clone(), sender);
    let serving = Server::builder()
        .http2_keepalive_interval(Some(ALIVE))
        .http2_keepalive_timeout(Some(ALIVE))
        .add_service(TunnelServer::new(Service(tunnel.clone())))
        .serve_with_incoming(ReceiverStream::new(connections));
    tokio::select! {
        ended = serving => ended.context("keys for the tunnel are not exchanged any more"),
        () = accepting => Ok(()),
    }
}

struct Service(Arc<Tunnel>);

#[tonic::async_trait]
impl Exchange for Service {
    async fn exchange(&self, request: Request<v1::End>) -> Result<Response<v1::End>, Status> {
        let uri = peer(&request)?.0;
        if !self.0.wanted.borrow().contains_key(&uri) {
            // It may have been told before us: it asks again.
            return Err(Status::failed_precondition(format!("no hall here has anything to do with {uri}")));
        }
        let said = Said::read(request.into_inner()).map_err(Status::invalid_argument)?;
        let heard = Heard { uri, said: Ok(said), answered: false };
        self.0.heard.send(heard).await.map_err(|_| Status::unavailable("the tunnel is ending"))?;
        Ok(Response::new(self.0.own.said()))
    }
}

impl Own {
    fn said(&self) -> v1::End {
        v1::End {
            public_key: self.key.to_vec(),
            networks: self.pods.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Said {
    fn read(end: v1::End) -> Result<Self, String> {
        let key = end.public_key.try_into().map_err(|_| "its public key is not 32 bytes".to_owned())?;
        if end.networks.is_empty() || end.networks.len() > NETWORKS {
            return Err(format!("it says no networks, or more than {NETWORKS}"));
        }
        Ok(Self { key, networks: end.networks })
    }
}

/// Asks a peer, and says what came of it.
pub(super) async fn ask(tunnel: &Tunnel, uri: String, wanted: Wanted) {
    let asked = tokio::time::timeout(CONNECT, hear(tunnel, &uri, &wanted)).await;
    let said = asked.unwrap_or_else(|_| Err(format!("no answer within {CONNECT:?}")));
    let said = said.map_err(|why| format!("{} at {}: {why}", wanted.end.node, wanted.end.address));
    // Nobody hears it any more: the process is ending.
    drop(tunnel.heard.send(Heard { uri, said, answered: true }).await);
}

async fn hear(tunnel: &Tunnel, uri: &str, wanted: &Wanted) -> Result<Said, String> {
    let config = tunnel.machine.client(uri).map_err(|e| e.to_string())?;
    let channel = connect(config, &wanted.end.address.to_string()).await;
    let channel =
        channel.map_err(|e| format!("its keys cannot be asked for: {}", crate::error::chain(e.as_ref())))?;
    let answer = TunnelClient::new(channel).exchange(tunnel.own.said()).await;
    let answer = answer.map_err(|status| format!("it refuses: {}", status.message()))?;
    Said::read(answer.into_inner())
}
