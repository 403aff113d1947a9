//! Copies slices of the hub into the site's own records. A record outlives everything the hub may lose: the
//! absence of a slice removes nothing, and an older word than the one recorded is not believed.

use std::cmp::Ordering;
use std::time::Duration;

use kube::ResourceExt;
use serde_json::json;
use yunting_crds::{SliceRecord, SliceRecordSpec, labels};

use super::world::{Name, World};
use super::{keys, orphans};
use crate::error::chain;
use crate::kinds;
use crate::queue::Next;
use crate::writer::{Error, key_of};

/// Field manager of records.
const MANAGER: &str = "yunting/site-mirror";

/// Time after which a word that was not believed is looked at again.
const DOUBT: Duration = Duration::from_secs(10);

/// One pass over one slice, by its name.
pub(super) async fn reconcile(world: &World, name: &Name) -> Result<Next, Error> {
    let record = world.records.get_cluster(&name.0);
    match (observed(world, &name.0), record) {
        (Some(slice), None) => write(world, &name.0, &slice).await?,
        (Some(slice), Some(record)) if slice != record.spec => match doubt(world, &slice, &record.spec) {
            Some(why) => {
                tracing::error!(slice = name.0, why, "the record stands");
                world.wakers.report();
                // What ends the doubt may be about other records than this one.
                return Ok(Next::After(DOUBT));
            }
            None => write(world, &name.0, &slice).await?,
        },
        (None, Some(record)) if finished(world, &record) => {
            // Without the record nobody would look after the keys again.
            if let Some(vdc) = &record.spec.vdc
                && let Err(error) = keys::last(world, vdc).await
            {
                tracing::error!(
                    slice = name.0,
                    error = chain(&error),
                    "the record stays until its keys are seen to"
                );
                return Ok(Next::After(DOUBT));
            }
            let uid = record.uid().unwrap_or_default();
            world.ends.writer.delete(&key_of(&kinds::of::<SliceRecord>(), record.as_ref()), &uid).await?;
        }
        _ => (),
    }
    Ok(Next::Wait)
}

/// Why the hub is not believed, if it is not.
fn doubt(world: &World, slice: &SliceRecordSpec, record: &SliceRecordSpec) -> Option<String> {
    if is_older(slice, record) {
        return Some("the hub shows an older slice than the one recorded".to_owned());
    }
    if slice.absent() && !record.absent() {
        return orphans::lost(world).err().map(|lost| lost.to_string());
    }
    None
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

/// A hub restored from an old copy shows lower terms, or in the same term lower generations of the same slice. A later
/// leader's word counts whatever its generation: a restored hub counts on from its copy.
fn is_older(slice: &SliceRecordSpec, record: &SliceRecordSpec) -> bool {
    match term(slice).cmp(&term(record)) {
        Ordering::Less => true,
        Ordering::Equal => slice.uid == record.uid && slice.generation < record.generation,
        Ordering::Greater => false,
    }
}

/// Asked to be absent, and nothing of it is left: the hub, which has been heard, has taken the slice away because we said so.
fn finished(world: &World, record: &SliceRecord) -> bool {
    if !(world.vdc_slices.is_ready() && world.hall_slices.is_ready()) {
        return false;
    }
    let gone = match (&record.spec.vdc, &record.spec.hall) {
        (Some(vdc), _) => world.children.of_vdc(&vdc.source.uid).is_empty(),
        (_, Some(hall)) => world.hall_is_gone(&hall.vdc.uid, &hall.source.uid),
        _ => false,
    };
    record.spec.absent() && gone
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
        // A restored hub whose next leader's term was raised above all that sites recorded.
        assert!(!is_older(&of("a", 3, 8), &of("a", 4, 7)));
    }
}
