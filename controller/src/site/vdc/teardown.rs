//! A VDC goes backwards: nobody's any more and closed first, then its halls, then every pod, then the namespaces with their policies.
//! Network rules stand until the last pod is gone; the keys of its volumes are destroyed last. Each wait names what it waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;
use yunting_crds::SliceRecord;
use yunting_crds::common::Desired;
use yunting_crds::deletion_certificate::KeysEnd;
use yunting_crds::labels;
use yunting_plan::object::{Key, api_kind};
use yunting_plan::vdc::admission::Admission;

use super::observe::Seen;
use super::{Error, closing};
use crate::children::Child;
use crate::queue::Next;
use crate::site::ensure::{self, namespace_key};
use crate::site::keys;
use crate::site::world::World;
use crate::writer;

/// Time after which pods are counted again: those of people are in no watch of ours.
const COUNT: Duration = Duration::from_secs(1);
/// Most pods that are looked at in one step.
const PAGE: u32 = 100;
/// Most names in a message.
const NAMES: usize = 5;

/// What is left.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing: everything of the VDC is gone, and this became of its keys.
    Nothing(Box<KeysEnd>),
    /// This is waited for; a watch tells when it is gone.
    Waiting(String),
    /// These pods are waited for.
    Pods(String),
    /// Namespaces are being closed.
    Closing(BTreeMap<String, String>),
}

impl Left {
    /// When to look again.
    pub(super) fn next(&self, world: &World) -> Next {
        match self {
            Self::Nothing(_) | Self::Waiting(_) => Next::Wait,
            Self::Pods(_) => Next::After(COUNT),
            Self::Closing(names) => world.closings.next(names.keys()),
        }
    }

    /// What is said of it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Nothing(_) => String::new(),
            Self::Waiting(text) | Self::Pods(text) => text.clone(),
            Self::Closing(names) => names
                .iter()
                .map(|(n, why)| format!("namespace {n} is being closed: {why}"))
                .collect::<Vec<_>>()
                .join("; "),
        }
    }
}

/// One step of it.
pub(super) async fn run(world: &World, seen: &Seen) -> Result<Left, Error> {
    let namespaces = namespaces(world, seen.uid());
    let withdrawn = withdraw(world, seen.uid()).await;
    for namespace in &namespaces {
        close(world, namespace).await?;
    }
    withdrawn?;
    let closing = settle(world, &namespaces).await;
    if !closing.is_empty() {
        return Ok(Left::Closing(closing));
    }
    let halls: Vec<String> =
        world.halls_of(seen.uid()).iter().filter(|r| !hall_gone(world, r)).map(|r| hall_name(r)).collect();
    if !halls.is_empty() {
        return Ok(Left::Waiting(format!("halls {} are still here; they go first", some(&halls))));
    }
    let pods = end_pods(world, &namespaces).await?;
    if !pods.is_empty() {
        return Ok(Left::Pods(format!("pods are ending: {}", some(&pods))));
    }
    let children: Vec<Arc<Child>> =
        namespaces.iter().filter_map(|n| world.children.get(&namespace_key(n))).collect();
    ensure::remove(world, &children).await?;
    for name in &namespaces {
        world.closings.forget(name);
        world.lowering.forget(name);
    }
    if namespaces.is_empty() {
        let Some(slice) = seen.spec() else { return Ok(Left::Waiting("it has no slice".to_owned())) };
        return Ok(Left::Nothing(Box::new(keys::end(world, slice).await?)));
    }
    let names: Vec<String> = namespaces.into_iter().collect();
    Ok(Left::Waiting(format!("namespaces {} are being emptied by Kubernetes", some(&names))))
}

/// Takes every right in it away. Whose VDC goes has none in it, however long something holds it up: who is no member
/// any more would keep it until then.
async fn withdraw(world: &World, uid: &str) -> Result<(), writer::Error> {
    let kind = api_kind::<RoleBinding>();
    let mut bindings = world.children.of_vdc(uid);
    bindings.retain(|c| c.key.kind == kind);
    ensure::remove(world, &bindings).await
}

/// Namespaces that carry the VDC's uid.
pub(super) fn namespaces(world: &World, uid: &str) -> BTreeSet<String> {
    let kind = api_kind::<Namespace>();
    world
        .children
        .of_vdc(uid)
        .into_iter()
        .filter(|c| c.key.kind == kind)
        .map(|c| c.key.name.clone())
        .collect()
}

/// Ends every pod, whoever made it: the namespace is closed, so none comes after.
async fn end_pods(world: &World, namespaces: &BTreeSet<String>) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for namespace in namespaces {
        let api: Api<Pod> = Api::namespaced(world.ends.own.client.clone(), namespace);
        let list = api.list_metadata(&ListParams::default().limit(PAGE)).await;
        let list = list.map_err(|source| Error::List { namespace: namespace.clone(), source })?;
        for pod in list.items {
            let key =
                Key { kind: api_kind::<Pod>(), namespace: Some(namespace.clone()), name: pod.name_any() };
            if pod.metadata.deletion_timestamp.is_none() {
                world.ends.writer.delete(&key, pod.metadata.uid.as_deref().unwrap_or_default()).await?;
            }
            names.push(format!("{namespace}/{}", key.name));
        }
    }
    Ok(names)
}

fn hall_gone(world: &World, record: &SliceRecord) -> bool {
    let hall = record.spec.hall.as_ref();
    hall.is_some_and(|h| h.desired == Desired::Absent && world.hall_is_gone(&h.vdc.uid, &h.source.uid))
}

fn hall_name(record: &SliceRecord) -> String {
    record.spec.hall.as_ref().map_or_else(|| record.name_any(), |h| h.source.name.clone())
}

fn some(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMES);
    let text = names.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ");
    if more == 0 { text } else { format!("{text} and {more} more") }
}

/// Closes a namespace that carries our labels, whatever the slice says of it.
pub(super) async fn close(world: &World, name: &str) -> Result<(), writer::Error> {
    if ensure::admission(world, name) != Admission::Open {
        return Ok(());
    }
    tracing::info!(namespace = name, "namespace is closed: it is no longer asked for");
    let key = namespace_key(name);
    world.memory.forget(&key);
    let since = world.context.timestamp().as_second().to_string();
    let patch = json!({"metadata": {
        "labels": {labels::ADMISSION: labels::ADMISSION_CLOSED},
        "annotations": {labels::CLOSING: since},
    }});
    let written = world.ends.writer.merge(&key, &patch).await?;
    if let Some(version) = written.metadata.resource_version.and_then(|v| v.parse().ok()) {
        world.closings.closed(name, version);
    }
    Ok(())
}

/// Namespaces whose closing has not come to its end, and what each waits for.
async fn settle(world: &World, namespaces: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut closing = BTreeMap::new();
    for name in namespaces {
        // The closing write may not have come back yet.
        let at = match ensure::admission(world, name) {
            Admission::Closing(at) => at,
            Admission::Open => i64::MAX,
            Admission::Closed => continue,
        };
        if let Some(why) = closing::settle(world, name, at).await {
            closing.insert(name.clone(), why);
        }
    }
    closing
}
