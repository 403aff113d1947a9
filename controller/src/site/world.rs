//! Everything a site controller has seen: records, slices of the hub, its own objects; and who is woken by what.
//! No decision is made here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{
    ConfigMap, LimitRange, Namespace, Node, PersistentVolumeClaim, Pod, ResourceQuota, Secret, Service,
    ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use tokio_util::sync::CancellationToken;
use yunting_crds::hall_grant::GrantSide;
use yunting_crds::names::{SiteName, SliceKind, slice};
use yunting_crds::{HallSlice, SliceRecord, VdcSlice, VolumeKey, labels};
use yunting_plan::hall::door::{GATEWAY, GATEWAY_CLASS, gateway_key};
use yunting_plan::hall::route::HTTP_ROUTE;
use yunting_plan::object::{ApiKind, api_kind};

use super::door::Doors;
use super::isolation::Words;
use super::keys::Store;
use super::memory::Memory;
use super::outbox::Outbox;
use super::replicas::Replicas;
use super::report::canary::Canary;
use super::review::Review;
use super::usage::Usage;
use super::vdc::closing::Closings;
use super::vdc::limits::Lowering;
use super::watches::{Starter, hub_heard, tally, watch_keys, watch_nodes, watch_policies};
use crate::cache::Cache;
use crate::children::{Child, Children, Watched};
use crate::context::Context;
use crate::hub_client::Servers;
use crate::queue::Waker;
use crate::writer::Writer;

/// Time for which changes of objects are gathered before what they belong to is worked on again.
pub(super) const GATHER: Duration = Duration::from_millis(50);
/// The same for the report, which looks at every record and which nobody waits for when one changes.
const GATHER_REPORT: Duration = Duration::from_secs(1);

/// Time for which creations are gathered before limits are looked at: a fraction of what an excess may last.
pub(super) const GATHER_USE: Duration = Duration::from_millis(20);

/// Key of a queue: a slice's name, a VDC's or hall's uid, a namespace, or nothing for the report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name(pub(super) String);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Wakers of the site's queues.
#[derive(Clone)]
pub(super) struct Wakers {
    /// By name of the slice.
    pub(super) mirror: Waker<Name>,
    /// By uid of the VDC.
    pub(super) vdcs: Waker<Name>,
    /// By uid of the hall.
    pub(super) halls: Waker<Name>,
    /// By name of the slice: its status is due at the hub.
    pub(super) outbox: Waker<Name>,
    /// By namespace: what is in it is held against its limits.
    pub(super) sweep: Waker<Name>,
    /// By uid of the VDC: who asks for keys of its volumes is answered.
    pub(super) keys: Waker<Name>,
    /// One key only.
    pub(super) report: Waker<Name>,
}

impl Wakers {
    /// The report is due again.
    pub(super) fn report(&self) {
        self.report.wake_after(Name(String::new()), GATHER);
    }

    /// The report is due again, but nobody waits for it.
    fn report_later(&self) {
        self.report.wake_after(Name(String::new()), GATHER_REPORT);
    }

    /// By uid of the VDC: it is worked on again.
    pub(super) fn vdc(&self, uid: &str) {
        self.vdcs.wake(Name(uid.to_owned()));
    }

    /// By name of a slice or record: the VDC or hall it is about.
    pub(super) fn about(&self, name: &str) {
        if let Some(uid) = name.strip_prefix("vdc-") {
            self.vdcs.wake(Name(uid.to_owned()));
            self.keys.wake(Name(uid.to_owned()));
        } else if let Some(uid) = name.strip_prefix("hall-") {
            self.halls.wake(Name(uid.to_owned()));
        }
    }

    fn slice(&self, name: &str) {
        self.mirror.wake(Name(name.to_owned()));
        self.outbox.wake(Name(name.to_owned()));
        self.about(name);
    }

    fn child(&self, child: &Child) {
        if let ("ResourceQuota", Some(namespace)) = (child.key.kind.kind, &child.key.namespace) {
            self.sweep.wake_after(Name(namespace.clone()), GATHER_USE);
        }
        match (&child.hall_uid, &child.vdc_uid) {
            (Some(hall), _) => self.halls.wake_after(Name(hall.clone()), GATHER),
            (None, Some(vdc)) => self.vdcs.wake_after(Name(vdc.clone()), GATHER),
            _ => (),
        }
    }
}

