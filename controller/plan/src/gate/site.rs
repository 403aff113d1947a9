//! How the gates of a site's nodes stand together, from what their controllers say.
//! Must never: count a node that is silent.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use yunting_crds::conditions::{GATE_ARMED, State, Statement, reason, say};
use yunting_crds::node_report::{GateReport, GateState};

use crate::vdc::isolation::{FRESH, Word};

/// To what the time of a self-test is rounded down, in seconds: each node tests every minute, and nobody writes for that.
const ROUND: i64 = 600;
/// Most nodes that a message names.
const NAMED: usize = 3;

/// Judges; beside it the oldest of the nodes' last self-tests that passed, where each has one. `nodes` are all nodes of the
/// site.
pub fn judge(nodes: &BTreeSet<String>, words: &[Word<'_>]) -> (Statement, Option<Time>) {
    let of = |node: &String| {
        let word = words.iter().find(|w| w.node == node && w.age <= FRESH)?;
        word.report.gate.as_ref()
    };
    let all: Vec<(&String, Option<&GateReport>)> = nodes.iter().map(|n| (n, of(n))).collect();
    let which = |wanted: GateState| -> Vec<String> {
        let of = all.iter().filter(|(_, g)| g.is_some_and(|g| g.state == wanted));
        let why = |g: Option<&GateReport>| g.and_then(|g| g.detail.clone()).unwrap_or_default();
        of.map(|(n, g)| [n.as_str(), &why(*g)].join(" ").trim().to_owned()).collect()
    };
    let silent: Vec<String> =
        all.iter().filter(|(_, g)| g.is_none()).map(|(n, _)| n.as_str().to_owned()).collect();
    let (broken, absent) = (which(GateState::Broken), which(GateState::Absent));
    let no = |state, reason, text: String| (say(GATE_ARMED, state, reason, text), None);
    if !broken.is_empty() {
        return no(State::False, reason::BROKEN, format!("gates that do not stand: {}", list(&broken)));
    }
    if !absent.is_empty() {
        let text = format!("protected pods get no network on nodes without a gate: {}", list(&absent));
        return no(State::False, reason::PROVIDER_MISSING, text);
    }
    if !silent.is_empty() || all.is_empty() {
        let text = format!("no fresh word of a gate from the controllers of nodes {}", list(&silent));
        return no(State::Unknown, reason::NOT_OBSERVED, text);
    }
    let tested = all.iter().map(|(_, g)| g.and_then(|g| g.tested_at.as_ref()).map(|t| t.0));
    let oldest = tested.collect::<Option<Vec<Timestamp>>>().and_then(|all| all.into_iter().min());
    let text = format!(
        "each of {} nodes has a gate that does what it is for, by self-tests with packets",
        all.len()
    );
    (say(GATE_ARMED, State::True, reason::VERIFIED, text), oldest.and_then(round).map(Time))
}

fn round(at: Timestamp) -> Option<Timestamp> {
    Timestamp::from_second(at.as_second().div_euclid(ROUND).saturating_mul(ROUND)).ok()
}

fn list(all: &[String]) -> String {
    let named = all.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join("; ");
    let more = all.len().saturating_sub(NAMED);
    if more == 0 { named } else { format!("{named}; and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::time::Duration;
    use yunting_crds::NodeReportStatus;

    fn report(gate: &Value) -> NodeReportStatus {
        serde_json::from_value(json!({"observedAt": "2026-01-01T00:00:00Z", "isolation": [], "gate": gate}))
            .unwrap()
    }

    fn gate(state: &str, minute: u32) -> Value {
        let at = format!("2026-01-01T00:{minute:02}:30Z");
        json!({"state": state, "testedAt": at, "kernel": "6.18", "detail": "why"})
    }

    fn judged(gates: &[(&str, u64, Value)]) -> (State, &'static str, String, Option<String>) {
        let nodes = gates.iter().map(|(n, ..)| (*n).to_owned()).collect();
        let reports: Vec<_> = gates.iter().map(|(n, age, g)| (*n, *age, report(g))).collect();
        let word = |(node, age, report)| Word { node, age: Duration::from_secs(age), report };
        let words: Vec<_> = reports.iter().map(|(n, age, r)| word((*n, *age, r))).collect();
        let (said, at) = judge(&nodes, &words);
        (said.state, said.reason, said.message, at.map(|t| t.0.to_string()))
    }

    #[test]
    fn a_site_is_armed_only_where_every_node_is_and_has_said_so_lately() {
        let (armed, later) = (gate("Armed", 19), gate("Armed", 42));
        let (state, why, _, at) = judged(&[("a", 1, later.clone()), ("b", 59, armed.clone())]);
        assert_eq!((state, why), (State::True, "Verified"));
        assert_eq!(at.as_deref(), Some("2026-01-01T00:10:00Z"), "the oldest, rounded down");
        let (state, why, text, at) = judged(&[("a", 1, armed.clone()), ("b", 61, armed.clone())]);
        assert_eq!((state, why, at), (State::Unknown, "NotObserved", None));
        assert!(text.ends_with("nodes b"), "{text}");
        let (state, why, text, _) = judged(&[("a", 61, armed.clone()), ("b", 1, gate("Broken", 1))]);
        assert_eq!((state, why), (State::False, "Broken"), "what is known to be wrong counts first");
        assert!(text.contains("b why"), "{text}");
        let (state, why, ..) = judged(&[("a", 1, armed), ("b", 1, gate("Absent", 1))]);
        assert_eq!((state, why), (State::False, "ProviderMissing"));
        assert_eq!(judged(&[]).0, State::Unknown, "nothing is said of no nodes");
        assert_eq!(judged(&[("a", 1, Value::Null)]).0, State::Unknown);
    }
}
