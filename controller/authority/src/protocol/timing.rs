//! How long rights last and how long a leader waits. Nodes have no values of their own: they come with each grant.

use serde::{Deserialize, Serialize};

use super::rules::Rules;

/// Milliseconds, up to 49 days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u32);

impl Millis {
    /// As nanoseconds.
    pub const fn nanoseconds(self) -> u64 {
        self.0 as u64 * 1_000_000
    }
}

/// Longest right, as the kernel's gate takes it: ten minutes.
const LONGEST_HOLD: Millis = Millis(600_000);
/// Largest drift that is taken for one, in thousandths: a clock that is worse has failed.
const LARGEST_DRIFT: u32 = 100;
/// Times D_h after which pods without a right are stopped (rule 6).
const STOP_AFTER: u32 = 10;

/// A group's timing, as it stands in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timing {
    /// R: a node renews this often.
    pub renew: Millis,
    /// D_h: a right lasts this long from the sending of the request, by the node's clock.
    pub hold: Millis,
    /// F: for so long after its right a node may still let writes out, for applying, killed streams and queues.
    pub residual: Millis,
    /// ρ: how much faster or slower than true time any clock of the protocol may run, in thousandths.
    pub drift: u32,
    /// Added to the wait for whatever the formula does not know.
    pub margin: Millis,
    /// Added to the wait for what the kernel's timers are late.
    pub guard: Millis,
    /// Longest election of the store.
    pub election: Millis,
    /// Time after which a request counts as lost; at most R / 2.
    pub request: Millis,
}

/// Which of the design's timings a group has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Profile {
    /// A wait of 28 s.
    Standard,
    /// A wait of 8 s.
    Fast,
    /// A wait of 6 s, where an election takes at most 600 ms.
    FastQuorum,
}

/// What was measured between nodes and the store, each as its 99th percentile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Between any two of node, endpoint and members.
    pub round_trip: Millis,
    /// On the store's disks and on the nodes'.
    pub fsync: Millis,
    /// Of an election, its longest.
    pub election: Millis,
}

/// Why a timing is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// A time that must not be zero.
    #[error("timing: `{0}` is zero; give it at least 1 ms")]
    Zero(&'static str),
    /// It is longer than a gate takes.
    #[error("timing: `hold` is {0:?}, and the gate takes no right beyond {LONGEST_HOLD:?}; shorten it")]
    HoldTooLong(Millis),
    /// The clocks would be worth nothing.
    #[error("timing: `drift` is {0} thousandths, more than {LARGEST_DRIFT}; mend the clocks instead")]
    Drift(u32),
    /// Two requests would be on their way at once.
    #[error("timing: `request` is {request:?}, more than half of `renew`, {renew:?}; shorten it")]
    Request {
        /// As given.
        request: Millis,
        /// As given.
        renew: Millis,
    },
    /// A right would not outlast what the store does in good health.
    #[error(
        "timing: a right outlasts a missed renewal by {spare:?}, and two elections and a request may take {needed:?}; lengthen `hold`, or make elections shorter"
    )]
    Spare {
        /// D_h − R.
        spare: Millis,
        /// 2·(2·election) + request.
        needed: Millis,
    },
    /// The network or the disks are too slow for it.
    #[error(
        "timing: {what} was measured as {measured:?}, and this profile carries {carried:?}; choose a slower one"
    )]
    NotCarried {
        /// What was measured.
        what: &'static str,
        /// How long it took.
        measured: Millis,
        /// How long it may take.
        carried: Millis,
    },
}

impl Profile {
    /// Its times.
    pub const fn timing(self) -> Timing {
        let times = match self {
            Self::Standard => [3_000, 15_000, 10_000, 2_000, 2_500, 1_500],
            Self::Fast => [1_000, 6_000, 1_000, 500, 1_000, 500],
            Self::FastQuorum => [1_000, 4_000, 1_000, 500, 600, 500],
        };
        let [renew, hold, residual, margin, election, request] = times;
        Timing {
            renew: Millis(renew),
            hold: Millis(hold),
            residual: Millis(residual),
            drift: 10,
            margin: Millis(margin),
            guard: Millis(250),
            election: Millis(election),
            request: Millis(request),
        }
    }
}

impl Timing {
    /// Whether it may stand in a record: `D_h − R ≥ 2·(2·election) + request` and what the parts must be for that to mean
    /// something.
    pub fn validate(&self) -> Result<(), TimingError> {
        let named = [
            ("renew", self.renew),
            ("hold", self.hold),
            ("residual", self.residual),
            ("margin", self.margin),
            ("election", self.election),
            ("request", self.request),
        ];
        if let Some((name, _)) = named.into_iter().find(|(_, time)| time.0 == 0) {
            return Err(TimingError::Zero(name));
        }
        if self.hold > LONGEST_HOLD {
            return Err(TimingError::HoldTooLong(self.hold));
        }
        if self.drift > LARGEST_DRIFT {
            return Err(TimingError::Drift(self.drift));
        }
        if self.request.0 > self.renew.0 / 2 {
            return Err(TimingError::Request { request: self.request, renew: self.renew });
        }
        let spare = Millis(self.hold.0.saturating_sub(self.renew.0));
        let needed = Millis(self.election.0.saturating_mul(4).saturating_add(self.request.0));
        if spare < needed { Err(TimingError::Spare { spare, needed }) } else { Ok(()) }
    }

