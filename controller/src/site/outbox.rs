//! Statuses on their way to the hub. A reconcile puts what it has to say here and goes on; the hub gets it when it
//! answers, and only what differs from what it has.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde_json::{Value, json};
use yunting_crds::deletion_certificate::KeysEnd;
use yunting_crds::vdc_slice::SliceNamespaceStatus;
use yunting_crds::{HallSlice, HallSliceStatus, VdcSlice, VdcSliceStatus};
use yunting_plan::object::Key;

use super::world::{Name, World};
use crate::kinds::{self, Ours};
use crate::queue::Next;
use crate::versions::Versions;
use crate::writer::{Error, key_of};

/// Field manager of slices' statuses.
const MANAGER: &str = "yunting/site-status";
/// Time for which changes of use are gathered; what conditions say goes at once.
const GATHER: Duration = Duration::from_secs(1);

/// A slice's status.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Status {
    /// Of a VDC.
    Vdc(Box<VdcSliceStatus>),
    /// Of a hall.
    Hall(Box<HallSliceStatus>),
}

impl Status {
    fn conditions(&self) -> &[Condition] {
        match self {
            Self::Vdc(s) => &s.conditions,
            Self::Hall(s) => &s.conditions,
        }
    }

    fn body(&self) -> Value {
        match self {
            Self::Vdc(s) => json!(s),
            Self::Hall(s) => json!(s),
        }
    }
}

#[derive(Default)]
struct Inner {
    wanted: HashMap<String, Status>,
    sent: HashMap<String, Status>,
}

/// What is to be said.
#[derive(Default)]
pub(super) struct Outbox {
    inner: Mutex<Inner>,
    versions: Versions,
}

impl Outbox {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was last said of a slice.
    fn last(&self, world: &World, name: &str) -> Option<Status> {
        let wanted = self.inner().wanted.get(name).cloned();
        wanted.or_else(|| standing(world, name).and_then(|s| s.status))
    }

    /// The conditions last said of a slice, for the times in them.
    pub(super) fn before(&self, world: &World, name: &str) -> Vec<Condition> {
        self.last(world, name).map(|s| s.conditions().to_vec()).unwrap_or_default()
    }

    /// What was last said of a VDC's namespaces.
    pub(super) fn namespaces(&self, world: &World, name: &str) -> Vec<SliceNamespaceStatus> {
        match self.last(world, name) {
            Some(Status::Vdc(status)) => status.namespaces,
            _ => Vec::new(),
        }
    }

    /// What was last said of a VDC's keys.
    pub(super) fn keys(&self, world: &World, name: &str) -> Option<KeysEnd> {
        match self.last(world, name) {
            Some(Status::Vdc(status)) => status.keys,
            _ => None,
        }
    }

    /// Says it, if it is new.
    pub(super) fn put(&self, world: &World, name: &str, status: Status) {
        let mut inner = self.inner();
        let before = inner.wanted.get(name);
        let same = before.is_some_and(|b| *b == status);
        let only_counts = before.is_some_and(|b| b.conditions() == status.conditions());
        inner.wanted.insert(name.to_owned(), status);
        match (same, only_counts) {
            (true, _) => (),
            (_, true) => world.wakers.outbox.wake_after(Name(name.to_owned()), GATHER),
            (false, false) => world.wakers.outbox.wake(Name(name.to_owned())),
        }
    }

    /// What is to be said of a slice that the hub does not have and that is not on its way back to us.
    fn news(&self, name: &str, standing: &Standing) -> Option<Status> {
        let inner = self.inner();
        let wanted = inner.wanted.get(name)?;
        let has = if self.versions.awaited(name, &standing.version) {
            inner.sent.get(name)
        } else {
            standing.status.as_ref()
        };
        (has != Some(wanted)).then(|| wanted.clone())
    }

    /// Forgets a slice of which nothing is left.
    fn forget(&self, name: &str) {
        let mut inner = self.inner();
        inner.wanted.remove(name);
        inner.sent.remove(name);
        drop(inner);
        self.versions.forget(name);
    }
}

/// A slice as the hub has it.
struct Standing {
    key: Key,
    version: String,
    status: Option<Status>,
}

fn standing(world: &World, name: &str) -> Option<Standing> {
    fn of<K: Ours>(slice: &K, status: Option<Status>) -> Standing {
        let version = slice.resource_version().unwrap_or_default();
        Standing { key: key_of(&kinds::of::<K>(), slice), version, status }
    }
    if let Some(s) = name.strip_prefix("vdc-").and_then(|uid| world.vdc_slice(uid)) {
        return Some(of::<VdcSlice>(s.as_ref(), s.status.clone().map(|s| Status::Vdc(Box::new(s)))));
    }
    let s = name.strip_prefix("hall-").and_then(|uid| world.hall_slice(uid))?;
    Some(of::<HallSlice>(s.as_ref(), s.status.clone().map(|s| Status::Hall(Box::new(s)))))
}

/// Brings one slice's status to the hub.
pub(super) async fn reconcile(world: &World, name: &Name) -> Result<Next, Error> {
    let name = &name.0;
    let Some(standing) = standing(world, name) else {
        if world.records.get_cluster(name).is_none() {
            world.outbox.forget(name);
        }
        // Nobody at the hub asks about it, if the hub has been heard at all.
        if world.vdc_slices.is_ready() && world.hall_slices.is_ready() {
            world.review.told(name);
        }
        return Ok(Next::Wait);
    };
    if let Some(wanted) = world.outbox.news(name, &standing)
        && !send(world, name, &standing, wanted).await?
    {
        // The slice went meanwhile.
        world.outbox.versions.forget(name);
    }
    if world.outbox.inner().wanted.contains_key(name) {
        world.review.told(name);
    }
    Ok(Next::Wait)
}

/// Writes a status; whether the slice was still there. What is said of a slice that has changed since is refused, so that
/// a controller that was replaced, or whose write was long on its way, takes nothing back.
async fn send(world: &World, name: &str, standing: &Standing, status: Status) -> Result<bool, Error> {
    let outbox = &world.outbox;
    let known = outbox.versions.known(name, &standing.version);
    match world.ends.hub_writer.status(MANAGER, &standing.key, Some(&known), &status.body()).await {
        Err(Error::Status { source: kube::Error::Api(s), .. }) if s.code == 404 => Ok(false),
        Err(error) => {
            outbox.versions.forget(name);
            Err(error)
        }
        Ok(written) => {
            let made = written.metadata.resource_version.unwrap_or_default();
            outbox.versions.made(name, &standing.version, &made);
            outbox.inner().sent.insert(name.to_owned(), status);
            Ok(true)
        }
    }
}
