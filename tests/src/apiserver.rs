//! A real etcd and a real kube-apiserver for one test, and a controller manager beside them where one is asked for.
//!
//! Everything listens on free ports of 127.0.0.1 and lies in a directory of its own; both go with the value. There is
//! one of these per test, never one for all: a test may remove policies.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use yunting_lab::pki::{Authority, Pair, Subject};
use yunting_lab::progress::Progress;

/// How long one program may take to become ready. A busy machine with two cores needs a tenth of it.
const PATIENCE: Duration = Duration::from_mins(1);
/// Time between looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(50);
/// Whom the server knows as its administrator; tests speak for others by impersonation.
const ADMIN: &str = "yunting:test-admin";

/// What runs beside the API server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Beside {
    /// Nothing: what a test writes stays as it is.
    #[default]
    Nothing,
    /// A controller manager, each controller with a service account of its own, as at a site and at the hub.
    Controllers,
}

/// What is started, and with what.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What runs beside the API server.
    pub beside: Beside,
    /// Further flags of the API server, or other values for those it has.
    pub server_flags: BTreeMap<&'static str, String>,
    /// The same of the controller manager.
    pub controller_flags: BTreeMap<&'static str, String>,
}

/// A running API server. Its processes end with it.
pub struct ApiServer {
    /// Ended in reverse order.
    processes: Vec<Process>,
    client: Client,
    options: Options,
    binaries: PathBuf,
    keys: Keys,
    ports: Ports,
    /// Removed after the processes ended.
    directory: tempfile::TempDir,
}

/// Where the programs listen.
#[derive(Debug, Clone, Copy)]
struct Ports {
    etcd: (u16, u16),
    server: u16,
}

impl ApiServer {
    /// Starts one and waits until it is ready.
    pub async fn start(beside: Beside) -> anyhow::Result<Self> {
        Self::start_with(&Options { beside, ..Options::default() }).await
    }

    /// Starts one with options.
    pub async fn start_with(options: &Options) -> anyhow::Result<Self> {
        // Another test may have installed it already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let directory = tempfile::tempdir().context("cannot make a directory for the API server")?;
        let links = directory.path().join("bin");
        let binaries = tokio::task::spawn_blocking(move || binaries(links)).await??;
        let place = Place { directory: directory.path(), binaries: &binaries };
        let keys = Keys::write(place.directory)?;
        let mut processes = Vec::new();
        let etcd = start_etcd(&place, None, &mut processes).await?;
        let (server, client) = start_server(&place, &keys, (etcd.0, None), options, &mut processes).await?;
        if options.beside == Beside::Controllers {
            processes.push(start_controllers(&place, options)?);
        }
        let ports = Ports { etcd, server };
        Ok(Self { processes, client, options: options.clone(), binaries, keys, ports, directory })
    }

    /// Stops everything, copies what etcd holds, and starts it again at the same addresses.
    pub async fn back_up(&mut self, copy: &Path) -> anyhow::Result<()> {
        self.stop();
        copy_files(&self.data(), copy)?;
        self.resume().await
    }

    /// Stops everything, puts an older copy in place of what etcd holds, and starts it again at the same addresses.
    /// Revisions begin again where they were, as with a copied disk.
    pub async fn restore(&mut self, copy: &Path) -> anyhow::Result<()> {
        self.stop();
        fs::remove_dir_all(self.data())?;
        copy_files(copy, &self.data())?;
        self.resume().await
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join(format!("etcd-{}", self.ports.etcd.0))
    }

    fn stop(&mut self) {
        while let Some(process) = self.processes.pop() {
            drop(process);
        }
    }

    async fn resume(&mut self) -> anyhow::Result<()> {
        let place = Place { directory: self.directory.path(), binaries: &self.binaries };
        let Ports { etcd, server } = self.ports;
        start_etcd(&place, Some(etcd), &mut self.processes).await?;
        start_server(&place, &self.keys, (etcd.0, Some(server)), &self.options, &mut self.processes).await?;
        if self.options.beside == Beside::Controllers {
            self.processes.push(start_controllers(&place, &self.options)?);
        }
        Ok(())
    }

