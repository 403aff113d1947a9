//! Everything the hub has seen: caches of its kinds, the ledger of promises, the sites' beats; and who is woken
//! by what. No decision is made here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use tokio_util::sync::CancellationToken;
use yunting_crds::conditions::{READY, find, reason};
use yunting_crds::{
    Bureau, Hall, HallSlice, Site, SiteReport, VdcSlice, VdcTemplate, VirtualDataCenter, labels, names,
};
use yunting_plan::quota::ledger::{Grant, Ledger};
use yunting_plan::slices::share_of;

use super::certificates::Certificates;
use super::liveness::Liveness;
use super::rights::Rights;
use super::secrets::HashKey;
use super::sharing::{Shared, Sharing};
use super::wake::{self, Late, Seen};
use crate::cache::{Cache, Cached, Tags};
use crate::context::Context;
use crate::queue::Waker;
use crate::versions::Versions;
use crate::wire::Read;
use crate::writer::Writer;

/// Time for which changes of slices are gathered before their resource is summed up again.
pub(super) const GATHER: Duration = Duration::from_millis(100);
/// The same for the sums over a site or bureau, which nobody waits for.
pub(super) const GATHER_SUMS: Duration = Duration::from_secs(1);

/// Name of an object of one of our kinds; the namespace is empty for cluster-scoped ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ObjectKey {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Key of an object.
pub(super) fn key<K: Resource>(object: &K) -> ObjectKey {
    ObjectKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

/// Key of a cluster-scoped object.
pub(super) fn cluster(name: &str) -> ObjectKey {
    ObjectKey { namespace: String::new(), name: name.to_owned() }
}

/// Wakers of the hub's queues.
#[derive(Clone)]
pub(super) struct Wakers {
    pub(super) sites: Waker<ObjectKey>,
    pub(super) bureaus: Waker<ObjectKey>,
    pub(super) vdcs: Waker<ObjectKey>,
    pub(super) halls: Waker<ObjectKey>,
    pub(super) grants: Waker<ObjectKey>,
    pub(super) services: Waker<ObjectKey>,
    /// What is shared, from when it is watched on.
    pub(super) sharing: Shared,
}

impl Wakers {
    pub(super) fn bureau_of(&self, namespace: &str) {
        if let Some(bureau) = names::BureauName::from_namespace(namespace) {
            self.bureaus.wake_after(cluster(bureau.as_str()), GATHER_SUMS);
        }
    }

    fn vdc_slice(&self, slice: &VdcSlice) {
        let source = &slice.spec.source;
        let namespace = format!("{}{}", names::BUREAU_NAMESPACE_PREFIX, source.bureau);
        self.vdcs.wake_after(ObjectKey { namespace: namespace.clone(), name: source.name.clone() }, GATHER);
        self.bureau_of(&namespace);
        if let Some(site) = slice.namespace().as_deref().and_then(names::SiteName::from_namespace) {
            self.sites.wake_after(cluster(site.as_str()), GATHER_SUMS);
        }
    }

    /// Sums in which a VDC's promise counts.
    fn sums<'a>(&self, bureau: &str, sites: impl IntoIterator<Item = &'a String>) {
        self.bureaus.wake_after(cluster(bureau), GATHER_SUMS);
        sites.into_iter().for_each(|site| self.sites.wake_after(cluster(site), GATHER_SUMS));
    }

    fn hall_slice(&self, slice: &HallSlice) {
        let source = &slice.spec.source;
        let namespace = format!("{}{}", names::BUREAU_NAMESPACE_PREFIX, source.bureau);
        self.grants_of(&namespace, &source.name);
        self.halls.wake_after(ObjectKey { namespace, name: source.name.clone() }, GATHER);
    }
}

/// What has been seen, and what is needed to act on it.
pub(super) struct World {
    pub(super) context: Context,
    pub(super) writer: Writer,
    pub(super) wakers: Wakers,
    /// Term of this leader.
    pub(super) term: i64,
    pub(super) sites: Cache<Site>,
    pub(super) reports: Cache<SiteReport>,
    pub(super) bureaus: Cache<Bureau>,
    pub(super) templates: Cache<VdcTemplate>,
    pub(super) vdcs: Cache<VirtualDataCenter>,
    pub(super) vdc_slices: Cache<VdcSlice>,
    pub(super) halls: Cache<Hall>,
    pub(super) hall_slices: Cache<HallSlice>,
    pub(super) namespaces: Cache<Namespace>,
    /// What became of the keys of VDCs that are gone.
    pub(super) certificates: Certificates,
    /// What bureaus share, and who asks for it.
    pub(super) sharing: Sharing,
    /// Roles and bindings of people and sites.
    pub(super) rights: Rights,
    /// Secrets of bureaus that halls may read, and our copies of them.
    pub(super) secrets: Cache<Secret>,
    pub(super) liveness: Arc<Liveness>,
    pub(super) hash_key: HashKey,
    /// What became of objects by our own last writes.
    pub(super) versions: Versions,
    ledger: Mutex<Ledger>,
}

