//! What a starting controller has yet to say again. After a power cut the hub still has the statuses of before;
//! a beat would make it believe them. So the first beat waits until everything recorded here was looked at and what
//! came of it has reached the hub.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::watch;

/// Longest wait: one object that cannot be looked at must not silence the site.
const LONGEST: Duration = Duration::from_secs(30);

/// Names of slices that the hub has not been told about since the start.
pub(super) struct Review(watch::Sender<HashSet<String>>);

impl Review {
    /// Of these records.
    pub(super) fn of(names: impl Iterator<Item = String>) -> Self {
        Self(watch::Sender::new(names.collect()))
    }

    /// The hub has what is to be said of this one, or wants to hear nothing of it.
    pub(super) fn told(&self, name: &str) {
        self.0.send_if_modified(|left| left.remove(name) && left.is_empty());
    }

    /// Waits until everything was told, or for as long as a site may be silent for it.
    pub(super) async fn wait(&self) {
        let mut left = self.0.subscribe();
        if tokio::time::timeout(LONGEST, left.wait_for(HashSet::is_empty)).await.is_err() {
            let late = self.0.borrow().len();
            tracing::warn!(
                late,
                "statuses could not be brought to the hub since the start; the site beats all the same"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_with_the_last_name_or_with_patience() {
        let names = || ["a", "b"].map(str::to_owned).into_iter();
        let review = Review::of(names());
        review.told("a");
        review.told("unknown");
        let began = tokio::time::Instant::now();
        tokio::join!(review.wait(), async {
            tokio::time::advance(Duration::from_secs(1)).await;
            review.told("b");
        });
        assert!(began.elapsed() < LONGEST);
        let stuck = Review::of(names());
        let began = tokio::time::Instant::now();
        stuck.wait().await;
        assert!(began.elapsed() >= LONGEST);
    }
}
