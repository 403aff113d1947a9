//! Writes a VDC's finalizer, slices and status. Decides nothing but whether what is to be written already stands.

use yunting_crds::VdcStatus;
use yunting_crds::vdc_slice::VdcSliceSpec;

use super::observe::Seen;
use super::{MANAGER, STATUS_MANAGER};
use crate::hub::world::World;
use crate::hub::{said, slices};
use crate::writer::Error;

/// Makes sure that the VDC does not go before its slices.
pub(super) async fn finalizer(world: &World, seen: &Seen) -> Result<(), Error> {
    said::finalizer(world, MANAGER, seen.vdc.as_ref()).await
}

/// Writes slices that do not stand; whether there was one.
pub(super) async fn slices(
    world: &World,
    seen: &Seen,
    wanted: &[(String, VdcSliceSpec)],
) -> Result<bool, Error> {
    slices::write(world, MANAGER, &seen.slices, wanted).await
}

/// Takes slices away from sites that the VDC leaves, once what their sites said of the VDC's keys is in its status. Returns
/// the sites that remain.
pub(super) async fn leavers(world: &World, seen: &Seen, leaving: &[String]) -> Result<Vec<String>, Error> {
    let (told, untold): (Vec<String>, Vec<String>) =
        leaving.iter().cloned().partition(|site| seen.is_told(world, site));
    let mut remaining = slices::take_away(world, MANAGER, &seen.slices, &told).await?;
    remaining.extend(untold);
    Ok(remaining)
}

/// Writes the status if it says something new.
pub(super) async fn status(world: &World, seen: &Seen, status: &VdcStatus) -> Result<(), Error> {
    said::status(world, STATUS_MANAGER, seen.vdc.as_ref(), status).await
}
