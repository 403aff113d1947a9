//! A volume that is to grow, or is labelled otherwise. A `StatefulSet` cannot change its templates: its claims are
//! patched where they grow, then it is removed with its pods kept, and made anew.

use kube::api::{DeleteParams, PropagationPolicy};
use kube::core::Request;
use serde_json::{Value, json};
use yunting_plan::object::Object;

use crate::children::Child;
use crate::site::ensure;
use crate::site::memory::Standing;
use crate::site::world::World;
use crate::writer::{Error, path};

const TEMPLATES: &str = "/spec/volumeClaimTemplates";
const STORAGE: &str = "/spec/resources/requests/storage";

/// Does it for one object, where it is needed; whether the object is on its way out now and made anew later.
pub(super) async fn grow(world: &World, object: &Object) -> Result<bool, Error> {
    if object.key.kind.kind != "StatefulSet" {
        return Ok(false);
    }
    let Standing::Differs(child) = ensure::standing(world, object) else { return Ok(false) };
    if !moved(&child.value(), &object.body) {
        return Ok(false);
    }
    for (template, size) in &grown(&child.value(), &object.body) {
        claims(world, &child, template, size).await?;
    }
    tracing::info!(object = %object.key, "its volumes change: the StatefulSet is made anew, its pods stay");
    let params =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    let request = Request::new(path(&object.key)).delete(&object.key.name, &params);
    let request = request.map_err(|source| Error::Build { key: Box::new(object.key.clone()), source })?;
    world.memory.forget(&object.key);
    world.ends.writer.raw(&object.key, "orphan", request).await.map(|_| true)
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

/// Names of templates whose size is another than the one that stands, and the new size.
fn grown(standing: &Value, desired: &Value) -> Vec<(String, String)> {
    let list = |v: &Value| v.pointer(TEMPLATES).and_then(Value::as_array).cloned().unwrap_or_default();
    let name = |t: &Value| t.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
    let size = |t: &Value| t.pointer(STORAGE).and_then(Value::as_str).map(str::to_owned);
    let before = list(standing);
    list(desired)
        .iter()
        .filter_map(|t| {
            let (template, wanted) = (name(t)?, size(t)?);
            let old = before.iter().find(|b| name(b).as_ref() == Some(&template)).and_then(size)?;
            (old != wanted).then_some((template, wanted))
        })
        .collect()
}

/// Patches the claims that were made from one template.
async fn claims(world: &World, owner: &Child, template: &str, size: &str) -> Result<(), Error> {
    let prefix = format!("{template}-{}-", owner.key.name);
    let uid = |uid: &Option<String>| uid.clone().unwrap_or_default();
    let all = world.children.of_hall(&uid(&owner.vdc_uid), &uid(&owner.hall_uid));
    let own = |c: &&std::sync::Arc<Child>| {
        let ordinal = c.key.name.strip_prefix(&prefix).is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
        c.key.kind.kind == "PersistentVolumeClaim" && c.key.namespace == owner.key.namespace && ordinal
    };
    for claim in all.iter().filter(own) {
        if claim.value().pointer(STORAGE).and_then(Value::as_str) != Some(size) {
            let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
            world.ends.writer.merge(&claim.key, &patch).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_changed_size_makes_it_anew() {
        let set = |size: &str| json!({"spec": {"volumeClaimTemplates": [{"metadata": {"name": "data-data"}, "spec": {"resources": {"requests": {"storage": size}}}}]}});
        assert!(grown(&set("1Gi"), &set("1Gi")).is_empty());
        assert_eq!(grown(&set("1Gi"), &set("2Gi")), [("data-data".to_owned(), "2Gi".to_owned())]);
        assert!(grown(&json!({}), &set("2Gi")).is_empty());
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
