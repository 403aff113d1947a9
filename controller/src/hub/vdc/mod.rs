//! A VDC at the hub: observe → validate → plan and reserve → apply slices → status.

mod apply;
mod deletion;
mod observe;
mod reserve;
mod status;
mod validate;

use std::time::Duration;

use super::world::{ObjectKey, World};
use crate::error::{Class, Classified};
use crate::queue::Next;
use crate::writer;

/// Field manager of VDC slices and finalizers.
pub(super) const MANAGER: &str = "yunting/hub-vdc";
/// Field manager of a VDC's status.
pub(super) const STATUS_MANAGER: &str = "yunting/hub-vdc-status";

/// Why a VDC could not be carried out now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// A write failed.
    #[error("cannot carry out the VDC")]
    Write(#[from] writer::Error),
}

impl Classified for Error {
    fn class(&self) -> Class {
        let Self::Write(source) = self;
        source.class()
    }

    fn label(&self) -> &'static str {
        let Self::Write(source) = self;
        source.label()
    }
}

/// One pass over one VDC.
pub(super) async fn reconcile(world: &World, key: &ObjectKey) -> Result<Next, Error> {
    let Some(seen) = observe::observe(world, key) else {
        return Ok(Next::Wait);
    };
    if seen.vdc.metadata.deletion_timestamp.is_some() {
        return deletion::delete(world, &seen).await;
    }
    apply::finalizer(world, &seen).await?;
    let outcome = match validate::validate(&seen) {
        Ok(valid) => reserve::reserve(world, &seen, &valid),
        Err(refused) => reserve::Outcome::refused(world.term, &seen, refused),
    };
    let wrote = apply::slices(world, &seen, &outcome.slices).await?;
    apply::leavers(world, &seen, &outcome.leaving).await?;
    if wrote {
        // The watch brings the slice in a moment and wakes us: a status now would be out of date before it is read.
        return Ok(Next::After(BELATED));
    }
    let status = status::status(world, &seen, &outcome);
    let next = status::next(world, &seen, &status);
    apply::status(world, &seen, &status).await?;
    Ok(next)
}

/// Time after which a VDC is looked at again if the watch has not brought a slice that was just written.
const BELATED: Duration = Duration::from_secs(2);

/// Longest wait for a time that comes: cooling off is looked at at least this often.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
