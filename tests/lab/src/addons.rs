//! What a cluster needs before anybody works with it and what is no part of Yunting: its cluster DNS.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::runtime::wait::{await_condition, conditions};

use crate::client;
use crate::error::{Error, Result};
use crate::install::variables;
use crate::manifests;
use crate::spec::{Lab, Site};
use crate::state::State;
use crate::stock::Stock;

const COREDNS: &str = include_str!("../cluster/coredns.yaml");
const DNS_READY: Duration = Duration::from_secs(120);

/// Applies them at a site and waits until they work.
pub async fn ensure(lab: &Lab, state: &State, stock: &Stock, site: &Site) -> Result<()> {
    let client = client::site(lab, site).await?;
    let objects = manifests::parse("the cluster DNS", COREDNS, &variables(lab, state, stock, site))?;
    manifests::apply(&client, &objects).await?;
    let deployments: Api<Deployment> = Api::namespaced(client, "kube-system");
    let wait = await_condition(deployments, "coredns", conditions::is_deployment_completed());
    let late = |last: String| Error::Timeout {
        what: format!("the cluster DNS of {}", site.name),
        after: DNS_READY,
        last,
        next: format!("look at the pods of kube-system with {}.yaml", site.name),
    };
    let waited = tokio::time::timeout(DNS_READY, wait).await.map_err(|_| late("not available".into()))?;
    waited.map(drop).map_err(|e| late(e.to_string()))
}
