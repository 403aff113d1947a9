//! Whether a namespace admits workloads. Closed is what it is born as and what every doubt makes of it; open only
//! when all that isolates and limits it has been seen to stand.

use serde_json::Value;
use yunting_crds::labels;
use yunting_crds::vdc::LifecycleState;

use crate::quota::shrink::Shown;

/// What the label `yunting.io/admission` says, and whether that is through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Admission {
    /// Nothing that runs is created here.
    Closed,
    /// The label says closed since this second, but an API server may not act by it yet, and what was on its way in
    /// may still be here.
    Closing(i64),
    /// Workloads are admitted.
    Open,
}

impl Admission {
    /// As written in the label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Closed | Self::Closing(_) => labels::ADMISSION_CLOSED,
            Self::Open => labels::ADMISSION_OPEN,
        }
    }

    /// As told in status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closing(_) => "closing",
            _ => self.label(),
        }
    }

    /// What label and annotation say; anything unknown is closed.
    pub fn read(label: Option<&str>, closing: Option<&str>) -> Self {
        match (label, closing) {
            (Some(labels::ADMISSION_OPEN), _) => Self::Open,
            // A moment that cannot be read is one long ago: everything in the namespace is older.
            (_, Some(since)) => Self::Closing(since.parse().unwrap_or(i64::MAX)),
            _ => Self::Closed,
        }
    }
}

/// What was seen of a namespace's ResourceQuota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaSeen {
    /// There is none: nothing is limited.
    Missing,
    /// It stands, but the API server does not enforce the limit asked yet.
    Unconfirmed,
    /// `status.hard` is `spec.hard` and `status.used` is present.
    Confirmed,
}

/// What was seen of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What its label says now.
    pub now: Admission,
    /// The default-deny policy stands exactly as planned.
    pub isolated: bool,
    /// Its quota.
    pub quota: QuotaSeen,
    /// Every other planned object stands.
    pub complete: bool,
}

/// What is to be, and why not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Workloads are admitted.
    Open,
    /// They are not, for these reasons.
    Closed(Vec<String>),
}

impl Decision {
    /// The label's value.
    pub fn admission(&self) -> Admission {
        match self {
            Self::Open => Admission::Open,
            Self::Closed(_) => Admission::Closed,
        }
    }
}

/// Decides. What only opening demands does not close what is open: a binding being repaired, a quota being raised
/// or policies being probed again stop nobody's work. What keeps others safe does.
pub fn admission(state: LifecycleState, policies: Result<(), &str>, facts: &Facts) -> Decision {
    let mut reasons = Vec::new();
    match state {
        LifecycleState::Active => (),
        LifecycleState::Frozen => {
            reasons.push("the VDC is frozen; set spec.lifecycle.state to Active".to_owned());
        }
        LifecycleState::Released => {
            reasons
                .push("the VDC is released; set spec.lifecycle.state to Active to take it back".to_owned());
        }
    }
    if !facts.isolated {
        reasons.push("its default-deny network policy does not stand".to_owned());
    }
    if facts.quota == QuotaSeen::Missing {
        reasons.push("it has no ResourceQuota".to_owned());
    }
    if facts.now != Admission::Open {
        if facts.quota == QuotaSeen::Unconfirmed {
            reasons.push("the API server does not enforce its ResourceQuota yet".to_owned());
        }
        if !facts.complete {
            reasons.push("not all of its objects stand yet".to_owned());
        }
        if let Err(why) = policies {
            reasons.push(format!("the site's admission policies are not proved: {why}"));
        }
    }
    if reasons.is_empty() { Decision::Open } else { Decision::Closed(reasons) }
}

