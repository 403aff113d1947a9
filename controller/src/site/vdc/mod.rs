//! A VDC at the site: observe → validate → plan → apply by stages, then admission → status. A VDC that is to be
//! `Absent` is taken away backwards in [`teardown`]. A lowered limit takes steps of its own, in [`limits`], and so does
//! the closing of a namespace, in [`closing`].

mod apply;
pub(in crate::site) mod closing;
pub(in crate::site) mod limits;
mod observe;
mod status;
mod teardown;
mod validate;

use super::ensure;
use super::world::{Name, World};
use crate::error::{Class, Classified};
use crate::queue::Next;
use crate::writer;

pub(in crate::site) use apply::facts;
pub(in crate::site) use validate::slice_of;

/// Field manager of everything a VDC becomes.
const MANAGER: &str = "yunting/site-vdc";

/// Why a VDC could not be carried out now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// An object could not be made to stand.
    #[error("cannot carry out the VDC")]
    Ensure(#[from] ensure::Error),
    /// A removal failed.
    #[error("cannot remove what the VDC no longer needs")]
    Remove(#[from] writer::Error),
    /// Its keys could not be destroyed.
    #[error("cannot destroy the keys of the VDC")]
    Shred(#[from] crate::keys::KeyError),
    /// What is left could not be asked.
    #[error("cannot list what is in namespace {namespace}")]
    List {
        /// Which namespace.
        namespace: String,
        /// Why.
        source: kube::Error,
    },
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Ensure(source) => source.class(),
            Self::Remove(source) => source.class(),
            // A damaged file is destroyed like any other once somebody has looked at it.
            Self::Shred(source) => source.class(),
            Self::List { source, .. } => crate::error::class_of(source),
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Ensure(source) => source.label(),
            Self::Remove(source) => source.label(),
            Self::Shred(source) => source.label(),
            Self::List { .. } => "list",
        }
    }
}

/// One pass over one VDC, by its uid.
pub(super) async fn reconcile(world: &World, name: &Name) -> Result<Next, Error> {
    let Some(seen) = observe::observe(world, &name.0) else { return Ok(Next::Wait) };
    if seen.absent() {
        world.memory.forget_vdc(seen.uid());
        let result = teardown::run(world, &seen).await;
        status::gone(world, &seen, &result);
        return result.map(|left| left.next(world));
    }
    let valid = validate::validate(&seen);
    let done = match &valid {
        Ok(slice) => apply::apply(world, slice).await,
        Err(_) => Ok(apply::Done::default()),
    };
    status::status(world, &seen, &valid, &done);
    if world.memory.is_news(seen.uid(), seen.generation()) {
        seen.wake_halls(world);
    }
    done.map(|done| done.next(world))
}
