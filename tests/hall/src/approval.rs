//! The approval back end: cases as JSON.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::App;
use crate::case::{self, Case, Filing};
use crate::store;

/// Why a request about cases was not answered with cases.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("no case has the number {0}")]
    Unknown(i64),
    #[error("{0}")]
    Invalid(&'static str),
    #[error("the wanted state could not be understood")]
    Understand(#[from] serde_json::Error),
    #[error("the case can not move to this state, or another request moved it first")]
    Conflict,
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Self::Store(error) = &self {
            tracing::warn!(%error, cause = ?std::error::Error::source(error), "store");
        }
        let status = match self {
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Invalid(_) | Self::Understand(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(json!({"error": self.to_string()}))).into_response()
    }
}

/// The routes of the back end.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/cases", get(list).post(file))
        .route("/cases/{id}", get(show))
        .route("/cases/{id}/advance", post(advance))
}

#[derive(Deserialize)]
struct Page {
    #[serde(default = "default_limit")]
    limit: i64,
}

const fn default_limit() -> i64 {
    50
}

async fn list(State(app): State<App>, Query(page): Query<Page>) -> Result<Json<Vec<Case>>, Error> {
    Ok(Json(app.store.list(page.limit.clamp(1, 500)).await?))
}

async fn show(State(app): State<App>, Path(id): Path<i64>) -> Result<Json<Case>, Error> {
    app.store.get(id).await?.map(Json).ok_or(Error::Unknown(id))
}

async fn file(State(app): State<App>, Json(filing): Json<Filing>) -> Result<(StatusCode, Json<Case>), Error> {
    let filing = filing.checked().map_err(Error::Invalid)?;
    Ok((StatusCode::CREATED, Json(app.store.file(&filing).await?)))
}

/// Where a case shall go; nothing means the usual next state.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    to: Option<case::State>,
}

async fn advance(State(app): State<App>, Path(id): Path<i64>, body: Bytes) -> Result<Json<Case>, Error> {
    let wish = if body.is_empty() { Advance::default() } else { serde_json::from_slice(&body)? };
    let case = app.store.get(id).await?.ok_or(Error::Unknown(id))?;
    let to = wish.to.or_else(|| case.usual_next()).filter(|&to| case.may_become(to));
    let to = to.ok_or(Error::Conflict)?;
    app.store.advance(id, case.state, to).await?.map(Json).ok_or(Error::Conflict)
}

/// Moves cases that have rested long enough, for a demo without clerks. Several back ends may do so at once:
/// each move names the state it starts from, so a case moves once.
pub async fn advance_by_itself(app: App) {
    let seconds = app.settings.advance_every_s;
    let mut ticks = interval(Duration::from_secs(u64::from(seconds)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = advance_due(&app, i64::from(seconds)).await {
            tracing::warn!(%error, cause = ?std::error::Error::source(&error), "could not move cases on");
        }
    }
}

async fn advance_due(app: &App, seconds: i64) -> Result<(), store::Error> {
    for case in app.store.due(seconds).await? {
        if let Some(next) = case.usual_next() {
            app.store.advance(case.id, case.state, next).await?;
        }
    }
    Ok(())
}
