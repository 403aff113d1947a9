//! A hub and its sites as lone API servers with Yunting installed, and the real controllers beside them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use yunting_lab::manifests;
use yunting_tests::apiserver::{ApiServer, Beside, Options, free_port, wait};

use crate::clients::{Call, Clients, Who, apply, ours};
use crate::process::{Memory, Program, cpu_seconds, memory};

/// Names of the sites; as many are taken as are asked for.
const SITES: [&str; 3] = ["qiaocheng", "guoyang", "mengcheng"];
/// Time for anything that is waited for on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(10);
/// VDCs per bureau.
pub const VDCS_PER_BUREAU: usize = 20;

/// What is started.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Number of sites, one to three.
    pub sites: usize,
    /// Every request of Yunting's own is written down.
    pub audit: bool,
    /// The controllers' program.
    pub program: PathBuf,
}

/// A site's own cluster.
pub struct Site {
    /// Its name.
    pub name: &'static str,
    /// Its API server.
    pub server: ApiServer,
}

/// Hub, sites and controllers. All end with the value.
pub struct City {
    controllers: Vec<Controller>,
    layout: Layout,
    /// The hub.
    pub hub: ApiServer,
    /// The sites.
    pub sites: Vec<Site>,
    /// Clients of everybody.
    pub clients: Clients,
    directory: tempfile::TempDir,
}

struct Controller {
    name: String,
    program: Program,
    port: u16,
}

/// Processor time in seconds, by what used it.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Usage {
    /// Yunting's controllers.
    pub controllers: f64,
    /// API servers of hub and sites.
    pub api_servers: f64,
    /// Their etcds.
    pub etcd: f64,
    /// Kubernetes' own controllers: not Yunting's work, shown only.
    pub kubernetes: f64,
    /// This process: the floor's client; beside the product, who asks and watches.
    pub bench: f64,
}

impl Usage {
    /// What provisioning costs in all.
    pub fn total(&self) -> f64 {
        self.controllers + self.api_servers + self.etcd + self.bench
    }

    /// What was used since.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            controllers: self.controllers - before.controllers,
            api_servers: self.api_servers - before.api_servers,
            etcd: self.etcd - before.etcd,
            kubernetes: self.kubernetes - before.kubernetes,
            bench: self.bench - before.bench,
        }
    }
}

