//! Copies slices of the hub into the site's own records. A record outlives everything the hub may lose: the
//! absence of a slice removes nothing, and an older word than the one recorded is not believed.

use kube::ResourceExt;
use serde_json::json;
use yunting_crds::common::Desired;
use yunting_crds::{SliceRecord, SliceRecordSpec, labels};

use super::world::{Name, World};
use crate::kinds;
use crate::queue::Next;
use crate::writer::{Error, key_of};

/// Field manager of records.
const MANAGER: &str = "yunting/site-mirror";

/// One pass over one slice, by its name.
pub(super) async fn reconcile(world: &World, name: &Name) -> Result<Next, Error> {
    let record = world.records.get_cluster(&name.0);
    match (observed(world, &name.0), record) {
        (Some(slice), None) => write(world, &name.0, &slice).await?,
        (Some(slice), Some(record)) if slice != record.spec => {
            if is_older(&slice, &record.spec) {
                tracing::error!(
                    slice = name.0,
                    "the hub shows an older slice than the one recorded; the record stands"
                );
                world.wakers.report();
            } else {
                write(world, &name.0, &slice).await?;
            }
        }
        (None, Some(record)) if finished(world, &record) => {
            let uid = record.uid().unwrap_or_default();
            world.ends.writer.delete(&key_of(&kinds::of::<SliceRecord>(), record.as_ref()), &uid).await?;
        }
        _ => (),
    }
    Ok(Next::Wait)
}

/// The slice as the hub shows it now.
fn observed(world: &World, name: &str) -> Option<SliceRecordSpec> {
    let namespace = world.site.namespace();
    let spec = |uid: Option<String>, generation: Option<i64>| SliceRecordSpec {
        uid: uid.unwrap_or_default(),
        generation: generation.unwrap_or_default(),
        vdc: None,
        hall: None,
    };
    if let Some(slice) = world.vdc_slices.get(&namespace, name) {
        return Some(SliceRecordSpec {
            vdc: Some(slice.spec.clone()),
            ..spec(slice.uid(), slice.metadata.generation)
        });
    }
    let slice = world.hall_slices.get(&namespace, name)?;
    Some(SliceRecordSpec { hall: Some(slice.spec.clone()), ..spec(slice.uid(), slice.metadata.generation) })
}

fn term(spec: &SliceRecordSpec) -> i64 {
    spec.vdc.as_ref().map(|v| v.term).or_else(|| spec.hall.as_ref().map(|h| h.term)).unwrap_or_default()
}

/// A hub restored from an old copy shows lower terms, or lower generations of the same slice.
fn is_older(slice: &SliceRecordSpec, record: &SliceRecordSpec) -> bool {
    term(slice) < term(record) || (slice.uid == record.uid && slice.generation < record.generation)
}

/// Asked to be absent, and nothing of it is left: the hub has taken the slice away because we said so.
fn finished(world: &World, record: &SliceRecord) -> bool {
    let gone = |uid: &str, hall: bool| {
        if hall { world.children.of_hall(uid).is_empty() } else { world.children.of_vdc(uid).is_empty() }
    };
    match (&record.spec.vdc, &record.spec.hall) {
        (Some(vdc), _) => vdc.desired == Desired::Absent && gone(&vdc.source.uid, false),
        (_, Some(hall)) => hall.desired == Desired::Absent && gone(&hall.source.uid, true),
        _ => false,
    }
}

async fn write(world: &World, name: &str, spec: &SliceRecordSpec) -> Result<(), Error> {
    let body = json!({
        "metadata": {"name": name, "labels": {labels::MANAGED_BY: labels::MANAGER}},
        "spec": spec,
    });
    world.ends.writer.apply(MANAGER, &kinds::object::<SliceRecord>(body)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_word_is_not_believed() {
        let of = |uid: &str, generation, term| {
            let vdc = serde_json::from_value(json!({
                "term": term, "desired": "Present", "role": "Active", "state": "Active", "namespaces": [],
                "source": {"bureau": "b", "name": "v", "uid": "u", "generation": 1}}));
            SliceRecordSpec { uid: uid.into(), generation, vdc: Some(vdc.unwrap()), hall: None }
        };
        assert!(is_older(&of("a", 3, 7), &of("a", 4, 7)));
        assert!(is_older(&of("a", 9, 6), &of("a", 4, 7)));
        assert!(!is_older(&of("a", 5, 7), &of("a", 4, 7)));
        // Made anew by a later leader: its generations begin again.
        assert!(!is_older(&of("b", 1, 8), &of("a", 4, 7)));
    }
}
