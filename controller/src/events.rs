//! Events: what happened to an object, for people who type `kubectl describe`. What is news is decided in
//! [`yunting_plan::news`]. An Event that cannot be written is logged and holds nothing up.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, ObjectMeta};
use kube::ResourceExt;
use yunting_plan::news::{News, news};
use yunting_plan::object::{Key, Object};

use crate::context::Context;
use crate::error::chain;
use crate::kinds::{self, Ours};
use crate::writer::{Writer, key_of};

/// Longest note that an API server takes, in bytes.
const NOTE_MAX: usize = 1024;
/// Where Events about objects without a namespace live; an API server takes them nowhere else.
const CLUSTER_NAMESPACE: &str = "default";

/// Tells of one process's objects.
pub struct Teller<'a> {
    /// Writes to the cluster of the objects.
    pub writer: &'a Writer,
    /// The clock.
    pub context: &'a Context,
    /// Who tells, as `domain/part`.
    pub reporter: &'static str,
    /// Which of them.
    pub instance: String,
}

/// What is told of one object.
pub struct Told {
    /// The object.
    pub about: Key,
    /// Its uid, where it is known.
    pub uid: Option<String>,
    /// Name of the Event.
    pub name: String,
    /// What was being done.
    pub action: &'static str,
    /// What happened.
    pub news: News,
}

impl Teller<'_> {
    /// Tells what changed between two lists of conditions of an object.
    pub async fn tell<K: Ours>(&self, object: &K, before: &[Condition], after: &[Condition]) {
        let about = key_of(&kinds::of::<K>(), object);
        let now = self.context.timestamp().as_nanosecond();
        for (index, news) in news(before, after).into_iter().enumerate() {
            let name = format!("{}.{now:x}{index}", about.name);
            self.say(Told { about: about.clone(), uid: object.uid(), name, action: "Reconcile", news }).await;
        }
    }

    /// Tells one thing.
    pub async fn say(&self, told: Told) {
        if let Err(error) = self.writer.create(&Object::new(&self.event(told))).await {
            tracing::info!(error = chain(&error), "an event was not written");
        }
    }

    fn event(&self, told: Told) -> Event {
        let Told { about, uid, name, action, news } = told;
        let namespace = about.namespace.clone().unwrap_or_else(|| CLUSTER_NAMESPACE.to_owned());
        Event {
            metadata: ObjectMeta { name: Some(name), namespace: Some(namespace), ..ObjectMeta::default() },
            action: Some(action.to_owned()),
            event_time: Some(MicroTime(self.context.timestamp())),
            note: Some(shortened(&news.note)),
            reason: Some(news.reason),
            regarding: Some(ObjectReference {
                api_version: Some(about.kind.api_version()),
                kind: Some(about.kind.kind.to_owned()),
                name: Some(about.name),
                namespace: about.namespace,
                uid,
                ..ObjectReference::default()
            }),
            reporting_controller: Some(self.reporter.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(if news.warning { "Warning" } else { "Normal" }.to_owned()),
            ..Event::default()
        }
    }
}

/// Cut at a character, not in the middle of one.
fn shortened(note: &str) -> String {
    let mut end = note.len().min(NOTE_MAX);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_between_characters() {
        assert_eq!(shortened("谯城"), "谯城");
        let long = "厅".repeat(400);
        assert!(shortened(&long).len() <= NOTE_MAX && long.starts_with(&shortened(&long)));
    }
}
