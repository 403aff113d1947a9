//! A hub, some sites, their controllers, one bureau and its VDC.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use yunting_crds::conditions::{State, find, state_of};
use yunting_crds::names::{NamespaceName, VdcName, site_namespace};
use yunting_crds::{Bureau, Site, VirtualDataCenter};
use yunting_tests::apiserver::{ApiServer, Beside, wait};
use yunting_tests::plane::{apply, install, program};

use super::process::Process;

/// Time for anything that is waited for; a loaded machine with two cores needs a tenth of it.
pub const PATIENCE: Duration = Duration::from_mins(4);
const BUREAU: &str = "storm";
const VDC: &str = "tempest";
const NAMES: [&str; 3] = ["qiaocheng", "guoyang", "mengcheng"];

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub sites: usize,
    pub namespaces: usize,
    pub clients: usize,
    /// Changes of the quota in one storm.
    pub rounds: usize,
    /// Pods of the VDC.
    pub pods: u64,
}

/// One site.
pub struct SiteEnd {
    pub name: &'static str,
    pub server: ApiServer,
}

/// Everything.
pub struct World {
    pub runtime: Runtime,
    pub size: Size,
    pub hub: ApiServer,
    pub sites: Vec<SiteEnd>,
    controllers: Vec<Process>,
    directory: tempfile::TempDir,
}

impl World {
    pub fn start() -> anyhow::Result<Self> {
        let full = std::env::var("YUNTING_STORMS").is_ok_and(|v| v == "full");
        let size = if full {
            Size { sites: 3, namespaces: 7, clients: 200, rounds: 40, pods: 420 }
        } else {
            Size { sites: 2, namespaces: 3, clients: 48, rounds: 6, pods: 120 }
        };
        let runtime = Runtime::new()?;
        let (hub, sites) = runtime.block_on(servers(size))?;
        let mut world =
            Self { runtime, size, hub, sites, controllers: Vec::new(), directory: tempfile::tempdir()? };
        world.controllers = world.controllers()?;
        if let Err(error) = world.runtime.block_on(world.prepare()) {
            anyhow::bail!("{error:?}\n{}", world.tails());
        }
        println!("{size:?}");
        Ok(world)
    }

    fn controllers(&self) -> anyhow::Result<Vec<Process>> {
        let (program, place) = (program()?, self.directory.path());
        let hub = write(place, "hub", &self.hub.kubeconfig("yunting:hub:a", &["yunting:hubs"])?)?;
        let arguments = ["hub", "--kubeconfig", &hub, "--identity", "a", "--listen", "127.0.0.1:0"];
        let mut all = vec![Process::start(&program, &arguments, place.join("hub.log"))?];
        for site in &self.sites {
            let user = format!("yunting:site:{}", site.name);
            let hub = write(
                place,
                &format!("{}-hub", site.name),
                &self.hub.kubeconfig(&user, &["yunting:sites"])?,
            )?;
            let own = site.server.kubeconfig("yunting:site-controller", &["yunting:site-controllers"])?;
            let own = write(place, &format!("{}-own", site.name), &own)?;
            let arguments = [
                "site",
                "--site",
                site.name,
                "--hub-kubeconfig",
                &hub,
                "--site-kubeconfig",
                &own,
                "--listen",
                "127.0.0.1:0",
            ];
            all.push(Process::start(&program, &arguments, place.join(format!("{}.log", site.name)))?);
        }
        Ok(all)
    }

