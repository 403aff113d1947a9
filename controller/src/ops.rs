//! `/metrics`, `/healthz` and `/readyz` of a controller, on a port of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::watchdog::Watchdog;

/// Whether the caches are filled, watches show signs of life, and the process does its work.
#[derive(Clone, Default)]
pub struct Readiness {
    filled: Arc<AtomicBool>,
    watchdogs: Vec<Arc<Watchdog>>,
}

impl Readiness {
    /// Not ready yet; later, only as long as these watches live.
    pub fn new(watchdogs: Vec<Arc<Watchdog>>) -> Self {
        Self { filled: Arc::default(), watchdogs }
    }

    /// Says whether the caches are filled.
    pub fn set(&self, ready: bool) {
        self.filled.store(ready, Ordering::Relaxed);
    }

    /// Why the process is not ready, if it is not.
    pub fn trouble(&self) -> Option<String> {
        if !self.filled.load(Ordering::Relaxed) {
            return Some("caches are not filled or another instance leads".to_owned());
        }
        let silent: Vec<String> = self.watchdogs.iter().filter_map(|dog| dog.trouble()).collect();
        (!silent.is_empty()).then(|| silent.join("; "))
    }
}

#[derive(Clone)]
struct Ops {
    metrics: Arc<Metrics>,
    ready: Readiness,
}

/// Serves until cancelled.
pub async fn serve(
    listen: SocketAddr,
    metrics: Arc<Metrics>,
    ready: Readiness,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(render))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(Ops { metrics, ready });
    let listener = tokio::net::TcpListener::bind(listen).await?;
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

async fn render(State(ops): State<Ops>) -> (StatusCode, String) {
    match ops.metrics.render() {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

async fn readyz(State(ops): State<Ops>) -> (StatusCode, String) {
    match ops.ready.trouble() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

/// Cancels on SIGTERM or SIGINT.
pub async fn stop_on_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be watched; the process ends only by SIGKILL");
        return;
    };
    tokio::select! {
        _ = term.recv() => (),
        _ = int.recv() => (),
    }
    stop.cancel();
}
