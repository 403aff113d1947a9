//! Whether a VDC is isolated at its site, from what the nodes' controllers have seen. Nothing is verified but by probes of
//! every node, and only as long as they go on.

use std::collections::BTreeSet;
use std::time::Duration;

use yunting_crds::NodeReportStatus;
use yunting_crds::node_report::{Breach, IsolationState};

/// Age at which a report proves nothing of now. Nodes write at least every 30 s.
pub const FRESH: Duration = Duration::from_mins(1);

/// What a node said last.
#[derive(Debug, Clone, Copy)]
pub struct Word<'a> {
    /// The node.
    pub node: &'a str,
    /// How old it is.
    pub age: Duration,
    /// What it said.
    pub report: &'a NodeReportStatus,
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// Probes of these nodes found nothing that passes and must not.
    Verified(BTreeSet<String>),
    /// Something passed: who reached whom.
    Broken(String),
    /// Nothing proves it, and why.
    Unproved(String),
}

/// What the probes of one turn show of a VDC: how many ways were tried that are to be closed, how many that may be open
/// answered, and whether something passed that must not. Silence proves nothing where nobody answered.
pub fn shown(closed: usize, answered: usize, breached: bool) -> IsolationState {
    match (breached, closed > 0 && answered > 0) {
        (true, _) => IsolationState::Open,
        (false, true) => IsolationState::Closed,
        (false, false) => IsolationState::Unproved,
    }
}

/// Judges. `nodes` are all nodes of the site; a VDC has pods on those that speak of it.
pub fn judge(vdc: &str, nodes: &BTreeSet<String>, words: &[Word<'_>]) -> Isolation {
    let own = |w: &&Word<'_>| w.age <= FRESH && nodes.contains(w.node);
    let fresh: Vec<&Word<'_>> = words.iter().filter(own).collect();
    let of = |w: &Word<'_>| w.report.isolation.iter().find(|i| i.vdc == vdc).cloned();
    let found: Vec<_> = fresh.iter().filter_map(|w| Some((w.node, of(w)?))).collect();
    let breaches: Vec<String> =
        found.iter().flat_map(|(node, i)| i.breaches.iter().map(move |b| text(node, b))).collect();
    // One that is open is open, whatever else is not known.
    if !breaches.is_empty() || found.iter().any(|(_, i)| i.state == IsolationState::Open) {
        return Isolation::Broken(breaches.join("; "));
    }
    let silent: Vec<&str> =
        nodes.iter().map(String::as_str).filter(|n| !fresh.iter().any(|w| w.node == *n)).collect();
    if !silent.is_empty() {
        return Isolation::Unproved(format!(
            "no fresh word from the controllers of nodes {}",
            silent.join(", ")
        ));
    }
    let unproved: Vec<&str> =
        found.iter().filter(|(_, i)| i.state != IsolationState::Closed).map(|(node, _)| *node).collect();
    if !unproved.is_empty() {
        return Isolation::Unproved(format!(
            "the probes on nodes {} reached nobody at all",
            unproved.join(", ")
        ));
    }
    if found.is_empty() {
        return Isolation::Unproved("no pod of it runs from which it could be tried".to_owned());
    }
    Isolation::Verified(found.iter().map(|(node, _)| (*node).to_owned()).collect())
}

fn text(node: &str, b: &Breach) -> String {
    format!("on node {node} {} reached {} at {}:{}", b.from, b.to, b.address, b.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use yunting_crds::node_report::VdcIsolation;

    const VDC: &str = "v";

    fn report(state: IsolationState, open: bool) -> NodeReportStatus {
        let breach = Breach { from: "a/b".into(), to: "c/d".into(), address: "10.0.0.1".into(), port: 80 };
        NodeReportStatus {
            observed_at: Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH),
            isolation: vec![VdcIsolation {
                vdc: VDC.to_owned(),
                state,
                breaches: if open { vec![breach] } else { Vec::new() },
            }],
            gate: None,
            replicas: None,
            volumes: None,
            tunnel: None,
        }
    }

    fn nodes(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    fn word(report: &NodeReportStatus, age: u64) -> Word<'_> {
        Word { node: "n1", age: Duration::from_secs(age), report }
    }

    #[test]
    fn verified_only_by_fresh_probes_of_every_node() {
        let (closed, unproved) =
            (report(IsolationState::Closed, false), report(IsolationState::Unproved, false));
        let one = nodes(&["n1"]);
        assert_eq!(judge(VDC, &one, &[word(&closed, 20)]), Isolation::Verified(one.clone()));
        for (nodes, words) in [
            (&one, vec![]),
            (&one, vec![word(&closed, 61)]),
            (&nodes(&["n1", "n2"]), vec![word(&closed, 20)]),
            (&one, vec![word(&unproved, 20)]),
            (&nodes(&["n2"]), vec![word(&closed, 20)]),
        ] {
            assert!(matches!(judge(VDC, nodes, &words), Isolation::Unproved(_)), "{nodes:?} {words:?}");
        }
        assert!(matches!(judge("other", &one, &[word(&closed, 20)]), Isolation::Unproved(_)));
    }

    #[test]
    fn silence_proves_nothing_where_nobody_answered() {
        assert_eq!(shown(5, 1, false), IsolationState::Closed);
        assert_eq!(shown(5, 0, false), IsolationState::Unproved);
        assert_eq!(shown(0, 1, false), IsolationState::Unproved);
        assert_eq!(shown(5, 0, true), IsolationState::Open);
    }

    #[test]
    fn open_is_open_whatever_else_is_not_known() {
        let open = report(IsolationState::Open, true);
        let judged = judge(VDC, &nodes(&["n1", "n2"]), &[word(&open, 20)]);
        assert_eq!(judged, Isolation::Broken("on node n1 a/b reached c/d at 10.0.0.1:80".to_owned()));
        assert!(matches!(judge(VDC, &nodes(&["n1"]), &[word(&open, 61)]), Isolation::Unproved(_)));
    }
}