impl City {
    /// Starts servers and installs everything; no controller yet.
    pub async fn start(layout: &Layout) -> anyhow::Result<Self> {
        ensure!(
            (1..=SITES.len()).contains(&layout.sites),
            "one to {} sites, not {}",
            SITES.len(),
            layout.sites
        );
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("audit.json"), audit_policy().to_string())?;
        let names: Vec<&'static str> = std::iter::once("hub").chain(SITES).take(layout.sites + 1).collect();
        let starts = names.iter().map(|name| server(name, layout, directory.path()));
        let mut servers = try_join_all(starts).await?;
        let hub = servers.remove(0);
        let sites: Vec<Site> =
            names[1..].iter().zip(servers).map(|(name, server)| Site { name, server }).collect();
        install(&hub, "hub").await?;
        for site in &sites {
            install(&site.server, "site").await?;
        }
        let clients = clients(&hub, &sites).await?;
        Ok(Self { controllers: Vec::new(), layout: layout.clone(), hub, sites, clients, directory })
    }

    /// Starts the controllers of hub and sites and waits until the sites are ready.
    pub async fn start_controllers(&mut self) -> anyhow::Result<()> {
        for (index, site) in self.sites.iter().enumerate() {
            self.clients.send(&site_object(site.name, index)).await?;
        }
        self.start_hub()?;
        for index in 0..self.sites.len() {
            self.start_site(index)?;
        }
        let names: Vec<&str> = self.sites.iter().map(|s| s.name).collect();
        self.are_ready("sites", &names).await
    }

    /// Starts the hub's controller.
    pub fn start_hub(&mut self) -> anyhow::Result<()> {
        let kubeconfig = kubeconfig(&self.hub, "yunting:hub:a", "yunting:hubs")?;
        let arguments = ["hub", "--identity", "a", "--kubeconfig", &kubeconfig].map(str::to_owned).to_vec();
        self.run("hub".to_owned(), arguments)
    }

    /// Starts a site's controller.
    pub fn start_site(&mut self, index: usize) -> anyhow::Result<()> {
        let site = self.sites.get(index).context("no such site")?;
        let user = format!("yunting:site:{}", site.name);
        let hub = kubeconfig(&self.hub, &user, "yunting:sites")?;
        let own = kubeconfig(&site.server, "yunting:site-controller", "yunting:site-controllers")?;
        let words = ["site", "--site", site.name, "--hub-kubeconfig", &hub, "--site-kubeconfig", &own];
        self.run(site.name.to_owned(), words.map(str::to_owned).to_vec())
    }

    fn run(&mut self, name: String, mut arguments: Vec<String>) -> anyhow::Result<()> {
        let port = free_port()?;
        arguments.extend(["--listen".to_owned(), format!("127.0.0.1:{port}")]);
        let log = self.directory.path().join(format!("controller-{name}.log"));
        let program = Program::start(&self.layout.program, &arguments, log)?;
        self.controllers.push(Controller { name, program, port });
        Ok(())
    }

    /// Ends one controller in order.
    pub fn stop(&mut self, name: &str) -> anyhow::Result<()> {
        let at = self.controllers.iter().position(|c| c.name == name).context("no such controller")?;
        self.controllers.remove(at).program.stop()
    }

    /// Ends all controllers in order: bureaus and sites stand, and nobody works on them.
    pub fn stop_controllers(&mut self) -> anyhow::Result<()> {
        while let Some(mut controller) = self.controllers.pop() {
            controller.program.stop()?;
        }
        Ok(())
    }

    /// Port of a controller's metrics and health.
    pub fn port(&self, name: &str) -> anyhow::Result<u16> {
        Ok(self.controllers.iter().find(|c| c.name == name).context("no such controller")?.port)
    }

    /// Bureaus for that many VDCs, ready.
    pub async fn bureaus(&self, vdcs: usize) -> anyhow::Result<Vec<String>> {
        let names: Vec<String> = (0..vdcs.div_ceil(VDCS_PER_BUREAU)).map(|n| format!("bureau{n}")).collect();
        for name in &names {
            self.clients.send(&person_bureau(name)).await?;
        }
        self.are_ready("bureaus", &names).await?;
        Ok(names)
    }

    /// Waits until cluster-scoped objects of ours are ready.
    pub async fn are_ready<T: AsRef<str>>(&self, plural: &str, names: &[T]) -> anyhow::Result<()> {
        for name in names {
            let path = ours(plural, None, name.as_ref());
            wait(&format!("{path} to be ready"), PATIENCE, async || self.is_ready(&path).await)
                .await
                .with_context(|| self.tails())?;
        }
        Ok(())
    }

    async fn is_ready(&self, path: &str) -> Option<()> {
        let request = http::Request::get(path).body(Vec::new()).ok()?;
        let object: Value = self.clients.person.request(request).await.ok()?;
        is_ready(&object).then_some(())
    }

    /// Processor time used so far.
    pub fn usage(&self) -> Usage {
        let servers: Vec<_> = std::iter::once(&self.hub)
            .chain(self.sites.iter().map(|s| &s.server))
            .flat_map(ApiServer::processes)
            .collect();
        let of = |name: &str| {
            let ids = servers.iter().filter(|(n, _)| *n == name);
            ids.filter_map(|(_, id)| cpu_seconds(*id)).sum()
        };
        Usage {
            controllers: self.controllers.iter().filter_map(|c| cpu_seconds(c.program.id())).sum(),
            api_servers: of("kube-apiserver"),
            etcd: of("etcd"),
            kubernetes: of("kube-controller-manager"),
            bench: cpu_seconds(std::process::id()).unwrap_or_default(),
        }
    }

    /// Name, processor time and memory of each controller.
    pub fn controllers(&self) -> Vec<(String, f64, Memory)> {
        let of = |c: &Controller| {
            let id = c.program.id();
            Some((c.name.clone(), cpu_seconds(id)?, memory(id)?))
        };
        self.controllers.iter().filter_map(of).collect()
    }

    /// The ends of what controllers wrote.
    pub fn tails(&self) -> String {
        let tail = |c: &Controller| format!("--- {} ---\n{}\n", c.name, c.program.tail());
        self.controllers.iter().map(tail).collect()
    }

    /// Audit logs of the hub and of each site.
    pub fn audit_logs(&self) -> Vec<PathBuf> {
        let names = std::iter::once("hub").chain(self.sites.iter().map(|s| s.name));
        names.map(|name| audit_log(self.directory.path(), name)).collect()
    }
}

