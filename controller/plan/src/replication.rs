//! Which point of a volume is made and sent next, and what the other end takes. Pure: disks and wires are the node's.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use yunting_crds::replication::{Point, Token};
use yunting_crds::volume_replication::ReplicationMode;

/// What the sending end keeps, on its disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sending {
    /// Number of the last point that was begun.
    pub sequence: u64,
    /// Newest point that the other end has. Kept until it has a newer one: the next is sent as what differs from it.
    pub confirmed: Option<Point>,
    /// A point that was made and is not confirmed.
    pub pending: Option<Point>,
}

/// What the sending end does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing until something is asked anew.
    Rest,
    /// Nothing for so long.
    Wait(Duration),
    /// A point is made.
    Make {
        /// Its number.
        sequence: u64,
        /// Only while the volume is closed.
        closed: bool,
    },
    /// The pending point is given up: it was made under a right that is over.
    GiveUp,
    /// The pending point is offered and sent.
    Send(Point),
}

/// What is wanted of the sending end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Of the volume's right.
    pub token: Token,
    /// What is sent.
    pub mode: ReplicationMode,
    /// Recovery point objective.
    pub rpo: Duration,
}

/// Decides. `age` is the time since the newest point was begun, where that is known.
pub fn next(wanted: Wanted, state: &Sending, age: Option<Duration>) -> Step {
    if wanted.mode == ReplicationMode::Paused {
        return Step::Rest;
    }
    let last = wanted.mode == ReplicationMode::Final;
    if let Some(pending) = &state.pending {
        // What was made while the volume was open says nothing of what was written until it was closed.
        let over = pending.token < wanted.token || (last && !pending.closed);
        return if over { Step::GiveUp } else { Step::Send(pending.clone()) };
    }
    let make = Step::Make { sequence: state.sequence + 1, closed: last };
    let newest = state.confirmed.as_ref().filter(|point| point.token == wanted.token);
    let Some(newest) = newest else { return make };
    if last {
        return if newest.closed { Step::Rest } else { make };
    }
    match age.map(|age| (wanted.rpo / 2).saturating_sub(age)) {
        Some(rest) if !rest.is_zero() => Step::Wait(rest),
        _ => make,
    }
}

/// What the receiving end keeps, on its disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Received {
    /// Highest token that was seen.
    pub token: Token,
    /// Whole points, the oldest first.
    pub points: Vec<Point>,
}

/// What is wanted of the receiving end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// Nothing is taken under a lesser one.
    pub token: Token,
    /// It is a volume in use, or is to be one.
    pub active: bool,
}

/// What becomes of a point that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It is here.
    Have,
    /// It is taken, as what differs from the point of that uuid; whole where there is none.
    Take(Option<String>),
}

/// Why a point is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its sender's right is over.
    #[error(
        "the point was made under token {offered:?}, and {seen:?} was seen: the sender's right is over, it must not write any more"
    )]
    LesserToken {
        /// Of the point.
        offered: Token,
        /// What is asked.
        seen: Token,
    },
    /// A newer one is here.
    #[error(
        "point {offered} is not newer than the newest here, {newest}, and is another: the two ends do not agree on the order of points, which a person has to look at"
    )]
    NotNewer {
        /// Its number.
        offered: u64,
        /// Number of the newest here.
        newest: u64,
    },
    /// Nothing is received any more.
    #[error("the replica is active: it is a volume of its own and receives nothing")]
    Active,
}

/// Decides about a point, of which the sender has those of `parents` to compare with: when it is offered, and again when it
/// is whole.
pub fn admit(floor: Floor, kept: &Received, point: &Point, parents: &[String]) -> Result<Admission, Refusal> {
    if floor.active {
        return Err(Refusal::Active);
    }
    let seen = floor.token.max(kept.token);
    if point.token < seen {
        return Err(Refusal::LesserToken { offered: point.token, seen });
    }
    if kept.points.iter().any(|p| p.uuid == point.uuid) {
        return Ok(Admission::Have);
    }
    if let Some(newest) = kept.points.last().filter(|newest| point.position() <= newest.position()) {
        return Err(Refusal::NotNewer { offered: point.sequence, newest: newest.sequence });
    }
    let parent = kept.points.iter().rev().find(|p| parents.contains(&p.uuid));
    Ok(Admission::Take(parent.map(|p| p.uuid.clone())))
}

