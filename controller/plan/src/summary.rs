//! How status sums up: never better than the world. A resource is ready only if every slice was made from its
//! generation, has been observed, is ready, and its site's beat is fresh.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use yunting_crds::conditions::{READY, State, Statement, find, reason, say, state_of};
use yunting_crds::resources::{Amounts, Kind};
use yunting_crds::site::Summary;

/// A slice as its resource sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct SliceView<'a> {
    /// Site it is for.
    pub site: &'a str,
    /// Generation of the resource it was made from.
    pub source_generation: i64,
    /// Its own generation.
    pub generation: i64,
    /// Generation that the site has looked at.
    pub observed_generation: Option<i64>,
    /// What the site says.
    pub conditions: &'a [Condition],
    /// The site's beat is fresh.
    pub fresh: bool,
}

/// What is known of one condition of one slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Site.
    pub site: String,
    /// Status.
    pub state: State,
    /// Reason.
    pub reason: String,
    /// Message.
    pub message: String,
}

/// What a slice lets be said of a condition, for a resource at `generation`.
pub fn verdict(slice: &SliceView<'_>, type_: &str, generation: i64) -> Verdict {
    let unknown = |reason: &str, message: String| Verdict {
        site: slice.site.to_owned(),
        state: State::Unknown,
        reason: reason.to_owned(),
        message,
    };
    if !slice.fresh {
        return unknown(
            reason::SITE_SILENT,
            format!("site {} does not answer; its last word is not relied on", slice.site),
        );
    }
    if slice.source_generation != generation {
        return unknown(
            reason::NOT_OBSERVED,
            format!("the slice for site {} is not of this generation yet", slice.site),
        );
    }
    if slice.observed_generation != Some(slice.generation) {
        return unknown(
            reason::NOT_OBSERVED,
            format!("site {} has not seen this generation yet", slice.site),
        );
    }
    match find(slice.conditions, type_) {
        Some(c) => Verdict {
            site: slice.site.to_owned(),
            state: state_of(slice.conditions, type_),
            reason: c.reason.clone(),
            message: c.message.clone(),
        },
        None => unknown(reason::NOT_OBSERVED, format!("site {} says nothing of {type_}", slice.site)),
    }
}

/// Sums verdicts up: the worst counts, `False` before `Unknown` before `True`; its reason and every site of that
/// state with its message are named. A site at which there is nothing to probe says nothing for or against the others.
pub fn sum(type_: &'static str, verdicts: &[Verdict]) -> Statement {
    let (looked, nothing): (Vec<&Verdict>, Vec<&Verdict>) = verdicts
        .iter()
        .partition(|v| v.reason != reason::NOTHING_OPEN && v.reason != reason::NOTHING_CROSSES);
    let verdicts = if looked.is_empty() { nothing } else { looked };
    let rank = |v: &&&Verdict| match v.state {
        State::False => 0,
        State::Unknown => 1,
        State::True => 2,
    };
    let Some(worst) = verdicts.iter().min_by_key(rank) else {
        return say(type_, State::Unknown, reason::PENDING, "no site works on it yet");
    };
    let same = verdicts.iter().filter(|v| v.state == worst.state);
    let texts: Vec<String> = same
        .map(|v| if v.message.is_empty() { v.site.clone() } else { format!("{}: {}", v.site, v.message) })
        .collect();
    Statement { type_, state: worst.state, reason: known(&worst.reason), message: texts.join("; ") }
}

/// Reasons that sites give, as constants; an unknown one is shown as `Pending` with its message.
pub fn known(text: &str) -> &'static str {
    if text == reason::NOTHING_OPEN {
        return reason::CONFIGURED;
    }
    let all = [
        reason::AS_ASKED,
        reason::IN_PROGRESS,
        reason::VERIFIED,
        reason::CONFIGURED,
        reason::NOTHING_CROSSES,
        reason::TUNNEL_MISSING,
        reason::BROKEN,
        reason::PROVIDER_MISSING,
        reason::SITE_SILENT,
        reason::NOT_OBSERVED,
        reason::INVALID,
        reason::QUOTA_EXCEEDED,
        reason::OVER_LIMIT,
        reason::REFERENCE,
        reason::NAME_COLLISION,
        reason::UNREACHABLE,
        reason::REPLICATION_MISSING,
        reason::REPLICATION_BEHIND,
        reason::DIVERGENT,
        reason::VOLUME_GONE,
        reason::KEY_REFUSED,
        reason::DELETING,
        reason::VDC_NOT_READY,
        reason::APPLY_FAILED,
        reason::LIFECYCLE,
    ];
    all.into_iter().find(|r| *r == text).unwrap_or(reason::PENDING)
}

/// Reasons that no time cures, whoever gives them: hub or site. Somebody has to change something.
const WAIT_FOR_SOMEBODY: [&str; 4] =
    [reason::INVALID, reason::REFERENCE, reason::QUOTA_EXCEEDED, reason::NAME_COLLISION];

/// kstatus beside `Ready`: work under way, or stuck until somebody changes something. Absent when neither.
pub fn progress(ready: &Statement, stuck: bool) -> Vec<Statement> {
    match ready.state {
        State::True => Vec::new(),
        _ if stuck || WAIT_FOR_SOMEBODY.contains(&ready.reason) => {
            vec![say(yunting_crds::conditions::STALLED, State::True, ready.reason, ready.message.clone())]
        }
        // A silent site is nobody's progress.
        _ if ready.reason == reason::SITE_SILENT => Vec::new(),
        _ => {
            vec![say(yunting_crds::conditions::RECONCILING, State::True, ready.reason, ready.message.clone())]
        }
    }
}

