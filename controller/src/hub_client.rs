//! A client over several API servers of one cluster. It uses one at a time, moves on when that one does not
//! answer, and then ends the watches it had there, so that they begin again at the next with their last
//! resourceVersion (the servers share one etcd, so versions hold at all of them).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};

use kube::client::{Body, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service};

use crate::body::{Care, Watched};
use crate::metrics::Metrics;
use crate::watchdog::{self, Watchdog};

/// Time for an answer that is no watch. The servers' own limit is 60 s; ours moves on sooner.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A kubeconfig that gives no usable client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read kubeconfig {path}; check the path and its rights")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: kube::config::KubeconfigError,
    },
    /// A context cannot be used.
    #[error("context {context} of kubeconfig {path} cannot be used")]
    Context {
        /// Which file.
        path: String,
        /// Which context.
        context: String,
        /// Why.
        source: kube::config::KubeconfigError,
    },
    /// A client cannot be made.
    #[error("no client can be made for context {context} of kubeconfig {path}")]
    Client {
        /// Which file.
        path: String,
        /// Which context.
        context: String,
        /// Why.
        source: kube::Error,
    },
    /// There is no context.
    #[error("kubeconfig {path} has no context; it needs one per API server")]
    Empty {
        /// Which file.
        path: String,
    },
}

struct Shared {
    name: &'static str,
    servers: Vec<Client>,
    current: AtomicUsize,
    era: std::sync::Mutex<CancellationToken>,
    watchdog: Arc<Watchdog>,
    metrics: Arc<Metrics>,
}

impl Shared {
    fn era(&self) -> CancellationToken {
        // Nothing panics while it is held, so a poisoned lock still holds a whole token.
        self.era.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// What is expected of an answer's body. A watch of one object may be silent for as long as it likes, a refusal is
    /// no sign of life.
    fn care(self: &Arc<Self>, used: usize, collection: Option<String>, watches: bool) -> Option<Care> {
        match collection {
            Some(path) => Some(Care::watch(self.watchdog.clone(), path)),
            None if watches => None,
            None => {
                let left = self.clone();
                Some(Care::answer(move || left.leave(used)))
            }
        }
    }

    /// Leaves the server that was used, unless somebody already has.
    fn leave(&self, used: usize) {
        let next = used.wrapping_add(1);
        if self.current.compare_exchange(used, next, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.metrics.switches.with_label_values(&[self.name]).inc();
            let fresh = CancellationToken::new();
            let old = std::mem::replace(
                &mut *self.era.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
                fresh,
            );
            old.cancel();
            tracing::warn!(
                cluster = self.name,
                server = next % self.servers.len(),
                "moved to the next API server"
            );
        }
    }
}

/// Handle on the servers: the client, and the way to leave a server that answers but does not serve.
#[derive(Clone)]
pub struct Servers {
    shared: Arc<Shared>,
    /// A client like any other.
    pub client: Client,
}

impl Servers {
    /// Reads a kubeconfig; each of its contexts is one API server of the cluster.
    pub async fn open(name: &'static str, path: &Path, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let shown = path.display().to_string();
        let kubeconfig =
            Kubeconfig::read_from(path).map_err(|source| Error::Read { path: shown.clone(), source })?;
        let mut servers = Vec::new();
        for context in kubeconfig.contexts.iter().map(|c| c.name.clone()) {
            let options =
                KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
            let mut config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options)
                .await
                .map_err(|source| Error::Context { path: shown.clone(), context: context.clone(), source })?;
            config.connect_timeout = Some(CONNECT_TIMEOUT);
            let client = ClientBuilder::try_from(config)
                .map_err(|source| Error::Client { path: shown.clone(), context: context.clone(), source })?
                .build();
            servers.push(client);
        }
        if servers.is_empty() {
            return Err(Error::Empty { path: shown });
        }
        Ok(Self::over(name, servers, metrics))
    }

    fn over(name: &'static str, servers: Vec<Client>, metrics: Arc<Metrics>) -> Self {
        let shared = Arc::new(Shared {
            name,
            servers,
            current: AtomicUsize::new(0),
            era: std::sync::Mutex::new(CancellationToken::new()),
            watchdog: Watchdog::new(name),
            metrics,
        });
        let client = Client::new(Failover { shared: shared.clone() }, "default");
        Self { shared, client }
    }

    /// One client per API server, for what must be asked of each of them.
    pub fn each(&self) -> &[Client] {
        &self.shared.servers
    }

