//! How nodes reach each other: HTTP/2 over mutual TLS, where the URI in a certificate says which node of which site the other
//! end is. Owns nothing of what they say.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use anyhow::Context as _;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::volume::replica::tls::{Machine, uri};

/// Time in which a connection has to have shown who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Time for a connection to be there.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// Time between two signs of life, and for an answer to one.
pub(super) const ALIVE: Duration = Duration::from_secs(10);
/// Connections that are being opened at once.
pub(super) const OPENING: usize = 32;

/// Who is at the other end of a connection: the URI in its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer(pub String);

/// A connection of a machine.
pub(super) struct Secured {
    stream: TlsStream<TcpStream>,
    peer: Peer,
}

impl Connected for Secured {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Task<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Task<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Takes connections of machines for ever. `what` they are for is said where one is refused.
pub(super) async fn accept(
    what: &'static str,
    listener: TcpListener,
    machine: Machine,
    sender: mpsc::Sender<io::Result<Secured>>,
) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: it may be better a moment later.
                tracing::warn!(%error, "a connection for {what} could not be taken");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let (machine, sender) = (machine.clone(), sender.clone());
        tokio::spawn(async move {
            let opened = tokio::time::timeout(HANDSHAKE, secure(stream, &machine)).await;
            match opened.unwrap_or_else(|_| Err(anyhow::anyhow!("no handshake within {HANDSHAKE:?}"))) {
                Ok(secured) => drop(sender.send(Ok(secured)).await),
                Err(error) => {
                    tracing::warn!(%from, error = format!("{error:#}"), "a connection for {what} is refused");
                }
            }
        });
    }
}

async fn secure(stream: TcpStream, machine: &Machine) -> anyhow::Result<Secured> {
    let stream = TlsAcceptor::from(Arc::new(machine.server()?)).accept(stream).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).and_then(uri);
    let peer = Peer(shown.context("its certificate does not say which machine it is")?);
    Ok(Secured { stream, peer })
}

/// Who asks.
pub(super) fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    let unknown = || Status::unauthenticated("nobody is at the other end");
    request.extensions().get::<Peer>().cloned().ok_or_else(unknown)
}

/// A connection to the machine that a configuration wants, and to no other.
pub(super) async fn connect(
    config: ClientConfig,
    address: &str,
) -> Result<Channel, Box<dyn std::error::Error + Send + Sync>> {
    let (config, address) = (Arc::new(config), address.to_owned());
    let connector = tower::service_fn(move |_| {
        let (config, address) = (config.clone(), address.clone());
        async move {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            // The certificate's URI is looked at, not this name.
            let name = ServerName::try_from("node").map_err(io::Error::other)?;
            TlsConnector::from(config).connect(name, stream).await.map(TokioIo::new)
        }
    });
    let endpoint = Endpoint::from_static("http://node")
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(ALIVE)
        .keep_alive_timeout(ALIVE);
    match tokio::time::timeout(CONNECT, endpoint.connect_with_connector(connector)).await {
        Ok(connected) => connected.map_err(Into::into),
        Err(_) => Err(format!("no connection within {CONNECT:?}").into()),
    }
}
