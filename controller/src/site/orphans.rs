//! Records that are to be there but have no slice at the hub. Nothing is done to them. When many are lost at once, the
//! hub was more likely restored from an old copy than asked to end them all: its word that something is to go is then
//! not believed until a person has decided.

use kube::ResourceExt;
use yunting_crds::SliceRecord;
use yunting_crds::common::Desired;
use yunting_plan::orphans::{Lost, lost_at_once};

use super::world::World;

/// Their names; asked only once the hub's slices have been listed.
pub(super) fn orphans(world: &World) -> Vec<String> {
    if !(world.vdc_slices.is_ready() && world.hall_slices.is_ready()) {
        return Vec::new();
    }
    let namespace = world.site.namespace();
    let missing = |r: &SliceRecord| {
        let name = r.name_any();
        world.vdc_slices.get(&namespace, &name).is_none()
            && world.hall_slices.get(&namespace, &name).is_none()
    };
    world.records.select(|r| present(r) && missing(r)).iter().map(|r| r.name_any()).collect()
}

/// Fails when the hub has lost more at once than is to be believed.
pub(super) fn lost(world: &World) -> Result<(), Lost> {
    lost_at_once(orphans(world).len(), world.records.select(present).len())
}

fn present(record: &SliceRecord) -> bool {
    record.spec.desired() == Some(Desired::Present)
}