/// Not ready because of this.
pub fn not_ready(reason: &'static str, message: impl Into<String>) -> Statement {
    say(READY, State::False, reason, message)
}

/// `<used>/<limit> <percent>%` for tables; nothing where there is no limit.
pub fn table(used: &Amounts, limit: &Amounts) -> Summary {
    let cell = |kind: Kind| {
        let limit = limit.get(kind).filter(|l| *l > 0)?;
        let used = used.amount(kind);
        let percent = u128::from(used) * 100 / u128::from(limit);
        Some(format!("{}/{} {percent}%", shown(kind, used), shown(kind, limit)))
    };
    Summary { cpu: cell(Kind::Cpu), memory: cell(Kind::Memory), storage: cell(Kind::Storage) }
}

/// A number short enough for a table: bytes rounded to a tenth of the largest unit.
fn shown(kind: Kind, amount: u64) -> String {
    if kind == Kind::Cpu {
        return kind.print(amount);
    }
    let units = [("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
    let Some((suffix, shift)) = units.into_iter().find(|(_, shift)| amount >> shift > 0) else {
        return amount.to_string();
    };
    let tenths = (u128::from(amount) * 10) >> shift;
    if tenths % 10 == 0 {
        format!("{}{suffix}", tenths / 10)
    } else {
        format!("{}.{}{suffix}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    fn ready(state: &str) -> Vec<Condition> {
        vec![Condition {
            type_: READY.into(),
            status: state.into(),
            reason: "AsAsked".into(),
            message: String::new(),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            observed_generation: None,
        }]
    }

    fn view<'a>(site: &'a str, conditions: &'a [Condition]) -> SliceView<'a> {
        SliceView {
            site,
            source_generation: 3,
            generation: 7,
            observed_generation: Some(7),
            conditions,
            fresh: true,
        }
    }

    #[test]
    fn ready_only_if_every_slice_is_fresh_observed_current_and_ready() {
        let yes = ready("True");
        let good = view("a", &yes);
        assert_eq!(sum(READY, &[verdict(&good, READY, 3)]).state, State::True);
        let silent = SliceView { fresh: false, ..good.clone() };
        let unseen = SliceView { observed_generation: Some(6), ..good.clone() };
        let old = SliceView { source_generation: 2, ..good.clone() };
        for (bad, why) in [(silent, "SiteSilent"), (unseen, "NotObserved"), (old, "NotObserved")] {
            let all = [verdict(&good, READY, 3), verdict(&bad, READY, 3)];
            let total = sum(READY, &all);
            assert_eq!((total.state, total.reason), (State::Unknown, why));
        }
    }

    #[test]
    fn a_definite_no_counts_before_ignorance() {
        let (yes, no) = (ready("True"), ready("False"));
        let silent = SliceView { fresh: false, ..view("b", &yes) };
        let all = [verdict(&view("a", &no), READY, 3), verdict(&silent, READY, 3)];
        assert_eq!(sum(READY, &all).state, State::False);
    }

    #[test]
    fn a_site_with_nothing_to_probe_hides_no_other_and_proves_nothing() {
        let said = |site: &str, state, reason: &str| Verdict {
            site: site.to_owned(),
            state,
            reason: reason.to_owned(),
            message: "m".to_owned(),
        };
        let nothing = said("b", State::Unknown, reason::NOTHING_OPEN);
        let total = |one: Verdict| sum(READY, &[one, nothing.clone()]);
        let verified = total(said("a", State::True, reason::VERIFIED));
        assert_eq!((verified.state, verified.message.as_str()), (State::True, "a: m"));
        assert_eq!(total(said("a", State::False, reason::BROKEN)).state, State::False);
        assert_eq!(total(said("a", State::Unknown, reason::SITE_SILENT)).reason, reason::SITE_SILENT);
        let none = total(nothing.clone());
        assert_eq!((none.state, none.reason), (State::Unknown, reason::CONFIGURED));
    }

    #[test]
    fn nothing_known_is_not_ready() {
        assert_eq!(sum(READY, &[]).state, State::Unknown);
    }

    #[test]
    fn what_a_site_refuses_is_stuck_and_not_under_way() {
        let types = |reason| -> Vec<&str> {
            progress(&not_ready(reason, "why"), false).into_iter().map(|s| s.type_).collect()
        };
        assert_eq!(types(reason::REFERENCE), ["Stalled"]);
        assert_eq!(types(reason::IN_PROGRESS), ["Reconciling"]);
    }

    #[test]
    fn tables_are_short() {
        let used = Amounts::new().with(Kind::Cpu, 12_000).with(Kind::Memory, 48 << 30);
        let limit =
            Amounts::new().with(Kind::Cpu, 40_000).with(Kind::Memory, 160 << 30).with(Kind::Storage, 0);
        let table = table(&used, &limit);
        assert_eq!(table.cpu.as_deref(), Some("12/40 30%"));
        assert_eq!(table.memory.as_deref(), Some("48Gi/160Gi 30%"));
        assert_eq!(table.storage, None);
    }
}
