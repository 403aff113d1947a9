//! A hall at the hub: observe → validate → plan → apply secrets and slices → status.

mod apply;
mod copies;
mod observe;
mod status;
mod validate;

use std::time::Duration;

use super::said;
use super::world::{ObjectKey, World};
use crate::context::RandomFailed;
use crate::error::{Class, Classified};
use crate::queue::Next;
use crate::writer;

/// Field manager of hall slices, secrets and finalizers.
pub(super) const MANAGER: &str = "yunting/hub-hall";
/// Field manager of a hall's status.
pub(super) const STATUS_MANAGER: &str = "yunting/hub-hall-status";

/// Why a hall could not be carried out now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// A write failed.
    #[error("cannot carry out the hall")]
    Write(#[from] writer::Error),
    /// A secret could not be made.
    #[error("cannot make a secret of the hall")]
    Random(#[from] RandomFailed),
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Write(source) => source.class(),
            Self::Random(_) => Class::Transient,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Write(source) => source.label(),
            Self::Random(_) => "random",
        }
    }
}

/// Time after which a hall is looked at again if the watch has not brought a slice that was just written.
const BELATED: Duration = Duration::from_secs(2);

/// One pass over one hall.
pub(super) async fn reconcile(world: &World, key: &ObjectKey) -> Result<Next, Error> {
    let Some(seen) = observe::observe(world, key) else {
        return Ok(Next::Wait);
    };
    if seen.hall.metadata.deletion_timestamp.is_some() {
        return delete(world, &seen).await;
    }
    apply::finalizer(world, &seen).await?;
    // What has ended is taken out of the slices before anything else, and whatever else cannot be carried out.
    if apply::withdrawals(world, &seen).await? {
        return Ok(Next::After(BELATED));
    }
    let judged = validate::validate(&seen);
    if let Ok(valid) = &judged {
        let secrets = copies::ensure(world, &seen, valid).await?;
        if let Some(secrets) = secrets {
            let wanted = valid.slices(world.term, &seen, &secrets, &world.context.now());
            apply::slices(world, &seen, &wanted).await?;
            let leaving: Vec<String> =
                seen.slices.keys().filter(|s| !wanted.iter().any(|(w, _)| w == *s)).cloned().collect();
            apply::leavers(world, &seen, &leaving).await?;
            copies::tidy(world, &seen, valid).await?;
        }
    }
    apply::status(world, &seen, &status::status(world, &seen, &judged)).await?;
    Ok(Next::Wait)
}

async fn delete(world: &World, seen: &observe::Seen) -> Result<Next, Error> {
    let sites: Vec<String> = seen.slices.keys().cloned().collect();
    let remaining = apply::leavers(world, seen, &sites).await?;
    if !seen.slices.is_empty() {
        apply::status(world, seen, &status::deleting(world, seen, &remaining)).await?;
        return Ok(Next::Wait);
    }
    copies::forget(world, seen).await?;
    said::let_go(world, seen.hall.as_ref()).await?;
    Ok(Next::Wait)
}