/// Both ends of a site controller.
pub(super) struct Ends {
    pub(super) hub: Servers,
    pub(super) hub_writer: Writer,
    pub(super) own: Servers,
    pub(super) writer: Writer,
    pub(super) keys: Store,
}

/// What has been seen, and what is needed to act on it.
pub(super) struct World {
    pub(super) context: Context,
    pub(super) site: SiteName,
    /// Clients and writers of hub and site.
    pub(super) ends: Ends,
    pub(super) wakers: Wakers,
    /// The site's own copies of its slices: what is acted on.
    pub(super) records: Cache<SliceRecord>,
    /// Slices at the hub, for mirroring and for their status; empty while the hub has never answered.
    pub(super) vdc_slices: Cache<VdcSlice>,
    pub(super) hall_slices: Cache<HallSlice>,
    /// Copies of halls' Secrets at the hub.
    pub(super) hub_secrets: Cache<Secret>,
    /// The site's report at the hub.
    pub(super) reports: Cache<yunting_crds::SiteReport>,
    /// Everything Yunting made here, and every namespace.
    pub(super) children: Children,
    pub(super) nodes: Cache<Node>,
    pub(super) storage_classes: Cache<StorageClass>,
    /// Who asks for keys of volumes, by uid of the VDC.
    pub(super) volume_keys: Cache<VolumeKey>,
    /// Replication of volumes to and from other sites.
    pub(super) replicas: Replicas,
    /// What nodes have seen of the isolation of VDCs.
    pub(super) words: Arc<Words>,
    /// Whether the site's API servers enforce Yunting's policies.
    pub(super) canary: Arc<Canary>,
    /// What was just written and may not have come back yet.
    pub(super) memory: Arc<Memory>,
    /// Whether halls are reached through the front door.
    pub(super) doors: Doors,
    /// What is still to be said again since the start.
    pub(super) review: Review,
    /// Everything that costs quota in the namespaces of VDCs.
    pub(super) usage: Arc<Usage>,
    /// Namespaces that this process has closed or found closing.
    pub(super) closings: Closings,
    /// Limits that are being lowered, and since when.
    pub(super) lowering: Lowering,
    /// Statuses on their way to the hub.
    pub(super) outbox: Outbox,
    /// Version of the site's Kubernetes.
    pub(super) version: String,
    /// The site serves Gateway API.
    pub(super) serves_routes: bool,
}

/// Every kind that Yunting makes at a site.
fn kinds(serves_routes: bool) -> Vec<(ApiKind, Watched)> {
    let mut kinds = vec![
        (api_kind::<Namespace>(), Watched::All),
        (api_kind::<NetworkPolicy>(), Watched::Ours),
        (api_kind::<ResourceQuota>(), Watched::Ours),
        (api_kind::<LimitRange>(), Watched::Ours),
        (api_kind::<RoleBinding>(), Watched::Ours),
        (api_kind::<ServiceAccount>(), Watched::Ours),
        (api_kind::<ConfigMap>(), Watched::Ours),
        (api_kind::<Secret>(), Watched::Ours),
        (api_kind::<Service>(), Watched::Counted),
        (api_kind::<EndpointSlice>(), Watched::Ours),
        (api_kind::<Deployment>(), Watched::Ours),
        (api_kind::<StatefulSet>(), Watched::Ours),
        (api_kind::<PersistentVolumeClaim>(), Watched::Counted),
        (api_kind::<PodDisruptionBudget>(), Watched::Ours),
        (api_kind::<HorizontalPodAutoscaler>(), Watched::Ours),
        (api_kind::<Pod>(), Watched::Counted),
    ];
    if serves_routes {
        kinds.push((HTTP_ROUTE, Watched::Ours));
        kinds.push((GATEWAY, Watched::All));
        kinds.push((GATEWAY_CLASS, Watched::All));
    }
    kinds
}

