//! A hall at the site: observe → validate → plan → apply → status. A hall that is to be `Absent` is taken away in
//! [`teardown`].

mod apply;
mod elsewhere;
mod grants;
mod growth;
mod observe;
mod replica;
mod retry;
mod secrets;
mod start;
mod status;
mod teardown;
mod trouble;
mod validate;

use super::ensure;
use super::world::{Name, World};
use crate::error::{Class, Classified};
use crate::queue::Next;
use crate::writer;

/// Field manager of everything a hall becomes.
const MANAGER: &str = "yunting/site-hall";

/// Why a hall could not be carried out now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// An object could not be made to stand.
    #[error("cannot carry out the hall")]
    Ensure(#[from] ensure::Error),
    /// A removal failed.
    #[error("cannot remove what the hall no longer needs")]
    Remove(#[from] writer::Error),
    /// A replica of a volume, or what sends to one, could not be made or removed.
    #[error("cannot make the hall's replicas stand")]
    Replicate(#[source] writer::Error),
    /// What waits to be tried again could not be asked.
    #[error("cannot list the ReplicaSets of component {component}")]
    List {
        /// Which component.
        component: String,
        /// Why.
        source: kube::Error,
    },
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Ensure(source) => source.class(),
            Self::Remove(source) | Self::Replicate(source) => source.class(),
            Self::List { source, .. } => crate::error::class_of(source),
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Ensure(source) => source.label(),
            Self::Remove(source) | Self::Replicate(source) => source.label(),
            Self::List { .. } => "list",
        }
    }
}

/// One pass over one hall, by its uid.
pub(super) async fn reconcile(world: &World, name: &Name) -> Result<Next, Error> {
    let Some(seen) = observe::observe(world, &name.0) else { return Ok(Next::Wait) };
    if world.memory.is_news(&name.0, seen.generation()) {
        world.wake_callers(&name.0);
    }
    if seen.absent() {
        let result = teardown::run(world, &seen).await;
        status::gone(world, &seen, &result);
        return result.map(|_| Next::Wait);
    }
    let valid = validate::validate(world, &seen);
    let done = match &valid {
        Ok(valid) => apply::apply(world, valid).await,
        Err(_) => Ok(apply::Done::default()),
    };
    let (replicas, replicated) = match &valid {
        Ok(valid) => replica::apply(world, &seen, valid).await,
        Err(_) => (replica::States::default(), Ok(())),
    };
    status::status(world, &seen, &valid, &done, replicas);
    done?;
    replicated.map_err(Error::Replicate)?;
    Ok(valid.map_or(Next::Wait, |valid| grants::next(world, &valid.hall)))
}
