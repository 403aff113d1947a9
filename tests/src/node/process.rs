//! The real node controller as a process in a world's node: its API server, the CNI plugin as a container runtime calls it,
//! and the gate's socket.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::{Node as KubeNode, Pod as KubePod};
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use yunting_controller::node::gate::local::{self, Ask, Told};
use yunting_controller::node::volume::DRIVER;
use yunting_crds::{NodeReport, NodeReportStatus, labels};
use yunting_lab::site::parts::NODE_RIGHTS;
use yunting_plan::boundary::{Facts, Link, Node as PlanNode, Pod};

use super::pins::Pins;
use super::site::NODE;
use super::world::World;
use crate::apiserver::{ApiServer, Options};
use crate::plane::process::Process;
use crate::plane::{install, program};
use crate::pods;

/// Name of the Node.
const NAME: &str = "n1";
/// Namespace of the pods, which is the platform's: the boundary lets all of them reach each other.
const NAMESPACE: &str = "default";
/// Root directory of the kubelet that is not there.
const KUBELET: &str = "kubelet";
/// Time for anything.
const PATIENCE: Duration = Duration::from_mins(1);
/// Time between looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// A node with its controller.
pub struct Node {
    /// The process.
    pub process: Process,
    /// Its network.
    pub world: World,
    /// Its pods, by their index in the world.
    pub facts: Facts,
    /// Where its gate is pinned.
    pub pins: Pins,
    server: ApiServer,
    directory: tempfile::TempDir,
    runtime: Runtime,
}

/// Waits until something is found.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        ensure!(since.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
}

impl Node {
    /// With so many pods, of which none is attached yet.
    pub fn start(pods: u8) -> anyhow::Result<Self> {
        Self::with_pins(pods, None)
    }

    /// The same, the gate's pins somewhere else.
    pub fn with_pins(pods: u8, place: Option<&Path>) -> anyhow::Result<Self> {
        Self::with(facts(pods), place, None, None)
    }

    /// With pods in namespaces of their own, of which none is attached yet.
    pub fn with_facts(facts: Facts) -> anyhow::Result<Self> {
        Self::with(facts, None, None, None)
    }

    /// Without pods, and with volumes in a directory of a btrfs file system.
    pub fn with_volumes(volumes: &Path) -> anyhow::Result<Self> {
        Self::with(facts(0), None, Some(volumes), None)
    }

    /// The same with programs of a directory in place of the system's of the same names.
    pub fn with_tools(volumes: &Path, tools: &Path) -> anyhow::Result<Self> {
        Self::with(facts(0), None, Some(volumes), Some(tools))
    }

