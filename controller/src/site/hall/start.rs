//! How many pods a component begins with whose number follows its load. Its plan says nothing of replicas; a field that
//! nobody says is 1 when the workload is made, and 1 again when who said it before says it no more. So it is said once,
//! when the workload is made, and while it is still ours it is said as it stands. As soon as an autoscaler has changed it,
//! it is the autoscaler's, and nothing here says it again.

use serde_json::{Value, json};
use yunting_plan::hall::ValidHallSlice;
use yunting_plan::object::Object;

use crate::site::ensure;
use crate::site::memory::Standing;
use crate::site::world::World;

const REPLICAS: &str = "/spec/replicas";

/// The object with the replicas that have to be said with it, if there are any.
pub(super) fn with_replicas(world: &World, hall: &ValidHallSlice, object: &Object) -> Option<Object> {
    if object.key.kind.kind != "Deployment" || object.body.pointer(REPLICAS).is_some() {
        return None;
    }
    let component = hall.components.iter().find(|c| c.workload() == object.key)?;
    match ensure::standing(world, object) {
        Standing::Missing => Some(said(object, component.start(), None)),
        Standing::Differs(child) => {
            let now = child.value().pointer(REPLICAS).and_then(Value::as_u64).unwrap_or(0);
            let now = u32::try_from(now).unwrap_or(u32::MAX);
            // An autoscaler leaves alone what has none: a component that stood by begins as a new one.
            let stood_by = now == 0;
            let said_as = if stood_by { component.start() } else { now };
            (child.says_replicas || stood_by).then(|| said(object, said_as, Some(child.version)))
        }
        Standing::Stands | Standing::Deleting => None,
    }
}

/// Where it stands already, only if it still is as it was seen: an autoscaler may be quicker.
fn said(object: &Object, replicas: u32, version: Option<u64>) -> Object {
    let mut object = object.clone();
    object.body["spec"]["replicas"] = json!(replicas);
    if let Some(version) = version {
        object.body["metadata"]["resourceVersion"] = json!(version.to_string());
    }
    object
}
