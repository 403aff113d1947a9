//! What bureaus share and who asks for it: the watched copies, everything that one grant is judged by, and who is woken when
//! something of it changes. Nothing is decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use kube::ResourceExt;
use kube::runtime::watcher;
use yunting_crds::common::Desired;
use yunting_crds::hall_grant::SliceGrant;
use yunting_crds::names::BUREAU_NAMESPACE_PREFIX;
use yunting_crds::{AccessGrant, Hall, SharedService, VirtualDataCenter};
use yunting_plan::grants::{self, Agreed, Asked, End};

use super::world::{GATHER, ObjectKey, Starter, Wakers, World, key};
use crate::cache::Cache;

/// Watched copies of both kinds.
#[derive(Clone)]
pub(super) struct Sharing {
    pub(super) services: Cache<SharedService>,
    pub(super) grants: Cache<AccessGrant>,
}

/// The same for wakers, which are there before it.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<OnceLock<Sharing>>);

/// Tag of grants by the hall that calls, and of services by the hall that is called.
fn hall_tag(namespace: &str, hall: &str) -> String {
    format!("hall/{namespace}/{hall}")
}

/// Tag of grants by what they ask for.
fn service_tag(bureau: &str, service: &str) -> String {
    format!("service/{bureau}/{service}")
}

fn grant_tags(grant: &AccessGrant) -> Vec<String> {
    let (namespace, spec) = (grant.namespace().unwrap_or_default(), &grant.spec);
    vec![hall_tag(&namespace, &spec.from.hall), service_tag(&spec.service_ref.bureau, &spec.service_ref.name)]
}

fn service_tags(service: &SharedService) -> Vec<String> {
    vec![hall_tag(&service.namespace().unwrap_or_default(), &service.spec.hall)]
}

impl Sharing {
    /// Starts the watches.
    pub(super) fn start(start: &Starter<'_>, wakers: &Wakers) -> Self {
        let any = watcher::Config::default;
        let (a, b) = (wakers.clone(), wakers.clone());
        let sharing = Self {
            services: start.tagged(any(), service_tags, move |s: &SharedService| service_touched(&a, s)),
            grants: start.tagged(any(), grant_tags, move |g: &AccessGrant| grant_touched(&b, g)),
        };
        let _ = wakers.sharing.0.set(sharing.clone());
        sharing
    }

    /// Waits until each has seen everything.
    pub(super) async fn ready(&self) {
        self.services.ready().await;
        self.grants.ready().await;
    }

    /// What a grant asks for.
    pub(super) fn service_of(&self, grant: &AccessGrant) -> Option<Arc<SharedService>> {
        let asked = &grant.spec.service_ref;
        self.services.get(&format!("{BUREAU_NAMESPACE_PREFIX}{}", asked.bureau), &asked.name)
    }

    /// Grants that ask for a service.
    pub(super) fn grants_for(&self, service: &SharedService) -> Vec<Arc<AccessGrant>> {
        let namespace = service.namespace().unwrap_or_default();
        let bureau = namespace.strip_prefix(BUREAU_NAMESPACE_PREFIX).unwrap_or_default();
        self.grants.tagged(&service_tag(bureau, &service.name_any()))
    }

    /// Services that a hall answers.
    fn services_in(&self, namespace: &str, hall: &str) -> Vec<Arc<SharedService>> {
        self.services.tagged(&hall_tag(namespace, hall))
    }

    /// Grants of which a hall is an end.
    fn grants_of(&self, namespace: &str, hall: &str) -> Vec<Arc<AccessGrant>> {
        let called = self.services_in(namespace, hall).into_iter().flat_map(|s| self.grants_for(&s));
        self.grants.tagged(&hall_tag(namespace, hall)).into_iter().chain(called).collect()
    }
}

/// A grant came, changed or went: both halls' slices follow.
fn grant_touched(w: &Wakers, grant: &AccessGrant) {
    w.grants.wake(key(grant));
    w.halls.wake_after(caller(grant), GATHER);
    let service = w.sharing.0.get().and_then(|s| s.service_of(grant));
    if let Some(service) = service {
        w.services.wake_after(key(service.as_ref()), GATHER);
        w.halls.wake_after(called(&service), GATHER);
    }
}

/// A service came, changed or went: whoever asked for it, and the halls of both.
fn service_touched(w: &Wakers, service: &SharedService) {
    w.services.wake(key(service));
    w.halls.wake_after(called(service), GATHER);
    for grant in w.sharing.0.get().map(|s| s.grants_for(service)).unwrap_or_default() {
        w.grants.wake(key(grant.as_ref()));
        w.halls.wake_after(caller(&grant), GATHER);
    }
}

