//! Leadership by a Lease of our own. The holder renews; the others watch and take over when the Lease has not
//! changed for its duration **by their own clock** (times inside it are for people). Losing it ends the process.
//!
//! The Lease is not a lock: what keeps a deposed leader from doing harm is the term that its writes carry.
//! The term is the Lease's count of transitions, which a compare-and-set by resourceVersion moves forward.

use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::core::Request;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;
use yunting_plan::object::{Key, api_kind};

use crate::context::Context;
use crate::error::{Class, Classified, chain};
use crate::watchdog;
use crate::writer::{Writer, path};

/// Time without a renewal after which others take over.
const DURATION: Duration = Duration::from_secs(10);
/// Time between renewals.
const RENEW: Duration = Duration::from_secs(3);
/// Time between tries to take a free lead.
const RETRY: Duration = Duration::from_secs(1);
/// Time without a successful renewal after which the holder gives up; below [`DURATION`].
const GIVE_UP: Duration = Duration::from_secs(7);

/// A Lease and who we are.
pub struct Elector {
    client: Client,
    writer: Writer,
    context: Context,
    key: Key,
    identity: String,
}

/// Leadership: the term, and the resourceVersion to renew at.
#[derive(Debug, Clone)]
pub struct Leadership {
    /// Only grows from leader to leader.
    pub term: i64,
    lease: Lease,
}

impl Elector {
    /// For the Lease of that name.
    pub fn new(
        client: Client,
        writer: Writer,
        context: Context,
        namespace: &str,
        name: &str,
        identity: &str,
    ) -> Self {
        let key =
            Key { kind: api_kind::<Lease>(), namespace: Some(namespace.to_owned()), name: name.to_owned() };
        Self { client, writer, context, key, identity: identity.to_owned() }
    }

    /// Waits until this process leads. `left` is called when the server did not take the try.
    pub async fn lead(&self, left: &impl Fn()) -> Leadership {
        loop {
            let seen = self.wait_until_free().await;
            match self.take(seen).await {
                Ok(leadership) => {
                    tracing::info!(term = leadership.term, identity = self.identity, "leading");
                    self.context.metrics.leader.set(1);
                    return leadership;
                }
                Err(error) if error.class() == Class::Conflict => {
                    tracing::info!("another instance took the lead");
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), "the lead could not be taken");
                    left();
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Renews until that fails for too long; returns then, and the caller ends the process.
    pub async fn hold(&self, mut leadership: Leadership, left: impl Fn()) {
        let mut renewed = Instant::now();
        let mut tick = tokio::time::interval(RENEW);
        loop {
            tick.tick().await;
            leadership.lease.spec.get_or_insert_default().renew_time = Some(self.now());
            match tokio::time::timeout(RENEW, self.replace(&leadership.lease)).await {
                Ok(Ok(version)) => {
                    leadership.lease.metadata.resource_version = version;
                    renewed = Instant::now();
                }
                Ok(Err(error)) if matches!(&error, crate::writer::Error::Change { source: kube::Error::Api(s), .. } if s.code == 409) =>
                {
                    // Either another took it, or our own renewal was committed and its answer lost.
                    if !self.still_ours(&mut leadership).await {
                        return;
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(error = chain(&error), "the lead could not be renewed");
                    left();
                }
                Err(_) => {
                    tracing::warn!("no answer to the renewal of the lead");
                    left();
                }
            }
            if renewed.elapsed() > GIVE_UP {
                return;
            }
        }
    }

    /// Gives the lead away at once, at an orderly stop: the next one need not wait.
    pub async fn release(&self) {
        let Ok(Ok(mut lease)) = tokio::time::timeout(RENEW, self.api().get(&self.key.name)).await else {
            return;
        };
        if holder(&lease) != Some(&self.identity) {
            return;
        }
        lease.metadata.managed_fields = None;
        lease.spec.get_or_insert_default().holder_identity = None;
        if let Ok(Ok(_)) = tokio::time::timeout(RENEW, self.replace(&lease)).await {
            tracing::info!("the lead was given away");
        } else {
            tracing::info!("the lead could not be given away; it runs out");
        }
    }

    async fn still_ours(&self, leadership: &mut Leadership) -> bool {
        let api = self.api();
        match tokio::time::timeout(RENEW, api.get(&self.key.name)).await {
            Ok(Ok(lease)) if went_back(&leadership.lease, &lease) => {
                tracing::error!("the API servers went back in time; this process begins anew");
                false
            }
            Ok(Ok(lease))
                if holder(&lease) == Some(&self.identity) && transitions(&lease) == leadership.term =>
            {
                leadership.lease = lease;
                true
            }
            Ok(Ok(_)) => false,
            _ => true,
        }
    }

    fn api(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), self.key.namespace.as_deref().unwrap_or_default())
    }

    /// Returns the Lease as it stood for a whole duration, or `None` when there is none.
    async fn wait_until_free(&self) -> Option<Lease> {
        let begin = || watch_object(self.api(), &self.key.name).backoff(watchdog::again()).boxed();
        let mut watch = begin();
        let mut seen: Option<Lease> = None;
        let mut deadline: Option<Instant> = None;
        loop {
            let wait = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => return seen,
                event = watch.next() => match event {
                    Some(Ok(None)) => return None,
                    Some(Ok(Some(lease))) => {
                        // Our own name in it is a process of ours that has ended: its writes carry a lower term.
                        if holder(&lease).is_none_or(|h| *h == self.identity) {
                            return Some(lease);
                        }
                        if seen.as_ref().and_then(ResourceExt::resource_version) != lease.resource_version() {
                            deadline = Some(Instant::now() + DURATION);
                            seen = Some(lease);
                        }
                    }
                    Some(Err(error)) => log_watch(&error),
                    None => watch = begin(),
                },
            }
        }
    }

