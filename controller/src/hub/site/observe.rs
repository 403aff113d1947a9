//! What is known about a site.

use std::sync::Arc;

use kube::ResourceExt;
use yunting_crds::names::SITE_NAMESPACE_PREFIX;
use yunting_crds::{Site, SiteReport};
use yunting_plan::quota::split::Share;

use crate::hub::world::{ObjectKey, World};

/// What is known about a site.
pub(super) struct Seen {
    pub(super) site: Arc<Site>,
    /// Its hub namespace.
    pub(super) namespace: String,
    pub(super) report: Option<Arc<SiteReport>>,
    /// Its beat is fresh.
    pub(super) fresh: bool,
    /// Promised to VDCs.
    pub(super) promised: Share,
}

/// Gathers it; nothing when the site is not there.
pub(super) fn observe(world: &World, key: &ObjectKey) -> Option<Seen> {
    let site = world.sites.get_cluster(&key.name)?;
    let namespace = format!("{SITE_NAMESPACE_PREFIX}{}", site.name_any());
    Some(Seen {
        report: world.reports.get(&namespace, &key.name),
        fresh: world.liveness.fresh(&key.name),
        promised: world.ledger().at_site(&key.name, ""),
        namespace,
        site,
    })
}
