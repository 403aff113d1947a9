//! Closing a namespace to its end. The label alone is not it: for some milliseconds API servers still admit, and what
//! was on its way in arrives. It is closed when a dry run in the namespace itself is refused by every API server, and
//! what was created after the closing write is gone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::api::{ListParams, VersionMatch};
use kube::core::{ObjectList, PartialObjectMeta};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::time::Instant;
use yunting_crds::labels;
use yunting_plan::object::{ApiKind, Key, Object, api_kind};

use super::Error;
use crate::error::chain;
use crate::queue::Next;
use crate::site::ensure::namespace_key;
use crate::site::report::canary;
use crate::site::usage;
use crate::site::world::World;
use crate::writer::resource;

/// Time between looks at a namespace that is being closed; no watch shows when a policy sees a label.
const SOON: Duration = Duration::from_millis(100);
/// The same when it takes long.
const LATER: Duration = Duration::from_secs(2);
/// Time after which it takes long.
const LONG: Duration = Duration::from_secs(5);

/// Namespaces that this process has closed, or found closing.
#[derive(Default)]
pub(in crate::site) struct Closings(Mutex<HashMap<String, Closing>>);

#[derive(Clone, Copy)]
struct Closing {
    version: u64,
    began: Instant,
}

impl Closings {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Closing>> {
        // Nothing panics while it is held, so a poisoned lock still holds a whole map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A namespace was closed by the write that made this version.
    pub(super) fn closed(&self, namespace: &str, version: u64) {
        self.all().insert(namespace.to_owned(), Closing { version, began: Instant::now() });
    }

    /// A namespace is opened, or gone.
    pub(super) fn forget(&self, namespace: &str) {
        self.all().remove(namespace);
    }

    /// Version of the write that closed a namespace.
    pub(in crate::site) fn version(&self, namespace: &str) -> Option<u64> {
        self.all().get(namespace).map(|c| c.version)
    }

    /// When to look again at what is being closed.
    pub(super) fn next<'a>(&self, mut closing: impl Iterator<Item = &'a String>) -> Next {
        let all = self.all();
        let long = |name: &String| all.get(name).is_some_and(|c| c.began.elapsed() > LONG);
        closing.next().map_or(Next::Wait, |name| Next::After(if long(name) { LATER } else { SOON }))
    }
}

