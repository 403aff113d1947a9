//! Turns a recorded slice into checked types.

use yunting_crds::SliceRecord;
use yunting_plan::vdc::{Invalid, ValidVdcSlice};

use super::observe::Seen;

/// Checks it.
pub(super) fn validate(seen: &Seen) -> Result<ValidVdcSlice, Invalid> {
    match seen.spec() {
        Some(spec) => ValidVdcSlice::try_from(spec),
        // `observe` lets only records of VDCs through.
        None => Err(Invalid::Member(String::new())),
    }
}

/// The checked slice of another record, for halls that run in that VDC.
pub(in crate::site) fn slice_of(record: &SliceRecord) -> Option<ValidVdcSlice> {
    record.spec.vdc.as_ref().and_then(|spec| ValidVdcSlice::try_from(spec).ok())
}
