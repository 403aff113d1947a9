//! Not built yet: being written.
use super::world::{Name, World};
use crate::queue::Next;
pub(super) async fn reconcile(_world: &World, _name: &Name) -> Result<Next, crate::writer::Error> {
    Ok(Next::Wait)
}
