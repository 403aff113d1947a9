//! A hall over the border of the site: which of its pods here other sites are told of, and whether what is called here from
//! elsewhere answers.

use serde_json::Value;
use yunting_crds::conditions::Statement;
use yunting_crds::labels;
use yunting_crds::tunnel::HallPod;
use yunting_plan::hall::elsewhere::{self as plan, OwnPod, Tunnel};
use yunting_plan::vdc::transport::Crossing;

use super::validate::Valid;
use crate::site::ensure::label_of;
use crate::site::world::World;

/// Pods of the hall here that other sites have to know.
pub(super) fn pods(world: &World, valid: &Valid) -> Vec<HallPod> {
    if !valid.hall.everywhere {
        return Vec::new();
    }
    plan::told(&valid.hall, own_pods(world, valid.vdc.owner.uid.as_str(), valid.hall.uid.as_str()))
}

/// Pods of a hall that are here to stay.
pub(super) fn own_pods(world: &World, vdc_uid: &str, hall_uid: &str) -> Vec<OwnPod> {
    let all = world.children.of_hall(vdc_uid, hall_uid);
    let pods = all.iter().filter(|c| c.key.kind.kind == "Pod" && !c.deleting);
    pods.filter_map(|c| pod(&c.value())).collect()
}

/// One that has an address and has not ended.
fn pod(value: &Value) -> Option<OwnPod> {
    let text = |path: &str| value.pointer(path).and_then(Value::as_str);
    if matches!(text("/status/phase"), Some("Succeeded" | "Failed")) {
        return None;
    }
    let conditions = value.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let ready = conditions.clone().any(|c| c["type"] == "Ready" && c["status"] == "True");
    Some(OwnPod {
        component: label_of(value, labels::COMPONENT)?,
        address: text("/status/podIP")?.parse().ok()?,
        ready,
    })
}

/// Whether what is called here from elsewhere answers.
pub(super) fn connected(world: &World, valid: &Valid) -> Option<Statement> {
    let sites = valid.hall.elsewhere.iter().map(|e| e.site.to_string()).collect();
    let tunnel = match world.words.judge_tunnel(world, &sites) {
        Crossing::Missing => Tunnel::Missing,
        Crossing::Nothing if world.words.ends().is_empty() => Tunnel::Missing,
        Crossing::Down(why) | Crossing::Clear(why) => Tunnel::Down(why),
        Crossing::Nothing | Crossing::Verified(..) | Crossing::Unproved(_) => Tunnel::Stands,
    };
    plan::connected(&valid.hall, &tunnel, valid.vdc.transport)
}
