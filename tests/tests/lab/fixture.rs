//! The lab of the suite, clients to it, and objects to try.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::await_condition;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use yunting_crds::conditions::{self, state_of};
use yunting_crds::{Bureau, Hall, Site, VirtualDataCenter};
use yunting_lab::spec::Lab;
use yunting_lab::state::State;
use yunting_lab::stock::Stock;

/// Time for anything that starts pods on these small sites.
pub const PATIENCE: Duration = Duration::from_mins(4);
/// Name of the lab; another one beside it has another.
static NAME: LazyLock<String> =
    LazyLock::new(|| std::env::var("YUNTING_LAB_NAME").unwrap_or_else(|_| "suite".to_owned()));

/// The lab of the suite.
pub struct World {
    pub runtime: Runtime,
    pub lab: Lab,
    pub hub: Client,
    pub images: BTreeMap<String, String>,
    /// Many repeats instead of a few.
    pub full: bool,
    program: PathBuf,
}

impl World {
    pub fn start() -> anyhow::Result<Self> {
        let runtime = Runtime::new()?;
        // target/<profile>/deps/lab-… beside target/<profile>/yunting-lab
        let here = std::env::current_exe()?;
        let program =
            here.parent().and_then(|d| d.parent()).context("no target directory")?.join("yunting-lab");
        if !program.is_file() {
            bail!("{} is not built; run `cargo build --workspace` first", program.display());
        }
        let lab = Lab::new(&NAME, 3)?;
        run(&program, &["up"])?;
        let images = Stock::read(&lab)?.variables();
        let hub = runtime.block_on(yunting_lab::client::hub(&lab, &lab.sites[0]))?;
        let full = std::env::var("YUNTING_LAB").is_ok_and(|form| form == "full");
        let world = Self { runtime, lab, hub, images, full, program };
        world.runtime.block_on(world.sites())?;
        Ok(world)
    }

    /// A command of the lab, as a person types it.
    pub fn lab(&self, words: &[&str]) -> anyhow::Result<()> {
        run(&self.program, words)
    }

    /// A token for a person.
    pub fn token(&self, user: &str, group: &str) -> anyhow::Result<String> {
        let out = Command::new(&self.program)
            .args(["--name", NAME.as_str(), "token", "--user", user, "--group", group])
            .output()?;
        if !out.status.success() {
            bail!("no token: {}", String::from_utf8_lossy(&out.stderr));
        }
        Ok(String::from_utf8(out.stdout)?.trim().to_owned())
    }

    pub fn gateway(&self, site: &str) -> anyhow::Result<u16> {
        let state = State::read(&self.lab)?.context("the lab has no state")?;
        Ok(state.ports.gateway(self.lab.site(site)?))
    }

    /// The administrator at a site.
    pub async fn site(&self, site: &str) -> anyhow::Result<Client> {
        Ok(yunting_lab::client::site(&self.lab, self.lab.site(site)?).await?)
    }

    /// Somebody with a token at a site.
    pub async fn as_person(&self, site: &str, token: &str) -> anyhow::Result<Client> {
        let mut kubeconfig = Kubeconfig::read_from(self.lab.kubeconfigs().join(format!("{site}.yaml")))?;
        for user in &mut kubeconfig.auth_infos {
            user.auth_info =
                Some(kube::config::AuthInfo { token: Some(token.to_owned().into()), ..Default::default() });
        }
        Ok(Client::try_from(
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?,
        )?)
    }

    /// The site controller's own identity, at the address that the host reaches: what only it may do, only it can undo.
    pub async fn as_site_controller(&self, site: &str) -> anyhow::Result<Client> {
        let place = self.lab.site(site)?;
        let outside = Kubeconfig::read_from(self.lab.kubeconfigs().join(format!("{site}.yaml")))?;
        let mut inside = Kubeconfig::read_from(self.lab.site_dir(place).kube("site-controller.yaml"))?;
        inside.clusters.clone_from(&outside.clusters);
        let cluster = outside.clusters.first().map(|c| c.name.clone()).unwrap_or_default();
        for context in inside.contexts.iter_mut().filter_map(|c| c.context.as_mut()) {
            context.cluster.clone_from(&cluster);
        }
        Ok(Client::try_from(Config::from_custom_kubeconfig(inside, &KubeConfigOptions::default()).await?)?)
    }

    /// The sample's Sites came with `up`; they are ready when their beats and canaries say so.
    async fn sites(&self) -> anyhow::Result<()> {
        for site in &self.lab.sites {
            let api: Api<Site> = Api::all(self.hub.clone());
            until(api, &site.name, PATIENCE, |s: &Site| {
                ready(s.status.as_ref().map_or(&[], |s| &s.conditions))
            })
            .await?;
        }
        Ok(())
    }

