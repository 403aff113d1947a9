//! Our own processes at a site: they run in its namespaces, so a power cut takes them along.

use std::net::SocketAddrV4;

use super::process::{Plan, Process, Ready, text};
use crate::issuer;
use crate::spec::{GATEWAY_PORT, ISSUER_PORT};
use crate::state::State;

/// Loopback ports for `/metrics`, `/healthz` and `/readyz`.
pub const HUB_CONTROLLER_PORT: u16 = 9091;
/// The same of the site controller.
pub const SITE_CONTROLLER_PORT: u16 = 9092;
/// The names of the processes that `install` lets start.
pub const CONTROLLERS: [&str; 2] = ["hub-controller", "site-controller"];

/// The gateway, the token issuer, which API servers ask for its key, and our controllers, which start with the site only after
/// `install` was done once.
pub fn processes(plan: &Plan, state: &State) -> Vec<Process> {
    let program = plan.lab.program("yunting-controller");
    let name = plan.site.name.clone();
    let listen = |port: u16| format!("127.0.0.1:{port}");
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let hub_kubeconfig = plan.kube("hub-controller.yaml");
    let at = listen(HUB_CONTROLLER_PORT);
    let hub = words(&["hub", "--kubeconfig", &hub_kubeconfig, "--identity", &name, "--listen", &at]);
    let (hub_side, own_side) = (plan.kube("site-hub.yaml"), plan.kube("site-controller.yaml"));
    let at = listen(SITE_CONTROLLER_PORT);
    let mut site = words(&["site", "--site", &name, "--hub-kubeconfig", &hub_side]);
    site.extend(words(&["--site-kubeconfig", &own_side, "--listen", &at]));
    let issuer = words(&["--name", &plan.lab.name, "issuer", "--dir", &text(&plan.dir.0.join("pki"))]);
    let front_door = SocketAddrV4::new(plan.site.address(), GATEWAY_PORT);
    let gateway = words(&[
        "--name",
        &plan.lab.name,
        "gateway",
        "--kubeconfig",
        &plan.kube("gateway.yaml"),
        "--listen",
        &front_door.to_string(),
        "--state",
        &plan.disk("gateway"),
        "--backends",
        &plan.site.pods(),
    ]);
    vec![
        Process::new("gateway", plan.lab.own_program(), gateway)
            .after(&["apiserver"])
            .ready(Ready::Tcp(front_door)),
        Process::new("issuer", plan.lab.own_program(), issuer)
            .ready(Ready::Https(ISSUER_PORT, issuer::DISCOVERY)),
        Process::new(CONTROLLERS[0], program.clone(), hub)
            .after(&["hub-apiserver"])
            .ready(Ready::Http(HUB_CONTROLLER_PORT, "/healthz"))
            .enabled(state.controllers),
        Process::new(CONTROLLERS[1], program, site)
            .after(&["apiserver"])
            .ready(Ready::Http(SITE_CONTROLLER_PORT, "/healthz"))
            .enabled(state.controllers),
    ]
}
