//! A site at the hub: its namespace, its rights there, its report object, and what is known of it.

mod apply;
mod observe;
mod status;

use super::world::{ObjectKey, World};
use crate::queue::Next;
use crate::writer::Error;

/// Field manager of what a site gets at the hub.
pub(super) const MANAGER: &str = "yunting/hub-site";
/// Field manager of a site's status.
pub(super) const STATUS_MANAGER: &str = "yunting/hub-site-status";

/// One pass over one site. Its spec has been checked by the API server; nothing else is asked of it.
pub(super) async fn reconcile(world: &World, key: &ObjectKey) -> Result<Next, Error> {
    let Some(seen) = observe::observe(world, key) else {
        return Ok(Next::Wait);
    };
    if seen.site.metadata.deletion_timestamp.is_none() {
        apply::objects(world, &seen).await?;
    }
    apply::status(world, &seen, &status::status(world, &seen)).await?;
    Ok(Next::Wait)
}
