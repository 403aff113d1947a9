//! What every reconciler gets from outside: the clock and the metrics. The only module that reads a clock.

use std::sync::Arc;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::metrics::Metrics;

/// Where time and metrics come from.
#[derive(Clone)]
pub struct Context {
    clock: fn() -> Timestamp,
    /// Counters of this process.
    pub metrics: Arc<Metrics>,
}

impl Context {
    /// With the machine's clock.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        #[allow(clippy::disallowed_methods)] // the one place that reads the wall clock
        Self { clock: Timestamp::now, metrics }
    }

    /// With a clock of a test's own.
    pub fn with_clock(clock: fn() -> Timestamp, metrics: Arc<Metrics>) -> Self {
        Self { clock, metrics }
    }

    /// Now, as objects carry it: whole seconds.
    pub fn now(&self) -> Time {
        Time(second(self.timestamp()))
    }

    /// Random bytes from the TLS provider's generator.
    pub fn random(&self, bytes: usize) -> Result<Vec<u8>, RandomFailed> {
        let mut buffer = vec![0; bytes];
        rustls::crypto::aws_lc_rs::default_provider()
            .secure_random
            .fill(&mut buffer)
            .map_err(|_| RandomFailed)?;
        Ok(buffer)
    }

    /// Now.
    pub fn timestamp(&self) -> Timestamp {
        (self.clock)()
    }
}

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the system gave no random bytes; nothing secret can be made")]
pub struct RandomFailed;

/// The second that a moment lies in. Never a later one: what has come about then has not come about yet.
fn second(moment: Timestamp) -> Timestamp {
    let cut = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Floor);
    moment.round(cut).unwrap_or(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_time_is_never_in_the_future() {
        for millis in [0, 1, 499, 500, 501, 999] {
            let moment = Timestamp::from_millisecond(1_700_000_000_000 + millis).unwrap();
            assert_eq!(second(moment).as_millisecond(), 1_700_000_000_000, "{millis} ms after it");
        }
    }
}
