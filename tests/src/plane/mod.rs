//! Two control planes, the hub's and a site's, with what is installed in them and the real controllers between them:
//! the ground of the suites that need no kubelet.
// A test writes as a user does.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, missing_docs)]

pub mod controllers;
pub mod dump;
pub mod process;

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use yunting_crds::Site;
use yunting_crds::conditions::{State, state_of};
use yunting_lab::manifests::{self, Variables};

use crate::apiserver::{ApiServer, Beside, Options, wait};

/// Time for anything; a loaded machine with two cores needs a tenth of it.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// The site.
pub const SITE: &str = "qiaocheng";

/// Two control planes.
pub struct Planes {
    pub hub: ApiServer,
    pub site: ApiServer,
    /// `yunting-controller`.
    pub program: PathBuf,
    /// Where logs and kubeconfigs lie.
    pub directory: tempfile::TempDir,
    /// Of chance.
    pub seed: u64,
}

impl Planes {
    /// Starts and installs both, and makes the site.
    pub async fn start(directory: tempfile::TempDir, seed: u64, site_spec: Value) -> anyhow::Result<Self> {
        Self::start_with(directory, seed, site_spec, &Options::default()).await
    }

    /// The same, with options for the site's servers.
    pub async fn start_with(
        directory: tempfile::TempDir,
        seed: u64,
        site_spec: Value,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let options = Options { beside: Beside::Controllers, ..options.clone() };
        let (hub, site) =
            tokio::try_join!(ApiServer::start(Beside::Controllers), ApiServer::start_with(&options))?;
        tokio::try_join!(install(&hub, "hub"), install(&site, "site"))?;
        apply::<Site>(hub.client(), None, SITE, site_spec).await?;
        Ok(Self { hub, site, program: program()?, directory, seed })
    }

    /// Waits until the site works.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let sites: Api<Site> = Api::all(self.hub.client().clone());
        let ready =
            |s: &Site| state_of(&s.status.clone().unwrap_or_default().conditions, "Ready") == State::True;
        until(sites, SITE, ready).await.map(drop)
    }
}

/// A directory of a suite's own. `<VARIABLE>=1` keeps it, for who has to read whole logs.
pub fn directory(prefix: &str, variable: &str) -> anyhow::Result<tempfile::TempDir> {
    let keep = std::env::var_os(variable).is_some();
    let directory = tempfile::Builder::new().prefix(prefix).disable_cleanup(keep).tempdir()?;
    if keep {
        println!("logs are kept in {}", directory.path().display());
    }
    Ok(directory)
}

/// The controllers' program: target/<profile>/yunting-controller, beside target/<profile>/deps/<suite>-…
pub fn program() -> anyhow::Result<PathBuf> {
    if let Some(given) = std::env::var_os("YUNTING_CONTROLLER") {
        return Ok(given.into());
    }
    let here = std::env::current_exe()?;
    let directory = here.parent().and_then(|d| d.parent()).context("no target directory")?;
    let program = directory.join("yunting-controller");
    if !program.is_file() {
        bail!("{} is not built; run `cargo build -p yunting-controller` first", program.display());
    }
    Ok(program)
}

/// Installs Yunting's kinds, policies and rights of `hub` or `site`.
pub async fn install(server: &ApiServer, part: &str) -> anyhow::Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    for path in [root.join("crds/yaml").join(part), root.join("install").join(part)] {
        let objects = manifests::read_dir(&path, &Variables::new())?;
        anyhow::ensure!(!objects.is_empty(), "nothing in {}", path.display());
        manifests::apply(server.client(), &objects).await.with_context(|| server.logs())?;
    }
    Ok(())
}

/// Applies an object of ours; gives it back.
pub async fn apply<K>(
    client: &Client,
    namespace: Option<&str>,
    name: &str,
    spec: Value,
) -> anyhow::Result<DynamicObject>
where
    K: Resource<DynamicType = ()>,
{
    let resource = kube::core::ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let body = json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": name}, "spec": spec});
    Ok(api.patch(name, &PatchParams::apply("suite").force(), &Patch::Apply(&body)).await?)
}

/// Waits until an object is as wanted; says how it was last when it takes too long.
pub async fn until<K>(api: Api<K>, name: &str, wanted: impl Fn(&K) -> bool) -> anyhow::Result<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + serde::Serialize,
{
    let mut last = None;
    let look = async || {
        last = api.get_opt(name).await.ok().flatten();
        last.clone().filter(|o| wanted(o))
    };
    let found = wait(&format!("{} {name}", K::kind(&())), PATIENCE, look).await;
    found.map_err(|late| anyhow::anyhow!("{late}; last: {}", shown(last.as_ref())))
}

/// What can be told of an object in a line.
fn shown<K: serde::Serialize>(object: Option<&K>) -> String {
    let Some(object) = object.and_then(|o| serde_json::to_value(o).ok()) else { return "absent".to_owned() };
    json!({"spec": object["spec"], "status": object["status"], "finalizers": object["metadata"]["finalizers"]}).to_string()
}

/// Waits until an object is gone.
pub async fn gone<K>(api: Api<K>, name: &str) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + serde::Serialize,
{
    let mut last = None;
    let look = async || {
        let seen = api.get_opt(name).await.ok()?;
        last.clone_from(&seen);
        seen.is_none().then_some(())
    };
    let found = wait(&format!("the end of {} {name}", K::kind(&())), PATIENCE, look).await;
    found.map_err(|late| anyhow::anyhow!("{late}; last: {}", shown(last.as_ref())))
}
