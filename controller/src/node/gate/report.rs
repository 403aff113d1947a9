//! Has the gate tested now and then, and says how it stands: in the node's report, in metrics and in the log.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;
use yunting_crds::node_report::{GateReport, GateState};
use yunting_plan::gate::State;
use yunting_plan::object::Key;

use super::canary::{Outcome, test};
use super::keeper::{Gates, Shown};
use crate::context::Context;
use crate::error::chain;
use crate::writer::Writer;

/// Field manager of the gate's part of the report.
const MANAGER: &str = "yunting/node-gate";
/// Time between two self-tests, where nobody asks for one.
const TEST: Duration = Duration::from_mins(1);
/// Time until a report that did not arrive is written again.
const AGAIN: Duration = Duration::from_secs(2);
/// Longest text that is told; the field's bound.
const DETAIL: usize = 1000;

/// Tests at once, every minute, and when somebody asks. Never ends.
pub(in crate::node) async fn test_now_and_then(gates: &Arc<Gates>, context: &Context) {
    loop {
        let begun = Instant::now();
        let of = gates.clone();
        let outcome = tokio::task::spawn_blocking(move || test(&of)).await;
        let outcome = outcome.unwrap_or_else(|error| Outcome::NotRun(error.to_string()));
        gates.tested(&outcome, begun, context);
        // Who asked while it ran gets another one.
        let _ = tokio::time::timeout(TEST, gates.test.notified()).await;
    }
}

impl Gates {
    fn tested(&self, outcome: &Outcome, begun: Instant, context: &Context) {
        let mut inner = self.inner();
        match outcome {
            Outcome::Passed => {
                inner.failed = None;
                inner.tested |= begun >= inner.trouble;
            }
            Outcome::Failed(what) => {
                tracing::error!(what, "the gate's self-test has failed");
                inner.failed = Some(format!("self-test: {what}"));
                inner.tested = false;
            }
            Outcome::NotRun(why) => tracing::warn!(why, "the gate could not be tested"),
        }
        inner.sweep();
        let program = match &mut inner.gate {
            Ok(gate) => {
                gate.forget();
                gate.hash().ok()
            }
            Err(_) => None,
        };
        drop(inner);
        self.look();
        let passed = *outcome == Outcome::Passed;
        self.shown.send_modify(|shown| {
            shown.begun = Some(begun);
            shown.program = program;
            if passed {
                shown.tested = Some(context.timestamp());
            }
        });
    }
}

/// Says how it stands whenever that changes. Never ends.
pub(in crate::node) async fn keep(gates: &Gates, report: &Key, writer: &Writer, context: &Context) {
    let mut shown = gates.follow();
    loop {
        let now = shown.borrow_and_update().clone();
        count(&now, context);
        let written = writer.status(MANAGER, report, None, &json!({"gate": of(&now)})).await;
        let changed = shown.changed();
        match written {
            Ok(_) => drop(changed.await),
            // The prober makes the report.
            Err(error) => {
                tracing::info!(error = chain(&error), "the gate's report did not arrive");
                let _ = tokio::time::timeout(AGAIN, changed).await;
            }
        }
    }
}

fn count(shown: &Shown, context: &Context) {
    for state in [State::Armed, State::Broken, State::Absent] {
        let label = format!("{state:?}");
        context.metrics.gate_state.with_label_values(&[&label]).set(i64::from(state == shown.state));
    }
    context.metrics.gate_tested.set(shown.tested.map_or(0, Timestamp::as_second));
}

fn of(shown: &Shown) -> GateReport {
    let state = match shown.state {
        State::Armed => GateState::Armed,
        State::Broken => GateState::Broken,
        State::Absent => GateState::Absent,
    };
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let detail = shown.detail.chars().take(DETAIL).collect();
    GateReport {
        state,
        tested_at: shown.tested.map(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time),
        detail: Some(detail).filter(|d: &String| !d.is_empty()),
        kernel,
        program: shown.program.clone(),
    }
}