/// Starts watches over all namespaces.
pub(super) struct Starter<'a> {
    client: &'a Client,
    context: &'a Context,
    stop: &'a CancellationToken,
}

impl Starter<'_> {
    /// Starts one.
    pub(super) fn all<K: Cached>(
        &self,
        config: watcher::Config,
        touched: impl Fn(&K) + Send + 'static,
    ) -> Cache<K> {
        self.tagged(config, |_| Vec::new(), touched)
    }

    /// Starts one whose objects are found by tags.
    pub(super) fn tagged<K: Cached>(
        &self,
        config: watcher::Config,
        tags: Tags<K>,
        touched: impl Fn(&K) + Send + 'static,
    ) -> Cache<K> {
        let api: Api<Read<K>> = Api::all(self.client.clone());
        Cache::start_tagged(api, config, self.context.metrics.clone(), self.stop.clone(), tags, touched)
    }
}

/// Tags by which caches of the hub are asked.
pub(super) mod tag {
    use super::{Bureau, Hall, HallSlice, Resource, ResourceExt, Secret, VdcSlice, labels};

    /// The namespace alone.
    pub(in crate::hub) fn namespace<K: Resource>(object: &K) -> Vec<String> {
        object.namespace().into_iter().collect()
    }

    /// Halls by namespace, and by the VDC they are in.
    pub(super) fn hall(hall: &Hall) -> Vec<String> {
        let namespace = hall.namespace().unwrap_or_default();
        let vdc = in_vdc(&namespace, &hall.spec.vdc_ref.name);
        vec![namespace, vdc]
    }

    /// Halls in this VDC.
    pub(in crate::hub) fn in_vdc(namespace: &str, vdc: &str) -> String {
        format!("{namespace}/{vdc}")
    }

    /// Slices by the VDC's uid, and by namespace.
    pub(super) fn slice(slice: &VdcSlice) -> Vec<String> {
        vec![slice.spec.source.uid.clone(), slice.namespace().unwrap_or_default()]
    }

    /// Slices of halls by namespace, and by their name, which is the same at every site.
    pub(super) fn hall_slice(slice: &HallSlice) -> Vec<String> {
        vec![slice.namespace().unwrap_or_default(), slice.name_any()]
    }

    /// Copies of Secrets by the VDC's uid.
    pub(super) fn copy(secret: &Secret) -> Vec<String> {
        secret.labels().get(labels::VDC_UID).into_iter().cloned().collect()
    }

    /// Bureaus by the one they are carved from.
    pub(super) fn parent(bureau: &Bureau) -> Vec<String> {
        bureau.spec.parent_ref.iter().map(|p| p.name.clone()).collect()
    }
}

impl World {
    /// Starts every watch and waits until each has seen everything; then rebuilds the ledger.
    pub(super) async fn start(
        client: &Client,
        writer: Writer,
        context: Context,
        term: i64,
        wakers: Wakers,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let hash_key = HashKey::open(client, &writer, &context).await?;
        let start = Starter { client, context: &context, stop };
        let any = watcher::Config::default;
        let ours =
            || watcher::Config::default().labels(&format!("{}={}", labels::MANAGED_BY, labels::MANAGER));
        let w = wakers.clone();
        let (late_halls, late_bureaus) = (Late::default(), Late::default());
        let vdcs: Cache<VirtualDataCenter> = start.tagged(any(), tag::namespace, {
            let (w, halls) = (w.clone(), late_halls.clone());
            move |v: &VirtualDataCenter| wake::vdc_touched(&w, &halls, v)
        });
        let halls: Cache<Hall> = start.tagged(any(), tag::hall, {
            let (w, vdcs, halls) = (w.clone(), vdcs.clone(), late_halls.clone());
            let seen = Seen::default();
            move |h: &Hall| wake::hall_touched(&w, &vdcs, &halls, &seen, h)
        });
        late_halls.set(halls.clone());
        let vdc_slices = start.tagged(any(), tag::slice, {
            let w = w.clone();
            move |s: &VdcSlice| w.vdc_slice(s)
        });
        let hall_slices = start.tagged(any(), tag::hall_slice, {
            let w = w.clone();
            move |s: &HallSlice| w.hall_slice(s)
        });
        let templates = start.all(any(), {
            let w = w.clone();
            let vdcs = vdcs.clone();
            move |t: &VdcTemplate| wake::template_touched(&w, &vdcs, t)
        });
        let sites = start.all(any(), {
            let w = w.clone();
            let (vdcs, halls) = (vdcs.clone(), late_halls.clone());
            let seen = Seen::default();
            move |s: &Site| wake::site_touched(&w, &vdcs, &halls, &seen, s)
        });
        let bureaus = start.tagged(any(), tag::parent, {
            let w = w.clone();
            let (vdcs, halls, bureaus) = (vdcs.clone(), late_halls.clone(), late_bureaus.clone());
            let seen = Seen::default();
            move |b: &Bureau| wake::bureau_touched(&w, &vdcs, &halls, &bureaus, &seen, b)
        });
        late_bureaus.set(bureaus.clone());
        let reports = start.all(any(), {
            let w = w.clone();
            let (halls, seen) = (late_halls.clone(), Seen::default());
            move |r: &SiteReport| wake::report_touched(&w, &halls, &seen, r)
        });
        let namespaces = start.all(ours(), {
            let w = w.clone();
            move |n: &Namespace| wake::namespace_touched(&w, n)
        });
        let sharing = Sharing::start(&start, &w);
        let rights = Rights::start(&start, &w);
        let certificates = Certificates::start(&start);
        let secrets = start.tagged(any().labels(labels::VDC), tag::copy, {
            let w = w.clone();
            let halls = halls.clone();
            move |s: &Secret| wake::secret_touched(&w, &halls, s)
        });
        let liveness = Arc::new(Liveness::new(context.clone()));
        let leases = start.all(any().labels(labels::SITE), {
            let l = liveness.clone();
            move |lease: &Lease| l.beat(lease)
        });
        let world = Self {
            context: context.clone(),
            writer,
            wakers,
            term,
            sites,
            reports,
            bureaus,
            templates,
            vdcs,
            vdc_slices,
            halls,
            hall_slices,
            namespaces,
            certificates,
            sharing,
            rights,
            secrets,
            liveness,
            hash_key,
            versions: Versions::default(),
            ledger: Mutex::default(),
        };
        world.ready().await;
        leases.ready().await;
        world.rebuild_ledger();
        Ok(world)
    }