    /// Bureau and VDC, until it is ready.
    async fn prepare(&self) -> anyhow::Result<()> {
        let spec = json!({"displayName": "风暴局", "domains": ["storm.example"],
            "quota": {"cpu": "4000", "memory": "4000Gi", "storage": "4000Gi"},
            "members": [{"subject": {"kind": "Group", "name": "storm-admins"}, "role": "Admin"}]});
        apply::<Bureau>(self.hub.client(), None, BUREAU, spec).await?;
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.hub.client().clone());
        let made = async || namespaces.get_opt(&bureau()).await.ok().flatten();
        wait("the bureau's namespace", PATIENCE, made).await?;
        let sites: Api<Site> = Api::all(self.hub.client().clone());
        for site in &self.sites {
            let ready = async || {
                let conditions = sites.get(site.name).await.ok()?.status?.conditions;
                (state_of(&conditions, "Ready") == State::True).then_some(())
            };
            wait(&format!("site {}", site.name), PATIENCE, ready).await?;
        }
        self.change(self.vdc(self.size.pods, 0, "Active")).await.map(drop)
    }

    /// The VDC with so many pods, its namespaces weighed differently in each round.
    pub fn vdc(&self, pods: u64, round: usize, state: &str) -> Value {
        let count = self.size.namespaces;
        let namespace = |i: usize| {
            let weight = if round > 0 && i == round % count { 4 } else { 1 };
            json!({"name": format!("n{i}"), "access": "Direct", "weight": weight})
        };
        let names: Vec<&str> = self.sites.iter().map(|s| s.name).collect();
        json!({
            "quota": {"cpu": "2000", "memory": "2000Gi", "storage": "100Gi", "pods": pods},
            "sites": {"names": names},
            "namespaces": (0..count).map(namespace).collect::<Vec<_>>(),
            "lifecycle": {"state": state},
        })
    }

    /// Writes the VDC and waits until every site has made it true.
    pub async fn change(&self, spec: Value) -> anyhow::Result<VirtualDataCenter> {
        self.write(spec).await?;
        self.until("Ready").await
    }

    pub async fn write(&self, spec: Value) -> anyhow::Result<()> {
        apply::<VirtualDataCenter>(self.hub.client(), Some(&bureau()), VDC, spec).await.map(drop)
    }

    /// Waits until a condition of the VDC is true of its generation.
    pub async fn until(&self, condition: &str) -> anyhow::Result<VirtualDataCenter> {
        let api: Api<VirtualDataCenter> = Api::namespaced(self.hub.client().clone(), &bureau());
        let mut last = None;
        let look = async || {
            let vdc = api.get_opt(VDC).await.ok().flatten()?;
            let conditions = &vdc.status.clone().unwrap_or_default().conditions;
            last = find(conditions, condition).cloned();
            let now = last.as_ref().is_some_and(|c| c.observed_generation == vdc.metadata.generation);
            (now && state_of(conditions, condition) == State::True).then_some(vdc)
        };
        let waited = wait(&format!("{condition} of the VDC"), PATIENCE, look).await;
        waited.map_err(|late| anyhow::anyhow!("{late}; last: {last:?}"))
    }

    /// Kills every site's controller wherever it is; each comes again.
    pub fn crash(&self) -> anyhow::Result<()> {
        self.controllers.iter().skip(1).try_for_each(Process::crash)
    }

    /// Names of the VDC's namespaces, the same at all sites.
    pub fn namespaces(&self, vdc: &VirtualDataCenter) -> Vec<String> {
        let uid = vdc.uid().unwrap();
        let name = |i| NamespaceName::new(&format!("n{i}")).unwrap();
        (0..self.size.namespaces)
            .map(|i| site_namespace(&VdcName::new(VDC).unwrap(), &name(i), &uid))
            .collect()
    }

    /// Somebody of the bureau at each site.
    pub async fn people(&self) -> anyhow::Result<Vec<Client>> {
        let mut all = Vec::new();
        for site in &self.sites {
            all.push(site.server.client_of("oidc:li", &["oidc:storm-admins"]).await?);
        }
        Ok(all)
    }

    /// The ends of all logs.
    pub fn tails(&self) -> String {
        self.controllers.iter().map(Process::tail).collect::<Vec<_>>().join("\n---\n")
    }
}

fn bureau() -> String {
    format!("bureau-{BUREAU}")
}

async fn servers(size: Size) -> anyhow::Result<(ApiServer, Vec<SiteEnd>)> {
    let hub = ApiServer::start(Beside::Controllers).await?;
    install(&hub, "hub").await?;
    let mut sites = Vec::new();
    for (i, name) in NAMES.into_iter().take(size.sites).enumerate() {
        let server = ApiServer::start(Beside::Controllers).await?;
        install(&server, "site").await?;
        let spec = json!({"displayName": name, "region": "bozhou", "failureDomain": format!("d{i}"),
            "capacity": {"declared": {"cpu": "2000", "memory": "2000Gi", "pods": 5000, "storage": "1000Gi"}},
            "providers": {"network": {"kind": "None"}, "storage": [{"name": "local-path",
                "driver": "rancher.io/local-path", "encryption": "None", "replication": "None"}]}});
        apply::<Site>(hub.client(), None, name, spec).await?;
        sites.push(SiteEnd { name, server });
    }
    Ok((hub, sites))
}

fn write(place: &Path, name: &str, kubeconfig: &Value) -> anyhow::Result<String> {
    let file = place.join(format!("{name}.json"));
    std::fs::write(&file, kubeconfig.to_string())?;
    file.to_str().map(str::to_owned).context("a path that is no text")
}
