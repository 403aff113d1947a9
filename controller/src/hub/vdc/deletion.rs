//! The end of a VDC: every slice `Absent`, then gone, then the VDC itself. A site given up does not hold it back.

use yunting_crds::VirtualDataCenter;
use yunting_crds::conditions::{READY, State, conditions, reason, say};

use super::observe::Seen;
use super::{Error, apply};
use crate::hub::world::World;
use crate::kinds;
use crate::queue::Next;

/// One pass of the removal.
pub(super) async fn delete(world: &World, seen: &Seen) -> Result<Next, Error> {
    let sites: Vec<String> = seen.slices.keys().cloned().collect();
    let remaining = apply::leavers(world, seen, &sites).await?;
    if remaining.is_empty() && seen.slices.is_empty() {
        world.ledger().remove(&seen.uid);
        world.wake_waiting();
        kinds::remove_finalizer(&world.writer, &kinds::of::<VirtualDataCenter>(), seen.vdc.as_ref()).await?;
        return Ok(Next::Wait);
    }
    let mut status = seen.vdc.status.clone().unwrap_or_default();
    let message = format!(
        "waiting for {} to take it away",
        if remaining.is_empty() { sites.join(", ") } else { remaining.join(", ") }
    );
    let ready = say(READY, State::False, reason::DELETING, message);
    status.conditions =
        conditions(&status.conditions, &[ready], seen.vdc.metadata.generation, &world.context.now());
    apply::status(world, seen, &status).await?;
    Ok(Next::Wait)
}
