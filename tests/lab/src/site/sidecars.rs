//! The sidecars of the driver `volumes.yunting.io`, which is part of a site's node controller: they turn claims, larger
//! claims and snapshots into calls on the driver's socket.
//!
//! Each is a user of its own (`install/site/27-roles-volumes.yaml`) and has no capability: the socket is root's, and so
//! are they. A sidecar waits for the socket and ends when it loses it; the site starts it again once the node controller
//! is ready.

use super::node::KUBELET_ROOT;
use super::parts::NODE_CONTROLLER;
use super::process::{Plan, Process, flags, text};
use crate::state::{State, Volumes};

/// The driver's name.
pub const DRIVER: &str = "volumes.yunting.io";
/// Where it is said how much room nodes have.
const NAMESPACE: &str = "yunting-system";
/// Nothing is done as somebody who may do more than anybody.
const NO_RIGHTS: [&str; 5] = ["--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs"];

/// What makes the driver known to the kubelet.
pub const REGISTRAR: &str = "csi-registrar";

/// One sidecar.
#[derive(Clone, Copy, Debug)]
pub struct Sidecar {
    /// Its process, which is also its program.
    pub name: &'static str,
    /// Whom its certificate names.
    pub user: &'static str,
    /// Whether it speaks to the driver; otherwise to the API server only.
    driver: bool,
    arguments: &'static [(&'static str, &'static str)],
}

/// All of them. There is one node at a site, so none elects a leader.
pub const SIDECARS: [Sidecar; 4] = [
    Sidecar {
        name: "csi-provisioner",
        user: "yunting:volumes-provisioner",
        driver: true,
        arguments: &[
            // Volumes stay on their node: this one makes those whose first pod the scheduler put here, and tells the
            // scheduler how much room is left.
            ("node-deployment", "true"),
            ("node-deployment-immediate-binding", "false"),
            ("strict-topology", "true"),
            ("immediate-topology", "false"),
            ("extra-create-metadata", "true"),
            ("enable-capacity", "true"),
            // It is no pod that could own what it writes.
            ("capacity-ownerref-level", "-1"),
            ("feature-gates", "VolumeAttributesClass=false"),
            ("worker-threads", "10"),
        ],
    },
    Sidecar {
        name: "csi-resizer",
        user: "yunting:volumes-resizer",
        driver: true,
        arguments: &[
            // It would watch all pods to spare a driver that can't grow what is in use.
            ("handle-volume-inuse-error", "false"),
            ("feature-gates", "VolumeAttributesClass=false"),
        ],
    },
    Sidecar {
        name: "csi-snapshotter",
        user: "yunting:volumes-snapshotter",
        driver: true,
        arguments: &[
            ("node-deployment", "true"),
            ("extra-create-metadata", "true"),
            ("feature-gates", "CSIVolumeGroupSnapshot=false"),
        ],
    },
    Sidecar {
        name: "snapshot-controller",
        user: "yunting:snapshot-controller",
        driver: false,
        arguments: &[
            // It notes on each snapshot which node has the volume.
            ("enable-distributed-snapshotting", "true"),
            ("feature-gates", "CSIVolumeGroupSnapshot=false"),
        ],
    },
];

impl Sidecar {
    /// Its kubeconfig's file name.
    pub fn kubeconfig(&self) -> String {
        format!("{}.yaml", self.name)
    }

    fn process(&self, plan: &Plan) -> Process {
        let mut words = NO_RIGHTS.map(str::to_owned).to_vec();
        words.push(text(&plan.bin(self.name)));
        words.push(format!("--kubeconfig={}", plan.kube(&self.kubeconfig())));
        // The default of 5 per second would be what a test of many volumes measures.
        words.extend(flags([("kube-api-qps", "50"), ("kube-api-burst", "100")]));
        words.extend(flags(self.arguments.iter().copied()));
        if self.driver {
            words.push(format!("--csi-address={}", socket(plan)));
        }
        let process = Process::new(self.name, "setpriv", words)
            .env("NODE_NAME", plan.site.node())
            .env("NAMESPACE", NAMESPACE);
        process.after(if self.driver { &["apiserver", NODE_CONTROLLER] } else { &["apiserver"] })
    }
}

/// Where the driver listens.
pub fn socket(plan: &Plan) -> String {
    plan.disk(&format!("{KUBELET_ROOT}/plugins/{DRIVER}/csi.sock"))
}

/// The processes; they wait for the first `up` to have brought kinds and roles.
pub fn processes(plan: &Plan, state: &State) -> Vec<Process> {
    let enabled = state.volumes == Volumes::Driver && state.addons;
    let sidecars = SIDECARS.iter().map(|sidecar| sidecar.process(plan));
    sidecars.chain([registrar(plan)]).map(|process| process.enabled(enabled)).collect()
}

/// Makes the driver known to the kubelet. It speaks to no API server.
fn registrar(plan: &Plan) -> Process {
    let mut words = NO_RIGHTS.map(str::to_owned).to_vec();
    words.push(text(&plan.bin(REGISTRAR)));
    words.extend(flags([
        ("driver-name", DRIVER.to_owned()),
        ("csi-address", socket(plan)),
        ("plugin-registration-path", plan.disk(&format!("{KUBELET_ROOT}/plugins_registry"))),
    ]));
    Process::new(REGISTRAR, "setpriv", words).after(&["kubelet", NODE_CONTROLLER])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::spec::{Lab, SITES};

    const ROLES: &str = include_str!("../../../../install/site/27-roles-volumes.yaml");
    /// The longest path of a socket, without the byte that ends it (unix(7)).
    const LONGEST: usize = 107;

    fn plan(name: &str) -> Plan {
        let lab = Lab::in_dir(name, SITES.len(), Path::new("/var/lib/yunting-lab")).unwrap();
        let site = lab.sites[0].clone();
        let dir = lab.site_dir(&site);
        Plan { lab, site, dir }
    }

    #[test]
    fn a_lab_of_the_longest_name_has_a_socket() {
        let path = socket(&plan("aaaaaaaaaaaaaaaa"));
        assert!(path.len() <= LONGEST, "{path}: {}", path.len());
    }

    #[test]
    fn each_has_a_role_of_its_own() {
        for sidecar in &SIDECARS {
            assert!(ROLES.contains(&format!("kind: User, name: \"{}\"", sidecar.user)), "{}", sidecar.user);
        }
        assert!(ROLES.contains(&format!("namespace: {NAMESPACE}\n")));
    }

    #[test]
    fn they_start_only_where_volumes_are_and_once_their_roles_are() {
        let plan = plan("lab");
        let started = |volumes, addons| {
            let all = processes(&plan, &State { addons, volumes, ..State::default() });
            all.iter().filter(|process| process.enabled).count()
        };
        let (driver, none) = (Volumes::Driver, Volumes::LocalPath);
        assert_eq!(
            [started(driver, true), started(driver, false), started(none, true)],
            [SIDECARS.len() + 1, 0, 0]
        );
    }

    #[test]
    fn they_have_no_capability_and_know_their_node() {
        for process in processes(&plan("lab"), &State::default()) {
            assert_eq!(
                (process.program.as_path(), &process.args[..2]),
                (Path::new("setpriv"), &NO_RIGHTS.map(str::to_owned)[..2])
            );
            let knows = process.env.contains(&("NODE_NAME", "qiaocheng-1".into()));
            assert!(knows || process.name == REGISTRAR, "{}", process.name);
        }
    }
}
