//! Tells the site where this node takes points, and how much room it has for replicas.

use std::time::Duration;

use serde_json::json;
use yunting_crds::node_report::ReplicaRoom;

use super::super::Lent;
use super::super::store::Store;
use crate::error::chain;

/// Field manager of it.
const MANAGER: &str = "yunting/node-replicas";
/// How often it is looked how much room there is.
const LOOK: Duration = Duration::from_secs(10);
/// What is told is a multiple of this many bytes, so that not every write to a volume is news.
const STEP: u64 = 1 << 30;

/// Does so for ever.
pub(super) async fn tell(address: &str, store: &Store, lent: &Lent<'_>) {
    let mut tick = tokio::time::interval(LOOK);
    let mut told = None;
    loop {
        tick.tick().await;
        let free = match store.room() {
            Ok(room) => room.left() / STEP * STEP,
            Err(error) => {
                tracing::warn!(error = chain(&error), "how much room there is for replicas, cannot be said");
                continue;
            }
        };
        if told == Some(free) {
            continue;
        }
        let free_bytes = i64::try_from(free).unwrap_or(i64::MAX);
        let room = ReplicaRoom { address: address.to_owned(), free_bytes };
        match lent.writer.status(MANAGER, lent.report, None, &json!({"replicas": room})).await {
            Ok(_) => told = Some(free),
            // The prober makes the report.
            Err(error) => tracing::info!(error = chain(&error), "the room for replicas was not told yet"),
        }
    }
}
