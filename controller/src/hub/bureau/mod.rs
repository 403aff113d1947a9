//! A bureau at the hub: its namespace, its people's roles there, and how much of its quota is promised.

mod apply;
mod observe;
mod roles;
mod status;

use super::world::{ObjectKey, World};
use crate::queue::Next;
use crate::writer::Error;

/// Field manager of what a bureau gets.
pub(super) const MANAGER: &str = "yunting/hub-bureau";
/// Field manager of a bureau's status.
pub(super) const STATUS_MANAGER: &str = "yunting/hub-bureau-status";

/// One pass over one bureau.
pub(super) async fn reconcile(world: &World, key: &ObjectKey) -> Result<Next, Error> {
    let Some(seen) = observe::observe(world, key) else {
        return Ok(Next::Wait);
    };
    if seen.bureau.metadata.deletion_timestamp.is_some() {
        apply::remove(world, &seen).await?;
        return Ok(Next::Wait);
    }
    apply::objects(world, &seen).await?;
    apply::status(world, &seen, &status::status(world, &seen)).await?;
    Ok(Next::Wait)
}