/// Reads a ResourceQuota as its API server shows it. A quota without status limits nothing.
pub fn quota_seen(observed: Option<&Value>) -> QuotaSeen {
    let Some(observed) = observed else { return QuotaSeen::Missing };
    let map = |path: &str| observed.pointer(path).and_then(Value::as_object);
    let (Some(spec), Some(hard), Some(used)) = (map("/spec/hard"), map("/status/hard"), map("/status/used"))
    else {
        return QuotaSeen::Unconfirmed;
    };
    // A limit that is being lowered is none yet, whatever the numbers say.
    let lowering = !Shown::read(observed).lowering().is_empty();
    let enforced = !lowering && spec.iter().all(|(k, v)| hard.get(k) == Some(v) && used.contains_key(k));
    if enforced && hard.len() == spec.len() { QuotaSeen::Confirmed } else { QuotaSeen::Unconfirmed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn facts(now: Admission) -> Facts {
        Facts { now, isolated: true, quota: QuotaSeen::Confirmed, complete: true }
    }

    #[test]
    fn opens_only_when_everything_is_confirmed() {
        let closed = facts(Admission::Closed);
        assert_eq!(admission(LifecycleState::Active, Ok(()), &closed), Decision::Open);
        let doubts = [
            (LifecycleState::Active, Ok(()), Facts { isolated: false, ..closed.clone() }),
            (LifecycleState::Active, Ok(()), Facts { complete: false, ..closed.clone() }),
            (LifecycleState::Active, Ok(()), Facts { quota: QuotaSeen::Unconfirmed, ..closed.clone() }),
            (LifecycleState::Active, Ok(()), Facts { quota: QuotaSeen::Missing, ..closed.clone() }),
            (LifecycleState::Active, Err("no answer"), closed.clone()),
            (LifecycleState::Frozen, Ok(()), closed.clone()),
            (LifecycleState::Released, Ok(()), closed),
        ];
        for (state, policies, facts) in doubts {
            assert_eq!(admission(state, policies, &facts).admission(), Admission::Closed, "{facts:?}");
        }
    }

    #[test]
    fn an_open_namespace_closes_for_safety_only() {
        let open = facts(Admission::Open);
        let repaired = Facts { complete: false, quota: QuotaSeen::Unconfirmed, ..open.clone() };
        assert_eq!(admission(LifecycleState::Active, Err("being probed"), &repaired), Decision::Open);
        for unsafe_ in
            [Facts { isolated: false, ..open.clone() }, Facts { quota: QuotaSeen::Missing, ..open.clone() }]
        {
            assert_eq!(admission(LifecycleState::Active, Ok(()), &unsafe_).admission(), Admission::Closed);
        }
        assert_eq!(admission(LifecycleState::Frozen, Ok(()), &open).admission(), Admission::Closed);
    }

    #[test]
    fn closing_is_closed_that_is_not_through_yet() {
        let table = [
            (Some("open"), Some("7"), Admission::Open),
            (Some("closed"), Some("7"), Admission::Closing(7)),
            (None, Some("odd"), Admission::Closing(i64::MAX)),
            (Some("closed"), None, Admission::Closed),
            (Some("ajar"), None, Admission::Closed),
        ];
        for (label, closing, expected) in table {
            assert_eq!(Admission::read(label, closing), expected);
        }
        assert_eq!((Admission::Closing(7).label(), Admission::Closing(7).as_str()), ("closed", "closing"));
    }

    #[test]
    fn a_quota_counts_only_when_the_server_shows_it_enforced() {
        let hard = json!({"pods": "4"});
        let with = |marks: &str| {
            let annotations = json!({labels::LIMITS: marks});
            json!({"metadata": {"annotations": annotations}, "spec": {"hard": hard},
                "status": {"hard": hard, "used": {"pods": "0"}}})
        };
        let table = [
            (json!({"spec": {"hard": hard}}), QuotaSeen::Unconfirmed),
            (json!({"spec": {"hard": hard}, "status": {"hard": hard}}), QuotaSeen::Unconfirmed),
            (
                json!({"metadata": {"annotations": {labels::LIMITS: "{}"}}, "spec": {"hard": hard},
                    "status": {"hard": {"pods": "3"}, "used": {"pods": "0"}}}),
                QuotaSeen::Unconfirmed,
            ),
            (with(r#"{"pods":"frozen@9"}"#), QuotaSeen::Unconfirmed),
            (with(r#"{"pods":"7@1"}"#), QuotaSeen::Confirmed),
            (with("{}"), QuotaSeen::Confirmed),
        ];
        for (observed, expected) in table {
            assert_eq!(quota_seen(Some(&observed)), expected, "{observed}");
        }
        assert_eq!(quota_seen(None), QuotaSeen::Missing);
    }
}