    /// The signs of life of the watches at these servers.
    pub fn watchdog(&self) -> Arc<Watchdog> {
        self.shared.watchdog.clone()
    }

    /// Leaves the present server: it answers, but a quorum write through it failed.
    pub fn leave(&self) {
        self.shared.leave(self.shared.current.load(Ordering::Acquire));
    }
}

#[derive(Clone)]
struct Failover {
    shared: Arc<Shared>,
}

impl Service<Request<Body>> for Failover {
    type Response = Response<Watched>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = self.shared.clone();
        Box::pin(async move {
            let used = shared.current.load(Ordering::Acquire);
            let era = shared.era();
            let path = watchdog::watched(request.uri()).map(str::to_owned);
            if let Some(path) = &path {
                shared.watchdog.asked(path);
            }
            let server = shared.servers[used % shared.servers.len()].clone();
            let watches = request.uri().query().is_some_and(|q| q.split('&').any(|p| p == "watch=true"));
            // The head of a watch's answer comes as soon as the server has it; only the body goes on.
            match tokio::time::timeout(ANSWER_TIMEOUT, server.send(request)).await {
                Ok(Ok(answer)) => {
                    let care = shared.care(used, path.filter(|_| answer.status().is_success()), watches);
                    Ok(answer.map(|body| Watched::new(body, era, care)))
                }
                Ok(Err(error)) => {
                    shared.leave(used);
                    Err(error.into())
                }
                Err(_) => {
                    shared.leave(used);
                    Err(format!("API server {} did not answer within {ANSWER_TIMEOUT:?}", shared.name).into())
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::PART_TIMEOUT;
    use futures::StreamExt;
    use http_body_util::BodyExt;
    use hyper::body::Frame;
    use std::convert::Infallible;

    fn answering(text: &'static str) -> Client {
        Client::new(
            tower::service_fn(move |_: Request<Body>| async move {
                Ok::<_, Infallible>(Response::new(Body::from(text.as_bytes().to_vec())))
            }),
            "default",
        )
    }

    fn dead() -> Client {
        Client::new(
            tower::service_fn(|_: Request<Body>| async {
                Err::<Response<Body>, _>(std::io::Error::other("refused"))
            }),
            "default",
        )
    }

    async fn ask(servers: &Servers) -> Result<String, kube::Error> {
        let request = Request::get("/version").body(Vec::new()).unwrap();
        servers.client.request_text(request).await
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_left() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let servers = Servers::over("test", vec![dead(), answering("two")], metrics);
        assert!(ask(&servers).await.is_err());
        assert_eq!(ask(&servers).await.unwrap(), "two");
    }

    /// Answers with a head and the beginning of a body, and never goes on.
    fn stopping() -> Client {
        Client::new(
            tower::service_fn(|_: Request<Body>| async {
                let first = futures::stream::iter([Ok::<_, Infallible>(Frame::data("{".into()))]);
                let body = http_body_util::StreamBody::new(first.chain(futures::stream::pending()));
                Ok::<_, Infallible>(Response::new(body))
            }),
            "default",
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_whose_answer_stops_is_left_and_a_watch_of_one_object_may_be_silent() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let servers = Servers::over("test", vec![stopping(), answering("two")], metrics);
        let watch = Request::get("/api/v1/nodes?&watch=true&fieldSelector=metadata.name%3Da")
            .body(Vec::new())
            .unwrap();
        let mut watch = servers.client.send(watch.map(Body::from)).await.unwrap().into_body();
        assert!(watch.frame().await.unwrap().is_ok());
        assert!(tokio::time::timeout(PART_TIMEOUT * 10, watch.frame()).await.is_err());
        assert!(ask(&servers).await.is_err());
        assert_eq!(ask(&servers).await.unwrap(), "two");
        assert!(watch.frame().await.unwrap().is_err(), "it ends with its server");
    }

    #[tokio::test]
    async fn leaving_a_server_ends_its_bodies() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let servers = Servers::over("test", vec![answering("one"), answering("two")], metrics);
        let silent = futures::stream::pending::<Result<Frame<hyper::body::Bytes>, Infallible>>();
        let mut body = Watched::new(http_body_util::StreamBody::new(silent), servers.shared.era(), None);
        servers.leave();
        assert!(body.frame().await.unwrap().is_err());
        assert_eq!(ask(&servers).await.unwrap(), "two");
    }
}
