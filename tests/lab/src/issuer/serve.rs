//! Two documents over HTTPS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{DISCOVERY, Error, KEYS, discovery, file, jwks};

/// A client that says nothing for so long is let go.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves the issuer's documents.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Directory with `issuer-signing.key`, `issuer.crt` and `issuer.key`.
    #[arg(long)]
    pub dir: PathBuf,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:5556")]
    pub listen: SocketAddr,
}

/// The two documents, made once: they change only with the key.
struct Documents {
    discovery: Bytes,
    keys: Bytes,
}

/// Serves until the process ends.
pub async fn run(args: Args) -> Result<(), Error> {
    let documents = Arc::new(Documents {
        discovery: Bytes::from(discovery(&args.listen.to_string()).to_string()),
        keys: Bytes::from(serde_json::json!(jwks(&args.dir)?).to_string()),
    });
    let acceptor = TlsAcceptor::from(Arc::new(tls(&args.dir)?));
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|source| Error::Listen { address: args.listen, source })?;
    tracing::info!(listen = %args.listen, "issuer");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(acceptor.clone(), stream, Arc::clone(&documents)));
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn tls(directory: &Path) -> Result<ServerConfig, Error> {
    let certificate_file = file(directory, "issuer.crt");
    let certificates = CertificateDer::pem_file_iter(&certificate_file)
        .and_then(Iterator::collect)
        .map_err(|source| Error::ReadKey { path: certificate_file, source })?;
    let key_file = file(directory, "issuer.key");
    let key = PrivateKeyDer::from_pem_file(&key_file)
        .map_err(|source| Error::ReadKey { path: key_file, source })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?)
}

async fn connection(acceptor: TlsAcceptor, stream: TcpStream, documents: Arc<Documents>) {
    let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await else { return };
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let response = answer(request.uri().path(), &documents);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

fn answer(path: &str, documents: &Documents) -> Response<Full<Bytes>> {
    let body = match path {
        DISCOVERY => Some(documents.discovery.clone()),
        KEYS => Some(documents.keys.clone()),
        "/healthz" => Some(Bytes::from_static(b"{}")),
        _ => None,
    };
    let status = if body.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut response = Response::new(Full::new(body.unwrap_or_default()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_documents_are_served() {
        let documents = Documents { discovery: Bytes::from("d"), keys: Bytes::from("k") };
        for (path, expected) in [(DISCOVERY, 200), (KEYS, 200), ("/", 404), ("/keys/x", 404)] {
            assert_eq!(answer(path, &documents).status(), expected, "{path}");
        }
    }
}