    #[allow(clippy::disallowed_methods)] // a test writes as a kubelet does
    fn with(
        facts: Facts,
        place: Option<&Path>,
        volumes: Option<&Path>,
        tools: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let (world, pins) = (World::start(&facts)?, Pins::new()?);
        let (directory, runtime) = (tempfile::tempdir()?, Runtime::new()?);
        let flags = [("disable-admission-plugins", "ServiceAccount".to_owned())];
        let options = Options { server_flags: flags.into(), ..Options::default() };
        let server = runtime.block_on(async {
            let server = ApiServer::start_with(&options).await?;
            install(&server, "site").await?;
            let nodes: Api<KubeNode> = Api::all(server.client().clone());
            let node = json!({
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME},
                "status": {"addresses": [{"type": "InternalIP", "address": NODE}]},
            });
            nodes.create(&PostParams::default(), &serde_json::from_value(node)?).await?;
            anyhow::Ok(server)
        })?;
        let kubeconfig = server.kubeconfig(&format!("yunting:node:{NAME}"), &["yunting:nodes"])?;
        forward(&world, &kubeconfig)?;
        let file = directory.path().join("kubeconfig.json");
        std::fs::write(&file, kubeconfig.to_string())?;
        let mut words = arguments(&world, &file, directory.path(), place.unwrap_or(&pins.path()))?;
        if let Some(volumes) = volumes {
            let kubelet = directory.path().join(KUBELET);
            words.extend(["--volumes".to_owned(), text(volumes)?, "--kubelet".to_owned(), text(&kubelet)?]);
            if may_grow_open_volumes() {
                let rights = words.iter_mut().find(|word| word.as_str() == NODE_RIGHTS);
                *rights.context("a node without rights")? = format!("{NODE_RIGHTS},+sys_resource");
            }
        }
        if let Some(tools) = tools {
            let path = format!("PATH={}:{}", text(tools)?, std::env::var("PATH")?);
            let own = text(&program()?)?;
            let at = words.iter().position(|word| *word == own).context("no program")?;
            words.splice(at..at, ["env".to_owned(), path]);
        }
        std::os::unix::fs::symlink(program()?, directory.path().join("yunting-cni"))?;
        let process = {
            let _within = runtime.enter();
            Process::start(Path::new("nsenter"), words, directory.path().join("log"))
        };
        Ok(Self { process, world, facts, pins, server, directory, runtime })
    }

    /// Kills the process and has it started anew.
    pub fn crash(&self) {
        self.runtime.block_on(self.process.crash()());
    }

    /// The API server of its site.
    pub fn server(&self) -> &ApiServer {
        &self.server
    }

    /// Directory of its own, where it mounts what is open in `volumes`.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where its driver of volumes listens.
    pub fn csi_socket(&self) -> PathBuf {
        self.directory.path().join(KUBELET).join("plugins").join(DRIVER).join("csi.sock")
    }

    /// Does something with the site's API server.
    pub fn block_on<T>(&self, act: impl Future<Output = T>) -> T {
        self.runtime.block_on(act)
    }

    fn cni_socket(&self) -> PathBuf {
        self.directory.path().join("node.sock")
    }

    /// Where the gate answers.
    pub fn gate_socket(&self) -> PathBuf {
        local::socket(&self.cni_socket())
    }

    /// Asks the gate.
    pub fn ask(&self, ask: &Ask) -> anyhow::Result<Told> {
        local::ask(&self.gate_socket(), ask)
    }

    /// Waits until the gate is called that.
    pub fn gate(&self, state: &str) -> anyhow::Result<Told> {
        let look = || self.ask(&Ask::State { group: None }).ok().filter(|t| t.gate == state);
        eventually(&format!("gate {state}"), look)
            .or_else(|_| self.ask(&Ask::State { group: None }).and_then(|told| bail!("{told:?}")))
            .with_context(|| self.process.tail(20))
    }

    /// Waits until the node's report is as wanted.
    pub fn report(&self, wanted: impl Fn(&NodeReportStatus) -> bool) -> anyhow::Result<NodeReportStatus> {
        let reports: Api<NodeReport> = Api::all(self.server.client().clone());
        let mut last = None;
        let look = || {
            last = self.runtime.block_on(reports.get_opt(NAME)).ok().flatten().and_then(|r| r.status);
            last.clone().filter(&wanted)
        };
        let found = eventually("the node's report", look);
        found.with_context(|| format!("last: {last:?}\n{}", self.process.tail(20)))
    }

    /// Makes a pod of the world known to the API server, with a protection group where one is named; its uid.
    #[allow(clippy::disallowed_methods)] // a test writes as a scheduler does
    pub fn create(&self, index: usize, group: Option<&str>) -> anyhow::Result<String> {
        let pod = &self.facts.pods[index];
        let mut body = pods::pod(&pod.name);
        let known = [(labels::HALL_UID, &pod.hall_uid), (labels::COMPONENT, &pod.component)];
        for (label, value) in known.into_iter().filter_map(|(label, value)| Some((label, value.as_ref()?))) {
            body["metadata"]["labels"][label] = json!(value);
        }
        body["spec"]["nodeName"] = json!(NAME);
        if let Some(group) = group {
            body["metadata"]["labels"][labels::PROTECTION_GROUP] = json!(group);
        }
        let pods: Api<KubePod> = Api::namespaced(self.server.client().clone(), &pod.namespace);
        let made =
            self.runtime.block_on(pods.create(&PostParams::default(), &serde_json::from_value(body)?))?;
        made.uid().context("a pod without a uid")
    }

    /// Makes a pod known and attaches it, as a kubelet does.
    pub fn attach(&self, index: usize, group: Option<&str>) -> anyhow::Result<()> {
        let uid = self.create(index, group)?;
        self.add(index, &uid)
    }

    /// The plugin's ADD.
    pub fn add(&self, index: usize, uid: &str) -> anyhow::Result<()> {
        self.plugin("ADD", index, uid)
    }

    /// The plugin's DEL.
    pub fn del(&self, index: usize) -> anyhow::Result<()> {
        self.plugin("DEL", index, "u")
    }

    fn plugin(&self, command: &str, index: usize, uid: &str) -> anyhow::Result<()> {
        let pod = &self.facts.pods[index];
        let netns = format!("/run/netns/{}", self.world.pod(index));
        let result = json!({
            "cniVersion": "1.0.0",
            "interfaces": [{"name": pod.link}, {"name": "eth0", "sandbox": netns}],
            "ips": [{"address": format!("{}/32", pod.address)}],
        });
        let input = json!({"cniVersion": "1.0.0", "socket": self.cni_socket(), "prevResult": result});
        let arguments =
            format!("K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_UID={uid}", pod.namespace, pod.name);
        let mut plugin = Command::new(self.directory.path().join("yunting-cni"));
        plugin.env("CNI_COMMAND", command).env("CNI_CONTAINERID", format!("c{index}"));
        plugin.env("CNI_NETNS", netns).env("CNI_ARGS", arguments);
        let mut child = plugin.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        child.stdin.take().context("no input")?.write_all(input.to_string().as_bytes())?;
        let done = child.wait_with_output()?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        Ok(())
    }

    /// The metrics of the process.
    pub fn metrics(&self) -> anyhow::Result<String> {
        let ask = || {
            use std::io::Read as _;
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 9093))?;
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            std::io::Result::Ok(text)
        };
        let asked = self.world.within(&self.world.node(), ask)?;
        Ok(asked.join().map_err(|_| anyhow::anyhow!("not asked"))??)
    }
}