    /// Whether network, disks and store are quick enough for it. A renewal crosses from node to endpoint and on to a
    /// quorum, and is written to disk there and on the node.
    pub fn carried_by(&self, measured: Measured) -> Result<(), TimingError> {
        let renewal = Millis(
            measured.round_trip.0.saturating_mul(2).saturating_add(measured.fsync.0.saturating_mul(2)),
        );
        let bounds =
            [("a renewal", renewal, self.request), ("an election", measured.election, self.election)];
        match bounds.into_iter().find(|(_, measured, carried)| measured > carried) {
            Some((what, measured, carried)) => Err(TimingError::NotCarried { what, measured, carried }),
            None => Ok(()),
        }
    }

    /// `W = ⌈(D_h + F)·(1+ρ)/(1−ρ)⌉ + guard + margin`, by the waiting leader's own clock.
    pub fn wait<R: Rules>(&self) -> Millis {
        R::wait(self)
    }

    /// D_stop: for so long without a right pods stay, closed.
    pub fn stop_after(&self) -> Millis {
        Millis(self.hold.0.saturating_mul(STOP_AFTER))
    }
}

/// The formula, rounded up: a wait that is a little too long costs time, one that is a little too short costs data.
pub(super) fn wait(timing: &Timing) -> Millis {
    let held = u64::from(timing.hold.0) + u64::from(timing.residual.0);
    let drift = u64::from(timing.drift.min(999));
    let stretched = (held * (1000 + drift)).div_ceil(1000 - drift);
    let all = stretched + u64::from(timing.guard.0) + u64::from(timing.margin.0);
    Millis(u32::try_from(all).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Sound;
    use proptest::prelude::*;

    const ALL: [(Profile, u32); 3] = [(Profile::Standard, 28), (Profile::Fast, 8), (Profile::FastQuorum, 6)];

    #[test]
    fn the_profiles_wait_as_the_design_says() {
        for (profile, seconds) in ALL {
            let timing = profile.timing();
            assert_eq!(timing.validate(), Ok(()), "{profile:?}");
            assert_eq!(timing.wait::<Sound>().0.div_ceil(1000), seconds, "{profile:?}");
        }
        // By hand: 25,000·1.01/0.99 = 25,505.05…
        assert_eq!(Profile::Standard.timing().wait::<Sound>(), Millis(25_506 + 250 + 2_000));
        assert_eq!(Profile::Standard.timing().stop_after(), Millis(150_000));
    }

    #[test]
    fn what_does_not_hold_is_refused() {
        let good = Profile::Fast.timing();
        let cases = [
            (Timing { residual: Millis(0), ..good }, TimingError::Zero("residual")),
            (Timing { hold: Millis(600_001), ..good }, TimingError::HoldTooLong(Millis(600_001))),
            (Timing { drift: 101, ..good }, TimingError::Drift(101)),
            (
                Timing { request: Millis(501), ..good },
                TimingError::Request { request: Millis(501), renew: Millis(1_000) },
            ),
            (
                Timing { hold: Millis(4_000), ..good },
                TimingError::Spare { spare: Millis(3_000), needed: Millis(4_500) },
            ),
        ];
        for (timing, error) in cases {
            assert_eq!(timing.validate(), Err(error));
        }
    }

    #[test]
    fn slow_disks_and_networks_carry_no_fast_profile() {
        let fast = Profile::FastQuorum.timing();
        let measured = Measured { round_trip: Millis(100), fsync: Millis(100), election: Millis(600) };
        assert_eq!(fast.carried_by(measured), Ok(()));
        assert!(fast.carried_by(Measured { fsync: Millis(200), ..measured }).is_err());
        assert!(fast.carried_by(Measured { election: Millis(601), ..measured }).is_err());
        assert_eq!(Profile::Fast.timing().carried_by(Measured { election: Millis(601), ..measured }), Ok(()));
    }

    proptest! {
        /// A holder whose clock is slow by ρ has let its last write out before a leader whose clock is fast by ρ goes on.
        #[test]
        fn the_wait_outlasts_every_right(
            hold in 1_u32..600_000, residual in 1_u32..600_000, drift in 0_u32..=100, more in 0_u32..1_000,
        ) {
            let timing = Timing {
                hold: Millis(hold), residual: Millis(residual), drift, margin: Millis(0), guard: Millis(0),
                ..Profile::Standard.timing()
            };
            let wait = timing.wait::<Sound>();
            // In thousandths of true milliseconds: the holder's (D_h+F)/(1−ρ) against the leader's W/(1+ρ), cross-multiplied.
            let held = u128::from(hold + residual) * u128::from(1000 + drift);
            prop_assert!(u128::from(wait.0) * u128::from(1000 - drift) >= held);
            let longer = Timing { hold: Millis(hold + more), residual: Millis(residual + more), ..timing };
            prop_assert!(longer.wait::<Sound>() >= wait);
            let worse = Timing { drift: (drift + more).min(100), ..timing };
            prop_assert!(worse.wait::<Sound>() >= wait);
        }
    }
}
