//! Every revision of every quota, pod, cron job and namespace of a site, as its etcd made them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Namespace, Pod, ResourceQuota};
use kube::api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::task::JoinSet;
use yunting_crds::labels;
use yunting_plan::object::{ApiKind, api_kind};
use yunting_plan::quota::shrink::Shown;
use yunting_tests::apiserver::wait;
use yunting_tests::pods::pod;

use super::clients::cron_job;
use super::world::{PATIENCE, World};

/// What became of an object.
#[derive(Debug, Clone)]
pub enum What {
    Quota(Shown),
    Pod {
        uid: String,
    },
    NoPod {
        uid: String,
    },
    /// Something that runs nothing by itself and that no limit counts.
    Other {
        uid: String,
    },
    NoOther {
        uid: String,
    },
    /// Whether the label says open, and whether the mark of an unfinished closing is there.
    Namespace {
        open: bool,
        closing: bool,
    },
}

/// One revision.
#[derive(Debug, Clone)]
pub struct Change {
    pub revision: u64,
    /// When it was heard of.
    pub at: Instant,
    pub namespace: String,
    pub what: What,
}

/// The revisions of one site.
#[derive(Default)]
pub struct Log {
    changes: Mutex<Vec<Change>>,
    /// Version up to which each kind has been heard.
    heard: Mutex<HashMap<&'static str, u64>>,
}

impl Log {
    fn add(&self, change: Change) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }

    fn heard(&self, kind: &'static str, version: u64) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(kind, version);
    }

    /// How many revisions there are.
    pub fn len(&self) -> usize {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether a limit was frozen in a revision heard of after so many.
    pub fn froze_after(&self, heard: usize) -> bool {
        let frozen =
            |c: &Change| matches!(&c.what, What::Quota(q) if q.marks.is_some() && !q.lowering().is_empty());
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).iter().skip(heard).any(frozen)
    }

    /// Everything so far in the order of the revisions.
    pub fn changes(&self) -> Vec<Change> {
        let mut all = self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort_by_key(|c| c.revision);
        all
    }

    /// Waits until everything up to now has been heard: marks of our own, one of each kind, are the last word.
    pub async fn catch_up(&self, client: &Client) -> anyhow::Result<()> {
        let moment = format!("{:?}", Instant::now());
        let mut marks = Vec::new();
        for (kind, name, spec) in [
            (api_kind::<ResourceQuota>(), "mark", json!({"hard": {"configmaps": "99"}})),
            (api_kind::<Pod>(), "mark", pod("mark")["spec"].clone()),
            (api_kind::<CronJob>(), "mark", cron_job("mark")["spec"].clone()),
            (api_kind::<Namespace>(), "mark", json!({})),
        ] {
            let api: Api<DynamicObject> = if kind.namespaced {
                Api::namespaced_with(client.clone(), "default", &yunting_controller::writer::resource(&kind))
            } else {
                all(client, &kind)
            };
            let body = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "spec": spec,
                "metadata": {"name": name, "annotations": {"storms.example/moment": moment}}});
            let made = api.patch(name, &PatchParams::apply("suite").force(), &Patch::Apply(&body)).await?;
            marks.push((kind.kind, made.resource_version().unwrap_or_default().parse::<u64>()?));
        }
        let look = async || {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            marks.iter().all(|(kind, version)| heard.get(kind).is_some_and(|h| h >= version)).then_some(())
        };
        wait("the record of a site", PATIENCE, look).await
    }
}

/// Records until it is dropped.
pub struct Recorder {
    pub log: Arc<Log>,
    _tasks: JoinSet<()>,
}

impl Recorder {
    /// One for each site.
    pub async fn all(world: &World) -> anyhow::Result<Vec<Self>> {
        let mut all = Vec::new();
        for site in &world.sites {
            all.push(Self::start(site.server.client()).await?);
        }
        Ok(all)
    }

    /// Begins with what is there.
    async fn start(client: &Client) -> anyhow::Result<Self> {
        let log = Arc::new(Log::default());
        let mut tasks = JoinSet::new();
        for kind in
            [api_kind::<ResourceQuota>(), api_kind::<Pod>(), api_kind::<CronJob>(), api_kind::<Namespace>()]
        {
            let api = all(client, &kind);
            let list = api.list(&ListParams::default()).await?;
            for object in &list.items {
                note(&log, kind.kind, object, false);
            }
            let from = list.metadata.resource_version.unwrap_or_default();
            tasks.spawn(follow(api, kind.kind, from, log.clone()));
        }
        Ok(Self { log, _tasks: tasks })
    }
}

fn all(client: &Client, kind: &ApiKind) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &yunting_controller::writer::resource(kind))
}

/// Follows one kind from a version, through every event; a watch that ends goes on where it was.
async fn follow(api: Api<DynamicObject>, kind: &'static str, mut from: String, log: Arc<Log>) {
    let mut again = tokio::time::interval(Duration::from_millis(50));
    loop {
        again.tick().await;
        let Ok(stream) = api.watch(&WatchParams::default(), &from).await else { continue };
        let mut stream = stream.boxed();
        while let Ok(Some(event)) = stream.try_next().await {
            let version = match event {
                WatchEvent::Added(o) | WatchEvent::Modified(o) => {
                    note(&log, kind, &o, false);
                    o.resource_version()
                }
                WatchEvent::Deleted(o) => {
                    note(&log, kind, &o, true);
                    o.resource_version()
                }
                WatchEvent::Bookmark(b) => Some(b.metadata.resource_version),
                WatchEvent::Error(status) => panic!("a revision was lost: {status:?}"),
            };
            if let Some(version) = version {
                log.heard(kind, version.parse().unwrap());
                from = version;
            }
        }
    }
}

fn note(log: &Log, kind: &str, object: &DynamicObject, gone: bool) {
    let uid = object.uid().unwrap_or_default();
    let what = match kind {
        "ResourceQuota" => What::Quota(Shown::read(&serde_json::to_value(object).unwrap())),
        "Pod" if gone || object.metadata.deletion_timestamp.is_some() => What::NoPod { uid },
        "Pod" => What::Pod { uid },
        "CronJob" if gone || object.metadata.deletion_timestamp.is_some() => What::NoOther { uid },
        "CronJob" => What::Other { uid },
        _ => What::Namespace {
            open: object.labels().get(labels::ADMISSION).is_some_and(|l| l == "open"),
            closing: object.annotations().contains_key(labels::CLOSING),
        },
    };
    log.add(Change {
        revision: object.resource_version().and_then(|v| v.parse().ok()).unwrap_or_default(),
        at: Instant::now(),
        namespace: object.namespace().unwrap_or_else(|| object.name_any()),
        what,
    });
}
