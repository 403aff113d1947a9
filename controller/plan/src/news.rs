//! What of a status is news for people: the Events that `kubectl describe` shows. Conditions say how things are;
//! an Event says that they changed, and is written only where somebody would want to know.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use yunting_crds::conditions::{
    HUB_BELIEVED, NETWORK_ISOLATED, PLACED, READY, SCHEDULED, State, VOLUMES_ENCRYPTED, find, reason,
    state_of,
};

/// One piece of news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Somebody should look.
    pub warning: bool,
    /// CamelCase reason of the Event.
    pub reason: String,
    /// What happened, in a sentence; at most as long as a condition's message.
    pub note: String,
}

/// Reasons of a condition that are the ordinary course of things: no news.
const ORDINARY: [&str; 6] = [
    reason::PENDING,
    reason::IN_PROGRESS,
    reason::NOT_OBSERVED,
    reason::DELETING,
    reason::VDC_NOT_READY,
    reason::AS_ASKED,
];

/// What changed between two lists of conditions that people are told of: where something was placed, why something
/// is not ready that should be or not believed, and that it is again.
pub fn news(before: &[Condition], after: &[Condition]) -> Vec<News> {
    let places = [SCHEDULED, PLACED].into_iter().filter_map(|type_| placed(before, after, type_));
    let turns = [READY, HUB_BELIEVED].into_iter().filter_map(|type_| turned(before, after, type_));
    let probed = PROBED.into_iter().filter_map(|(type_, told)| broken(before, after, type_, told));
    places.chain(turns).chain(probed).collect()
}

/// What probes show, and how it is called that it does not hold.
const PROBED: [(&str, &str); 2] =
    [(NETWORK_ISOLATED, "IsolationBroken"), (VOLUMES_ENCRYPTED, "EncryptionBroken")];

/// What probes have shown not to hold, and that it holds again. That nothing proves it is told by its condition.
fn broken(before: &[Condition], after: &[Condition], type_: &str, told: &str) -> Option<News> {
    let is = |all: &[Condition]| find(all, type_).is_some_and(|c| c.reason == reason::BROKEN);
    let now = find(after, type_)?;
    match (is(before), is(after)) {
        (false, true) => Some(News { warning: true, reason: told.to_owned(), note: now.message.clone() }),
        (true, false) if now.status == "True" => {
            Some(News { warning: false, reason: type_.to_owned(), note: now.message.clone() })
        }
        _ => None,
    }
}

/// A place that was found or has changed. That none was found is told by `Ready`, with the same words.
fn placed(before: &[Condition], after: &[Condition], type_: &str) -> Option<News> {
    let now = find(after, type_).filter(|_| state_of(after, type_) == State::True)?;
    let same = find(before, type_).is_some_and(|b| b.status == now.status && b.message == now.message);
    (!same).then(|| News { warning: false, reason: type_.to_owned(), note: now.message.clone() })
}

fn turned(before: &[Condition], after: &[Condition], type_: &str) -> Option<News> {
    let now = find(after, type_)?;
    let was = find(before, type_);
    if state_of(after, type_) == State::True {
        let what = if type_ == READY { "ready" } else { "believed" };
        let note = format!("{what} again; before: {}", was.map(|w| w.message.as_str()).unwrap_or_default());
        return was.is_some_and(alarming).then(|| News {
            warning: false,
            reason: type_.to_owned(),
            note: note.trim_end_matches("; before: ").to_owned(),
        });
    }
    let same = was.is_some_and(|w| w.status == now.status && w.reason == now.reason);
    (alarming(now) && !same).then(|| News {
        warning: true,
        reason: now.reason.clone(),
        note: now.message.clone(),
    })
}

fn alarming(condition: &Condition) -> bool {
    condition.status != "True" && !ORDINARY.contains(&condition.reason.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    fn one(type_: &str, status: &str, reason: &str, message: &str) -> Condition {
        Condition {
            type_: type_.into(),
            status: status.into(),
            reason: reason.into(),
            message: message.into(),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            observed_generation: None,
        }
    }

    #[test]
    fn the_ordinary_course_of_things_is_no_news() {
        let steps = [
            vec![],
            vec![one(READY, "Unknown", "Pending", "")],
            vec![one(READY, "False", "InProgress", "1/2 pods")],
            vec![one(READY, "True", "AsAsked", "")],
            vec![one(READY, "False", "Deleting", "")],
        ];
        for pair in steps.windows(2) {
            assert_eq!(news(&pair[0], &pair[1]), []);
        }
    }

    #[test]
    fn trouble_is_told_once_and_so_is_its_end() {
        let good = [one(READY, "True", "AsAsked", "")];
        let bad = [one(READY, "Unknown", "SiteSilent", "site a does not answer")];
        let told = news(&good, &bad);
        assert_eq!((told.len(), told[0].warning, told[0].reason.as_str()), (1, true, "SiteSilent"));
        assert_eq!(news(&bad, &bad), []);
        let over = news(&bad, &good);
        assert_eq!((over.len(), over[0].warning), (1, false));
        assert!(over[0].note.contains("site a does not answer"));
    }

    #[test]
    fn what_probes_find_broken_is_told_once_and_that_it_holds_again() {
        for (type_, told) in PROBED {
            let holds = [one(type_, "True", "Verified", "")];
            let broken = [one(type_, "False", "Broken", "volume a: in the clear")];
            let unknown = [one(type_, "Unknown", "Configured", "")];
            let first = news(&holds, &broken);
            assert_eq!((first.len(), first[0].warning, first[0].reason.as_str()), (1, true, told));
            assert!(first[0].note.contains("volume a"));
            assert_eq!(news(&broken, &broken), []);
            assert_eq!(news(&broken, &unknown), []);
            assert_eq!(news(&broken, &holds)[0].reason, type_);
        }
    }

    #[test]
    fn a_place_is_told_when_it_is_found_and_when_it_moves() {
        let at = |text| [one(SCHEDULED, "True", "AsAsked", text)];
        assert_eq!(news(&[], &at("at a"))[0].note, "at a");
        assert_eq!(news(&at("at a"), &at("at a")), []);
        assert_eq!(news(&at("at a"), &at("at b"))[0].note, "at b");
    }
}