    /// A client with a certificate for that user and those groups.
    pub async fn client_of(&self, user: &str, groups: &[&str]) -> anyhow::Result<Client> {
        let mut config = config_of(&self.kubeconfig(user, groups)?).await?;
        // What the server says is for the test to see.
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    /// The administrator's client; may speak for anybody.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A kubeconfig with a client certificate for this user and these groups, as a program of ours takes it.
    pub fn kubeconfig(&self, user: &str, groups: &[&str]) -> anyhow::Result<Value> {
        let subject = groups.iter().fold(Subject::client(user), |subject, group| subject.group(group));
        Ok(self.keys.kubeconfig(self.ports.server, &self.keys.authority.issue(&subject)?))
    }

    /// Name and process id of each program that runs here.
    pub fn processes(&self) -> Vec<(&'static str, u32)> {
        self.processes.iter().map(|p| (p.name, p.child.id())).collect()
    }

    /// What the programs wrote, the end of each.
    pub fn logs(&self) -> String {
        self.processes.iter().map(Process::tail).collect()
    }

    /// Where certificates, data, logs and `kubeconfig.json` lie.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_files(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

async fn config_of(kubeconfig: &Value) -> anyhow::Result<Config> {
    let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig.clone())?;
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

/// Waits for something, looking again and again.
pub async fn wait<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let since = Instant::now();
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tick.tick().await;
        if let Some(found) = look().await {
            return Ok(found);
        }
        ensure!(since.elapsed() < patience, "{what}: not within {patience:?}");
    }
}

/// The directory with etcd and Kubernetes: `YUNTING_BIN_DIR`, or what the lab builds and keeps in its cache.
fn binaries(links: PathBuf) -> anyhow::Result<PathBuf> {
    static ONE_BUILD: Mutex<()> = Mutex::new(());
    if let Some(given) = std::env::var_os("YUNTING_BIN_DIR") {
        return Ok(given.into());
    }
    let _one = ONE_BUILD.lock().map_err(|_| anyhow::anyhow!("another test could not build Kubernetes"))?;
    yunting_lab::binaries::ensure(&links, &Progress::new()).context("cannot build Kubernetes and etcd")?;
    Ok(links)
}

/// Certificates: one authority signs the server and its clients.
struct Keys {
    authority: Authority,
    admin: Pair,
}

impl Keys {
    fn write(directory: &Path) -> anyhow::Result<Self> {
        let authority = Authority::new("yunting-tests")?;
        fs::write(directory.join("ca.crt"), authority.cert())?;
        let server = Subject::server("kube-apiserver").ip(Ipv4Addr::new(10, 99, 0, 1));
        authority.issue(&server)?.write(directory, "server")?;
        authority.issue(&Subject::client("tokens"))?.write(directory, "tokens")?;
        // Nothing of Yunting runs as system:masters; a test's administrator has to come before any binding.
        let admin = authority.issue(&Subject::client(ADMIN).group("system:masters"))?;
        Ok(Self { authority, admin })
    }

    fn kubeconfig(&self, port: u16, user: &Pair) -> Value {
        let encode = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "user"}}],
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://127.0.0.1:{port}"),
                "certificate-authority-data": encode(self.authority.cert()),
            }}],
            "users": [{"name": "user", "user": {
                "client-certificate-data": encode(&user.cert),
                "client-key-data": encode(&user.key),
            }}],
        })
    }
}

/// Where programs are and where they write.
struct Place<'a> {
    directory: &'a Path,
    binaries: &'a Path,
}

impl Place<'_> {
    fn run(&self, name: &'static str, flags: &BTreeMap<&'static str, String>) -> anyhow::Result<Process> {
        let program = self.binaries.join(name);
        ensure!(
            program.is_file(),
            "{} is missing: set YUNTING_BIN_DIR or let the lab build it",
            program.display()
        );
        let log = self.directory.join(format!("{name}.log"));
        let output = File::create(&log)?;
        // A test that is killed takes its servers along.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&program);
        command.args(flags.iter().map(|(flag, value)| format!("--{flag}={value}")));
        command.current_dir(self.directory).stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {} by setpriv (util-linux)", program.display()))?;
        Ok(Process { name, child, log })
    }
}

struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(20)..].join("\n");
        format!("--- {} ---\n{last}\n", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often a program is started anew because another took its port first.
const TRIES: usize = 3;

async fn start_etcd(
    place: &Place<'_>,
    before: Option<(u16, u16)>,
    processes: &mut Vec<Process>,
) -> anyhow::Result<(u16, u16)> {
    for _ in 0..TRIES {
        let (client, peer) = match before {
            Some(ports) => ports,
            None => (free_port()?, free_port()?),
        };
        let peer_url = format!("http://127.0.0.1:{peer}");
        let client_url = format!("http://127.0.0.1:{client}");
        let mut process = place.run(
            "etcd",
            &BTreeMap::from([
                ("data-dir", place.directory.join(format!("etcd-{client}")).display().to_string()),
                ("listen-client-urls", client_url.clone()),
                ("advertise-client-urls", client_url),
                ("listen-peer-urls", peer_url.clone()),
                ("initial-advertise-peer-urls", peer_url.clone()),
                ("initial-cluster", format!("default={peer_url}")),
                // A test's data need not survive a power cut.
                ("unsafe-no-fsync", "true".to_owned()),
            ]),
        )?;
        let listens = async || {
            let answer = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, client)).await;
            (process.ended() || answer.is_ok()).then_some(())
        };
        wait("etcd", PATIENCE, listens).await?;
        if !process.ended() {
            processes.push(process);
            return Ok((client, peer));
        }
        eprintln!("etcd ended, it is tried again:\n{}", process.tail());
    }
    bail!("etcd could not be started")
}

async fn start_server(
    place: &Place<'_>,
    keys: &Keys,
    (etcd, before): (u16, Option<u16>),
    options: &Options,
    processes: &mut Vec<Process>,
) -> anyhow::Result<(u16, Client)> {
    for _ in 0..TRIES {
        let port = before.map_or_else(free_port, Ok)?;
        let kubeconfig = keys.kubeconfig(port, &keys.admin);
        fs::write(place.directory.join("kubeconfig.json"), kubeconfig.to_string())?;
        let client = Client::try_from(config_of(&kubeconfig).await?)?;
        let mut flags = server_flags(place.directory, etcd, port);
        flags.extend(options.server_flags.clone());
        let mut process = place.run("kube-apiserver", &flags)?;
        let ready = async || {
            let request = http::Request::get("/readyz").body(Vec::new()).ok()?;
            let answer = client.request_text(request).await;
            (process.ended() || answer.is_ok_and(|text| text == "ok")).then_some(())
        };
        if let Err(late) = wait("the API server", PATIENCE, ready).await {
            bail!("{late}\n{}", process.tail());
        }
        if !process.ended() {
            processes.push(process);
            return Ok((port, client));
        }
        eprintln!("kube-apiserver ended, it is tried again:\n{}", process.tail());
    }
    bail!("kube-apiserver could not be started")
}

fn start_controllers(place: &Place<'_>, options: &Options) -> anyhow::Result<Process> {
    let mut flags = controller_flags(place.directory);
    flags.extend(options.controller_flags.clone());
    place.run("kube-controller-manager", &flags)
}

fn server_flags(directory: &Path, etcd: u16, port: u16) -> BTreeMap<&'static str, String> {
    let file = |name: &str| directory.join(name).display().to_string();
    BTreeMap::from([
        ("etcd-servers", format!("http://127.0.0.1:{etcd}")),
        ("bind-address", "127.0.0.1".to_owned()),
        ("advertise-address", "127.0.0.1".to_owned()),
        // Loopback is no address for the Service `kubernetes`, which no test needs.
        ("endpoint-reconciler-type", "none".to_owned()),
        ("secure-port", port.to_string()),
        ("service-cluster-ip-range", "10.99.0.0/16".to_owned()),
        ("client-ca-file", file("ca.crt")),
        ("tls-cert-file", file("server.crt")),
        ("tls-private-key-file", file("server.key")),
        ("service-account-issuer", "https://tests.yunting.internal".to_owned()),
        ("service-account-key-file", file("tokens.crt")),
        ("service-account-signing-key-file", file("tokens.key")),
        ("authorization-mode", "Node,RBAC".to_owned()),
        ("enable-admission-plugins", "NodeRestriction".to_owned()),
        ("anonymous-auth", "false".to_owned()),
    ])
}

fn controller_flags(directory: &Path) -> BTreeMap<&'static str, String> {
    let kubeconfig = directory.join("kubeconfig.json").display().to_string();
    let file = |name: &str| directory.join(name).display().to_string();
    BTreeMap::from([
        ("kubeconfig", kubeconfig.clone()),
        ("authentication-kubeconfig", kubeconfig.clone()),
        ("authorization-kubeconfig", kubeconfig),
        ("bind-address", "127.0.0.1".to_owned()),
        // No port: nobody asks it anything.
        ("secure-port", "0".to_owned()),
        ("leader-elect", "false".to_owned()),
        ("use-service-account-credentials", "true".to_owned()),
        ("service-account-private-key-file", file("tokens.key")),
        ("root-ca-file", file("ca.crt")),
        ("kube-api-qps", "300".to_owned()),
        ("kube-api-burst", "600".to_owned()),
    ])
}

/// A port that is free now; whoever takes it before we do makes the program end, and another is tried.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}
