//! What is known about a VDC: read from caches, no decision.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use yunting_crds::conditions::{READY, State, state_of};
use yunting_crds::deletion_certificate::SiteEnd;
use yunting_crds::names::{BUREAU_NAMESPACE_PREFIX, SiteName, SliceKind, slice};
use yunting_crds::resources::Amounts;
use yunting_crds::{Bureau, Site, VdcSlice, VdcTemplate, VirtualDataCenter};
use yunting_plan::certificate::{end_of, left};

use crate::hub::slices::given_up;
use crate::hub::world::{ObjectKey, World, tag};

/// What is known about a VDC.
pub(super) struct Seen {
    pub(super) vdc: Arc<VirtualDataCenter>,
    /// Uid of the VDC.
    pub(super) uid: String,
    /// Name of the bureau whose namespace it is in.
    pub(super) bureau_name: String,
    pub(super) bureau: Option<Arc<Bureau>>,
    /// Limits of the bureaus carved from it.
    pub(super) carved: Amounts,
    pub(super) template: Option<Arc<VdcTemplate>>,
    /// Every site.
    pub(super) sites: BTreeMap<String, SeenSite>,
    /// Its slices by site.
    pub(super) slices: BTreeMap<String, Arc<VdcSlice>>,
    /// Names of halls that run in it.
    pub(super) halls: Vec<String>,
}

impl Seen {
    /// How its stay at a site ended, if it has.
    fn end_at(&self, world: &World, site: &str) -> Option<SiteEnd> {
        end_of(site, self.slices.get(site)?, given_up(world, site))
    }

    /// Sites that it has left by now, and how.
    pub(super) fn left(&self, world: &World) -> Vec<SiteEnd> {
        let ends = self.slices.iter().map(|(site, slice)| (slice.as_ref(), self.end_at(world, site)));
        left(self.remembered(), ends)
    }

    /// Whether the slice for a site may go: its last word, if it has said one, is in the VDC's status.
    pub(super) fn is_told(&self, world: &World, site: &str) -> bool {
        let Some(end) = self.end_at(world, site) else { return true };
        self.left(world).iter().any(|e| e.slice == end.slice && self.remembered().contains(e))
    }

    fn remembered(&self) -> &[SiteEnd] {
        self.vdc.status.as_ref().map(|s| s.left_sites.as_slice()).unwrap_or_default()
    }
}

/// What is known about a site.
pub(super) struct SeenSite {
    pub(super) site: Arc<Site>,
    /// Its beat is fresh.
    pub(super) fresh: bool,
    /// Fresh, and its policies are enforced.
    pub(super) ready: bool,
}

/// Gathers it; nothing when the VDC is not there.
pub(super) fn observe(world: &World, key: &ObjectKey) -> Option<Seen> {
    let vdc = world.vdcs.get(&key.namespace, &key.name)?;
    let uid = vdc.uid()?;
    let bureau_name = key.namespace.strip_prefix(BUREAU_NAMESPACE_PREFIX)?.to_owned();
    let sites = seen_sites(world);
    let slice_name = slice(SliceKind::Vdc, &uid);
    let mine = world.vdc_slices.tagged(&uid).into_iter().filter(|s| s.name_any() == slice_name);
    let by_site = |s: Arc<VdcSlice>| {
        s.namespace().as_deref().and_then(SiteName::from_namespace).map(|n| (n.to_string(), s.clone()))
    };
    let in_it = world.halls.tagged(&tag::in_vdc(&key.namespace, &key.name));
    Some(Seen {
        uid,
        bureau: world.bureaus.get_cluster(&bureau_name),
        carved: carved(world, &bureau_name),
        template: vdc.spec.template_ref.as_ref().and_then(|t| world.templates.get_cluster(&t.name)),
        sites,
        slices: mine.filter_map(by_site).collect(),
        halls: in_it.iter().map(|h| h.name_any()).collect(),
        bureau_name,
        vdc,
    })
}

fn carved(world: &World, bureau: &str) -> Amounts {
    let children = world.bureaus.tagged(bureau);
    let limits = children.iter().filter_map(|b| b.spec.quota.amounts().ok());
    limits.fold(Amounts::new(), |sum, a| sum.plus(&a))
}

fn seen_sites(world: &World) -> BTreeMap<String, SeenSite> {
    let seen = |site: Arc<Site>| {
        let name = site.name_any();
        let fresh = world.liveness.fresh(&name);
        let ready =
            fresh && site.status.as_ref().is_some_and(|s| state_of(&s.conditions, READY) == State::True);
        (name, SeenSite { site, fresh, ready })
    };
    world.sites.all().into_iter().map(seen).collect()
}
