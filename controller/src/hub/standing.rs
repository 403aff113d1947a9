//! Applies an object unless it already stands as desired.

use serde::Serialize;
use yunting_plan::object::Object;

use super::world::World;
use crate::writer::Error;

/// One apply, or none.
pub(super) async fn apply<K: Serialize>(
    world: &World,
    manager: &'static str,
    object: &Object,
    standing: Option<&K>,
) -> Result<(), Error> {
    let stands = standing.and_then(|s| serde_json::to_value(s).ok()).is_some_and(|s| object.stands_in(&s));
    if stands {
        return Ok(());
    }
    world.writer.apply(manager, object).await.map(drop)
}
