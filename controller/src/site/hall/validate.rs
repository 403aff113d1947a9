//! Turns a recorded slice into checked types, against the VDC as this site has it.

use yunting_crds::conditions::{READY, State, Statement, reason, say};
use yunting_plan::hall::ValidHallSlice;
use yunting_plan::vdc::ValidVdcSlice;

use super::observe::Seen;
use crate::site::vdc::slice_of;

/// A hall that can be carried out.
pub(super) struct Valid {
    pub(super) hall: ValidHallSlice,
    pub(super) vdc: ValidVdcSlice,
}

/// Checks it.
pub(super) fn validate(seen: &Seen) -> Result<Valid, Statement> {
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
    let hall =
        ValidHallSlice::check(spec, &vdc).map_err(|e| say(READY, State::False, e.reason(), e.to_string()))?;
    Ok(Valid { hall, vdc })
}
