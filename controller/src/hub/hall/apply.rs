//! Writes a hall's finalizer, slices and status.

use yunting_crds::common::Desired;
use yunting_crds::hall_slice::HallSliceSpec;
use yunting_crds::{HallSlice, HallStatus};
use yunting_plan::grants;

use super::observe::Seen;
use super::{MANAGER, STATUS_MANAGER};
use crate::hub::world::World;
use crate::hub::{said, slices};
use crate::writer::Error;

/// Makes sure that the hall does not go before its slices.
pub(super) async fn finalizer(world: &World, seen: &Seen) -> Result<(), Error> {
    said::finalizer(world, MANAGER, seen.hall.as_ref()).await
}

/// Writes slices that do not stand.
pub(super) async fn slices(
    world: &World,
    seen: &Seen,
    wanted: &[(String, HallSliceSpec)],
) -> Result<(), Error> {
    slices::write(world, MANAGER, &seen.slices, wanted).await.map(drop)
}

/// Writes slices that name a grant which does not stand any more, without it; whether there were any. Each counts by itself: what
/// stands of a hall that cannot be carried out stays, its grants do not.
pub(super) async fn withdrawals(world: &World, seen: &Seen) -> Result<bool, Error> {
    let narrowed = |(site, slice): (&String, &std::sync::Arc<HallSlice>)| {
        let present = slice.spec.desired == Desired::Present;
        let less = grants::narrowed(&slice.spec, &seen.grants).filter(|_| present)?;
        Some((site.clone(), HallSliceSpec { term: world.term, ..less }))
    };
    let wanted: Vec<(String, HallSliceSpec)> = seen.slices.iter().filter_map(narrowed).collect();
    slices::write(world, MANAGER, &seen.slices, &wanted).await
}

/// Takes slices away from sites that the hall leaves. Returns the sites that remain.
pub(super) async fn leavers(world: &World, seen: &Seen, leaving: &[String]) -> Result<Vec<String>, Error> {
    slices::take_away(world, MANAGER, &seen.slices, leaving).await
}

/// Writes the status if it says something new.
pub(super) async fn status(world: &World, seen: &Seen, status: &HallStatus) -> Result<(), Error> {
    said::status(world, STATUS_MANAGER, seen.hall.as_ref(), status).await
}
