//! Whether sites beat. A site renews a Lease in its hub namespace; one that has not changed for its duration, by
//! our own monotonic clock, is silent. Ages live here and in the Lease, never in status.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use tokio::time::Instant;
use yunting_crds::names::SiteName;

use super::world::{ObjectKey, World};
use crate::context::Context;

/// Time without a beat after which a site is silent, where its Lease names none.
const DEFAULT_DURATION: Duration = Duration::from_secs(15);
/// How often deadlines are looked at; one timer for all sites.
const LOOK: Duration = Duration::from_secs(1);

struct Beat {
    version: Option<String>,
    deadline: Instant,
    fresh: bool,
    told: Option<bool>,
}

/// The sites' beats.
pub(super) struct Liveness {
    beats: Mutex<HashMap<String, Beat>>,
    context: Context,
}

impl Liveness {
    pub(super) fn new(context: Context) -> Self {
        Self { beats: Mutex::default(), context }
    }

    /// A Lease was seen.
    pub(super) fn beat(&self, lease: &Lease) {
        let Some(site) = lease.namespace().as_deref().and_then(SiteName::from_namespace) else { return };
        let spec = lease.spec.as_ref();
        let seconds = spec.and_then(|s| s.lease_duration_seconds).and_then(|s| u64::try_from(s).ok());
        let duration = seconds.map_or(DEFAULT_DURATION, Duration::from_secs);
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match beats.get_mut(site.as_str()) {
            Some(beat) if beat.version == lease.resource_version() => (),
            Some(beat) => {
                beat.version = lease.resource_version();
                beat.deadline = now + duration;
                beat.fresh = true;
            }
            None => {
                // Seen for the first time: only here its own time is believed, so that a dead site does not look
                // alive to each new leader.
                let age = spec
                    .and_then(|s| s.renew_time.as_ref())
                    .map(|t| self.context.timestamp().duration_since(t.0));
                let fresh =
                    age.is_some_and(|a| a.as_secs() < i64::try_from(duration.as_secs()).unwrap_or(i64::MAX));
                let beat =
                    Beat { version: lease.resource_version(), deadline: now + duration, fresh, told: None };
                beats.insert(site.to_string(), beat);
            }
        }
    }

    /// Whether the site's beat is fresh.
    pub(super) fn fresh(&self, site: &str) -> bool {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        beats.get(site).is_some_and(|b| b.fresh)
    }

    /// Sites whose freshness has changed since the last call.
    fn changes(&self, now: Instant) -> Vec<(String, bool)> {
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Vec::new();
        for (site, beat) in beats.iter_mut() {
            if beat.fresh && beat.deadline <= now {
                beat.fresh = false;
            }
            if beat.told.replace(beat.fresh) != Some(beat.fresh) {
                changed.push((site.clone(), beat.fresh));
            }
        }
        changed
    }
}

/// Tells sites and what lives there when a beat begins or stops.
pub(super) async fn watch_over(world: Arc<World>) {
    let mut tick = tokio::time::interval(LOOK);
    loop {
        let now = tick.tick().await;
        for (site, fresh) in world.liveness.changes(now) {
            tracing::info!(site, fresh, "the site's beat {}", if fresh { "is fresh" } else { "has stopped" });
            world.wakers.sites.wake(ObjectKey { namespace: String::new(), name: site.clone() });
            world.wake_residents(&site);
        }
    }
}
