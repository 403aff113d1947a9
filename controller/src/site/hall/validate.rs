//! Turns a recorded slice into checked types, against the VDC as this site has it.

use yunting_crds::conditions::{READY, State, Statement, reason, say};
use yunting_plan::hall::ValidHallSlice;
use yunting_plan::hall::check::Invalid;
use yunting_plan::vdc::ValidVdcSlice;

use super::observe::Seen;
use crate::site::vdc::slice_of;
use crate::site::world::World;

/// A hall that can be carried out.
pub(super) struct Valid {
    pub(super) hall: ValidHallSlice,
    pub(super) vdc: ValidVdcSlice,
}

/// Checks it.
pub(super) fn validate(world: &World, seen: &Seen) -> Result<Valid, Statement> {
    let waiting = |text: String| say(READY, State::False, reason::VDC_NOT_READY, text);
    let Some(spec) = seen.spec() else { return Err(waiting("the record has no hall".to_owned())) };
    let Some(record) = &seen.vdc else {
        return Err(waiting(format!("VDC {} is not at this site; it is waited for", spec.vdc.name)));
    };
    let Some(vdc) = slice_of(record) else {
        return Err(waiting(format!(
            "VDC {} cannot be carried out as it stands; see its conditions",
            spec.vdc.name
        )));
    };
    let hall = match ValidHallSlice::check(spec, &vdc) {
        Err(Invalid::Quota { .. }) if stands(world, seen) => ValidHallSlice::standing(spec, &vdc),
        other => other,
    };
    let hall = hall.map_err(|e| say(READY, State::False, e.reason(), e.to_string()))?;
    let hall = hall.with_grants(spec, &vdc, world.context.timestamp());
    Ok(Valid { hall, vdc })
}

/// Whether something of it runs, or ran, here.
fn stands(world: &World, seen: &Seen) -> bool {
    let children = world.children.of_hall(seen.vdc_uid(), seen.uid());
    children.iter().any(|c| !c.gone && ["Deployment", "StatefulSet"].contains(&c.key.kind.kind))
}
