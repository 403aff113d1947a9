//! A volume that is to grow, or is labelled otherwise. A `StatefulSet` cannot change its templates: its claims are
//! patched where they grow, then it is removed with its pods kept, and made anew.

use kube::api::{DeleteParams, PropagationPolicy};
use kube::core::Request;
use serde_json::{Value, json};
use yunting_crds::resources::Kind;
use yunting_plan::hall::ValidHallSlice;
use yunting_plan::object::Object;

use crate::children::Child;
use crate::site::ensure;
use crate::site::memory::Standing;
use crate::site::world::World;
use crate::writer::{Error, path};

const TEMPLATES: &str = "/spec/volumeClaimTemplates";
const STORAGE: &str = "/spec/resources/requests/storage";

/// What came of it for one object.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// The object is on its way out now and made anew later.
    pub(super) anew: bool,
    /// What waits to grow until it is bound: an API server grows no other claim.
    pub(super) waiting: Vec<String>,
}

/// Does it for one object, where it is needed.
pub(super) async fn grow(world: &World, hall: &ValidHallSlice, object: &Object) -> Result<Growth, Error> {
    if object.key.kind.kind != "StatefulSet" {
        return Ok(Growth::default());
    }
    let mut growth = Growth::default();
    for (template, size) in sizes(&object.body) {
        growth.waiting.append(&mut claims(world, hall, object, &template, &size).await?);
    }
    let Standing::Differs(child) = ensure::standing(world, object) else { return Ok(growth) };
    if !moved(&child.value(), &object.body) {
        return Ok(growth);
    }
    tracing::info!(object = %object.key, "its volumes change: the StatefulSet is made anew, its pods stay");
    let params =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    let request = Request::new(path(&object.key)).delete(&object.key.name, &params);
    let request = request.map_err(|source| Error::Build { key: Box::new(object.key.clone()), source })?;
    world.memory.forget(&object.key);
    world.ends.writer.raw(&object.key, "orphan", request).await?;
    Ok(Growth { anew: true, ..growth })
}

/// Whether the templates are to say anything else than those that stand: their sizes, their class, or the labels of
/// claims, which tell the component's zone. What a server adds to them is not ours.
fn moved(standing: &Value, desired: &Value) -> bool {
    let ours = |template: &Value| {
        ["/metadata/name", "/metadata/labels", "/spec/storageClassName", STORAGE]
            .map(|place| template.pointer(place).cloned())
    };
    let all = |v: &Value| -> Vec<_> {
        v.pointer(TEMPLATES).and_then(Value::as_array).into_iter().flatten().map(ours).collect()
    };
    all(standing) != all(desired)
}

/// Names of templates and the sizes they ask for.
fn sizes(set: &Value) -> Vec<(String, String)> {
    let text = |t: &Value, place: &str| t.pointer(place).and_then(Value::as_str).map(str::to_owned);
    let all = set.pointer(TEMPLATES).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|t| Some((text(t, "/metadata/name")?, text(t, STORAGE)?))).collect()
}

/// Patches the claims that were made from one template and are smaller; what waits to be bound. It is looked at in every
/// pass: a claim that is bound later, or made from the old template while the new one is on its way, catches up.
async fn claims(
    world: &World,
    hall: &ValidHallSlice,
    set: &Object,
    template: &str,
    size: &str,
) -> Result<Vec<String>, Error> {
    let prefix = format!("{template}-{}-", set.key.name);
    let own = |c: &Child| {
        let ordinal = c.key.name.strip_prefix(&prefix).is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
        c.key.kind.kind == "PersistentVolumeClaim" && c.key.namespace == set.key.namespace && ordinal
    };
    let all = world.children.of_hall(hall.owner.uid.as_str(), hall.uid.as_str());
    let mut waiting = Vec::new();
    for claim in all.iter().filter(|c| own(c) && !c.deleting) {
        match next(&claim.value(), size) {
            Next::Nothing => (),
            Next::Wait => waiting
                .push(format!("volume {} is not bound yet; it grows to {size} when it is", claim.key.name)),
            Next::Patch => {
                let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
                world.ends.writer.merge(&claim.key, &patch).await?;
            }
        }
    }
    Ok(waiting)
}

/// What is to be done with a claim.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// It is large enough.
    Nothing,
    /// It is too small and not bound.
    Wait,
    /// It is asked to grow.
    Patch,
}

fn next(claim: &Value, size: &str) -> Next {
    let amount = |text: &str| Kind::Storage.parse(text).ok();
    let now = claim.pointer(STORAGE).and_then(Value::as_str).and_then(amount);
    let bound = claim.pointer("/status/phase").and_then(Value::as_str) == Some("Bound");
    match (now, amount(size)) {
        (Some(now), Some(wanted)) if now < wanted => {
            if bound {
                Next::Patch
            } else {
                Next::Wait
            }
        }
        _ => Next::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_only_grows_and_only_when_it_is_bound() {
        let claim = |size: &str, phase: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}, "status": {"phase": phase}});
        for (now, phase, wanted) in [
            ("1Gi", "Bound", Next::Patch),
            ("1Gi", "Pending", Next::Wait),
            ("2Gi", "Bound", Next::Nothing),
            ("2048Mi", "Pending", Next::Nothing),
            ("3Gi", "Bound", Next::Nothing),
        ] {
            assert_eq!(next(&claim(now, phase), "2Gi"), wanted, "{now} {phase}");
        }
        assert_eq!(next(&json!({}), "2Gi"), Next::Nothing);
    }

    #[test]
    fn only_a_changed_size_makes_it_anew() {
        let set = |size: &str| json!({"spec": {"volumeClaimTemplates": [{"metadata": {"name": "data-data"}, "spec": {"resources": {"requests": {"storage": size}}}}]}});
        assert!(!moved(&set("1Gi"), &set("1Gi")) && moved(&set("1Gi"), &set("2Gi")));
        assert_eq!(sizes(&set("2Gi")), [("data-data".to_owned(), "2Gi".to_owned())]);
        assert!(sizes(&json!({})).is_empty());
    }

    #[test]
    fn a_label_or_a_class_of_claims_makes_it_anew_and_a_servers_defaults_do_not() {
        let set = |zone: &str, class: &str| json!({"spec": {"volumeClaimTemplates": [{"metadata": {"name": "data-data", "labels": {"zone": zone}}, "spec": {"storageClassName": class}}]}});
        let mut standing = set("Data", "a");
        standing["spec"]["volumeClaimTemplates"][0]["spec"]["volumeMode"] = json!("Filesystem");
        assert!(!moved(&standing, &set("Data", "a")));
        assert!(moved(&standing, &set("Approval", "a")) && moved(&standing, &set("Data", "b")));
        let mut classless = set("Data", "a");
        classless["spec"]["volumeClaimTemplates"][0]["spec"] = json!({});
        assert!(moved(&standing, &classless) && !moved(&json!({}), &json!({})));
    }
}
