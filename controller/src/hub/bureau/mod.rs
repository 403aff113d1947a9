//! placeholder
use super::world::{ObjectKey, World};
use crate::queue::Next;
pub(super) async fn reconcile(_w: &World, _k: &ObjectKey) -> Result<Next, crate::writer::Error> { Ok(Next::Wait) }
