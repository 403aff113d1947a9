//! What is known about a hall.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use yunting_crds::hall_grant::SliceGrant;
use yunting_crds::names::{BUREAU_NAMESPACE_PREFIX, SITE_NAMESPACE_PREFIX, SliceKind, slice};
use yunting_crds::{Bureau, Hall, HallSlice, Site, SiteReport, VdcSlice, VirtualDataCenter};
use yunting_plan::elsewhere;
use yunting_plan::replicas::Place;
use yunting_plan::vdc::drivers;

use crate::hub::sharing;
use crate::hub::world::{ObjectKey, World};

/// What is known about a hall.
pub(super) struct Seen {
    pub(super) hall: Arc<Hall>,
    pub(super) uid: String,
    pub(super) bureau_name: String,
    pub(super) bureau: Option<Arc<Bureau>>,
    pub(super) vdc: Option<Arc<VirtualDataCenter>>,
    /// Slices of the VDC, by site.
    pub(super) vdc_slices: BTreeMap<String, Arc<VdcSlice>>,
    /// Slices of the hall, by site.
    pub(super) slices: BTreeMap<String, Arc<HallSlice>>,
    pub(super) sites: BTreeMap<String, SeenSite>,
    /// Halls of the same VDC that came before this one.
    pub(super) older: Vec<Arc<Hall>>,
    /// The older hall that claims the same host, if any.
    pub(super) host_owner: Option<String>,
    /// What its slices are to say of grants.
    pub(super) grants: Vec<SliceGrant>,
    /// Secrets of the bureau that the hall names, by name.
    pub(super) secrets: BTreeMap<String, Arc<Secret>>,
}

/// What is known about a site.
pub(super) struct SeenSite {
    pub(super) site: Arc<Site>,
    pub(super) fresh: bool,
    /// What the site says of itself.
    report: Option<Arc<SiteReport>>,
}

impl Seen {
    /// Sites as replication between them needs them.
    pub(super) fn places(&self) -> BTreeMap<String, Place<'_>> {
        self.sites.iter().map(|(name, site)| (name.clone(), self.place(name, site))).collect()
    }

    /// The same as calls between them need them.
    pub(super) fn known(&self) -> BTreeMap<String, elsewhere::Place<'_>> {
        let mut all = BTreeMap::new();
        for (name, seen) in &self.sites {
            let report = seen.report.as_ref().and_then(|r| r.status.as_ref());
            let slice = self.slices.get(name).map(AsRef::as_ref);
            all.insert(name.clone(), elsewhere::Place { slice, ends: report.map(|r| r.tunnel.as_slice()) });
        }
        all
    }

    fn place<'a>(&'a self, name: &str, seen: &'a SeenSite) -> Place<'a> {
        // Volumes are of the first class; slices name it.
        let storage = seen.site.spec.providers.storage.first();
        let report = seen.report.as_ref().and_then(|r| r.status.as_ref());
        Place {
            slice: self.slices.get(name).map(AsRef::as_ref),
            native: storage.is_some_and(drivers::native),
            custody: report.and_then(|r| r.custody.as_deref()),
            fresh: seen.fresh,
        }
    }
}

/// Gathers it; nothing when the hall is not there.
pub(super) fn observe(world: &World, key: &ObjectKey) -> Option<Seen> {
    let hall = world.halls.get(&key.namespace, &key.name)?;
    let uid = hall.uid()?;
    let bureau_name = key.namespace.strip_prefix(BUREAU_NAMESPACE_PREFIX)?.to_owned();
    let vdc = world.vdcs.get(&key.namespace, &hall.spec.vdc_ref.name);
    let vdc_uid = vdc.as_ref().and_then(|v| v.uid());
    let names = hall.spec.components.iter().flat_map(|c| &c.secret_refs).map(|r| r.name.clone());
    let secret = |name: String| world.secrets.get(&key.namespace, &name).map(|s| (name, s));
    Some(Seen {
        bureau: world.bureaus.get_cluster(&bureau_name),
        sites: sites(world),
        vdc_slices: vdc_uid.map(|u| vdc_slices(world, &u)).unwrap_or_default(),
        slices: world.hall_slices_of(&uid),
        grants: sharing::of_hall(world, &hall),
        older: older(world, &hall, |h| {
            h.namespace() == hall.namespace() && h.spec.vdc_ref == hall.spec.vdc_ref
        }),
        host_owner: host_owner(world, &hall),
        secrets: names.filter_map(secret).collect(),
        uid,
        bureau_name,
        vdc,
        hall,
    })
}

fn sites(world: &World) -> BTreeMap<String, SeenSite> {
    let seen = |site: Arc<Site>| {
        let name = site.name_any();
        let report = world.reports.get(&format!("{SITE_NAMESPACE_PREFIX}{name}"), &name);
        (name.clone(), SeenSite { fresh: world.liveness.fresh(&name), site, report })
    };
    world.sites.all().into_iter().map(seen).collect()
}

fn vdc_slices(world: &World, uid: &str) -> BTreeMap<String, Arc<VdcSlice>> {
    let name = slice(SliceKind::Vdc, uid);
    let at = |site: &Arc<Site>| {
        world
            .vdc_slices
            .get(&format!("{SITE_NAMESPACE_PREFIX}{}", site.name_any()), &name)
            .map(|s| (site.name_any(), s))
    };
    world.sites.all().iter().filter_map(at).collect()
}

/// Age decides who has a host or room: creation time, then uid, which nobody can choose.
fn age(hall: &Hall) -> (Option<k8s_openapi::jiff::Timestamp>, Option<String>) {
    (hall.metadata.creation_timestamp.as_ref().map(|t| t.0), hall.uid())
}

fn older(world: &World, hall: &Hall, same: impl Fn(&Hall) -> bool) -> Vec<Arc<Hall>> {
    world.halls.select(|h| same(h) && h.metadata.deletion_timestamp.is_none() && age(h) < age(hall))
}

fn host_owner(world: &World, hall: &Hall) -> Option<String> {
    let host = &hall.spec.portal.as_ref()?.host;
    let claims = |h: &Hall| h.spec.portal.as_ref().is_some_and(|p| p.host == *host);
    let first = older(world, hall, claims).into_iter().min_by_key(|h| age(h))?;
    Some(format!("{}/{}", first.namespace().unwrap_or_default(), first.name_any()))
}