/// The hall that calls.
pub(super) fn caller(grant: &AccessGrant) -> ObjectKey {
    ObjectKey { namespace: grant.namespace().unwrap_or_default(), name: grant.spec.from.hall.clone() }
}

/// The hall that is called.
pub(super) fn called(service: &SharedService) -> ObjectKey {
    ObjectKey { namespace: service.namespace().unwrap_or_default(), name: service.spec.hall.clone() }
}

impl Wakers {
    /// A hall changed, or its slices or VDC did: grants of which it is an end, and what it answers.
    pub(super) fn grants_of(&self, namespace: &str, hall: &str) {
        let Some(sharing) = self.sharing.0.get() else { return };
        for grant in sharing.grants_of(namespace, hall) {
            self.grants.wake_after(key(grant.as_ref()), GATHER);
        }
        for service in sharing.services_in(namespace, hall) {
            self.services.wake_after(key(service.as_ref()), GATHER);
        }
    }
}

/// An end, as caches have it.
#[derive(Default)]
struct Found {
    vdc: Option<Arc<VirtualDataCenter>>,
    hall: Option<Arc<Hall>>,
}

impl Found {
    fn of(world: &World, namespace: &str, vdc: &str, hall: &str) -> Self {
        Self { vdc: world.vdcs.get(namespace, vdc), hall: world.halls.get(namespace, hall) }
    }

    fn end(&self) -> End<'_> {
        End { vdc: self.vdc.as_deref(), hall: self.hall.as_deref() }
    }
}

/// A grant and everything that it is judged by.
pub(super) struct Seen {
    pub(super) service: Option<Arc<SharedService>>,
    consumer: Found,
    producer: Found,
    pub(super) grant: Arc<AccessGrant>,
}

impl Seen {
    /// Gathers it.
    pub(super) fn of(world: &World, grant: Arc<AccessGrant>) -> Self {
        let service = world.sharing.service_of(&grant);
        let from = &grant.spec.from;
        let producer = service.as_ref().map(|s| producer(world, s)).unwrap_or_default();
        let consumer = Found::of(world, &grant.namespace().unwrap_or_default(), &from.vdc, &from.hall);
        Self { service, consumer, producer, grant }
    }

    /// As the plan judges it.
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            grant: &self.grant,
            service: self.service.as_deref(),
            consumer: self.consumer.end(),
            producer: self.producer.end(),
        }
    }
}

fn producer(world: &World, service: &SharedService) -> Found {
    let spec = &service.spec;
    Found::of(world, &service.namespace().unwrap_or_default(), &spec.vdc_ref.name, &spec.hall)
}

/// Whether a service can be answered.
pub(super) fn offered(world: &World, service: &SharedService) -> yunting_crds::conditions::Statement {
    grants::offered(service, producer(world, service).end())
}

/// What the slices of a hall are to say of grants now.
pub(super) fn of_hall(world: &World, hall: &Hall) -> Vec<SliceGrant> {
    let (namespace, now) = (hall.namespace().unwrap_or_default(), world.context.timestamp());
    // One that asks for what the same hall answers comes twice.
    let all: BTreeMap<ObjectKey, Arc<AccessGrant>> = world
        .sharing
        .grants_of(&namespace, &hall.name_any())
        .into_iter()
        .map(|g| (key(g.as_ref()), g))
        .collect();
    let agreed: Vec<Agreed> = all
        .into_values()
        .filter_map(|grant| grants::judge(&Seen::of(world, grant).asked(), now).ok())
        .collect();
    grants::of_hall(&hall.uid().unwrap_or_default(), &agreed)
}

/// Halls whose slices do not say what was judged of a grant; they are to be looked at.
pub(super) fn untold(world: &World, seen: &Seen, agreed: Option<&Agreed>) -> BTreeSet<ObjectKey> {
    let uid = seen.grant.uid().unwrap_or_default();
    let halls = std::iter::once(caller(&seen.grant)).chain(seen.service.as_deref().map(called));
    let differs = |key: &ObjectKey| {
        let hall = world.halls.get(&key.namespace, &key.name);
        let hall_uid = hall.and_then(|h| h.uid()).unwrap_or_default();
        let wanted = agreed.and_then(|a| a.of_hall(&hall_uid));
        world.hall_slices_of(&hall_uid).values().any(|slice| {
            slice.spec.desired == Desired::Present
                && slice.spec.grants.iter().find(|g| g.uid == uid) != wanted.as_ref()
        })
    };
    halls.filter(differs).collect()
}
