//! What stands above a confirmed limit, or came into a namespace after it was closed, is removed: an API server's
//! own quota and a label let some through while objects come and go. Which, the plan decides.

mod apply;
mod observe;

use super::world::{Name, World};
use crate::error::{Class, Classified};
use crate::queue::Next;
use crate::writer;

/// A removal that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove what stands above a limit")]
pub(super) struct Error(#[from] writer::Error);

impl Classified for Error {
    fn class(&self) -> Class {
        // What stands above a limit is tried again whatever the answer was.
        match self.0.class() {
            Class::Terminal => Class::Transient,
            class => class,
        }
    }

    fn label(&self) -> &'static str {
        self.0.label()
    }
}

/// One pass over one namespace, by its name.
pub(super) async fn reconcile(world: &World, name: &Name) -> Result<Next, Error> {
    let seen = observe::observe(world, &name.0);
    let leaves = seen.leaves(protected);
    apply::apply(world, &name.0, &leaves).await?;
    Ok(Next::Wait)
}

/// Whether a thing may not be taken whatever it costs: pods of halls in protection groups. No group exists yet.
fn protected(_: &yunting_plan::quota::charge::Thing) -> bool {
    false
}