impl World {
    /// Starts every watch and waits for the site's own; the hub may be away.
    pub(super) async fn start(
        site: SiteName,
        ends: Ends,
        context: Context,
        wakers: Wakers,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let own = &ends.own.client;
        let version = own.apiserver_version().await?.git_version;
        let serves_routes = own.list_api_group_resources("gateway.networking.k8s.io/v1").await.is_ok();
        let namespace = site.namespace();
        let at_hub =
            Starter { client: &ends.hub.client, namespace: Some(&namespace), context: &context, stop };
        let at_site = Starter { client: own, namespace: None, context: &context, stop };
        let canary = Arc::new(Canary::default());
        let w = &wakers;
        let records = at_site.tagged(vdc_of_hall, {
            let w = w.clone();
            move |r: &SliceRecord| {
                w.slice(&r.name_any());
                // A hall that comes or goes decides who may read in its VDC.
                if let Some(hall) = &r.spec.hall {
                    w.vdcs.wake(Name(hall.vdc.uid.clone()));
                }
                w.report_later();
            }
        });
        let memory = Arc::new(Memory::default());
        let usage = Arc::new(Usage::default());
        let tally = tally(w.clone(), usage.clone());
        let children = Children::start(own, &kinds(serves_routes), &context.metrics, stop, &tally, {
            let (w, records, memory) = (w.clone(), records.clone(), memory.clone());
            move |child: &Child| {
                memory.seen(child);
                touched(&w, &records, child);
            }
        });
        let vdc_slices = at_hub.namespaced({
            let w = w.clone();
            move |s: &VdcSlice| {
                w.slice(&s.name_any());
                w.report_later();
            }
        });
        let hall_slices = at_hub.namespaced({
            let w = w.clone();
            move |s: &HallSlice| {
                w.slice(&s.name_any());
                w.report_later();
            }
        });
        let hub_secrets = at_hub.namespaced({
            let (w, records) = (w.clone(), records.clone());
            move |s: &Secret| secret_touched(&w, &records, s)
        });
        let reports = at_hub.namespaced({
            let w = w.clone();
            move |_: &yunting_crds::SiteReport| w.report()
        });
        let nodes = at_site.cluster({
            let w = w.clone();
            move |_: &Node| w.report()
        });
        let storage_classes = at_site.cluster({
            let w = w.clone();
            move |_: &StorageClass| w.report()
        });
        let volume_keys = watch_keys(&at_site, w, &records);
        let replicas = Replicas::start(&at_site, w);
        watch_policies(&at_site, &canary);
        let words = watch_nodes(&at_site, w, &records);
        tokio::spawn(hub_heard(w.clone(), records.clone(), vdc_slices.clone(), hall_slices.clone()));
        records.ready().await;
        children.ready().await;
        nodes.ready().await;
        // What is known of volumes' keys is tried when those of a VDC are destroyed.
        volume_keys.ready().await;
        wakers.report();
        let review = Review::of(records.all().iter().map(|r| r.name_any()));
        Ok(Self {
            context,
            site,
            ends,
            wakers,
            records,
            vdc_slices,
            hall_slices,
            hub_secrets,
            reports,
            children,
            nodes,
            storage_classes,
            volume_keys,
            replicas,
            words,
            canary,
            memory,
            doors: Doors::default(),
            review,
            usage,
            closings: Closings::default(),
            lowering: Lowering::default(),
            outbox: Outbox::default(),
            version,
            serves_routes,
        })
    }

    /// The record of a VDC or hall. One that is named for another than it speaks of was changed by somebody else:
    /// it is not acted on until the hub's slice has put it right.
    pub(super) fn record(&self, kind: SliceKind, uid: &str) -> Option<Arc<SliceRecord>> {
        self.records.get_cluster(&slice(kind, uid)).filter(|record| {
            let source = record.spec.vdc.as_ref().map(|v| &v.source);
            source.or(record.spec.hall.as_ref().map(|h| &h.source)).is_some_and(|s| s.uid == uid)
        })
    }

    /// The slice of a VDC at the hub, if the hub has been seen to have it.
    pub(super) fn vdc_slice(&self, uid: &str) -> Option<Arc<VdcSlice>> {
        self.vdc_slices.get(&self.site.namespace(), &slice(SliceKind::Vdc, uid))
    }

    /// The slice of a hall at the hub, if the hub has been seen to have it.
    pub(super) fn hall_slice(&self, uid: &str) -> Option<Arc<HallSlice>> {
        self.hall_slices.get(&self.site.namespace(), &slice(SliceKind::Hall, uid))
    }

