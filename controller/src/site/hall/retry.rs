//! Wakes controllers of Kubernetes that were refused while a namespace was closed: by themselves they wait longer
//! with each refusal, up to a quarter of an hour.

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use yunting_crds::labels;
use yunting_plan::hall::{ValidComponent, ValidHallSlice};
use yunting_plan::object::{Key, api_kind};

use super::Error;
use crate::site::world::World;

/// Annotation whose change is what wakes them.
const RETRY: &str = "yunting.io/retry";

/// Called when every namespace of the hall is open. Works after one was closed, and on the first pass of this
/// process, where a refusal shows what happened before it.
pub(super) async fn after_opening(world: &World, hall: &ValidHallSlice) -> Result<(), Error> {
    let before = world.memory.was_open(hall.uid.as_str());
    if before == Some(true) {
        return Ok(());
    }
    for c in hall.components.iter().filter(|c| c.active) {
        let key = c.workload();
        let Some(workload) = world.children.get(&key).map(|w| w.value()) else { continue };
        let waits = refused(&workload) || (before == Some(false) && lacks(&workload));
        if waits {
            let waiting = if c.stateful() { vec![key] } else { replica_sets(world, hall, c).await? };
            touch(world, &waiting).await?;
        }
    }
    world.memory.open(hall.uid.as_str(), true);
    Ok(())
}

async fn touch(world: &World, keys: &[Key]) -> Result<(), Error> {
    for key in keys {
        let patch = json!({"metadata": {"annotations": {RETRY: world.context.timestamp().to_string()}}});
        world.ends.writer.merge(key, &patch).await?;
    }
    Ok(())
}

/// Pods of a workload were refused by the policy of closed namespaces.
fn refused(workload: &Value) -> bool {
    let conditions = workload.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|c| {
        c["type"] == "ReplicaFailure"
            && c["status"] == "True"
            && c["message"].as_str().is_some_and(|m| m.contains("yunting-closed-namespace"))
    })
}

/// Fewer pods stand than are asked.
fn lacks(workload: &Value) -> bool {
    let number = |path: &str| workload.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    number("/status/replicas") < number("/spec/replicas")
}

/// The `ReplicaSet`s of a component. Nothing watches them; they are asked for only here.
async fn replica_sets(world: &World, hall: &ValidHallSlice, c: &ValidComponent) -> Result<Vec<Key>, Error> {
    let api: Api<ReplicaSet> = Api::namespaced(world.ends.own.client.clone(), &c.namespace);
    let selector = format!("{}={},{}={}", labels::HALL_UID, hall.uid.as_str(), labels::COMPONENT, c.name);
    let list = api.list_metadata(&ListParams::default().labels(&selector)).await;
    let list = list.map_err(|source| Error::List { component: c.name.to_string(), source })?;
    let key =
        |name: String| Key { kind: api_kind::<ReplicaSet>(), namespace: Some(c.namespace.clone()), name };
    Ok(list.items.iter().map(|r| key(r.name_any())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closed_namespaces_refusal_is_tried_again_at_once() {
        let seen = |message: &str| json!({"status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": message}]}});
        assert!(refused(&seen("ValidatingAdmissionPolicy 'yunting-closed-namespace' denied request")));
        assert!(!refused(&seen("exceeded quota: yunting-quota")));
        assert!(lacks(&json!({"spec": {"replicas": 2}, "status": {"replicas": 1}})));
        assert!(!lacks(&json!({"spec": {"replicas": 1}, "status": {"replicas": 1}})));
    }
}
