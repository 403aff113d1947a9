//! Removes what leaves, counts it, and tells the people of the namespace by an Event.

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use yunting_plan::object::Object;

use super::Error;
use super::observe::Leaf;
use crate::error::chain;
use crate::site::usage;
use crate::site::world::World;
use crate::writer;

/// Removals of one pass at once.
const CONCURRENCY: usize = 8;
/// Most Events of one pass; the rest is in metric and log.
const EVENTS: usize = 10;

/// Does it. One removal that fails keeps none of the others back; the first failure is told.
pub(super) async fn apply(world: &World, namespace: &str, leaves: &[Leaf<'_>]) -> Result<(), Error> {
    let removals: Vec<_> = leaves.iter().map(|leaf| remove(world, namespace, leaf)).collect();
    let done: Vec<Result<(), writer::Error>> =
        stream::iter(removals).buffer_unordered(CONCURRENCY).collect().await;
    for leaf in leaves.iter().take(EVENTS) {
        tell(world, namespace, leaf).await;
    }
    done.into_iter().collect::<Result<(), _>>().map_err(Error::from)
}

async fn remove(world: &World, namespace: &str, leaf: &Leaf<'_>) -> Result<(), writer::Error> {
    let key = usage::key(namespace, leaf.thing);
    match world.ends.writer.delete(&key, &leaf.thing.uid).await {
        // Another of its name is there: the one that was meant is gone.
        Err(writer::Error::Delete { source: kube::Error::Api(s), .. }) if s.code == 409 => (),
        other => other?,
    }
    world.usage.removed(namespace, leaf.thing);
    world.context.metrics.swept.with_label_values(&[leaf.over]).inc();
    tracing::warn!(object = %key, over = leaf.over, "removed: it came in past a limit");
    Ok(())
}

/// An Event that cannot be written is no reason to do anything else.
async fn tell(world: &World, namespace: &str, leaf: &Leaf<'_>) {
    if let Err(error) = world.ends.writer.create(&event(world, namespace, leaf)).await {
        tracing::info!(error = chain(&error), "no Event tells of a removal");
    }
}

fn event(world: &World, namespace: &str, leaf: &Leaf<'_>) -> Object {
    let key = usage::key(namespace, leaf.thing);
    let (reason, note) = if leaf.over == "closed" {
        ("RemovedFromClosedNamespace", "it was created while the namespace was being closed".to_owned())
    } else {
        let note = format!(
            "it was created past the limit of {}, which its API server let through; delete others or have the quota raised, then create it again",
            leaf.over
        );
        ("RemovedAboveQuota", note)
    };
    let now = MicroTime(world.context.timestamp());
    Object::new(&Event {
        metadata: ObjectMeta {
            name: Some(format!("swept-{}", leaf.thing.uid)),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        event_time: Some(now),
        action: Some("Remove".to_owned()),
        reason: Some(reason.to_owned()),
        note: Some(note),
        type_: Some("Warning".to_owned()),
        reporting_controller: Some("yunting.io/site-controller".to_owned()),
        reporting_instance: Some(world.site.to_string()),
        regarding: Some(ObjectReference {
            api_version: Some(key.kind.api_version()),
            kind: Some(key.kind.kind.to_owned()),
            namespace: Some(namespace.to_owned()),
            name: Some(key.name),
            uid: Some(leaf.thing.uid.to_string()),
            ..ObjectReference::default()
        }),
        ..Event::default()
    })
}
