//! Counters of one process. Labels come from closed sets; object names never.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// Counters of one process, on a registry of its own.
pub struct Metrics {
    registry: Registry,
    /// Reconciles by controller and result (`ok`, or an error's label). Of a node's controller `attach` (the CNI plugin's
    /// questions) and `boundary` (the kernel's table brought up to date).
    pub reconciles: IntCounterVec,
    /// Time of a reconcile by controller.
    pub duration: HistogramVec,
    /// Mutating requests by kind and verb.
    pub writes: IntCounterVec,
    /// Watch streams that ended with an error, by kind.
    pub watch_errors: IntCounterVec,
    /// Watches without a sign of life for too long, by cluster.
    pub silent_watches: IntGaugeVec,
    /// Keys waiting, by controller.
    pub queue: IntGaugeVec,
    /// 1 while this process leads.
    pub leader: IntGauge,
    /// Switches between API servers.
    pub switches: IntCounterVec,
    /// Objects removed because they stood above a limit, by its key, or came into a closed namespace (`closed`).
    pub swept: IntCounterVec,
    /// Records of a site without a slice at the hub.
    pub lost_records: IntGauge,
    /// VDCs of which a probe on this node has shown that they are not closed.
    pub open_vdcs: IntGauge,
    /// Open volumes of which a probe on this node has shown that they are not encrypted.
    pub plain_volumes: IntGauge,
    /// How the gate of this node stands: 1 for its state, 0 for the others.
    pub gate_state: IntGaugeVec,
    /// When its self-test last passed, in seconds since 1970; 0 before.
    pub gate_tested: IntGauge,
    /// When the newest point at the other site was begun, of the volume that is furthest behind, in seconds since 1970; 0
    /// where there is none.
    pub oldest_point: IntGauge,
    /// Nodes of other sites that this one has to do with, by how the tunnel to them stands.
    pub tunnel_peers: IntGaugeVec,
    /// Bytes of points that were sent.
    pub replicated: IntCounter,
}

impl Metrics {
    /// Makes and registers every metric.
    pub fn new() -> Result<Self, prometheus::Error> {
        let counter =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let metrics = Self {
            registry: Registry::new(),
            reconciles: counter(
                "yunting_reconcile_total",
                "Reconciles by controller and result",
                &["controller", "result"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new("yunting_reconcile_duration_seconds", "Time of a reconcile")
                    .buckets(vec![0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0]),
                &["controller"],
            )?,
            writes: counter("yunting_writes_total", "Mutating requests by kind and verb", &["kind", "verb"])?,
            watch_errors: counter(
                "yunting_watch_errors_total",
                "Watches that ended with an error",
                &["kind"],
            )?,
            silent_watches: IntGaugeVec::new(
                Opts::new("yunting_silent_watches", "Watches without a sign of life for too long"),
                &["cluster"],
            )?,
            queue: IntGaugeVec::new(Opts::new("yunting_queue_depth", "Keys waiting"), &["controller"])?,
            leader: IntGauge::new("yunting_leader", "1 while this process leads")?,
            switches: counter(
                "yunting_api_server_switches_total",
                "Switches between API servers",
                &["cluster"],
            )?,
            swept: counter(
                "yunting_swept_total",
                "Objects removed because they stood above a limit, or came into a closed namespace",
                &["resource"],
            )?,
            lost_records: IntGauge::new(
                "yunting_lost_records",
                "Records of the site without a slice at the hub",
            )?,
            open_vdcs: IntGauge::new(
                "yunting_open_vdcs",
                "VDCs of which a probe on this node has shown that they are not closed",
            )?,
            plain_volumes: IntGauge::new(
                "yunting_plain_volumes",
                "Open volumes of which a probe on this node has shown that they are not encrypted",
            )?,
            gate_state: IntGaugeVec::new(
                Opts::new("yunting_gate_state", "How the gate of this node stands: 1 for its state"),
                &["state"],
            )?,
            gate_tested: IntGauge::new(
                "yunting_gate_self_test_timestamp_seconds",
                "When the self-test of this node's gate last passed",
            )?,
            oldest_point: IntGauge::new(
                "yunting_replication_oldest_point_timestamp_seconds",
                "When the newest replicated point was begun, of the volume that is furthest behind",
            )?,
            tunnel_peers: IntGaugeVec::new(
                Opts::new("yunting_tunnel_peers", "Nodes of other sites by how the tunnel to them stands"),
                &["state"],
            )?,
            replicated: IntCounter::new("yunting_replication_bytes_total", "Bytes of points that were sent")?,
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(self.reconciles.clone()))?;
        self.registry.register(Box::new(self.duration.clone()))?;
        self.registry.register(Box::new(self.writes.clone()))?;
        self.registry.register(Box::new(self.watch_errors.clone()))?;
        self.registry.register(Box::new(self.silent_watches.clone()))?;
        self.registry.register(Box::new(self.queue.clone()))?;
        self.registry.register(Box::new(self.leader.clone()))?;
        self.registry.register(Box::new(self.switches.clone()))?;
        self.registry.register(Box::new(self.swept.clone()))?;
        self.registry.register(Box::new(self.lost_records.clone()))?;
        self.registry.register(Box::new(self.open_vdcs.clone()))?;
        self.registry.register(Box::new(self.plain_volumes.clone()))?;
        self.registry.register(Box::new(self.gate_state.clone()))?;
        self.registry.register(Box::new(self.gate_tested.clone()))?;
        self.registry.register(Box::new(self.oldest_point.clone()))?;
        self.registry.register(Box::new(self.tunnel_peers.clone()))?;
        self.registry.register(Box::new(self.replicated.clone()))
    }

    /// The text that `/metrics` answers.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
