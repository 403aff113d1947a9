//! Why a component does not run, from what its workload and its pods say of themselves.

use serde_json::Value;
use yunting_crds::labels;
use yunting_plan::hall::{ValidComponent, ValidHallSlice};

use crate::site::ensure::label_of;
use crate::site::world::World;

/// Longest message.
const LONGEST: usize = 500;

/// What hinders a component that is not ready, if anything is known.
pub(super) fn of(
    world: &World,
    hall: &ValidHallSlice,
    c: &ValidComponent,
    workload: Option<&Value>,
) -> Option<String> {
    let told = workload.and_then(refused).or_else(|| of_pods(world, hall, c));
    told.map(|text| text.chars().take(LONGEST).collect())
}

/// A controller says so when its pods are refused: for quota, or by a policy.
fn refused(workload: &Value) -> Option<String> {
    let conditions = workload.pointer("/status/conditions")?.as_array()?;
    let failure = conditions.iter().find(|c| c["type"] == "ReplicaFailure" && c["status"] == "True");
    let stuck = || conditions.iter().find(|c| c["type"] == "Progressing" && c["status"] == "False");
    let condition = failure.or_else(stuck)?;
    Some(format!(
        "{}: {}",
        condition["reason"].as_str().unwrap_or("ReplicaFailure"),
        condition["message"].as_str().unwrap_or_default()
    ))
}

/// The first trouble that a pod of the component tells of.
fn of_pods(world: &World, hall: &ValidHallSlice, c: &ValidComponent) -> Option<String> {
    let all = world.children.of_hall(hall.owner.uid.as_str(), hall.uid.as_str());
    let pods = all.into_iter().filter(|p| p.key.kind.kind == "Pod" && !p.deleting);
    pods.map(|p| (p.value(), p)).find_map(|(value, p)| {
        let mine = label_of(&value, labels::COMPONENT).as_deref() == Some(c.name.as_str());
        pod(&value).filter(|_| mine).map(|t| format!("pod {}: {t}", p.key.name))
    })
}

/// Not scheduled, or a container that waits or has ended badly.
fn pod(value: &Value) -> Option<String> {
    let list = |path: &str| value.pointer(path).and_then(Value::as_array).into_iter().flatten();
    let unscheduled =
        list("/status/conditions").find(|c| c["type"] == "PodScheduled" && c["status"] == "False");
    let waiting = || {
        list("/status/containerStatuses")
            .find_map(|c| c.pointer("/state/waiting").filter(|w| w["reason"] != "ContainerCreating"))
    };
    let why = unscheduled.or_else(waiting)?;
    let reason = why.get("reason")?.as_str()?;
    let ended = list("/status/containerStatuses")
        .find_map(|c| c.pointer("/lastState/terminated/exitCode"))
        .map(|code| format!(" (last exit code {code})"));
    let message = why.get("message").and_then(Value::as_str).unwrap_or_default();
    let ended = ended.unwrap_or_default();
    Some(if message.is_empty() { format!("{reason}{ended}") } else { format!("{reason}{ended}: {message}") })
}
