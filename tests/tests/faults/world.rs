//! Two control planes, the bureau of all tests, and the undisturbed course that is lived once.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::bail;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use yunting_crds::Bureau;
use yunting_faults::call::Kind;
pub use yunting_tests::plane::{PATIENCE, SITE, apply, gone, until};
use yunting_tests::plane::{Planes, directory};

use super::controllers::Controllers;
use super::dump::Names;
use super::life::{Course, Life};

/// Hub namespace of the bureau of all tests.
pub const BUREAU: &str = "bureau-faults";

/// Two control planes and what a fault test needs beside them.
pub struct World {
    pub runtime: Arc<Runtime>,
    /// Everything instead of a sample.
    pub full: bool,
    planes: Planes,
    course: SharedCourse,
}

impl Deref for World {
    type Target = Planes;

    fn deref(&self) -> &Planes {
        &self.planes
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Planes {
        &mut self.planes
    }
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
        let directory = directory("yunting-faults-", "YUNTING_FAULTS_KEEP")?;
        let planes = Planes::start(directory, plan.seed, site_spec()).await?;
        Ok(Self { runtime: runtime.clone(), full: plan.full, planes, course: plan.course.clone() })
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
            let controllers = self.controllers().await?;
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

    /// Starts both controllers and waits until the site is ready and the bureau is there.
    pub async fn controllers(&self) -> anyhow::Result<Controllers> {
        let both = Controllers::start(self).await?;
        if let Err(late) = self.bureau().await {
            bail!("{late}\n{}", both.tails());
        }
        Ok(both)
    }

    /// The bureau, once a hub controller has made its namespace.
    pub async fn bureau(&self) -> anyhow::Result<()> {
        self.people(&["Admin"]).await?;
        let namespaces: Api<Namespace> = Api::all(self.hub.client().clone());
        until(namespaces, BUREAU, |_| true).await?;
        self.ready().await
    }

    /// Gives the bureau a group for each of these roles, and nobody else.
    pub async fn people(&self, roles: &[&str]) -> anyhow::Result<()> {
        let group =
            |role: &&str| json!({"kind": "Group", "name": format!("faults-{}s", role.to_lowercase())});
        let members: Vec<Value> =
            roles.iter().map(|role| json!({"subject": group(role), "role": role})).collect();
        let spec = json!({"displayName": "测试局", "domains": ["faults.example"],
            "quota": {"cpu": "200", "memory": "400Gi", "storage": "1000Gi"}, "members": members});
        apply::<Bureau>(self.hub.client(), None, "faults", spec).await.map(drop)
    }
}

fn site_spec() -> Value {
    json!({"displayName": "谯城数据中心", "region": "bozhou", "failureDomain": "qiaocheng-1",
        "capacity": {"declared": {"cpu": "100", "memory": "200Gi", "pods": 1000, "storage": "1000Gi"}},
        "providers": {"network": {"kind": "None"},
            "storage": [{"name": "local-path", "driver": "rancher.io/local-path", "encryption": "None", "replication": "None"}]}})
}
