//! Cases of this process only: gone when it ends.

use std::collections::BTreeMap;

use tokio::sync::RwLock;

use crate::case::{Case, Filing, State};

/// Cases by number.
#[derive(Default)]
pub struct Memory {
    cases: RwLock<BTreeMap<i64, Case>>,
}

impl Memory {
    pub(super) async fn file(&self, filing: &Filing) -> Case {
        let mut cases = self.cases.write().await;
        let id = cases.last_key_value().map_or(1, |(id, _)| id + 1);
        let now = now();
        let case = Case {
            id,
            item: filing.item.clone(),
            applicant: filing.applicant.clone(),
            state: State::Applied,
            history: vec![State::Applied],
            filed_at: now,
            changed_at: now,
        };
        cases.insert(id, case.clone());
        case
    }

    pub(super) async fn list(&self, limit: i64) -> Vec<Case> {
        let limit = usize::try_from(limit).unwrap_or(0);
        self.cases.read().await.values().rev().take(limit).cloned().collect()
    }

    pub(super) async fn get(&self, id: i64) -> Option<Case> {
        self.cases.read().await.get(&id).cloned()
    }

    pub(super) async fn advance(&self, id: i64, from: State, to: State) -> Option<Case> {
        let mut cases = self.cases.write().await;
        let case = cases.get_mut(&id).filter(|case| case.state == from)?;
        case.state = to;
        case.history.push(to);
        case.changed_at = now();
        Some(case.clone())
    }

    pub(super) async fn due(&self, seconds: i64) -> Vec<Case> {
        let before = now() - seconds;
        let cases = self.cases.read().await;
        let due = cases.values().filter(|case| case.state != State::Collected && case.changed_at <= before);
        due.cloned().collect()
    }
}

/// The memory store has no database to ask for the time.
#[allow(clippy::disallowed_methods)] // a demo workload has no context module; this is its one look at a clock
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}
