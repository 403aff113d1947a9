//! What is known of a hall at this site: its record, and that of its VDC.

use std::sync::Arc;

use kube::ResourceExt;
use yunting_crds::common::Desired;
use yunting_crds::names::SliceKind;
use yunting_crds::{HallSliceSpec, SliceRecord};

use crate::site::world::{Name, World};

/// What is known.
pub(super) struct Seen {
    pub(super) name: String,
    record: Arc<SliceRecord>,
    /// Record of its VDC, unless that is to go.
    pub(super) vdc: Option<Arc<SliceRecord>>,
}

/// Gathers it; nothing where the site has no record of that hall.
pub(super) fn observe(world: &World, uid: &str) -> Option<Seen> {
    let record = world.record(SliceKind::Hall, uid)?;
    let vdc_uid = &record.spec.hall.as_ref()?.vdc.uid;
    let vdc = world.record(SliceKind::Vdc, vdc_uid);
    let vdc = vdc.filter(|r| r.spec.vdc.as_ref().is_some_and(|v| v.desired == Desired::Present));
    Some(Seen { name: record.name_any(), record, vdc })
}

impl Seen {
    /// The slice as recorded.
    pub(super) fn spec(&self) -> Option<&HallSliceSpec> {
        self.record.spec.hall.as_ref()
    }

    /// Generation of the slice.
    pub(super) fn generation(&self) -> i64 {
        self.record.spec.generation
    }

    /// Whether it is to be taken away.
    pub(super) fn absent(&self) -> bool {
        self.spec().is_some_and(|s| s.desired == Desired::Absent)
    }

    /// Its VDC looks at itself again.
    pub(super) fn wake_vdc(&self, world: &World) {
        if let Some(spec) = self.spec() {
            world.wakers.vdcs.wake(Name(spec.vdc.uid.clone()));
        }
    }

    /// Uid of its VDC.
    pub(super) fn vdc_uid(&self) -> &str {
        self.spec().map(|s| s.vdc.uid.as_str()).unwrap_or_default()
    }

    /// Uid of the hall.
    pub(super) fn uid(&self) -> &str {
        self.spec().map(|s| s.source.uid.as_str()).unwrap_or_default()
    }
}