    async fn take(&self, seen: Option<Lease>) -> Result<Leadership, crate::writer::Error> {
        let term = seen.as_ref().map_or(0, transitions) + 1;
        let exists = seen.is_some();
        let mut lease = seen.unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.key.name.clone()),
                namespace: self.key.namespace.clone(),
                ..ObjectMeta::default()
            },
            ..Lease::default()
        });
        lease.metadata.managed_fields = None;
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(self.now()),
            renew_time: Some(self.now()),
            lease_transitions: i32::try_from(term).ok(),
            ..LeaseSpec::default()
        });
        let version = if exists { self.replace(&lease).await? } else { self.create(&lease).await? };
        lease.metadata.resource_version = version;
        Ok(Leadership { term, lease })
    }

    async fn create(&self, lease: &Lease) -> Result<Option<String>, crate::writer::Error> {
        let body = serde_json::to_vec(lease).unwrap_or_default();
        let request = Request::new(path(&self.key)).create(&PostParams::default(), body);
        self.send("create", request).await
    }

    async fn replace(&self, lease: &Lease) -> Result<Option<String>, crate::writer::Error> {
        let body = serde_json::to_vec(lease).unwrap_or_default();
        let request = Request::new(path(&self.key)).replace(&self.key.name, &PostParams::default(), body);
        self.send("update", request).await
    }

    async fn send(
        &self,
        verb: &'static str,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Option<String>, crate::writer::Error> {
        let request = request
            .map_err(|source| crate::writer::Error::Build { key: Box::new(self.key.clone()), source })?;
        self.writer.raw(&self.key, verb, request).await.map(|written| written.metadata.resource_version)
    }

    fn now(&self) -> MicroTime {
        let now: Timestamp = self.context.timestamp();
        MicroTime(now)
    }
}

fn log_watch(error: &watcher::Error) {
    tracing::debug!(%error, "watch of the lead broke; it is begun again");
}

fn holder(lease: &Lease) -> Option<&String> {
    lease.spec.as_ref().and_then(|s| s.holder_identity.as_ref()).filter(|h| !h.is_empty())
}

/// A resourceVersion as a number, which API servers of one cluster let compare; zero where there is none.
pub fn revision(version: Option<&str>) -> u64 {
    version.and_then(|v| v.parse().ok()).unwrap_or_default()
}

/// Our own last renewal is missing: etcd was restored from an older copy, and watches that go on from later revisions
/// than it has would show nothing.
fn went_back(last: &Lease, now: &Lease) -> bool {
    let of = |lease: &Lease| revision(lease.metadata.resource_version.as_deref());
    of(now) < of(last)
}

fn transitions(lease: &Lease) -> i64 {
    lease.spec.as_ref().and_then(|s| s.lease_transitions).map_or(0, i64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(version: &str) -> Lease {
        let metadata = ObjectMeta { resource_version: Some(version.to_owned()), ..ObjectMeta::default() };
        Lease { metadata, ..Lease::default() }
    }

    #[test]
    fn a_lease_older_than_our_own_renewal_shows_that_time_went_back() {
        assert!(went_back(&lease("1000"), &lease("999")));
        assert!(!went_back(&lease("999"), &lease("1000")));
        assert!(!went_back(&lease("1000"), &lease("1000")), "our renewal was committed and its answer lost");
    }
}