    async fn ready(&self) {
        self.sites.ready().await;
        self.reports.ready().await;
        self.bureaus.ready().await;
        self.templates.ready().await;
        self.vdcs.ready().await;
        self.vdc_slices.ready().await;
        self.halls.ready().await;
        self.hall_slices.ready().await;
        self.namespaces.ready().await;
        self.certificates.ready().await;
        self.sharing.ready().await;
        self.rights.ready().await;
        self.secrets.ready().await;
    }

    /// Promises made before this leader came: they stand in the slices.
    fn rebuild_ledger(&self) {
        let mut grants: HashMap<String, Grant> = HashMap::new();
        for slice in self.vdc_slices.all() {
            let Some(site) = slice.namespace().as_deref().and_then(names::SiteName::from_namespace) else {
                continue;
            };
            let source = &slice.spec.source;
            let grant = grants.entry(source.uid.clone()).or_default();
            let share = share_of(&slice.spec);
            grant.bureau.clone_from(&source.bureau);
            grant.quota = std::mem::take(&mut grant.quota).plus(&share.total());
            grant.sites.insert(site.to_string(), share);
        }
        let mut ledger = self.ledger();
        for (uid, grant) in grants {
            ledger.set(&uid, grant);
        }
    }

    /// The ledger, for one decision: never held across an await.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was promised to a VDC changed at these sites. Its slices alone do not say so in time: what they wake may look
    /// at the ledger before this VDC's reconcile comes to it. Others get what it gives back.
    pub(super) fn promise_moved(&self, bureau: &str, sites: &BTreeSet<String>, gives_back: bool) {
        if !sites.is_empty() {
            self.wakers.sums(bureau, sites);
        }
        if gives_back {
            self.wake_waiting();
        }
    }

    /// A VDC is gone everywhere: others get its room.
    pub(super) fn forget_promise(&self, uid: &str) {
        let grant = self.ledger().remove(uid);
        if let Some(grant) = grant {
            self.wakers.sums(&grant.bureau, grant.sites.keys());
        }
        self.wake_waiting();
    }

    /// Wakes VDCs that wait for room: some has become free.
    fn wake_waiting(&self) {
        let waits = |v: &VirtualDataCenter| {
            let ready = v.status.as_ref().and_then(|s| find(&s.conditions, READY));
            ready.is_some_and(|c| c.reason == reason::NO_PLACE || c.reason == reason::QUOTA_EXCEEDED)
        };
        for vdc in self.vdcs.select(waits) {
            self.wakers.vdcs.wake(key(vdc.as_ref()));
        }
    }

    /// Slices of a hall, by site.
    pub(super) fn hall_slices_of(&self, uid: &str) -> BTreeMap<String, Arc<HallSlice>> {
        let name = names::slice(names::SliceKind::Hall, uid);
        let mine = self.hall_slices.tagged(&name);
        let by_site = |s: Arc<HallSlice>| {
            let site = names::SiteName::from_namespace(&s.namespace()?)?;
            Some((site.to_string(), s))
        };
        mine.into_iter().filter_map(by_site).collect()
    }

    /// Wakes everything that lives at a site: its beat began or stopped, or what it offers changed.
    pub(super) fn wake_residents(&self, site: &str) {
        let namespace = format!("{}{site}", names::SITE_NAMESPACE_PREFIX);
        self.vdc_slices.tagged(&namespace).iter().for_each(|s| self.wakers.vdc_slice(s));
        self.hall_slices.tagged(&namespace).iter().for_each(|s| self.wakers.hall_slice(s));
    }
}
