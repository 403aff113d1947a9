//! A resident's case and the ten states it moves through. Pure.

use serde::{Deserialize, Serialize};

/// The ten process states of the service hall, in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// 申办
    Applied,
    /// 网上预受理
    PreAccepted,
    /// 受理
    Accepted,
    /// 审批(处理)
    InReview,
    /// 补交告知
    SupplementAsked,
    /// 补交受理
    SupplementAccepted,
    /// 特别程序申请
    SpecialRequested,
    /// 特别程序结果
    SpecialResult,
    /// 办结
    Closed,
    /// 领取登记
    Collected,
}

impl State {
    /// All states in order.
    pub const ALL: [Self; 10] = [
        Self::Applied,
        Self::PreAccepted,
        Self::Accepted,
        Self::InReview,
        Self::SupplementAsked,
        Self::SupplementAccepted,
        Self::SpecialRequested,
        Self::SpecialResult,
        Self::Closed,
        Self::Collected,
    ];

    /// The name residents see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "申办",
            Self::PreAccepted => "网上预受理",
            Self::Accepted => "受理",
            Self::InReview => "审批(处理)",
            Self::SupplementAsked => "补交告知",
            Self::SupplementAccepted => "补交受理",
            Self::SpecialRequested => "特别程序申请",
            Self::SpecialResult => "特别程序结果",
            Self::Closed => "办结",
            Self::Collected => "领取登记",
        }
    }

    /// Number in the database.
    pub fn number(self) -> i16 {
        Self::ALL.iter().position(|&state| state == self).and_then(|i| i16::try_from(i).ok()).unwrap_or(0)
    }

    /// State of a number; None for a number this program doesn't know.
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// States that may follow: documents may be asked for and a special procedure may be needed, at most once
    /// each, before a case is closed.
    pub fn successors(self, history: &[Self]) -> Vec<Self> {
        match self {
            Self::Applied => vec![Self::PreAccepted],
            Self::PreAccepted => vec![Self::Accepted],
            Self::Accepted => vec![Self::InReview],
            Self::InReview | Self::SupplementAccepted | Self::SpecialResult => {
                let side = [Self::SupplementAsked, Self::SpecialRequested];
                let open = side.into_iter().filter(|state| !history.contains(state));
                open.chain([Self::Closed]).collect()
            }
            Self::SupplementAsked => vec![Self::SupplementAccepted],
            Self::SpecialRequested => vec![Self::SpecialResult],
            Self::Closed => vec![Self::Collected],
            Self::Collected => Vec::new(),
        }
    }
}

/// What a resident files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filing {
    /// What is applied for.
    pub item: String,
    /// Who applies.
    pub applicant: String,
}

impl Filing {
    /// The filing with surrounding white space gone, or what is wrong with it.
    pub fn checked(self) -> Result<Self, &'static str> {
        let filing = Self { item: self.item.trim().to_owned(), applicant: self.applicant.trim().to_owned() };
        let lengths = [filing.item.chars().count(), filing.applicant.chars().count()];
        if lengths.contains(&0) {
            return Err("事项和申请人不能为空");
        }
        if lengths.iter().any(|&length| length > 100) {
            return Err("事项和申请人不能超过 100 个字");
        }
        Ok(filing)
    }
}

/// A filed case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    /// Number, growing.
    pub id: i64,
    /// What is applied for.
    pub item: String,
    /// Who applies.
    pub applicant: String,
    /// Where it is.
    pub state: State,
    /// Where it has been, the present state last.
    pub history: Vec<State>,
    /// When it was filed, in seconds since 1970.
    pub filed_at: i64,
    /// When it last moved.
    pub changed_at: i64,
}

impl Case {
    /// The next state when nobody chooses. Of three cases one goes straight, one is asked for documents and one
    /// needs the special procedure, so that a demo shows all ten states.
    pub fn usual_next(&self) -> Option<State> {
        let next = self.state.successors(&self.history);
        let wanted = match self.id.rem_euclid(3) {
            1 => State::Closed,
            2 => State::SupplementAsked,
            _ => State::SpecialRequested,
        };
        if next.contains(&wanted) { Some(wanted) } else { next.last().copied() }
    }

    /// Whether the case may move to `state` now.
    pub fn may_become(&self, state: State) -> bool {
        self.state.successors(&self.history).contains(&state)
    }

    /// The applicant's name as far as the public page shows it.
    pub fn masked_applicant(&self) -> String {
        let mut letters = self.applicant.chars();
        letters.next().map_or_else(String::new, |first| {
            std::iter::once(first).chain(letters.map(|_| '*').take(3)).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(id: i64) -> Vec<State> {
        let mut case = Case {
            id,
            item: "生育证".into(),
            applicant: "王小明".into(),
            state: State::Applied,
            history: vec![State::Applied],
            filed_at: 0,
            changed_at: 0,
        };
        while let Some(next) = case.usual_next() {
            assert!(case.may_become(next));
            case.state = next;
            case.history.push(next);
        }
        case.history
    }

    #[test]
    fn three_cases_pass_through_all_ten_states_and_end() {
        let mut seen: Vec<State> = (1..4).flat_map(walk).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen, State::ALL);
        for id in 1..4 {
            assert_eq!(walk(id).last(), Some(&State::Collected));
        }
        assert_eq!(walk(1).len(), 6);
    }

    #[test]
    fn numbers_go_both_ways() {
        for state in State::ALL {
            assert_eq!(State::from_number(state.number()), Some(state));
        }
        assert_eq!(State::from_number(10), None);
        assert_eq!(State::from_number(-1), None);
    }

    #[test]
    fn no_state_is_skipped() {
        assert!(!State::Applied.successors(&[]).contains(&State::Closed));
        let asked = [State::InReview, State::SupplementAsked, State::SupplementAccepted];
        assert!(!State::SupplementAccepted.successors(&asked).contains(&State::SupplementAsked));
    }

    #[test]
    fn a_filing_needs_both_fields() {
        let filing = |item: &str, applicant: &str| Filing { item: item.into(), applicant: applicant.into() };
        assert!(filing("生育证", "王").checked().is_ok());
        assert!(filing(" ", "王").checked().is_err());
        assert!(filing("生育证", &"王".repeat(101)).checked().is_err());
    }
}
