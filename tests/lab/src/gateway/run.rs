//! The gateway's life: see, decide, render, reload, say.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::haproxy::{self, Files};
use super::plan::{Plan, Rules, plan};
use super::render::render;
use super::route::parents;
use super::table::RouteKey;
use super::watches::Watches;
use super::{Args, Error, GATEWAY, NAMESPACE, status};

/// Events come in bursts; one reload serves a burst.
const BURST: Duration = Duration::from_millis(50);
/// After a status could not be written.
const AGAIN: Duration = Duration::from_secs(5);
const WRITES_AT_ONCE: usize = 8;

/// Runs the gateway until it is asked to stop.
pub async fn run(args: Args) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Run)?;
    let (versions, reloads) = watch::channel(0_u64);
    let files = Files::prepare(&args.state)?;
    let configuration = files.configuration();
    let mut front = tokio::spawn(front(configuration, reloads));
    let gateway = serve(&args, &files, &versions);
    tokio::select! {
        result = gateway => result,
        _ = terminate.recv() => {
            drop(versions);
            let _ = tokio::time::timeout(Duration::from_secs(5), &mut front).await;
            Ok(())
        }
    }
}

/// HAProxy: at once when there is a configuration from before, else when the first one is made.
async fn front(configuration: PathBuf, mut reloads: watch::Receiver<u64>) {
    if !configuration.exists() && reloads.changed().await.is_err() {
        return;
    }
    haproxy::keep(&configuration, reloads).await;
}

async fn serve(args: &Args, files: &Files, versions: &watch::Sender<u64>) -> Result<(), Error> {
    let client = client(&args.kubeconfig).await?;
    let changed = Arc::new(Notify::new());
    let watches = Watches::start(&client, &changed);
    watches.complete().await.map_err(|_| Error::WatchEnded)?;
    let rules = Rules { port: args.listen.port(), backends: args.backends.clone() };
    loop {
        let plan = plan(&watches.world(), &rules);
        put_in_force(args, files, versions, &plan).await;
        if !say(&client, &watches, &plan, args).await {
            let changed = Arc::clone(&changed);
            tokio::spawn(async move {
                sleep(AGAIN).await;
                changed.notify_one();
            });
        }
        changed.notified().await;
        sleep(BURST).await;
    }
}

/// A configuration that HAProxy refuses is left out: the one before goes on serving.
async fn put_in_force(args: &Args, files: &Files, versions: &watch::Sender<u64>, plan: &Plan) {
    match files.replace(&render(&plan.table, args.listen, &args.state)).await {
        Ok(true) => {
            tracing::info!(hosts = plan.table.hosts.len(), "new configuration");
            versions.send_modify(|version| *version += 1);
        }
        Ok(false) => {}
        Err(error) => tracing::error!(%error, "configuration not taken"),
    }
}

/// A status to be written.
struct Saying {
    kind: Kind,
    namespace: String,
    name: String,
    patch: Value,
}

/// Whose status it is.
enum Kind {
    Route,
    Gateway,
    Class,
}

/// Writes every status that differs; false when one could not be written.
async fn say(client: &Client, watches: &Watches, plan: &Plan, args: &Args) -> bool {
    let sayings = sayings(watches, plan, &args.listen.ip().to_string());
    let written = stream::iter(sayings).map(|saying| write(client, saying)).buffer_unordered(WRITES_AT_ONCE);
    written.fold(true, |all, one| async move { all && one }).await
}

#[allow(clippy::disallowed_methods)] // the one look at the clock: for the times in conditions
fn sayings(watches: &Watches, plan: &Plan, address: &str) -> Vec<Saying> {
    let now = Time(jiff::Timestamp::now());
    let mut sayings = Vec::new();
    for route in watches.world().routes {
        let key = RouteKey { namespace: route.namespace().unwrap_or_default(), name: route.name_any() };
        let new = match plan.verdicts.get(&key) {
            Some(verdict) => status::route(&route, verdict, &now),
            None if parents(&route).is_empty() => status::forgotten(&route),
            // It came after the plan was made; the next plan has it.
            None => None,
        };
        if let Some(new) = new {
            let patch = status::patch(&new, route.metadata.resource_version.as_ref());
            sayings.push(Saying { kind: Kind::Route, namespace: key.namespace, name: key.name, patch });
        }
    }
    let accepted = plan.verdicts.values().filter(|verdict| verdict.accepted.good).count();
    let attached = u32::try_from(accepted).unwrap_or(u32::MAX);
    for gateway in watches.gateways().iter().filter(|gateway| gateway.name_any() == GATEWAY) {
        if let Some(new) = status::gateway(gateway, address, attached, &now) {
            let patch = status::patch(&new, gateway.metadata.resource_version.as_ref());
            let (namespace, name) = (NAMESPACE.to_owned(), GATEWAY.to_owned());
            sayings.push(Saying { kind: Kind::Gateway, namespace, name, patch });
        }
    }
    for class in watches.classes() {
        if let Some(new) = status::class(&class, &now) {
            let patch = status::patch(&new, class.metadata.resource_version.as_ref());
            let (namespace, name) = (String::new(), class.name_any());
            sayings.push(Saying { kind: Kind::Class, namespace, name, patch });
        }
    }
    sayings
}

async fn write(client: &Client, saying: Saying) -> bool {
    let client = client.clone();
    let Saying { kind, namespace, name, patch } = saying;
    let written = match kind {
        Kind::Route => {
            patch_status(Api::<super::api::HTTPRoute>::namespaced(client, &namespace), &name, &patch).await
        }
        Kind::Gateway => {
            patch_status(Api::<super::api::Gateway>::namespaced(client, &namespace), &name, &patch).await
        }
        Kind::Class => patch_status(Api::<super::api::GatewayClass>::all(client), &name, &patch).await,
    };
    match written {
        Ok(()) => true,
        // Changed or gone since: the event of that is on its way and brings a new plan.
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => true,
        Err(error) => {
            tracing::warn!(%error, namespace, name, "could not write a status");
            false
        }
    }
}

#[allow(clippy::disallowed_methods)] // the lab is no controller of Yunting's and has no writer
async fn patch_status<K>(
    api: Api<K>,
    name: &str,
    patch: &(impl Serialize + std::fmt::Debug),
) -> kube::Result<()>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

async fn client(kubeconfig: &Path) -> Result<Client, Error> {
    let config = Kubeconfig::read_from(kubeconfig).map_err(Error::Kubeconfig)?;
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .map_err(Error::Kubeconfig)?;
    Client::try_from(config).map_err(|source| Error::Client(Box::new(source)))
}