/// Fails when a time has passed; for loops that watch.
pub fn deadline(what: &str, since: Instant) -> anyhow::Result<()> {
    ensure!(since.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
    Ok(())
}

/// Whether an object says `Ready` of its own generation.
pub fn is_ready(object: &Value) -> bool {
    let generation = object.pointer("/metadata/generation");
    let observed = object.pointer("/status/observedGeneration");
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let ready = |c: &Value| c["type"] == "Ready" && c["status"] == "True";
    generation == observed && conditions.is_some_and(|all| all.iter().any(ready))
}

/// Writes a kubeconfig for somebody and says where it is.
fn kubeconfig(server: &ApiServer, user: &str, group: &str) -> anyhow::Result<String> {
    let at = server.directory().join(format!("{}.json", user.replace(':', "-")));
    std::fs::write(&at, server.kubeconfig(user, &[group])?.to_string())?;
    Ok(at.display().to_string())
}

fn audit_log(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("audit-{name}.log"))
}

async fn server(name: &str, layout: &Layout, directory: &Path) -> anyhow::Result<ApiServer> {
    let mut options = Options { beside: Beside::Controllers, ..Options::default() };
    if layout.audit {
        let policy = directory.join("audit.json").display().to_string();
        options.server_flags.insert("audit-policy-file", policy);
        options.server_flags.insert("audit-log-path", audit_log(directory, name).display().to_string());
    }
    // Kubernetes' own limits would be measured otherwise.
    options.controller_flags.insert("kube-api-qps", "2000".to_owned());
    options.controller_flags.insert("kube-api-burst", "4000".to_owned());
    options.controller_flags.insert("concurrent-resource-quota-syncs", "16".to_owned());
    ApiServer::start_with(&options).await
}

fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "Metadata", "userGroups": ["yunting:hubs", "yunting:sites", "yunting:site-controllers"]},
            {"level": "None"},
        ],
    })
}

async fn install(server: &ApiServer, part: &str) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for place in [root.join("crds/yaml").join(part), root.join("install").join(part)] {
        let objects = manifests::read_dir(&place, &manifests::Variables::new())?;
        ensure!(!objects.is_empty(), "nothing in {}", place.display());
        manifests::apply(server.client(), &objects).await.with_context(|| server.logs())?;
    }
    Ok(())
}

async fn clients(hub: &ApiServer, sites: &[Site]) -> anyhow::Result<Clients> {
    let mut clients = Clients {
        person: hub.client_of("oidc:bench", &["system:masters"]).await?,
        hub: hub.client_of("yunting:hub:a", &["yunting:hubs"]).await?,
        sites_at_hub: Vec::new(),
        sites: Vec::new(),
    };
    for site in sites {
        let user = format!("yunting:site:{}", site.name);
        clients.sites_at_hub.push(hub.client_of(&user, &["yunting:sites"]).await?);
        let own = site.server.client_of("yunting:site-controller", &["yunting:site-controllers"]);
        clients.sites.push(own.await?);
    }
    Ok(clients)
}

/// As a person writes it.
pub fn person(plural: &str, namespace: Option<&str>, kind: &str, name: &str, spec: &Value) -> Call {
    let mut body =
        json!({"apiVersion": "yunting.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    if let Some(namespace) = namespace {
        body["metadata"]["namespace"] = namespace.into();
    }
    apply(Who::Person, &ours(plural, namespace, name), "bench", &body)
}

fn site_object(name: &str, index: usize) -> Call {
    let declared = json!({"cpu": "100000", "memory": "500Ti", "pods": 1_000_000, "storage": "1000Ti"});
    let spec = json!({
        "displayName": name, "region": "bozhou", "failureDomain": format!("domain{index}"),
        "capacity": {"declared": declared}, "providers": {"network": {"kind": "NetworkPolicy"}},
    });
    person("sites", None, "Site", name, &spec)
}

/// A bureau with room for hundreds of VDCs.
pub fn person_bureau(name: &str) -> Call {
    let member = |group: &str, role: &str| json!({"subject": {"kind": "Group", "name": format!("{name}-{group}")}, "role": role});
    let spec = json!({
        "displayName": name, "quota": {"cpu": "10000", "memory": "100Ti", "storage": "100Ti"},
        "members": [member("admins", "Admin"), member("viewers", "Viewer")],
    });
    person("bureaus", None, "Bureau", name, &spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_generation_is_not_ready() {
        let object = |generation: i64| {
            json!({"metadata": {"generation": generation}, "status": {"observedGeneration": 1,
                "conditions": [{"type": "Ready", "status": "True"}]}})
        };
        assert!(is_ready(&object(1)));
        assert!(!is_ready(&object(2)));
    }
}
