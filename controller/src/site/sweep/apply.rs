//! Removes what leaves, counts it, and tells the people of the namespace by an Event.

use futures::{StreamExt, stream};
use yunting_plan::news::News;

use super::Error;
use super::observe::Leaf;
use crate::events::{Teller, Told};
use crate::site::usage;
use crate::site::world::World;
use crate::writer;

/// Who tells, in the Events of a site.
const REPORTER: &str = "yunting.io/site-controller";
/// Removals of one pass at once.
const CONCURRENCY: usize = 8;
/// Most Events of one pass; the rest is in metric and log.
const EVENTS: usize = 10;

/// Does it. One removal that fails keeps none of the others back; the first failure is told.
pub(super) async fn apply(world: &World, namespace: &str, leaves: &[Leaf<'_>]) -> Result<(), Error> {
    let removals: Vec<_> = leaves.iter().map(|leaf| remove(world, namespace, leaf)).collect();
    let done: Vec<Result<(), writer::Error>> =
        stream::iter(removals).buffer_unordered(CONCURRENCY).collect().await;
    let teller = Teller {
        writer: &world.ends.writer,
        context: &world.context,
        reporter: REPORTER,
        instance: world.site.to_string(),
    };
    for leaf in leaves.iter().take(EVENTS) {
        teller.say(told(namespace, leaf)).await;
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

fn told(namespace: &str, leaf: &Leaf<'_>) -> Told {
    let (reason, note) = if leaf.over == "closed" {
        ("RemovedFromClosedNamespace", "it was created while the namespace was being closed".to_owned())
    } else {
        let note = format!(
            "it was created past the limit of {}, which its API server let through; delete others or have the quota raised, then create it again",
            leaf.over
        );
        ("RemovedAboveQuota", note)
    };
    Told {
        about: usage::key(namespace, leaf.thing),
        uid: Some(leaf.thing.uid.to_string()),
        name: format!("swept-{}", leaf.thing.uid),
        action: "Remove",
        news: News { warning: true, reason: reason.to_owned(), note },
    }
}
