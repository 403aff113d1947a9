//! What a cluster needs before anybody works with it and what is no part of Yunting: cluster DNS, front
//! door and volumes.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::DynamicObject;
use kube::runtime::wait::{await_condition, conditions};

use crate::client;
use crate::error::{Error, Result};
use crate::gateway;
use crate::install::variables;
use crate::local_path;
use crate::manifests::{self, Variables};
use crate::site::control::{self, Request};
use crate::site::parts::ADDONS;
use crate::site::sidecars::{REGISTRAR, SIDECARS};
use crate::spec::{Lab, Site, cache_dir};
use crate::state::{State, Volumes};
use crate::stock::Stock;

const COREDNS: &str = include_str!("../cluster/coredns.yaml");
const DNS_READY: Duration = Duration::from_mins(2);

/// Applies them at a site and waits until they work.
pub async fn ensure(lab: &Lab, state: &State, stock: &Stock, site: &Site) -> Result<()> {
    let client = client::site(lab, site).await?;
    let objects = manifests::parse("the cluster DNS", COREDNS, &variables(lab, state, stock, site))?;
    manifests::apply(&client, &objects).await?;
    manifests::apply(&client, &front_door()?).await?;
    let objects = manifests::parse("the provisioner's manifests", local_path::MANIFESTS, &Variables::new())?;
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

/// Lets the processes start that needed them, and the sidecars, whose roles are there with the boundary's.
pub fn start(lab: &Lab, state: &State, site: &Site) -> Result<()> {
    let sidecars = SIDECARS.iter().map(|sidecar| sidecar.name).chain([REGISTRAR]);
    let sidecars = sidecars.filter(|_| state.volumes == Volumes::Driver);
    let start = |name: &str| control::ask(&lab.site_dir(site), &Request::Start(name.to_owned())).map(drop);
    ADDONS.into_iter().chain(sidecars).try_for_each(start)
}

/// The Gateway API's kinds, from its Go module, and the site's Gateway.
fn front_door() -> Result<Vec<DynamicObject>> {
    let files = gateway::crds(&cache_dir()).map_err(Error::part("getting the Gateway API's kinds"))?;
    let none = Variables::new();
    let mut objects = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(Error::io("read", &file))?;
        objects.extend(manifests::parse(&file.display().to_string(), &text, &none)?);
    }
    objects.extend(manifests::parse("the gateway's manifests", gateway::MANIFESTS, &none)?);
    Ok(objects)
}
