//! What is known of a VDC at this site.

use std::sync::Arc;

use kube::ResourceExt;
use yunting_crds::common::Desired;
use yunting_crds::names::SliceKind;
use yunting_crds::{SliceRecord, VdcSliceSpec};

use crate::site::world::World;

/// What is known.
pub(super) struct Seen {
    pub(super) name: String,
    record: Arc<SliceRecord>,
}

/// Gathers it; nothing where the site has no record of that VDC.
pub(super) fn observe(world: &World, uid: &str) -> Option<Seen> {
    let record = world.record(SliceKind::Vdc, uid).filter(|r| r.spec.vdc.is_some())?;
    Some(Seen { name: record.name_any(), record })
}

impl Seen {
    /// The slice as recorded.
    pub(super) fn spec(&self) -> Option<&VdcSliceSpec> {
        self.record.spec.vdc.as_ref()
    }

    /// Generation of the slice.
    pub(super) fn generation(&self) -> i64 {
        self.record.spec.generation
    }

    /// Whether it is to be taken away.
    pub(super) fn absent(&self) -> bool {
        self.spec().is_some_and(|s| s.desired == Desired::Absent)
    }

    /// The halls in the VDC look at it again.
    pub(super) fn wake_halls(&self, world: &World) {
        world.halls_of(self.uid()).iter().for_each(|r| world.wakers.about(&r.name_any()));
    }

    /// Uid of the VDC.
    pub(super) fn uid(&self) -> &str {
        self.spec().map(|s| s.source.uid.as_str()).unwrap_or_default()
    }
}