    /// Bureau of a slice or record, by its name: what queues take turns by.
    pub(super) fn bureau(&self, name: &str) -> String {
        let of_record = || {
            let record = self.records.get_cluster(name)?;
            let source = record.spec.vdc.as_ref().map(|v| &v.source);
            source.or_else(|| record.spec.hall.as_ref().map(|h| &h.source)).map(|s| s.bureau.clone())
        };
        let namespace = self.site.namespace();
        let of_slice = || {
            let vdc = self.vdc_slices.get(&namespace, name).map(|s| s.spec.source.bureau.clone());
            vdc.or_else(|| self.hall_slices.get(&namespace, name).map(|s| s.spec.source.bureau.clone()))
        };
        of_record().or_else(of_slice).unwrap_or_default()
    }

    /// Nothing of a hall is left here.
    pub(super) fn hall_is_gone(&self, vdc_uid: &str, hall_uid: &str) -> bool {
        self.children.of_hall(vdc_uid, hall_uid).is_empty() && self.replicas.none_for(hall_uid)
    }

    /// Halls that may call this one look at themselves again.
    pub(super) fn wake_callers(&self, hall_uid: &str) {
        wake_callers(&self.wakers, &self.records, hall_uid);
    }

    /// Records of the halls that run in a VDC.
    pub(super) fn halls_of(&self, vdc_uid: &str) -> Vec<Arc<SliceRecord>> {
        halls_of(&self.records, vdc_uid)
    }
}

fn halls_of(records: &Cache<SliceRecord>, vdc_uid: &str) -> Vec<Arc<SliceRecord>> {
    records.tagged(vdc_uid)
}

/// Tags of a hall's record: the uid of its VDC, and those of the halls that it may call.
fn vdc_of_hall(record: &SliceRecord) -> Vec<String> {
    let Some(hall) = &record.spec.hall else { return Vec::new() };
    let called = hall.grants.iter().filter(|g| g.side == GrantSide::Consumer).map(|g| calls(&g.peer.hall));
    std::iter::once(hall.vdc.uid.clone()).chain(called).collect()
}

/// Tag of records of halls that may call this one.
fn calls(hall_uid: &str) -> String {
    format!("calls/{hall_uid}")
}

/// Who may call a hall finds its pods by a name, and does so only while its own slice says so.
fn wake_callers(w: &Wakers, records: &Cache<SliceRecord>, hall_uid: &str) {
    for record in records.tagged(&calls(hall_uid)) {
        if let Some(uid) = record.name_any().strip_prefix("hall-") {
            w.halls.wake_after(Name(uid.to_owned()), GATHER);
        }
    }
}

/// A namespace that opens or closes matters to every hall of its VDC; a hall's object that goes matters to the VDC,
/// which waits for it when it is taken away, and lets vendors read where nothing of others is left.
fn touched(w: &Wakers, records: &Cache<SliceRecord>, child: &Child) {
    w.child(child);
    if child.key.kind == GATEWAY_CLASS {
        w.report();
    }
    if child.key == gateway_key() {
        // The front door came, went or moved: every hall behind it is asked for there.
        let halls = records.select(|r| r.spec.hall.as_ref().is_some_and(|h| h.portal.is_some()));
        for record in halls {
            w.about(&record.name_any());
        }
    }
    last_gone(w, records, child);
    if let ("Pod", Some(hall)) = (child.key.kind.kind, &child.hall_uid) {
        wake_callers(w, records, hall);
    }
    let Some(vdc) = &child.vdc_uid else { return };
    if child.key.kind.kind == "Namespace" {
        for record in halls_of(records, vdc) {
            w.about(&record.name_any());
        }
    }
    if child.hall_uid.is_some() && (child.deleting || child.gone) {
        w.vdcs.wake_after(Name(vdc.clone()), GATHER);
    }
}

/// A record goes when nothing of it is left, and watches of different kinds do not end at the same time: the last object may
/// be seen to go after the slice.
fn last_gone(w: &Wakers, records: &Cache<SliceRecord>, child: &Child) {
    let of = |kind, uid: &Option<String>| uid.as_ref().map(|uid| slice(kind, uid));
    let names = [of(SliceKind::Vdc, &child.vdc_uid), of(SliceKind::Hall, &child.hall_uid)];
    for name in names.into_iter().flatten() {
        if records.get_cluster(&name).is_some_and(|r| r.spec.absent()) {
            w.mirror.wake_after(Name(name), GATHER);
        }
    }
}

fn secret_touched(w: &Wakers, records: &Cache<SliceRecord>, secret: &Secret) {
    if let Some(vdc) = secret.labels().get(labels::VDC_UID) {
        for record in halls_of(records, vdc) {
            w.about(&record.name_any());
        }
    }
}
