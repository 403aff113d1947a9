//! Tells the site of this node's end of the tunnel, and of what probes have shown.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};
use yunting_crds::tunnel::{TunnelPeer, TunnelState};
use yunting_plan::object::Key;

use super::{Options, Tunnel};
use crate::context::Context;
use crate::error::chain;
use crate::writer::Writer;

/// Field manager of it.
const MANAGER: &str = "yunting/node-tunnel";
/// How often it is looked whether there is something new.
const LOOK: Duration = Duration::from_secs(1);
/// Time after which a report that says nothing new is written again.
const BEAT: Duration = Duration::from_secs(20);

/// Does so for ever.
pub(in crate::node) async fn tell(
    tunnel: &Tunnel,
    options: &Options,
    report: &Key,
    writer: &Writer,
    context: &Context,
) {
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told: Option<(Instant, Vec<TunnelPeer>)> = None;
    let networks: Vec<String> = tunnel.own.pods.iter().map(ToString::to_string).collect();
    loop {
        tick.tick().await;
        let peers = tunnel.states();
        count(&peers, context);
        // When a proof was made is no news by itself.
        let plain = |all: &[TunnelPeer]| -> Vec<TunnelPeer> {
            all.iter().map(|p| TunnelPeer { proved_at: None, ..p.clone() }).collect()
        };
        if told.as_ref().is_some_and(|(at, said)| *said == plain(&peers) && at.elapsed() < BEAT) {
            continue;
        }
        let body = json!({"tunnel": {
            "observedAt": context.now(), "address": options.address.to_string(), "networks": networks, "peers": peers,
        }});
        match writer.status(MANAGER, report, None, &body).await {
            Ok(_) => told = Some((Instant::now(), plain(&peers))),
            // The prober makes the report.
            Err(error) => tracing::info!(error = chain(&error), "how the tunnel stands was not told yet"),
        }
    }
}

/// Takes back what a process before this one said: the node has no end of the tunnel any more.
pub(in crate::node) async fn withdraw(report: &Key, writer: &Writer) {
    let mut tick = interval(BEAT);
    loop {
        tick.tick().await;
        match writer.status(MANAGER, report, None, &json!({})).await {
            Ok(_) => return,
            // The prober makes the report.
            Err(error) => tracing::info!(error = chain(&error), "that there is no tunnel was not told yet"),
        }
    }
}

fn count(peers: &[TunnelPeer], context: &Context) {
    use TunnelState::{Clear, Down, Encrypted, Unproved};
    for (state, label) in [(Encrypted, "encrypted"), (Clear, "clear"), (Unproved, "unproved"), (Down, "down")]
    {
        let number = peers.iter().filter(|p| p.state == state).count();
        let gauge = context.metrics.tunnel_peers.with_label_values(&[label]);
        gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
    }
}
