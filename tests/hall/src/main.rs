//! A small service hall: the workload the demo and the tests run in bureaus' data centres.
//!
//! One program, two halves: the portal shows residents their cases, the approval back end keeps them. It needs
//! no privilege and writes to no file. It knows nothing of Yunting.

mod approval;
mod case;
mod client;
mod faults;
mod page;
mod portal;
mod settings;
mod store;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::client::Approval;
use crate::faults::Faults;
use crate::settings::{Mode, Settings};
use crate::store::Store;

/// A request that is still running so long after the drain is given up.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// What the handlers share.
#[derive(Clone)]
pub struct App {
    settings: Arc<Settings>,
    faults: Arc<Faults>,
    store: Arc<Store>,
    approval: Arc<Approval>,
    /// True once SIGTERM came.
    leaving: watch::Receiver<bool>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().with_target(false).init();
    let settings = Settings::parse();
    let listen = settings.listen;
    let drain = Duration::from_millis(settings.drain_ms);
    let (leave, leaving) = watch::channel(false);
    let app = app(settings, leaving.clone())?;
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("could not listen on {listen}"))?;
    tracing::info!(%listen, mode = ?app.settings.mode, store = app.store.kind(), "serving");
    if app.settings.mode == Mode::Approval && app.settings.advance_every_s > 0 {
        tokio::spawn(approval::advance_by_itself(app.clone()));
    }
    tokio::spawn(leave_on_signal(leave, drain));
    let server = axum::serve(listener, router(app)).with_graceful_shutdown(drained(leaving.clone(), drain));
    tokio::select! {
        result = async { server.await } => result.context("the server failed"),
        () = async { drained(leaving, drain + LAST_REQUESTS).await } => Ok(()),
    }
}

fn app(settings: Settings, leaving: watch::Receiver<bool>) -> anyhow::Result<App> {
    Ok(App {
        faults: Arc::new(settings.faults()),
        store: Arc::new(settings.store()?),
        approval: Arc::new(Approval::new(&settings.approval_url)),
        settings: Arc::new(settings),
        leaving,
    })
}

/// All routes of a mode. Health is answered beside the faults, which have their own switch for it.
fn router(app: App) -> Router {
    let work = match app.settings.mode {
        Mode::Portal => portal::routes(),
        Mode::Approval => approval::routes(),
    };
    let mut all = work
        .layer(middleware::from_fn_with_state(app.clone(), faults::inject))
        .layer(DefaultBodyLimit::max(16 * 1024))
        .route("/healthz", get(ready))
        .route("/livez", get(|| async { "ok\n" }));
    if app.settings.allow_faults {
        all = all.route("/faults", get(faults::show).put(faults::change));
    }
    all.layer(middleware::from_fn_with_state(app.clone(), sign)).with_state(app)
}

/// Ready: not leaving, not told to fail, and for the back end the store answers.
async fn ready(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let leaving = *app.leaving.borrow();
    let failing = app.faults.health_fails();
    let store = match app.settings.mode {
        Mode::Portal => None,
        Mode::Approval => Some(app.store.ping().await.map_err(|error| error.to_string())),
    };
    let ready = !leaving && !failing && !matches!(store, Some(Err(_)));
    let mut body = json!({"ready": ready, "leaving": leaving});
    if let Some(answer) = store {
        body["store"] = json!(app.store.kind());
        body["database"] = json!(answer.err().unwrap_or_else(|| "answers".to_owned()));
    }
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(body))
}

/// Says in each answer who gave it.
async fn sign(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let names = [
        (HeaderName::from_static("x-yunting-pod"), &app.settings.pod),
        (HeaderName::from_static("x-yunting-site"), &app.settings.site),
    ];
    for (name, value) in names {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Tells everybody when SIGTERM or SIGINT comes.
async fn leave_on_signal(leave: watch::Sender<bool>, drain: Duration) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("no signal handler: a stop will not be clean");
        return std::future::pending().await;
    };
    tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
    tracing::info!(?drain, "leaving");
    leave.send_replace(true);
}

/// Ends so long after the process was asked to leave.
async fn drained(mut leaving: watch::Receiver<bool>, after: Duration) {
    // The sender goes only after it said "leaving", so an error here cannot come first.
    let _ = leaving.wait_for(|&leaving| leaving).await.is_ok();
    tokio::time::sleep(after).await;
}

#[cfg(test)]
mod tests;
