//! The portal: a page for residents, and the same as JSON for programs.

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Form, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::App;
use crate::case::{Case, Filing};
use crate::client::Error;
use crate::page;

/// The routes of the portal.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/", get(show).post(submit))
        .route("/api/cases", get(list).post(file))
        .route("/api/whoami", get(who))
}

#[derive(Deserialize)]
struct Notice {
    filed: Option<i64>,
}

async fn show(State(app): State<App>, Query(notice): Query<Notice>) -> Response {
    let cases = app.approval.list().await.inspect_err(log);
    let message = notice.filed.map(|id| format!("已收到您的申请，编号 {id}。"));
    document(&app, StatusCode::OK, cases.as_deref().ok(), message.as_deref())
}

/// Files what the form says; the redirect keeps a reload from filing it again.
async fn submit(State(app): State<App>, Form(filing): Form<Filing>) -> Response {
    let filing = match filing.checked() {
        Ok(filing) => filing,
        Err(message) => {
            let cases = app.approval.list().await.inspect_err(log);
            return document(&app, StatusCode::UNPROCESSABLE_ENTITY, cases.as_deref().ok(), Some(message));
        }
    };
    match app.approval.file(&filing).await.inspect_err(log) {
        Ok(case) => Redirect::to(&format!("/?filed={}", case.id)).into_response(),
        Err(_) => document(&app, StatusCode::BAD_GATEWAY, None, Some("申请没有提交成功，请稍后再试。")),
    }
}

fn document(app: &App, status: StatusCode, cases: Option<&[Case]>, message: Option<&str>) -> Response {
    let markup = page::page(&app.settings, cases, message);
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, markup.into_string()).into_response()
}

async fn list(State(app): State<App>) -> Response {
    match app.approval.list().await.inspect_err(log) {
        Ok(cases) => Json(cases).into_response(),
        Err(error) => failure(&error),
    }
}

async fn file(State(app): State<App>, Json(filing): Json<Filing>) -> Response {
    match app.approval.file(&filing).await.inspect_err(log) {
        Ok(case) => (StatusCode::CREATED, Json(case)).into_response(),
        Err(error) => failure(&error),
    }
}

async fn who(State(app): State<App>) -> Json<Value> {
    let settings = &app.settings;
    Json(json!({
        "hall": settings.hall_name, "pod": settings.pod, "node": settings.node, "site": settings.site,
    }))
}

fn failure(error: &Error) -> Response {
    let status = match error {
        Error::Refused(status) if status.is_client_error() => *status,
        _ => StatusCode::BAD_GATEWAY,
    };
    (status, Json(json!({"error": error.to_string()}))).into_response()
}

fn log(error: &Error) {
    tracing::warn!(%error, cause = ?std::error::Error::source(error), "approval");
}
