//! Writes a hall's slices, finalizer and status.

use serde_json::json;
use yunting_crds::common::Desired;
use yunting_crds::conditions::{GONE, State, state_of};
use yunting_crds::hall_slice::HallSliceSpec;
use yunting_crds::names::{SITE_NAMESPACE_PREFIX, SliceKind, slice};
use yunting_crds::site::SiteState;
use yunting_crds::{Hall, HallSlice, HallStatus, labels};
use yunting_plan::slices::absent_hall;

use super::observe::Seen;
use super::{MANAGER, STATUS_MANAGER};
use crate::hub::world::World;
use crate::kinds;
use crate::writer::{self, key_of};

/// Makes sure that the hall does not go before its slices.
pub(super) async fn finalizer(world: &World, seen: &Seen) -> Result<(), writer::Error> {
    kinds::add_finalizer(&world.writer, &kinds::of::<Hall>(), seen.hall.as_ref(), MANAGER).await
}

/// Writes slices that do not stand. A new leader's term alone is no reason to write.
pub(super) async fn slices(
    world: &World,
    seen: &Seen,
    slices: &[(String, HallSliceSpec)],
) -> Result<(), writer::Error> {
    for (site, spec) in slices {
        let same = |s: &HallSliceSpec| HallSliceSpec { term: spec.term, ..s.clone() } == *spec;
        if !seen.slices.get(site).is_some_and(|s| same(&s.spec)) {
            write(world, seen, site, spec).await?;
        }
    }
    Ok(())
}

async fn write(world: &World, seen: &Seen, site: &str, spec: &HallSliceSpec) -> Result<(), writer::Error> {
    let body = json!({
        "metadata": {
            "name": slice(SliceKind::Hall, &seen.uid),
            "namespace": format!("{SITE_NAMESPACE_PREFIX}{site}"),
            "labels": {
                labels::MANAGED_BY: labels::MANAGER,
                labels::BUREAU: seen.bureau_name,
                labels::VDC: spec.vdc.name,
                labels::VDC_UID: spec.vdc.uid,
                labels::HALL: spec.source.name,
                labels::HALL_UID: seen.uid,
            },
        },
        "spec": spec,
    });
    world.writer.apply(MANAGER, &kinds::object::<HallSlice>(body)).await.map(drop)
}

/// Takes slices away: `Absent`, then the slice once the site says `Gone` or has been given up. Returns what remains.
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
            world.writer.delete(&key_of(&kinds::of::<HallSlice>(), slice.as_ref()), uid).await?;
            continue;
        }
        remaining.push(site.clone());
        if slice.spec.desired != Desired::Absent {
            write(world, seen, site, &absent_hall(&slice.spec, world.term)).await?;
        }
    }
    Ok(remaining)
}

/// Writes the status if it says something new.
pub(super) async fn status(world: &World, seen: &Seen, status: &HallStatus) -> Result<(), writer::Error> {
    if seen.hall.status.as_ref() == Some(status) {
        return Ok(());
    }
    let key = key_of(&kinds::of::<Hall>(), seen.hall.as_ref());
    world.writer.status(STATUS_MANAGER, &key, &json!(status)).await.map(drop)
}