/// The points that are not kept any more, when so many are.
pub fn surplus(kept: &Received, keep: u32) -> &[Point] {
    let keep = usize::try_from(keep.max(1)).unwrap_or(usize::MAX);
    let surplus = kept.points.len().saturating_sub(keep);
    kept.points.get(..surplus).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use proptest::prelude::*;

    fn token(epoch: u64) -> Token {
        Token { generation: 1, epoch }
    }

    fn point(epoch: u64, sequence: u64) -> Point {
        let uuid = format!("{epoch:08x}-{sequence:08x}");
        Point { token: token(epoch), sequence, uuid, begun_at: Time(Timestamp::UNIX_EPOCH), closed: false }
    }

    fn wanted(epoch: u64, mode: ReplicationMode) -> Wanted {
        Wanted { token: token(epoch), mode, rpo: Duration::from_secs(10) }
    }

    const FLOOR: Floor = Floor { token: Token { generation: 1, epoch: 1 }, active: false };

    #[test]
    fn points_are_made_twice_in_the_objective_and_sent_one_after_the_other() {
        let (mode, mut state) = (ReplicationMode::Continuous, Sending::default());
        assert_eq!(next(wanted(1, mode), &state, None), Step::Make { sequence: 1, closed: false });
        state = Sending { sequence: 1, pending: Some(point(1, 1)), confirmed: None };
        assert_eq!(next(wanted(1, mode), &state, None), Step::Send(point(1, 1)));
        state = Sending { sequence: 1, pending: None, confirmed: Some(point(1, 1)) };
        let age = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(next(wanted(1, mode), &state, age(2)), Step::Wait(Duration::from_secs(3)));
        assert_eq!(next(wanted(1, mode), &state, age(5)), Step::Make { sequence: 2, closed: false });
        // A clock that jumped back, or a process that does not know: no harm in a point too many.
        assert_eq!(next(wanted(1, mode), &state, None), Step::Make { sequence: 2, closed: false });
        assert_eq!(next(wanted(1, ReplicationMode::Paused), &state, age(9)), Step::Rest);
    }

    #[test]
    fn under_a_new_right_what_was_made_before_is_not_sent() {
        let state = Sending { sequence: 7, pending: Some(point(1, 7)), confirmed: Some(point(1, 6)) };
        let wanted = wanted(2, ReplicationMode::Continuous);
        assert_eq!(next(wanted, &state, Some(Duration::ZERO)), Step::GiveUp);
        let state = Sending { pending: None, ..state };
        assert_eq!(next(wanted, &state, Some(Duration::ZERO)), Step::Make { sequence: 8, closed: false });
    }

    #[test]
    fn the_final_point_is_one_of_a_closed_volume() {
        let wanted = wanted(1, ReplicationMode::Final);
        let state = Sending { sequence: 7, pending: Some(point(1, 7)), confirmed: Some(point(1, 6)) };
        assert_eq!(next(wanted, &state, None), Step::GiveUp);
        let state = Sending { pending: None, ..state };
        assert_eq!(next(wanted, &state, None), Step::Make { sequence: 8, closed: true });
        let closed = Point { closed: true, ..point(1, 8) };
        let state = Sending { sequence: 8, pending: Some(closed.clone()), ..state };
        assert_eq!(next(wanted, &state, None), Step::Send(closed.clone()));
        let state = Sending { sequence: 8, pending: None, confirmed: Some(closed) };
        assert_eq!(next(wanted, &state, None), Step::Rest);
    }

    #[test]
    fn the_other_end_takes_only_what_is_newer_and_under_no_lesser_right() {
        let kept = Received { token: token(2), points: vec![point(1, 3), point(2, 4)] };
        let ask = |point: &Point, parents: &[String]| admit(FLOOR, &kept, point, parents);
        let lesser = Refusal::LesserToken { offered: token(1), seen: token(2) };
        assert_eq!(ask(&point(1, 5), &[]), Err(lesser));
        assert_eq!(ask(&point(2, 4), &[]), Ok(Admission::Have));
        let other = Point { uuid: "other".to_owned(), ..point(2, 4) };
        assert_eq!(ask(&other, &[]), Err(Refusal::NotNewer { offered: 4, newest: 4 }));
        assert_eq!(ask(&point(2, 5), &[]), Ok(Admission::Take(None)));
        let both = [point(1, 3).uuid, point(2, 4).uuid];
        assert_eq!(ask(&point(2, 5), &both), Ok(Admission::Take(Some(point(2, 4).uuid))));
        assert_eq!(ask(&point(2, 5), &both[..1]), Ok(Admission::Take(Some(point(1, 3).uuid))));
        assert_eq!(ask(&point(2, 5), &["unknown".to_owned()]), Ok(Admission::Take(None)));
        let raised = Floor { token: token(3), ..FLOOR };
        assert!(matches!(admit(raised, &kept, &point(2, 5), &both), Err(Refusal::LesserToken { .. })));
        let active = Floor { active: true, ..FLOOR };
        assert_eq!(admit(active, &kept, &point(9, 9), &both), Err(Refusal::Active));
    }

    #[test]
    fn the_newest_points_stay() {
        let kept = Received { token: token(1), points: vec![point(1, 1), point(1, 2), point(1, 3)] };
        assert_eq!(surplus(&kept, 2), [point(1, 1)]);
        assert_eq!(surplus(&kept, 0), [point(1, 1), point(1, 2)]);
        assert!(surplus(&kept, 9).is_empty());
    }

    proptest! {
        /// Whatever is offered in whatever order, under rights that rise at any time: what is kept is ordered, and nothing is
        /// taken under a right below the highest that was seen.
        #[test]
        fn what_is_kept_is_ordered_and_never_under_a_lesser_right(
            offers in prop::collection::vec((1_u64..5, 1_u64..12, 1_u64..5), 1..60),
        ) {
            let (mut kept, mut floor) = (Received::default(), 0);
            for (epoch, sequence, asked) in offers {
                floor = floor.max(asked);
                let (point, at) = (point(epoch, sequence), Floor { token: token(floor), active: false });
                let highest = kept.token.max(at.token);
                if let Ok(admission) = admit(at, &kept, &point, &[]) {
                    prop_assert!(point.token >= highest);
                    kept.token = point.token;
                    if admission != Admission::Have {
                        kept.points.push(point);
                    }
                }
                prop_assert!(kept.points.windows(2).all(|p| p[0].position() < p[1].position()));
            }
        }
    }
}