/// Everything that is created by people or by Kubernetes' controllers and may not be in a closed namespace: what
/// policy `yunting-closed-namespace` names.
const KINDS: [(&str, &str, &str); 10] = [
    ("apps", "Deployment", "deployments"),
    ("apps", "StatefulSet", "statefulsets"),
    ("apps", "DaemonSet", "daemonsets"),
    ("batch", "CronJob", "cronjobs"),
    ("batch", "Job", "jobs"),
    ("apps", "ReplicaSet", "replicasets"),
    ("", "ReplicationController", "replicationcontrollers"),
    ("", "Service", "services"),
    ("", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("", "Pod", "pods"),
];

fn kinds() -> impl Iterator<Item = ApiKind> {
    KINDS.into_iter().map(|(group, kind, plural)| ApiKind {
        group,
        version: "v1",
        kind,
        plural,
        namespaced: true,
    })
}

/// One look at a namespace whose label says closed since `at`; what it still waits for, or nothing when it is closed.
///
/// A look that fails is what it waits for, and no failure of the whole reconcile: the next look comes as soon as after
/// any other, not later and later, and other namespaces are closed meanwhile.
pub(super) async fn settle(world: &World, namespace: &str, at: i64) -> Option<String> {
    look(world, namespace, at).await.unwrap_or_else(|error| {
        let error = chain(&error);
        tracing::warn!(namespace, error, "cannot see whether the namespace is closed; it is tried again");
        Some(format!("it cannot be seen whether it is closed: {error}"))
    })
}

async fn look(world: &World, namespace: &str, at: i64) -> Result<Option<String>, Error> {
    let version = match world.closings.version(namespace) {
        Some(version) => version,
        // Closed by a process before this one. Nobody else writes the namespace, so its version is that of the write.
        None => match world.children.get(&namespace_key(namespace)) {
            Some(here) => {
                world.closings.closed(namespace, here.version);
                here.version
            }
            None => return Ok(None),
        },
    };
    if let Err(why) = canary::every_server_refuses(world, &asked(namespace)).await {
        return Ok(Some(why));
    }
    let left = remove_strays(world, namespace, version, at).await?;
    if left > 0 {
        return Ok(Some(format!("{left} objects that were created while it closed are being removed")));
    }
    complete(world, namespace).await?;
    tracing::info!(namespace, "namespace is closed on every API server");
    Ok(None)
}

/// Takes the mark away by which an unfinished closing is known.
async fn complete(world: &World, namespace: &str) -> Result<(), Error> {
    let key = namespace_key(namespace);
    world.memory.forget(&key);
    let patch = json!({"metadata": {"annotations": {labels::CLOSING: Value::Null}}});
    world.ends.writer.merge(&key, &patch).await?;
    Ok(())
}

/// A Service in the namespace, asked for as a dry run: the policy must refuse it.
fn asked(namespace: &str) -> Object {
    let body = json!({
        "metadata": {"name": "yunting-canary", "namespace": namespace},
        "spec": {"selector": {"yunting.io/canary": "none"}, "ports": [{"port": 1}]},
    });
    Object::from_value(api_kind::<Service>(), body)
}

type Metadata = ObjectList<PartialObjectMeta>;

/// Removes what came after the closing write; how much of it is still there.
async fn remove_strays(world: &World, namespace: &str, version: u64, at: i64) -> Result<usize, Error> {
    let mut left = 0;
    for kind in kinds() {
        let now = list(world, namespace, &kind, &ListParams::default()).await?;
        let newer = now.items.iter().filter(|o| version_of(*o) > version);
        let newer: BTreeMap<String, &PartialObjectMeta> =
            newer.map(|o| (o.uid().unwrap_or_default(), o)).collect();
        if newer.is_empty() {
            continue;
        }
        let before = before(world, namespace, &kind, version, at, &now).await?;
        for (uid, object) in newer.into_iter().filter(|(uid, _)| !before.contains(uid)) {
            left += 1;
            if object.metadata.deletion_timestamp.is_none() {
                let key = Key {
                    kind: kind.clone(),
                    namespace: Some(namespace.to_owned()),
                    name: object.name_any(),
                };
                world.ends.writer.delete(&key, &uid).await?;
                world.context.metrics.swept.with_label_values(&["closed"]).inc();
                tracing::warn!(object = %key, "removed: it was created while its namespace was closed");
            }
        }
    }
    Ok(left)
}

fn version_of(object: &impl ResourceExt) -> u64 {
    object.resource_version().and_then(|v| v.parse().ok()).unwrap_or_default()
}

/// Uids of what was there at the version of the closing write. Where the server no longer knows that version, creation
/// times have to do; an object of the same second is let be.
async fn before(
    world: &World,
    namespace: &str,
    kind: &ApiKind,
    version: u64,
    at: i64,
    now: &Metadata,
) -> Result<HashSet<String>, Error> {
    let exactly = ListParams::default().at(&version.to_string()).matching(VersionMatch::Exact);
    match list(world, namespace, kind, &exactly).await {
        Ok(then) => Ok(then.items.iter().filter_map(ResourceExt::uid).collect()),
        Err(Error::List { source: kube::Error::Api(status), .. }) if status.code == 410 => {
            let older = now.items.iter().filter(|o| usage::created(*o) <= at);
            Ok(older.filter_map(ResourceExt::uid).collect())
        }
        Err(error) => Err(error),
    }
}

async fn list(
    world: &World,
    namespace: &str,
    kind: &ApiKind,
    params: &ListParams,
) -> Result<Metadata, Error> {
    let api: Api<kube::core::DynamicObject> =
        Api::namespaced_with(world.ends.own.client.clone(), namespace, &resource(kind));
    let list = api.list_metadata(params).await;
    list.map_err(|source| Error::List { namespace: namespace.to_owned(), source })
}
