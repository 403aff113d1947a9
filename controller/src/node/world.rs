//! Everything a node's controller has seen. No decision is made here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use yunting_crds::SliceRecord;
use yunting_plan::boundary::{Facts, Link};
use yunting_plan::vdc::cidr::Network;

use super::Options;
use super::facts::{Seen, pod_networks};
use super::gate::{self, Gates};
use super::links::{Links, routes};
use crate::cache::{Cache, Cached};
use crate::context::Context;
use crate::metrics::Metrics;
use crate::wire::Read;

/// What has been seen.
pub(super) struct World {
    pub(super) node: String,
    pub(super) outer: BTreeSet<Link>,
    pub(super) inside: BTreeSet<Network>,
    /// Networks of all other sites' pods.
    pub(super) abroad: BTreeSet<Network>,
    /// The node has an end of the tunnel.
    pub(super) tunnel: bool,
    pub(super) platform: BTreeSet<String>,
    /// The site's copies of its slices.
    pub(super) records: Cache<SliceRecord>,
    /// Every pod of the site: what comes from another node is judged, too.
    pub(super) pods: Cache<Pod>,
    pub(super) nodes: Cache<Node>,
    pub(super) links: Links,
    /// What holds the links of protected pods.
    pub(super) gates: Arc<Gates>,
    pub(super) changes: Changes,
    /// The kernel's table may not be what it was made: it is put back whole.
    pub(super) renew: Notify,
    context: Context,
}

/// Counts what has changed, and how much of it the kernel has.
pub(super) struct Changes {
    seen: Arc<Counter>,
    done: watch::Sender<u64>,
}

struct Counter {
    number: AtomicU64,
    changed: watch::Sender<u64>,
}

impl Counter {
    fn touch(&self) -> u64 {
        let number = self.number.fetch_add(1, Ordering::AcqRel) + 1;
        self.changed.send_if_modified(|n| {
            let newer = number > *n;
            *n = (*n).max(number);
            newer
        });
        number
    }
}

impl Default for Changes {
    fn default() -> Self {
        let seen = Counter { number: AtomicU64::new(0), changed: watch::Sender::new(0) };
        Self { seen: Arc::new(seen), done: watch::Sender::new(0) }
    }
}

impl Changes {
    /// Something has changed; the number of this change.
    pub(super) fn touch(&self) -> u64 {
        self.seen.touch()
    }

    /// Follows what changes.
    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.seen.changed.subscribe()
    }

    /// The kernel has everything up to this change.
    pub(super) fn done(&self, number: u64) {
        self.done.send_replace(number);
    }

    /// Waits until the kernel has this change.
    pub(super) async fn carried_out(&self, number: u64) {
        // An error says that nobody carries out any more, which ends the process.
        let _ = self.done.subscribe().wait_for(|done| *done >= number).await;
    }
}

impl World {
    /// Counts what was done and how long it took.
    pub(super) fn count(&self, what: &str, since: Instant, done: bool) {
        let result = if done { "ok" } else { "failed" };
        self.context.metrics.reconciles.with_label_values(&[what, result]).inc();
        self.context.metrics.duration.with_label_values(&[what]).observe(since.elapsed().as_secs_f64());
    }

    /// What time it will be; at the end of all times where there is none.
    pub(super) fn ahead(&self, by: Duration) -> Timestamp {
        self.context.timestamp().checked_add(by).unwrap_or(Timestamp::MAX)
    }

    /// What the plan decides upon.
    pub(super) fn facts(&self) -> Facts {
        self.facts_at(self.context.timestamp())
    }

    /// The same as it will be at a time if nothing else changes.
    pub(super) fn facts_at(&self, now: Timestamp) -> Facts {
        let seen = Seen {
            now,
            node: &self.node,
            records: &self.records.all(),
            pods: &self.pods.all(),
            nodes: &self.nodes.all(),
            outer: &self.outer,
            inside: &self.inside,
            abroad: &self.abroad,
            tunnel: self.tunnel.then(super::tunnel::link).flatten(),
            platform: &self.platform,
            attached: &|pod, uid| self.links.of(pod, uid),
            routes: &routes(),
        };
        seen.facts()
    }

    /// Networks of this node's pods, as the Node says.
    pub(super) fn own_pods(&self) -> BTreeSet<Network> {
        self.nodes.get_cluster(&self.node).iter().flat_map(|n| pod_networks(n)).collect()
    }

    /// Starts the watches and waits until they have shown everything once.
    pub(super) async fn start(
        options: &Options,
        client: &Client,
        context: &Context,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let changes = Changes::default();
        // Beside the socket: both are gone after a boot, and so are the pods.
        let files = options.socket.with_file_name("pods");
        let links = Links::open(&files).with_context(|| files.display().to_string())?;
        // Before anything is waited for: what stands is looked after at once.
        let gates = Arc::new(Gates::start(&options.gate_pins, &links.held()));
        gate::watch_over(gates.clone())?;
        let watches = Watches { client, metrics: &context.metrics, stop, seen: &changes.seen };
        let world = Self {
            node: options.node.clone(),
            outer: options.outer.iter().cloned().collect(),
            inside: options.inside.iter().copied().collect(),
            abroad: options.abroad.iter().copied().collect(),
            tunnel: options.tunnel.is_some(),
            platform: options.platform.iter().cloned().collect(),
            records: watches.all(),
            pods: watches.all(),
            nodes: watches.all(),
            links,
            gates,
            changes,
            renew: Notify::new(),
            context: context.clone(),
        };
        world.records.ready().await;
        world.pods.ready().await;
        world.nodes.ready().await;
        world.changes.touch();
        Ok(world)
    }
}

struct Watches<'a> {
    client: &'a Client,
    metrics: &'a Arc<Metrics>,
    stop: &'a CancellationToken,
    seen: &'a Arc<Counter>,
}

impl Watches<'_> {
    fn all<K: Cached>(&self) -> Cache<K> {
        let api: Api<Read<K>> = Api::all(self.client.clone());
        let seen = self.seen.clone();
        let touched = move |_: &K| {
            seen.touch();
        };
        Cache::start(api, watcher::Config::default(), self.metrics.clone(), self.stop.clone(), touched)
    }
}
