//! Writes a VDC's slices, finalizer and status. Decides nothing but whether what is to be written already stands.

use serde_json::json;
use yunting_crds::common::Desired;
use yunting_crds::conditions::{GONE, State, state_of};
use yunting_crds::names::{SITE_NAMESPACE_PREFIX, SliceKind, slice};
use yunting_crds::site::SiteState;
use yunting_crds::vdc_slice::VdcSliceSpec;
use yunting_crds::{VdcSlice, VdcStatus, VirtualDataCenter, labels};
use yunting_plan::slices::absent_vdc;

use super::observe::Seen;
use super::{MANAGER, STATUS_MANAGER};
use crate::hub::world::World;
use crate::kinds;
use crate::writer::{self, key_of};

/// Makes sure that the VDC does not go before its slices.
pub(super) async fn finalizer(world: &World, seen: &Seen) -> Result<(), writer::Error> {
    kinds::add_finalizer(&world.writer, &kinds::of::<VirtualDataCenter>(), seen.vdc.as_ref(), MANAGER).await
}

/// Writes slices that do not stand.
pub(super) async fn slices(
    world: &World,
    seen: &Seen,
    slices: &[(String, VdcSliceSpec)],
) -> Result<(), writer::Error> {
    for (site, spec) in slices {
        let standing = seen.slices.get(site).map(|s| &s.spec);
        if standing.is_some_and(|s| same(s, spec)) {
            continue;
        }
        write(world, seen, site, spec).await?;
    }
    Ok(())
}

/// A new leader's term alone is no reason to write.
fn same(standing: &VdcSliceSpec, wanted: &VdcSliceSpec) -> bool {
    VdcSliceSpec { term: wanted.term, ..standing.clone() } == *wanted
}

async fn write(world: &World, seen: &Seen, site: &str, spec: &VdcSliceSpec) -> Result<(), writer::Error> {
    let body = json!({
        "metadata": {
            "name": slice(SliceKind::Vdc, &seen.uid),
            "namespace": format!("{SITE_NAMESPACE_PREFIX}{site}"),
            "labels": {
                labels::MANAGED_BY: labels::MANAGER,
                labels::BUREAU: seen.bureau_name,
                labels::VDC: spec.source.name,
                labels::VDC_UID: seen.uid,
            },
        },
        "spec": spec,
    });
    world.writer.apply(MANAGER, &kinds::object::<VdcSlice>(body)).await.map(drop)
}

/// Takes slices away from sites that the VDC leaves: `Absent`, then the slice itself once the site says `Gone` or
/// has been given up. Returns the sites that remain.
pub(super) async fn leavers(
    world: &World,
    seen: &Seen,
    leaving: &[String],
) -> Result<Vec<String>, writer::Error> {
    let mut remaining = Vec::new();
    for site in leaving {
        let Some(slice) = seen.slices.get(site) else { continue };
        let gone = slice.status.as_ref().is_some_and(|s| {
            s.observed_generation == slice.metadata.generation && state_of(&s.conditions, GONE) == State::True
        });
        let forgotten = seen.sites.get(site).is_none_or(|s| s.site.spec.state == SiteState::Forgotten);
        if slice.spec.desired == Desired::Absent && (gone || forgotten) {
            let uid = slice.metadata.uid.as_deref().unwrap_or_default();
            world.writer.delete(&key_of(&kinds::of::<VdcSlice>(), slice.as_ref()), uid).await?;
            continue;
        }
        remaining.push(site.clone());
        if slice.spec.desired != Desired::Absent {
            write(world, seen, site, &absent_vdc(&slice.spec, world.term)).await?;
        }
    }
    Ok(remaining)
}

/// Writes the status if it says something new.
pub(super) async fn status(world: &World, seen: &Seen, status: &VdcStatus) -> Result<(), writer::Error> {
    if seen.vdc.status.as_ref() == Some(status) {
        return Ok(());
    }
    let key = key_of(&kinds::of::<VirtualDataCenter>(), seen.vdc.as_ref());
    world.writer.status(STATUS_MANAGER, &key, &json!(status)).await.map(drop)
}
