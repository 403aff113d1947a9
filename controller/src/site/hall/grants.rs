//! Grants of a hall: the halls here that it may call, for the names by which it calls them, and when the first grant ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use yunting_crds::names::SliceKind;
use yunting_plan::hall::ValidHallSlice;
use yunting_plan::hall::grants::Peer;

use super::elsewhere::own_pods;
use crate::queue::Next;
use crate::site::vdc::slice_of;
use crate::site::world::World;

/// Longest time for which a clock is believed to go as it went: a grant ends by what the clock says then.
const LONGEST: Duration = Duration::from_mins(10);

/// Halls here that it may call, as their own slices have them.
pub(super) fn peers(world: &World, hall: &ValidHallSlice) -> BTreeMap<String, Peer> {
    let uids: BTreeSet<&str> = hall.grants.calls.iter().map(|g| g.hall.as_str()).collect();
    uids.into_iter().filter_map(|uid| Some((uid.to_owned(), peer(world, uid)?))).collect()
}

fn peer(world: &World, uid: &str) -> Option<Peer> {
    let record = world.record(SliceKind::Hall, uid)?;
    let spec = record.spec.hall.as_ref()?;
    let vdc = slice_of(&*world.record(SliceKind::Vdc, &spec.vdc.uid)?)?;
    // One that stands is called as long as it stands, whatever became of its quota.
    let hall = ValidHallSlice::standing(spec, &vdc).ok()?.with_grants(spec, &vdc, world.context.timestamp());
    let pods = own_pods(world, vdc.owner.uid.as_str(), uid);
    Some(Peer { hall, pods })
}

/// When the hall is to be looked at again though nothing has changed.
pub(super) fn next(world: &World, hall: &ValidHallSlice) -> Next {
    let Some(end) = hall.next_end() else { return Next::Wait };
    let left = Duration::try_from(end.duration_since(world.context.timestamp())).unwrap_or(Duration::ZERO);
    Next::After(left.min(LONGEST).max(Duration::from_millis(100)))
}
