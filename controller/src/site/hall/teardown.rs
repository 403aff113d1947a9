//! A hall goes: the way in first, then what runs, then, when its pods are gone, everything else with its volumes.
//! Its network policies outlive its last pod.

use std::sync::Arc;

use super::observe::Seen;
use super::{Error, replica};
use crate::children::Child;
use crate::site::ensure;
use crate::site::world::World;

/// What is left.
pub(super) enum Left {
    /// Nothing.
    Nothing,
    /// This is waited for.
    Waiting(String),
}

/// Order of leaving; each step waits until the one before it is gone.
fn step(child: &Child) -> u8 {
    match child.key.kind.kind {
        "HTTPRoute" | "HorizontalPodAutoscaler" => 0,
        "Deployment" | "StatefulSet" => 1,
        "Pod" => 2,
        "PersistentVolumeClaim" => 3,
        "NetworkPolicy" => 5,
        _ => 4,
    }
}

/// One step of it. Every removal is shown by a watch, which calls for the next.
pub(super) async fn run(world: &World, seen: &Seen) -> Result<Left, Error> {
    // What is sent and kept of other sites has no pods to wait for.
    let replicas = replica::remove(world, seen.uid()).await?;
    let all = world.children.of_hall(seen.vdc_uid(), seen.uid());
    if all.is_empty() && replicas {
        return Ok(Left::Waiting("its replicas are being removed".to_owned()));
    }
    let Some(now) = all.iter().map(|c| step(c)).min() else {
        // Its VDC may have waited for it.
        seen.wake_vdc(world);
        world.memory.forget_hall(seen.uid());
        world.doors.forget(seen.uid());
        return Ok(Left::Nothing);
    };
    let here: Vec<Arc<Child>> = all.into_iter().filter(|c| step(c) == now).collect();
    let text = format!(
        "{} of its {} are being removed",
        here.len(),
        here.first().map_or("objects", |c| c.key.kind.plural)
    );
    // Pods go with what made them; Kubernetes ends them in their own time.
    if now != 2 {
        ensure::remove(world, &here).await?;
    }
    Ok(Left::Waiting(text))
}