    /// Applies an object of ours at the hub.
    pub async fn apply<K>(&self, namespace: Option<&str>, name: &str, spec: Value) -> anyhow::Result<()>
    where
        K: Resource<DynamicType = ()>,
    {
        let resource = kube::core::ApiResource::erase::<K>(&());
        let api: Api<kube::core::DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.hub.clone(), namespace, &resource),
            None => Api::all_with(self.hub.clone(), &resource),
        };
        let body = json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": name}, "spec": spec});
        api.patch(name, &PatchParams::apply("suite"), &Patch::Apply(&body)).await?;
        Ok(())
    }

    /// A bureau with an administrators' group `<name>-admins` and its namespace.
    pub async fn bureau(&self, name: &str) -> anyhow::Result<String> {
        let spec = json!({"displayName": "测试局", "domains": [format!("{name}.example")],
            "quota": {"cpu": "20", "memory": "30Gi", "storage": "100Gi"},
            "members": [{"subject": {"kind": "Group", "name": format!("{name}-admins")}, "role": "Admin"}]});
        self.apply::<Bureau>(None, name, spec).await?;
        let namespace = format!("bureau-{name}");
        let api: Api<Namespace> = Api::all(self.hub.clone());
        until(api, &namespace, PATIENCE, |_| true).await?;
        Ok(namespace)
    }

    /// A VDC at the sites named, with room for the halls of these tests.
    pub async fn vdc(&self, namespace: &str, name: &str, sites: &[&str]) -> anyhow::Result<()> {
        let quota = json!({"cpu": "2", "memory": "1600Mi", "pods": 24, "storage": "6Gi"});
        self.vdc_of(namespace, name, sites, quota).await
    }

    /// A VDC with room for a pod or two, of which a site takes many.
    pub async fn small_vdc(&self, namespace: &str, name: &str, sites: &[&str]) -> anyhow::Result<()> {
        self.vdc_of(namespace, name, sites, json!({"cpu": "500m", "memory": "512Mi", "pods": 8})).await
    }

    /// A VDC of that quota.
    pub async fn vdc_of(
        &self,
        namespace: &str,
        name: &str,
        sites: &[&str],
        quota: Value,
    ) -> anyhow::Result<()> {
        let spec = json!({"quota": quota, "sites": {"names": sites},
            "namespaces": [{"name": "app", "weight": 3}, {"name": "sandbox", "access": "Direct"}],
            "isolation": {"ingressFrom": ["Portal"]}});
        self.apply::<VirtualDataCenter>(Some(namespace), name, spec).await
    }

    /// Releases a VDC and takes it away.
    pub async fn end_vdc(&self, namespace: &str, name: &str) -> anyhow::Result<()> {
        let vdcs: Api<VirtualDataCenter> = Api::namespaced(self.hub.clone(), namespace);
        let release = json!({"spec": {"lifecycle": {"state": "Released", "coolingOffHours": 0}}});
        vdcs.patch(name, &PatchParams::default(), &Patch::Merge(&release)).await?;
        let deletable = |v: &VirtualDataCenter| {
            state_of(&v.status.clone().unwrap_or_default().conditions, "Deletable") == conditions::State::True
        };
        until(vdcs.clone(), name, PATIENCE, deletable).await?;
        vdcs.delete(name, &DeleteParams::default()).await?;
        gone(vdcs, name, PATIENCE).await
    }

    /// A hall with a portal, an approval back end and, where asked, a database.
    pub async fn hall(
        &self,
        namespace: &str,
        name: &str,
        vdc: &str,
        class: &str,
        database: bool,
    ) -> anyhow::Result<()> {
        let bureau = namespace.trim_start_matches("bureau-");
        let image = |n: &str| self.images.get(n).cloned().unwrap_or_default();
        let probe = json!({"ready": {"http": "/healthz"}});
        let mut components = vec![
            json!({"name": "portal", "zone": "Portal", "image": image("hall"), "resources": {"cpu": "20m", "memory": "48Mi"},
                "ports": [{"name": "http", "port": 8080}], "probes": probe, "calls": [{"component": "approval"}],
                "env": [{"name": "HALL_MODE", "value": "portal"}, {"name": "HALL_NAME", "value": "测试厅"}]}),
            json!({"name": "approval", "zone": "Approval", "image": image("hall"), "resources": {"cpu": "20m", "memory": "48Mi"},
                "ports": [{"name": "http", "port": 8080}], "probes": probe,
                "env": [{"name": "HALL_MODE", "value": "approval"}, {"name": "HALL_NAME", "value": "测试厅"}]}),
        ];
        if database {
            components.push(json!({"name": "db", "zone": "Data", "kind": "Stateful", "image": image("postgres"),
                "resources": {"cpu": "50m", "memory": "160Mi"}, "ports": [{"name": "postgres", "port": 5432}], "runAsUser": 70,
                "probes": {"ready": {"tcp": "Open"}}, "writablePaths": ["/run/postgresql", "/tmp"],
                "secretRefs": [{"name": format!("{name}-db"), "generate": ["password"]}],
                "env": [{"name": "POSTGRES_PASSWORD", "secretKey": {"name": format!("{name}-db"), "key": "password"}}],
                "volumes": [{"name": "data", "size": "1Gi", "mountPath": "/var/lib/postgresql"}]}));
        }
        let spec = json!({"vdcRef": {"name": vdc}, "displayName": "测试厅", "availabilityClass": class,
            "portal": {"host": format!("{name}.{bureau}.example"), "component": "portal"}, "components": components});
        self.apply::<Hall>(Some(namespace), name, spec).await
    }

    pub async fn vdc_ready(&self, namespace: &str, name: &str) -> anyhow::Result<VirtualDataCenter> {
        let api: Api<VirtualDataCenter> = Api::namespaced(self.hub.clone(), namespace);
        until(api, name, PATIENCE, |v: &VirtualDataCenter| {
            let status = v.status.as_ref();
            status.is_some_and(|s| s.observed_generation == v.metadata.generation && ready(&s.conditions))
        })
        .await
    }

    pub async fn hall_ready(&self, namespace: &str, name: &str) -> anyhow::Result<Hall> {
        let api: Api<Hall> = Api::namespaced(self.hub.clone(), namespace);
        until(api, name, PATIENCE, |h: &Hall| {
            let status = h.status.as_ref();
            status.is_some_and(|s| s.observed_generation == h.metadata.generation && ready(&s.conditions))
        })
        .await
    }
}