/// Whether this machine lets anybody grow a file system that is in use.
pub fn may_grow_open_volumes() -> bool {
    const SYS_RESOURCE: u64 = 1 << 24;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bound = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let bound = bound.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    bound.is_some_and(|bound| bound & SYS_RESOURCE != 0)
}

/// Pods of the platform.
fn facts(pods: u8) -> Facts {
    let pod = |number: u8| Pod {
        namespace: NAMESPACE.to_owned(),
        name: format!("pod{number}"),
        hall_uid: None,
        component: None,
        app: None,
        address: Ipv4Addr::new(10, 11, 0, number + 1),
        link: Link::new(&format!("veth{number}")).ok(),
        probes: [].into(),
        names: [].into(),
    };
    let node = PlanNode { outer: [].into(), tunnel: None, addresses: [NODE].into() };
    Facts { pods: (0..pods).map(pod).collect(), node, ..Facts::default() }
}

fn text(path: &Path) -> anyhow::Result<String> {
    path.to_str().map(str::to_owned).context("a path that is no text")
}

/// What the controller is started with, in the world's node.
fn arguments(world: &World, kubeconfig: &Path, directory: &Path, pins: &Path) -> anyhow::Result<Vec<String>> {
    let (program, kubeconfig, pins) = (text(&program()?)?, text(kubeconfig)?, text(pins)?);
    let (net, socket) = (format!("--net=/run/netns/{}", world.node()), text(&directory.join("node.sock"))?);
    // With the rights that it has in the lab, and no others.
    let least = [&net, "setpriv", "--bounding-set", NODE_RIGHTS, "--inh-caps", "-all", "--no-new-privs"];
    let words = [&program, "node", "--node", NAME, "--kubeconfig", &kubeconfig, "--outer", "lo"];
    let more = ["--outer", "wan", "--inside", "10.0.0.0/8", "--platform", NAMESPACE];
    let own = ["--socket", &socket, "--gate-pins", &pins];
    Ok(least.iter().chain(&words).chain(&more).chain(&own).map(|word| (*word).to_owned()).collect())
}

/// The API server is outside; in the node it is reached at the same address. The threads end with the process.
fn forward(world: &World, kubeconfig: &Value) -> anyhow::Result<()> {
    let server = kubeconfig["clusters"][0]["cluster"]["server"].as_str().context("no server")?;
    let port: u16 = server.rsplit(':').next().context("no port")?.parse()?;
    let bind = move || TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener =
        world.within(&world.node(), bind)?.join().map_err(|_| anyhow::anyhow!("no listener"))??;
    std::thread::spawn(move || {
        for inner in listener.incoming().flatten() {
            if let Ok(outer) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                let _ = between(inner, outer);
            }
        }
    });
    Ok(())
}

fn between(one: TcpStream, other: TcpStream) -> std::io::Result<()> {
    for (mut from, mut to) in [(one.try_clone()?, other.try_clone()?), (other, one)] {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
    Ok(())
}
