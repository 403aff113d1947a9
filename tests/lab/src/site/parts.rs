//! Our own processes at a site: they run in its namespaces, so a power cut takes them along.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::node::KUBELET_ROOT;
use super::process::{Plan, Process, Ready, text};
use crate::error::Result;
use crate::pki::write_secret;
use crate::spec::{GATEWAY_PORT, HUB_API_PORT, HUB_SERVICES, ISSUER_PORT, SITE_API_PORT, SITES, Site, WAN};
use crate::state::{State, Volumes};
use crate::stock::Stock;
use crate::{gateway, issuer, local_path};

/// Files of the provisioner; their endings tell it what they are.
const VOLUMES_CONFIG: &str = "local-path.json";
const VOLUMES_HELPER: &str = "local-path-helper.yaml";
/// Loopback ports for `/metrics`, `/healthz` and `/readyz`.
pub const HUB_CONTROLLER_PORT: u16 = 9091;
/// The same of the site controller.
pub const SITE_CONTROLLER_PORT: u16 = 9092;
/// The same of the node controller.
pub const NODE_CONTROLLER_PORT: u16 = 9093;
/// Where points of volumes of other sites come in.
pub const REPLICA_PORT: u16 = 9443;
/// Where nodes of other sites reach the tunnel.
pub const TUNNEL_PORT: u16 = 51820;
/// The name of the process that keeps the network boundary.
pub const NODE_CONTROLLER: &str = "node-controller";
/// All that a node's controller may do besides what anybody may: nftables and links, and the network namespaces of pods,
/// which its prober enters, BPF, and mounts: of its file system, and of volumes; and listening to frames, by which it sees that what
/// leaves for other sites is ciphertext.
pub const NODE_RIGHTS: &str = "-all,+net_admin,+sys_admin,+net_raw";
/// Where the gate is pinned. A site has its own `/run`, and with it a BPF file system of its own, gone after a power cut.
const GATE_PINS: &str = "/run/yunting/gate";
/// Links of a site's node that lead to no pod: loopback and the WAN.
pub const OUTER_LINKS: [&str; 2] = ["lo", "eth0"];
/// The names of the processes that `install` lets start.
pub const CONTROLLERS: [&str; 2] = ["hub-controller", "site-controller"];

/// What starts once `up` applied what it needs at the site.
pub const ADDONS: [&str; 2] = ["gateway", "local-path"];

/// The processes of the lab's own that a site has besides Kubernetes, and our controllers.
pub fn processes(plan: &Plan, state: &State, stock: &Stock) -> Vec<Process> {
    let mut all = vec![issuer(plan), gateway(plan).enabled(state.addons)];
    all.push(local_path(plan, &busybox(stock)).enabled(state.addons));
    all.push(node_controller(plan, state.volumes == Volumes::Driver).enabled(state.boundary));
    all.extend(controllers(plan).map(|process| process.enabled(state.controllers)));
    all
}

/// Writes what the provisioner reads.
pub fn write_config(plan: &Plan, stock: &Stock) -> Result<()> {
    write_secret(&plan.dir.config(VOLUMES_CONFIG), &local_path::config(&plan.dir.volumes()))?;
    write_secret(&plan.dir.config(VOLUMES_HELPER), &local_path::helper_pod(&busybox(stock)))
}

/// Serves the key that API servers check people's tokens with.
fn issuer(plan: &Plan) -> Process {
    let pki = text(&plan.dir.0.join("pki"));
    Process::new(
        "issuer",
        plan.lab.own_program(),
        words(&["--name", &plan.lab.name, "issuer", "--dir", &pki]),
    )
    .ready(Ready::Https(ISSUER_PORT, issuer::DISCOVERY))
}

fn gateway(plan: &Plan) -> Process {
    let front_door = SocketAddrV4::new(plan.site.address(), GATEWAY_PORT);
    let (listen, kubeconfig) = (front_door.to_string(), plan.kube("gateway.yaml"));
    let mut args =
        words(&["--name", &plan.lab.name, "gateway", "--kubeconfig", &kubeconfig, "--listen", &listen]);
    args.extend(words(&["--state", &plan.disk("gateway"), "--backends", &plan.site.pods()]));
    Process::new(ADDONS[0], plan.lab.own_program(), args).after(&["apiserver"]).ready(Ready::Tcp(front_door))
}

/// Makes volumes as directories of the site's btrfs.
fn local_path(plan: &Plan, busybox: &str) -> Process {
    let (config, helper) = (plan.dir.config(VOLUMES_CONFIG), plan.dir.config(VOLUMES_HELPER));
    let args = local_path::arguments(&plan.dir.kube("local-path.yaml"), &config, &helper, busybox);
    Process::new(ADDONS[1], plan.bin("local-path-provisioner"), args).after(&["apiserver"])
}

