//! What is said back: conditions on routes, Gateway and class. Pure; `None` means that it is said already.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::{Value, json};

use super::api::{
    Address, ClassStatus, Gateway, GatewayClass, GatewayStatus, HTTPRoute, ListenerStatus, ParentRef,
    ParentStatus, RouteStatus,
};
use super::table::{Finding, Verdict};
use super::{CONTROLLER, LISTENER};

/// The status a route should have. What other controllers said stays.
pub fn route(route: &HTTPRoute, verdict: &Verdict, now: &Time) -> Option<RouteStatus> {
    let old = route.status.clone().unwrap_or_default();
    let mut parents: Vec<ParentStatus> =
        old.parents.iter().filter(|parent| parent.controller_name != CONTROLLER).cloned().collect();
    for parent_ref in &verdict.parents {
        let before = conditions_of(&old, parent_ref);
        let generation = route.metadata.generation;
        parents.push(ParentStatus {
            parent_ref: parent_ref.clone(),
            controller_name: CONTROLLER.to_owned(),
            conditions: vec![
                condition("Accepted", &verdict.accepted, generation, before, now),
                condition("ResolvedRefs", &verdict.resolved, generation, before, now),
            ],
        });
    }
    let new = RouteStatus { parents };
    (new != old).then_some(new)
}

/// The status of a route that named us before and does no more.
pub fn forgotten(route: &HTTPRoute) -> Option<RouteStatus> {
    let old = route.status.clone().unwrap_or_default();
    let parents: Vec<_> = old.parents.iter().filter(|p| p.controller_name != CONTROLLER).cloned().collect();
    (parents.len() != old.parents.len()).then_some(RouteStatus { parents })
}

/// The status the Gateway should have.
pub fn gateway(gateway: &Gateway, address: &str, attached: u32, now: &Time) -> Option<GatewayStatus> {
    let old = gateway.status.clone().unwrap_or_default();
    let generation = gateway.metadata.generation;
    let listener = old.listeners.iter().find(|listener| listener.name == LISTENER);
    let of_listener = listener.map(|listener| listener.conditions.as_slice()).unwrap_or_default();
    let said = |names: &[&'static str], before: &[Condition]| -> Vec<Condition> {
        names.iter().map(|&name| condition(name, &Finding::good(name), generation, before, now)).collect()
    };
    let new = GatewayStatus {
        addresses: vec![Address { kind: "IPAddress".into(), value: address.to_owned() }],
        conditions: said(&["Accepted", "Programmed"], &old.conditions),
        listeners: vec![ListenerStatus {
            name: LISTENER.to_owned(),
            supported_kinds: vec![json!({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"})],
            attached_routes: attached,
            conditions: said(&["Accepted", "Programmed", "ResolvedRefs"], of_listener),
        }],
    };
    (new != old).then_some(new)
}

/// The status our class should have.
pub fn class(class: &GatewayClass, now: &Time) -> Option<ClassStatus> {
    if class.spec.controller_name != CONTROLLER {
        return None;
    }
    let old = class.status.clone().unwrap_or_default();
    let accepted =
        condition("Accepted", &Finding::good("Accepted"), class.metadata.generation, &old.conditions, now);
    let mut new = old.clone();
    new.conditions.retain(|condition| condition.type_ != "Accepted");
    new.conditions.push(accepted.clone());
    (!old.conditions.contains(&accepted)).then_some(new)
}

/// A status as a patch that fails when the object changed since it was read.
pub fn patch<S: serde::Serialize>(status: &S, version: Option<&String>) -> Value {
    json!({"metadata": {"resourceVersion": version}, "status": status})
}

fn conditions_of<'a>(status: &'a RouteStatus, parent: &ParentRef) -> &'a [Condition] {
    let ours = |said: &&ParentStatus| said.controller_name == CONTROLLER && said.parent_ref == *parent;
    status.parents.iter().find(ours).map(|said| said.conditions.as_slice()).unwrap_or_default()
}

/// A condition whose time of change stays as long as its answer does.
fn condition(
    name: &str,
    finding: &Finding,
    generation: Option<i64>,
    before: &[Condition],
    now: &Time,
) -> Condition {
    let status = if finding.good { "True" } else { "False" };
    let old = before.iter().find(|condition| condition.type_ == name && condition.status == status);
    Condition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: finding.reason.to_owned(),
        message: finding.message.clone(),
        observed_generation: generation,
        last_transition_time: old
            .map_or_else(|| now.clone(), |condition| condition.last_transition_time.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::api::{GatewaySpec, HTTPRouteSpec};

    fn time(second: i64) -> Time {
        Time(jiff::Timestamp::from_second(second).unwrap())
    }

    fn verdict(accepted: Finding) -> Verdict {
        Verdict { parents: vec![ParentRef::default()], accepted, resolved: Finding::good("ResolvedRefs") }
    }

    #[test]
    fn the_same_verdict_is_written_once_and_a_new_one_keeps_the_unchanged_times() {
        let mut object = HTTPRoute::new("r", HTTPRouteSpec::default());
        object.status = route(&object, &verdict(Finding::good("Accepted")), &time(1));
        assert!(object.status.is_some());
        assert_eq!(route(&object, &verdict(Finding::good("Accepted")), &time(2)), None);
        let changed = route(&object, &verdict(Finding::bad("HostnameConflict", "x")), &time(3)).unwrap();
        let times: Vec<_> =
            changed.parents[0].conditions.iter().map(|c| c.last_transition_time.clone()).collect();
        assert_eq!(times, [time(3), time(1)]);
    }

    #[test]
    fn what_others_said_stays_and_ours_goes_when_the_route_leaves() {
        let mut object = HTTPRoute::new("r", HTTPRouteSpec::default());
        let other = ParentStatus {
            parent_ref: ParentRef::default(),
            controller_name: "other.example/x".into(),
            conditions: Vec::new(),
        };
        object.status = Some(RouteStatus { parents: vec![other.clone()] });
        object.status = route(&object, &verdict(Finding::good("Accepted")), &time(1));
        assert_eq!(object.status.as_ref().unwrap().parents.len(), 2);
        assert_eq!(forgotten(&object).unwrap().parents, [other]);
    }

    #[test]
    fn the_gateway_has_an_address_and_says_so_once() {
        let mut object = Gateway::new("site", GatewaySpec::default());
        object.status = gateway(&object, "192.168.77.1", 2, &time(1));
        assert_eq!(object.status.as_ref().unwrap().addresses[0].value, "192.168.77.1");
        assert_eq!(gateway(&object, "192.168.77.1", 2, &time(2)), None);
        assert!(gateway(&object, "192.168.77.1", 3, &time(2)).is_some());
    }
}
