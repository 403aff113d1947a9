//! Statuses on their way to the hub. A reconcile puts what it has to say here and goes on; the hub gets it when it
//! answers, and only what differs from what it has.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};
use yunting_crds::vdc_slice::SliceNamespaceStatus;
use yunting_crds::{HallSlice, HallSliceStatus, VdcSlice, VdcSliceStatus};

use super::world::{Name, World};
use crate::kinds;
use crate::queue::Next;
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
    sent: HashMap<String, (Status, u64)>,
}

/// What is to be said.
#[derive(Default)]
pub(super) struct Outbox(Mutex<Inner>);

impl Outbox {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was last said of a slice.
    fn last(&self, world: &World, name: &str) -> Option<Status> {
        let wanted = self.inner().wanted.get(name).cloned();
        wanted.or_else(|| standing(world, name).and_then(|(_, _, status)| status))
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

    /// Forgets a slice of which nothing is left.
    fn forget(&self, name: &str) {
        let mut inner = self.inner();
        inner.wanted.remove(name);
        inner.sent.remove(name);
    }
}

/// Key, version and status of a slice as the hub has it.
fn standing(world: &World, name: &str) -> Option<(yunting_plan::object::Key, u64, Option<Status>)> {
    let version = |v: &Option<String>| v.as_deref().and_then(|v| v.parse().ok()).unwrap_or_default();
    if let Some(s) = name.strip_prefix("vdc-").and_then(|uid| world.vdc_slice(uid)) {
        let status = s.status.clone().map(|s| Status::Vdc(Box::new(s)));
        return Some((
            key_of(&kinds::of::<VdcSlice>(), s.as_ref()),
            version(&s.metadata.resource_version),
            status,
        ));
    }
    let s = name.strip_prefix("hall-").and_then(|uid| world.hall_slice(uid))?;
    let status = s.status.clone().map(|s| Status::Hall(Box::new(s)));
    Some((key_of(&kinds::of::<HallSlice>(), s.as_ref()), version(&s.metadata.resource_version), status))
}

/// Brings one slice's status to the hub.
pub(super) async fn reconcile(world: &World, name: &Name) -> Result<Next, Error> {
    let name = &name.0;
    let Some((key, version, status)) = standing(world, name) else {
        if world.records.get_cluster(name).is_none() {
            world.outbox.forget(name);
        }
        // Nobody at the hub asks about it, if the hub has been heard at all.
        if world.vdc_slices.is_ready() && world.hall_slices.is_ready() {
            world.review.told(name);
        }
        return Ok(Next::Wait);
    };
    let wanted = {
        let inner = world.outbox.inner();
        let Some(wanted) = inner.wanted.get(name).cloned() else { return Ok(Next::Wait) };
        let just_sent = inner.sent.get(name).is_some_and(|(sent, at)| *sent == wanted && version <= *at);
        if status.as_ref() == Some(&wanted) || just_sent {
            world.review.told(name);
            return Ok(Next::Wait);
        }
        wanted
    };
    let written = world.ends.hub_writer.status(MANAGER, &key, None, &wanted.body()).await;
    let version = match written {
        Err(Error::Status { source: kube::Error::Api(s), .. }) if s.code == 404 => {
            world.review.told(name);
            return Ok(Next::Wait);
        }
        other => other?.metadata.resource_version.and_then(|v| v.parse().ok()).unwrap_or_default(),
    };
    world.outbox.inner().sent.insert(name.clone(), (wanted, version));
    world.review.told(name);
    Ok(Next::Wait)
}
