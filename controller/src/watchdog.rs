//! Whether watches live. Every watch ends in order after [`WATCH_SECONDS`] and is begun again where it stopped, so
//! that silence means something: one that shows neither an event nor its end for longer is blocked, whatever its
//! connection says. It is then broken off, and the process says that it is not ready and for which kind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::ExponentialBuilder;
use http::Uri;
use kube::runtime::utils::ResetTimerBackoff;
use kube::runtime::watcher::ExponentialBackoff;
use tokio::time::Instant;

use crate::metrics::Metrics;

/// Time after which a server ends a watch, in seconds.
pub const WATCH_SECONDS: u32 = 40;
/// Time without event or end after which a watch is broken off.
pub(crate) const BROKEN_OFF: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);
/// Time without a sign of life after which the process is not ready.
const SILENT: Duration = Duration::from_mins(1);
/// First and longest time until a watch that broke is begun again; up to the same is added by chance.
///
/// kube's own goes up to a minute, for thousands of clients. A cluster has a few of us, and one that is blind for a minute
/// after a link that flapped does not do its work.
const AGAIN: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(4)];
/// Time after which an earlier break no longer counts.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// How often it is looked.
const LOOK: Duration = Duration::from_secs(5);

/// The signs of life of one cluster's watches.
#[derive(Debug)]
pub struct Watchdog {
    cluster: &'static str,
    seen: Mutex<BTreeMap<String, Instant>>,
}

impl Watchdog {
    /// For the cluster of that name.
    pub fn new(cluster: &'static str) -> Arc<Self> {
        Arc::new(Self { cluster, seen: Mutex::default() })
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        // Nothing panics while it is held, so a poisoned lock still holds a whole map.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watch is asked for; from the first time on, its signs of life are expected.
    pub(crate) fn asked(&self, path: &str) {
        let mut seen = self.seen();
        if !seen.contains_key(path) {
            seen.insert(path.to_owned(), Instant::now());
        }
    }

    /// A watch showed an event, or ended in order.
    pub(crate) fn alive(&self, path: &str) {
        if let Some(at) = self.seen().get_mut(path) {
            *at = Instant::now();
        }
    }

    /// Watches without a sign of life for too long, with the time.
    fn silent(&self, now: Instant) -> Vec<(String, Duration)> {
        let seen = self.seen();
        let silence = seen.iter().map(|(path, at)| (path.clone(), now.saturating_duration_since(*at)));
        silence.filter(|(_, silence)| *silence >= SILENT).collect()
    }

    /// Why this cluster's watches make the process unready, if they do.
    pub fn trouble(&self) -> Option<String> {
        let silent = self.silent(Instant::now());
        let shown: Vec<String> = silent
            .iter()
            .map(|(path, time)| format!("{} for {} s", resource(path), time.as_secs()))
            .collect();
        (!shown.is_empty()).then(|| {
            format!("watches at {} show nothing: {}; other kinds go on", self.cluster, shown.join(", "))
        })
    }
}

/// How soon a watch that broke is begun again.
pub(crate) fn again() -> ResetTimerBackoff<ExponentialBackoff> {
    let [first, longest] = AGAIN;
    let builder = ExponentialBuilder::default().with_min_delay(first).with_max_delay(longest);
    ResetTimerBackoff::new(builder.with_factor(2.0).with_jitter().without_max_times().into(), FORGOTTEN)
}

/// Path of the collection that a request watches, unless it waits for one object only.
pub(crate) fn watched(uri: &Uri) -> Option<&str> {
    let query = uri.query()?;
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    (query.split('&').any(|pair| pair == "watch=true") && !has("fieldSelector")).then(|| uri.path())
}

/// Name of the resource at the end of a path: a closed set, so it may be a label.
fn resource(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Keeps the metric, and logs when a watch falls silent and when all live again.
pub async fn watch_over(dogs: Vec<Arc<Watchdog>>, metrics: Arc<Metrics>) {
    let mut tick = tokio::time::interval(LOOK);
    let mut told: Vec<Option<String>> = vec![None; dogs.len()];
    loop {
        tick.tick().await;
        for (dog, told) in dogs.iter().zip(&mut told) {
            let silent = dog.silent(Instant::now());
            metrics
                .silent_watches
                .with_label_values(&[dog.cluster])
                .set(i64::try_from(silent.len()).unwrap_or(i64::MAX));
            let names: Vec<&str> = silent.iter().map(|(path, _)| resource(path)).collect();
            let now = (!names.is_empty()).then(|| names.join(", "));
            if now != *told {
                if let Some(watches) = &now {
                    tracing::error!(cluster = dog.cluster, watches, "watches show nothing");
                } else {
                    tracing::info!(cluster = dog.cluster, "every watch shows signs of life again");
                }
                *told = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_watches_of_collections_count() {
        let path = |uri: &'static str| watched(&Uri::from_static(uri)).map(str::to_owned);
        assert_eq!(path("/api/v1/pods?&watch=true&timeoutSeconds=40"), Some("/api/v1/pods".to_owned()));
        assert_eq!(path("/api/v1/pods?limit=500"), None);
        assert_eq!(path("/api/v1/pods"), None);
        assert_eq!(path("/apis/x/v1/leases?&watch=true&fieldSelector=metadata.name%3Da"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_is_silent_after_a_minute_without_a_sign_and_alive_with_one() {
        let dog = Watchdog::new("hub");
        dog.asked("/api/v1/secrets");
        dog.asked("/api/v1/pods");
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(dog.trouble(), None);
        dog.alive("/api/v1/pods");
        // Being asked for again is no sign of life.
        dog.asked("/api/v1/secrets");
        tokio::time::advance(Duration::from_secs(1)).await;
        let trouble = dog.trouble().unwrap();
        assert!(trouble.contains("secrets for 60 s") && !trouble.contains("pods"), "{trouble}");
        dog.alive("/api/v1/secrets");
        assert_eq!(dog.trouble(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_breaks_again_and_again_is_never_away_for_long() {
        let [first, longest] = AGAIN;
        let mut again = again();
        assert!(again.next().unwrap() <= first * 2);
        let waits: Vec<Duration> = again.by_ref().take(50).collect();
        assert!(waits.iter().all(|wait| *wait >= first && *wait <= longest * 2), "{waits:?}");
        assert!(waits.iter().max().unwrap() >= &longest, "it is kind to a server that is unwell");
    }
}
