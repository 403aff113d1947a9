//! The way from the site's front door to a hall: a standard `HTTPRoute` on the site's Gateway, only where the portal
//! component runs.

use serde_json::{Value, json};
use yunting_crds::labels;

use super::ValidHallSlice;
use crate::object::{ApiKind, Object};

/// `HTTPRoute` of the Gateway API, which k8s-openapi does not know.
pub const HTTP_ROUTE: ApiKind = ApiKind {
    group: "gateway.networking.k8s.io",
    version: "v1",
    kind: "HTTPRoute",
    plural: "httproutes",
    namespaced: true,
};

/// The route, if the hall has a portal here.
pub(super) fn route(hall: &ValidHallSlice) -> Option<Object> {
    let portal = hall.portal.as_ref()?;
    let c = hall.components.get(portal.component)?;
    let port = c.spec.ports.first()?.port;
    let matches: Vec<Value> =
        portal.paths.iter().map(|p| json!({"path": {"type": "PathPrefix", "value": p}})).collect();
    let metadata = serde_json::to_value(hall.metadata(c)).unwrap_or_default();
    let body = json!({
        "metadata": metadata,
        "spec": {
            "parentRefs": [{"name": labels::GATEWAY, "namespace": labels::GATEWAY_NAMESPACE}],
            "hostnames": [portal.host],
            "rules": [{"matches": matches, "backendRefs": [{"name": c.object, "port": port}]}],
        },
    });
    Some(Object::from_value(HTTP_ROUTE, body))
}

/// What the gateway says of a route: accepted, or why not. Nothing while it has said nothing of this generation.
pub fn accepted(observed: &Value) -> Option<Result<(), String>> {
    let generation = observed.pointer("/metadata/generation");
    let parents = observed.pointer("/status/parents").and_then(Value::as_array)?;
    let conditions = parents.iter().filter_map(|p| p.get("conditions")?.as_array()).flatten();
    let accepted = conditions.filter(|c| {
        c["type"] == "Accepted" && (c.get("observedGeneration") == generation || generation.is_none())
    });
    let verdicts: Vec<&Value> = accepted.collect();
    if verdicts.iter().any(|c| c["status"] == "True") {
        return Some(Ok(()));
    }
    let refusal = verdicts.first()?;
    Some(Err(refusal["message"].as_str().unwrap_or("the gateway gives no reason").to_owned()))
}
