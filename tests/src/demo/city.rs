//! The city of Bozhou in a lab: the sample, as the platform's administrator applies it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use yunting_lab::manifests;
use yunting_lab::spec::Lab;
use yunting_lab::state::State;
use yunting_lab::stock::Stock;

use super::wait::until;

/// Time for six halls on three fresh sites; measured two to three minutes.
pub const PATIENCE: Duration = Duration::from_mins(10);
/// Time in which the hub makes the bureaus' namespaces.
const NAMESPACES: Duration = Duration::from_mins(1);

/// Applies the sample: what is cluster-scoped first, and the rest once the bureaus have their namespaces.
pub async fn apply(lab: &Lab, client: &Client, samples: &Path) -> anyhow::Result<()> {
    let mut variables = Stock::read(lab)?.variables();
    let ports = State::read(lab)?.context("the lab has no state")?.ports;
    for site in &lab.sites {
        variables.insert(format!("gateway-{}", site.name), format!("127.0.0.1:{}", ports.gateway(site)));
    }
    let objects = manifests::read_dir(samples, &variables)?;
    println!("applying {} objects of {} as the platform's administrator", objects.len(), samples.display());
    let (inside, outside): (Vec<_>, Vec<_>) =
        objects.into_iter().partition(|o| o.metadata.namespace.is_some());
    manifests::apply(client, &outside).await?;
    let namespaces: BTreeSet<String> = inside.iter().filter_map(|o| o.metadata.namespace.clone()).collect();
    let api: Api<Namespace> = Api::all(client.clone());
    for namespace in &namespaces {
        let exists = await_condition(api.clone(), namespace, |n: Option<&Namespace>| n.is_some());
        let waited = tokio::time::timeout(NAMESPACES, exists).await;
        waited.with_context(|| {
            format!("the hub did not make namespace {namespace}; is its controller running?")
        })??;
    }
    // A VDC is placed where sites are ready at that moment, and stays there: let all be ready.
    until(client, PATIENCE, |p| p.sites.1 > 0 && p.sites.0 == p.sites.1).await?;
    manifests::apply(client, &inside).await.context("the bureaus' objects were not accepted")
}
