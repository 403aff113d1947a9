//! Failures and slowness on demand, for tests of what watches a hall.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::App;

/// What goes wrong, as set by the environment or by `PUT /faults`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Plan {
    /// Of 100 requests, how many fail.
    pub fail_percent: u64,
    /// How long each request waits first.
    pub delay_ms: u64,
    /// Whether health checks fail.
    pub fail_health: bool,
}

/// The faults in force.
pub struct Faults {
    fail_percent: AtomicU64,
    delay_ms: AtomicU64,
    fail_health: AtomicBool,
    fail_health_at: Option<Instant>,
    counter: AtomicU64,
}

impl Faults {
    /// Faults as planned; health checks fail from `fail_health_after` on.
    pub fn new(plan: Plan, fail_health_after: Option<Duration>) -> Self {
        let faults = Self {
            fail_percent: AtomicU64::new(0),
            delay_ms: AtomicU64::new(0),
            fail_health: AtomicBool::new(false),
            fail_health_at: fail_health_after.map(|after| Instant::now() + after),
            counter: AtomicU64::new(0),
        };
        faults.set(plan);
        faults
    }

    fn set(&self, plan: Plan) {
        self.fail_percent.store(plan.fail_percent.min(100), Ordering::Relaxed);
        self.delay_ms.store(plan.delay_ms.min(60_000), Ordering::Relaxed);
        self.fail_health.store(plan.fail_health, Ordering::Relaxed);
    }

    fn plan(&self) -> Plan {
        Plan {
            fail_percent: self.fail_percent.load(Ordering::Relaxed),
            delay_ms: self.delay_ms.load(Ordering::Relaxed),
            fail_health: self.fail_health.load(Ordering::Relaxed),
        }
    }

    /// Whether health checks fail now.
    pub fn health_fails(&self) -> bool {
        self.plan().fail_health || self.fail_health_at.is_some_and(|at| Instant::now() >= at)
    }

    /// Whether this request fails. Failures are spread evenly instead of by chance, so that of any 100
    /// requests exactly the asked number fails.
    fn next_fails(&self) -> bool {
        let percent = self.fail_percent.load(Ordering::Relaxed);
        let turn = self.counter.fetch_add(1, Ordering::Relaxed) % 100;
        (turn * percent) % 100 < percent && percent > 0
    }
}

/// Delays and fails work requests as planned.
pub async fn inject(State(app): State<App>, request: Request, next: Next) -> Response {
    let delay = app.faults.delay_ms.load(Ordering::Relaxed);
    if delay > 0 {
        sleep(Duration::from_millis(delay)).await;
    }
    if app.faults.next_fails() {
        return (StatusCode::INTERNAL_SERVER_ERROR, "injected failure\n").into_response();
    }
    next.run(request).await
}

/// `GET /faults`.
pub async fn show(State(app): State<App>) -> Json<Plan> {
    Json(app.faults.plan())
}

/// `PUT /faults`.
pub async fn change(State(app): State<App>, Json(plan): Json<Plan>) -> Json<Plan> {
    app.faults.set(plan);
    Json(app.faults.plan())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_asked_share_of_requests_fails() {
        for percent in [0, 1, 30, 50, 99, 100] {
            let faults = Faults::new(Plan { fail_percent: percent, ..Plan::default() }, None);
            let failed = (0..100).filter(|_| faults.next_fails()).count();
            assert_eq!(failed as u64, percent);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn health_fails_after_a_while() {
        let faults = Faults::new(Plan::default(), Some(Duration::from_secs(5)));
        assert!(!faults.health_fails());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(faults.health_fails());
    }
}
