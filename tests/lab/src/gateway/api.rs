//! The part of the Gateway API's kinds that this gateway reads and writes.
//!
//! Fields it doesn't act on but must notice are kept as plain JSON: a route that uses them is refused instead
//! of being served as if they were not there.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a route wants.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "HTTPRoute",
    namespaced,
    status = "RouteStatus",
    schema = "disabled"
)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPRouteSpec {
    /// The Gateways it wants to be attached to.
    pub parent_refs: Vec<ParentRef>,
    /// The host names it answers for.
    pub hostnames: Vec<String>,
    /// Where requests go.
    pub rules: Vec<Rule>,
}

/// A Gateway a route names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParentRef {
    /// API group; missing means the Gateway API's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind; missing means Gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Namespace; missing means the route's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// One listener only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// One port only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// Requests that match go to the backends.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// Any of these; none means all requests.
    pub matches: Vec<Match>,
    /// Changes to requests: not supported.
    pub filters: Vec<Value>,
    /// Services with weights.
    pub backend_refs: Vec<BackendRef>,
}

/// A condition on a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Match {
    /// On the path.
    pub path: Option<PathMatch>,
    /// On headers: not supported.
    pub headers: Vec<Value>,
    /// On the query: not supported.
    pub query_params: Vec<Value>,
    /// On the method: not supported.
    pub method: Option<String>,
}

/// A condition on a path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathMatch {
    /// `Exact` or `PathPrefix`, which is meant when missing.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The path, `/` when missing.
    pub value: Option<String>,
}

/// A Service that gets requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendRef {
    /// API group; missing or empty means core.
    pub group: Option<String>,
    /// Kind; missing means Service.
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Namespace; missing means the route's own.
    pub namespace: Option<String>,
    /// Port of the Service.
    pub port: Option<i32>,
    /// Share of the requests; missing means 1.
    pub weight: Option<u32>,
    /// Changes to requests: not supported.
    pub filters: Vec<Value>,
}

/// What became of a route.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteStatus {
    /// By Gateway and controller.
    pub parents: Vec<ParentStatus>,
}

/// What became of a route at one Gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentStatus {
    /// The Gateway, as the route named it.
    pub parent_ref: ParentRef,
    /// Who says so.
    pub controller_name: String,
    /// Accepted, ResolvedRefs.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// What a Gateway wants; its listeners are fixed in the lab.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "Gateway",
    namespaced,
    status = "GatewayStatus",
    schema = "disabled"
)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewaySpec {
    /// Its class.
    pub gateway_class_name: String,
}

/// What became of a Gateway.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewayStatus {
    /// Where it listens.
    pub addresses: Vec<Address>,
    /// Accepted, Programmed.
    pub conditions: Vec<Condition>,
    /// Its listeners.
    pub listeners: Vec<ListenerStatus>,
}

/// An address of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// `IPAddress`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address.
    pub value: String,
}

/// What became of a listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// Kinds of routes it takes.
    #[serde(default)]
    pub supported_kinds: Vec<Value>,
    /// How many routes are attached.
    #[serde(default)]
    pub attached_routes: u32,
    /// Accepted, Programmed, ResolvedRefs.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// What a class wants.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "GatewayClass",
    status = "ClassStatus",
    schema = "disabled"
)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClassSpec {
    /// Who serves it.
    pub controller_name: String,
}

/// What became of a class.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassStatus {
    /// Accepted.
    pub conditions: Vec<Condition>,
}
