//! Moments of the clock that goes on while the machine is suspended.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_BOOTTIME`. They mean nothing on another machine or after another boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(u64);

impl BootTime {
    /// This moment.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let (seconds, rest) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
        // The clock begins at the boot and goes forward.
        Self(seconds.unwrap_or_default() * 1_000_000_000 + rest.unwrap_or_default())
    }

    /// As the kernel counts.
    pub fn from_nanoseconds(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// As the kernel counts.
    pub fn nanoseconds(self) -> u64 {
        self.0
    }

    /// How long this is after another moment; nothing where it is before.
    pub fn after(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for BootTime {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }
}