/// They start with the site only after `install` was done once.
fn controllers(plan: &Plan) -> [Process; 2] {
    let program = plan.lab.program("yunting-controller");
    let name = plan.site.name.as_str();
    let listen = |port: u16| format!("127.0.0.1:{port}");
    let (kubeconfig, at) = (plan.kube("hub-controller.yaml"), listen(HUB_CONTROLLER_PORT));
    let hub = words(&["hub", "--kubeconfig", &kubeconfig, "--identity", name, "--listen", &at]);
    let (hub_side, own_side) = (plan.kube("site-hub.yaml"), plan.kube("site-controller.yaml"));
    let mut site = words(&["site", "--site", name, "--hub-kubeconfig", &hub_side]);
    site.extend(words(&["--site-kubeconfig", &own_side, "--listen", &listen(SITE_CONTROLLER_PORT)]));
    let file = |name: &str| text(&plan.dir.0.join("pki").join(name));
    let (custody, certificate) = (file("custody.key"), file("custody.crt"));
    site.extend(words(&[
        "--keys",
        &plan.disk("keys"),
        "--custody-key",
        &custody,
        "--custody-cert",
        &certificate,
    ]));
    site.extend(["--machine-ca".to_owned(), file("machines-ca.crt")]);
    let health = |port| Ready::Http(port, "/healthz");
    [
        Process::new(CONTROLLERS[0], program.clone(), hub)
            .after(&["hub-apiserver"])
            .ready(health(HUB_CONTROLLER_PORT)),
        Process::new(CONTROLLERS[1], program, site).after(&["apiserver"]).ready(health(SITE_CONTROLLER_PORT)),
    ]
}

/// Namespaces whose pods belong to no VDC.
pub fn platform() -> [&'static str; 4] {
    ["kube-system", "yunting-system", gateway::NAMESPACE, local_path::NAMESPACE]
}

/// Networks inside the cloud. Of sites that this lab does not have, too: their addresses are nobody's outside.
pub fn inside() -> Vec<String> {
    let sites = (1_u8..).zip(SITES).map(|(index, name)| Site { name: name.into(), index });
    let of_sites = sites.flat_map(|site| [site.pods(), site.services()]);
    of_sites.chain([WAN, HUB_SERVICES].map(str::to_owned)).collect()
}

/// Networks of the pods of all other sites.
#[must_use]
pub fn abroad(own: &Site) -> Vec<String> {
    let sites = (1_u8..).zip(SITES).map(|(index, name)| Site { name: name.into(), index });
    sites.filter(|site| site.index != own.index).map(|site| site.pods()).collect()
}

/// What a VDC reaches nowhere: API servers by their services and of other sites, other sites' kubelets, metadata.
fn beyond(plan: &Plan) -> Vec<String> {
    let others = plan.lab.sites.iter().filter(|s| s.index != plan.site.index);
    let of_others = others.flat_map(|s| [SITE_API_PORT, HUB_API_PORT, 10250].map(|port| (s.address(), port)));
    let own = [(plan.site.api_service(), 443), (Ipv4Addr::new(169, 254, 169, 254), 80)];
    let own = own.into_iter().chain([SITE_API_PORT, HUB_API_PORT].map(|port| (plan.site.address(), port)));
    of_others.chain(own).map(|(address, port)| format!("{address}:{port}")).collect()
}

/// Without it no pod gets a network, so it does not wait for `install`.
fn node_controller(plan: &Plan, volumes: bool) -> Process {
    let (kubeconfig, node) = (plan.kube("node-controller.yaml"), plan.site.node());
    let at = format!("127.0.0.1:{NODE_CONTROLLER_PORT}");
    let mut args = words(&["node", "--node", &node, "--kubeconfig", &kubeconfig, "--listen", &at]);
    args.extend(words(&["--gate-pins", GATE_PINS]));
    let (namespaces, links, networks) = (platform(), OUTER_LINKS, inside());
    let flags = |flag, values: Vec<String>| values.into_iter().flat_map(move |v| [String::from(flag), v]);
    args.extend(flags("--platform", namespaces.map(str::to_owned).to_vec()));
    args.extend(flags("--outer", links.map(str::to_owned).to_vec()));
    args.extend(flags("--inside", networks));
    args.extend(flags("--beyond", beyond(plan)));
    args.extend(flags("--abroad", abroad(&plan.site)));
    args.extend(words(&["--tunnel", &format!("{}:{TUNNEL_PORT}", plan.site.address())]));
    args.extend(words(&["--tunnel-pods", &plan.site.pods()]));
    for (flag, file) in [
        ("--machine-cert", "machine.crt"),
        ("--machine-key", "machine.key"),
        ("--machine-ca", "machines-ca.crt"),
    ] {
        args.extend([flag.to_owned(), text(&plan.dir.0.join("pki").join(file))]);
    }
    if volumes {
        let (directory, kubelet) = (text(&plan.dir.volumes().join("yunting")), plan.disk(KUBELET_ROOT));
        args.extend(words(&["--volumes", &directory, "--kubelet", &kubelet]));
        args.extend(["--replicas".to_owned(), format!("{}:{REPLICA_PORT}", plan.site.address())]);
    }
    let mut least = words(&["--bounding-set", NODE_RIGHTS, "--inh-caps", "-all", "--no-new-privs"]);
    least.push(text(&plan.lab.program("yunting-controller")));
    least.append(&mut args);
    Process::new(NODE_CONTROLLER, "setpriv", least)
        .after(&["apiserver"])
        .ready(Ready::Http(NODE_CONTROLLER_PORT, "/healthz"))
}

fn busybox(stock: &Stock) -> String {
    stock.refs.get("busybox").cloned().unwrap_or_default()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
