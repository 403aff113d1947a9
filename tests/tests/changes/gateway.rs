//! The Gateway API's kinds, with schemas that take anything: no gateway runs, a route is an object like others here.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use yunting_tests::apiserver::wait;

/// Time until a server serves them.
const PATIENCE: Duration = Duration::from_secs(30);
const GROUP: &str = "gateway.networking.k8s.io";

/// Kind, plural and scope.
const KINDS: [(&str, &str, &str); 3] = [
    ("GatewayClass", "gatewayclasses", "Cluster"),
    ("Gateway", "gateways", "Namespaced"),
    ("HTTPRoute", "httproutes", "Namespaced"),
];

/// Makes them and waits until they are served.
pub async fn kinds(client: &Client) -> anyhow::Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for (kind, plural, scope) in KINDS {
        let definition = serde_json::from_value(definition(kind, plural, scope))?;
        api.create(&PostParams::default(), &definition).await?;
    }
    let served = async || {
        let all = client.list_api_group_resources("gateway.networking.k8s.io/v1").await.ok()?;
        KINDS.iter().all(|(kind, ..)| all.resources.iter().any(|r| r.kind == *kind)).then_some(())
    };
    wait("the Gateway API's kinds", PATIENCE, served).await
}

fn definition(kind: &str, plural: &str, scope: &str) -> Value {
    json!({
        "metadata": {"name": format!("{plural}.{GROUP}"),
            // A server asks for this in groups of Kubernetes' own.
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"}},
        "spec": {"group": GROUP, "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
    })
}
