//! Two control planes and what is installed in them.

use std::fmt::Debug;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use yunting_crds::conditions::{State, state_of};
use yunting_crds::{Bureau, Site};
use yunting_faults::call::Kind;
use yunting_lab::manifests::{self, Variables};
use yunting_tests::apiserver::{ApiServer, Beside, wait};

use super::controllers::Controllers;
use super::dump::Names;
use super::life::{Course, Life};

/// Time for anything; a loaded machine with two cores needs a tenth of it.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// The site.
pub const SITE: &str = "qiaocheng";
/// Hub namespace of the bureau of all tests.
pub const BUREAU: &str = "bureau-faults";

/// Two control planes.
pub struct World {
    pub runtime: Arc<Runtime>,
    pub hub: ApiServer,
    pub site: ApiServer,
    /// `yunting-controller`.
    pub program: PathBuf,
    /// Where logs and kubeconfigs lie.
    pub directory: tempfile::TempDir,
    /// Of chance; printed.
    pub seed: u64,
    /// Everything instead of a sample.
    pub full: bool,
    course: SharedCourse,
}

/// How everything stands in an undisturbed life: the same in every world, so lived once.
type SharedCourse = Arc<Mutex<Option<Course>>>;

/// What all worlds of a run have in common.
pub struct Plan {
    seed: u64,
    full: bool,
    course: SharedCourse,
}

impl Plan {
    /// Says which seed and which form.
    pub fn from_environment() -> anyhow::Result<Self> {
        let given = std::env::var("YUNTING_FAULTS_SEED").ok().map(|s| s.parse()).transpose()?;
        let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish() % 1_000_000);
        let full = std::env::var("YUNTING_FAULTS").is_ok_and(|v| v == "full");
        let form = if full { "full" } else { "short" };
        println!("seed {seed} (YUNTING_FAULTS_SEED={seed} repeats it), {form} form");
        Ok(Self { seed, full, course: Arc::default() })
    }
}

impl World {
    /// Starts and installs.
    pub async fn start(plan: &Plan, runtime: &Arc<Runtime>) -> anyhow::Result<Self> {
        let (hub, site) =
            tokio::try_join!(ApiServer::start(Beside::Controllers), ApiServer::start(Beside::Controllers))?;
        tokio::try_join!(install(&hub, "hub"), install(&site, "site"))?;
        apply::<Site>(hub.client(), None, SITE, site_spec()).await?;
        Ok(Self {
            runtime: runtime.clone(),
            hub,
            site,
            program: program()?,
            directory: directory()?,
            seed: plan.seed,
            full: plan.full,
            course: plan.course.clone(),
        })
    }

    /// How everything stands in an undisturbed life, which is lived once.
    pub fn course(&mut self) -> anyhow::Result<Course> {
        let shared = self.course.clone();
        // Others that want it wait for it; one that panicked left nothing half done in it.
        let mut known = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(course) = &*known {
            return Ok(course.clone());
        }
        let course = self.runtime.clone().block_on(async {
            let controllers = Controllers::start(self).await?;
            let life = Life { world: self, controllers: &controllers, names: Names::default(), vdc: "cloud" };
            let course = life.undisturbed().await?;
            let counts = controllers
                .ways()
                .map(|way| way.record().entries().iter().filter(|e| e.call.kind == Kind::Write).count());
            println!("writes without faults (hub, site to hub, site): {counts:?}");
            anyhow::Ok(course)
        })?;
        *known = Some(course.clone());
        Ok(course)
    }

    /// The bureau, once a hub controller has made its namespace.
    pub async fn bureau(&self) -> anyhow::Result<()> {
        let spec = json!({"displayName": "测试局", "domains": ["faults.example"],
            "quota": {"cpu": "200", "memory": "400Gi", "storage": "1000Gi"},
            "members": [{"subject": {"kind": "Group", "name": "faults-admins"}, "role": "Admin"}]});
        apply::<Bureau>(self.hub.client(), None, "faults", spec).await?;
        let namespaces: Api<Namespace> = Api::all(self.hub.client().clone());
        until(namespaces, BUREAU, |_| true).await?;
        let sites: Api<Site> = Api::all(self.hub.client().clone());
        let ready =
            |s: &Site| state_of(&s.status.clone().unwrap_or_default().conditions, "Ready") == State::True;
        until(sites, SITE, ready).await.map(drop)
    }
}

fn site_spec() -> Value {
    json!({"displayName": "谯城数据中心", "region": "bozhou", "failureDomain": "qiaocheng-1",
        "capacity": {"declared": {"cpu": "100", "memory": "200Gi", "pods": 1000, "storage": "1000Gi"}},
        "providers": {"network": {"kind": "None"},
            "storage": [{"name": "local-path", "driver": "rancher.io/local-path", "encryption": "None", "replication": "None"}]}})
}

/// `YUNTING_FAULTS_KEEP=1` keeps it, for who has to read whole logs.
fn directory() -> anyhow::Result<tempfile::TempDir> {
    let keep = std::env::var_os("YUNTING_FAULTS_KEEP").is_some();
    let directory = tempfile::Builder::new().prefix("yunting-faults-").disable_cleanup(keep).tempdir()?;
    if keep {
        println!("logs are kept in {}", directory.path().display());
    }
    Ok(directory)
}

/// target/<profile>/deps/faults-… beside target/<profile>/yunting-controller
fn program() -> anyhow::Result<PathBuf> {
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

async fn install(server: &ApiServer, part: &str) -> anyhow::Result<()> {
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