fn run(program: &PathBuf, words: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(program).arg("--name").arg(NAME.as_str()).args(words).status()?;
    if !status.success() {
        bail!("yunting-lab {} ended with {status}", words.join(" "));
    }
    Ok(())
}

/// The last test: what `down` leaves is a fault.
pub fn down(world: &World) -> anyhow::Result<()> {
    world.lab(&["down"])?;
    let left = yunting_lab::hygiene::leftovers(&NAME);
    if left.is_empty() { Ok(()) } else { bail!("down left behind:\n{}", left.join("\n")) }
}

pub fn ready(conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]) -> bool {
    yunting_crds::conditions::state_of(conditions, "Ready") == yunting_crds::conditions::State::True
}

/// Waits, by watching, until an object is as wanted; says how it was last when it takes too long.
pub async fn until<K>(
    api: Api<K>,
    name: &str,
    patience: Duration,
    wanted: impl Fn(&K) -> bool,
) -> anyhow::Result<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + serde::Serialize + Send + 'static,
{
    let wait = await_condition(api.clone(), name, |o: Option<&K>| o.is_some_and(&wanted));
    if let Ok(found) = tokio::time::timeout(patience, wait).await {
        return found?.context("it was there and went");
    }
    let last = api.get_opt(name).await?;
    let shown = last.map_or_else(
        || "absent".to_owned(),
        |o| serde_json::to_value(&o).unwrap_or_default()["status"].to_string(),
    );
    bail!("{} {name} was not as wanted within {} s; last: {shown}", K::kind(&()), patience.as_secs())
}

/// Waits, by watching, until some object is as wanted.
pub async fn seen<K>(api: Api<K>, patience: Duration, wanted: impl Fn(&K) -> bool) -> anyhow::Result<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let stream = watcher(api, watcher::Config::default()).applied_objects().default_backoff();
    let found = stream.try_filter(|o| std::future::ready(wanted(o)));
    let mut found = std::pin::pin!(found);
    let first = tokio::time::timeout(patience, found.next()).await;
    let late = || format!("no {} was as wanted within {} s", K::kind(&()), patience.as_secs());
    first.with_context(late)?.context("the watch ended")?.map_err(Into::into)
}

/// Waits until an object is gone.
pub async fn gone<K>(api: Api<K>, name: &str, patience: Duration) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + serde::Serialize + Send + 'static,
{
    let wait = await_condition(api.clone(), name, |o: Option<&K>| o.is_none());
    if tokio::time::timeout(patience, wait).await.is_err() {
        let last = api.get_opt(name).await?.map(|o| serde_json::to_string(&o).unwrap_or_default());
        bail!(
            "{} {name} is still there after {} s: {}",
            K::kind(&()),
            patience.as_secs(),
            last.unwrap_or_default()
        );
    }
    Ok(())
}

/// Namespaces of a VDC at its sites, by its own word.
pub fn namespaces(vdc: &VirtualDataCenter) -> Vec<String> {
    let mut all: Vec<String> =
        vdc.status.iter().flat_map(|s| &s.sites).flat_map(|s| s.namespaces.clone()).collect();
    all.sort();
    all.dedup();
    all
}

/// Name of a VDC's namespace, derived as the product does.
pub fn namespace_of(vdc: &VirtualDataCenter, namespace: &str) -> String {
    use yunting_crds::names::{NamespaceName, VdcName, site_namespace};
    let name = VdcName::new(&vdc.name_any()).unwrap();
    site_namespace(&name, &NamespaceName::new(namespace).unwrap(), &vdc.uid().unwrap())
}
