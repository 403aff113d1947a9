//! The one way an object of a VDC or hall is made to stand: looked at, judged by its scope, written if it differs.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use yunting_crds::labels;
use yunting_plan::object::{Key, Object};
use yunting_plan::scope::{Refused, Scope};
use yunting_plan::vdc::admission::Admission;

use super::memory::Standing;
use super::world::World;
use crate::children::Child;
use crate::error::{Class, Classified};
use crate::writer;

/// Writes of one reconcile at once.
const CONCURRENCY: usize = 4;

/// Why an object does not stand.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It may not be written.
    #[error(transparent)]
    Scope(#[from] Refused),
    /// It is on its way out, and is made anew when it is gone.
    #[error("{0} is being removed; it is made anew when it is gone")]
    Leaving(Box<Key>),
    /// The write failed.
    #[error(transparent)]
    Write(#[from] writer::Error),
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            // Whoever holds a taken name tells nobody when it goes: it is looked at again, later and later.
            Self::Scope(Refused::Collision { .. }) | Self::Leaving(_) => Class::Transient,
            Self::Scope(_) => Class::Terminal,
            Self::Write(source) => source.class(),
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Scope(_) => "scope",
            Self::Leaving(_) => "leaving",
            Self::Write(source) => source.label(),
        }
    }
}

/// How an object stands.
pub(super) fn standing(world: &World, object: &Object) -> Standing {
    world.memory.standing(&world.children, object)
}

/// Whether a namespace admits workloads, by what was last written or seen.
pub(super) fn admission(world: &World, namespace: &str) -> Admission {
    world
        .memory
        .value(&world.children, &namespace_key(namespace))
        .map_or(Admission::Closed, |v| admission_of(&v))
}

/// The same of a namespace as it was seen.
pub(super) fn admission_of(namespace: &Value) -> Admission {
    let text =
        |field: &str, name: &str| namespace.pointer(&format!("/metadata/{field}"))?.get(name)?.as_str();
    Admission::read(text("labels", labels::ADMISSION), text("annotations", labels::CLOSING))
}

/// A label of a child.
pub(super) fn label_of(value: &Value, name: &str) -> Option<String> {
    value.pointer("/metadata/labels")?.get(name)?.as_str().map(str::to_owned)
}

fn labels_of(child: &Child) -> BTreeMap<String, String> {
    let labels = child.value().pointer("/metadata/labels").cloned();
    labels.and_then(|l| serde_json::from_value(l).ok()).unwrap_or_default()
}

/// Makes one object stand; the version that this made, if it had to be written.
pub(super) async fn one(
    world: &World,
    manager: &'static str,
    scope: &Scope,
    object: &Object,
) -> Result<Option<u64>, Error> {
    let there = match standing(world, object) {
        Standing::Stands => return Ok(None),
        Standing::Deleting => return Err(Error::Leaving(Box::new(object.key.clone()))),
        Standing::Missing => None,
        Standing::Differs(child) => Some(labels_of(&child)),
    };
    scope.check(object, there.as_ref())?;
    let written = world.ends.writer.apply(manager, object).await?;
    world.memory.remember(object, written.metadata.resource_version.as_deref());
    Ok(written.metadata.resource_version.and_then(|v| v.parse().ok()))
}

/// Makes objects stand, some at a time; what comes after waits for all of them. One that fails keeps none of the
/// others back; the first failure is told.
pub(super) async fn all(
    world: &World,
    manager: &'static str,
    scope: &Scope,
    objects: &[&Object],
) -> Result<(), Error> {
    // Gathered first: a stream over the closure itself would tie the whole reconcile to its lifetimes.
    let writes: Vec<_> = objects.iter().map(|object| one(world, manager, scope, object)).collect();
    let done: Vec<_> = stream::iter(writes).buffer_unordered(CONCURRENCY).collect().await;
    done.into_iter().try_for_each(|one| one.map(drop))
}

/// Removes children; those on their way out already are let be.
pub(super) async fn remove(world: &World, children: &[Arc<Child>]) -> Result<(), writer::Error> {
    let standing = children.iter().filter(|c| !c.deleting);
    let deletions: Vec<_> = standing
        .map(|c| {
            world.memory.forget(&c.key);
            world.ends.writer.delete(&c.key, &c.uid)
        })
        .collect();
    stream::iter(deletions).buffer_unordered(CONCURRENCY).try_collect().await
}

/// Key of a namespace.
pub(super) fn namespace_key(name: &str) -> Key {
    let kind = yunting_plan::object::api_kind::<k8s_openapi::api::core::v1::Namespace>();
    Key { kind, namespace: None, name: name.to_owned() }
}
