//! The node of a site: containerd, kubelet and kube-proxy, with their configuration.

use std::fs;

use serde_json::json;

use super::process::{Plan, Prepare, Process, Ready, flags, text};
use crate::error::Result;
use crate::packages;
use crate::pki::write_secret;

/// Where containerd listens inside the site.
pub const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// The kubelet's own directory, on the site's disk: drivers of volumes have their sockets below it.
pub const KUBELET_ROOT: &str = "kubelet";
/// The image of every pod's first container.
const PAUSE: &str = "localhost/pause:lab";

/// The three processes.
pub fn processes(plan: &Plan) -> Vec<Process> {
    let containerd = vec!["--config".into(), plan.config("containerd.toml")];
    let node = plan.site.node();
    let kubelet = flags([
        ("config", plan.config("kubelet.yaml")),
        ("kubeconfig", plan.kube("kubelet.yaml")),
        ("root-dir", plan.disk(KUBELET_ROOT)),
        ("hostname-override", node.clone()),
        ("node-ip", plan.site.address().to_string()),
        ("node-labels", format!("yunting.io/site={}", plan.site.name)),
    ]);
    let proxy = flags([
        ("kubeconfig", plan.kube("kube-proxy.yaml")),
        ("proxy-mode", "iptables".into()),
        ("hostname-override", node),
        ("cluster-cidr", plan.site.pods()),
        ("conntrack-max-per-core", "0".into()),
        ("bind-address", plan.site.address().to_string()),
        ("healthz-bind-address", "127.0.0.1:10256".into()),
        ("metrics-bind-address", "127.0.0.1:10249".into()),
    ]);
    vec![
        Process::new("containerd", "containerd", containerd).ready(Ready::Socket(CONTAINERD_SOCKET.into())),
        Process::new("kubelet", plan.bin("kubelet"), kubelet)
            .after(&["containerd", "apiserver"])
            .prepare(Prepare::Images(plan.lab.clone(), plan.dir.clone()))
            .ready(Ready::Http(10248, "/healthz")),
        Process::new("kube-proxy", plan.bin("kube-proxy"), proxy)
            .after(&["apiserver"])
            .ready(Ready::Http(10256, "/livez")),
    ]
}

/// Writes the configuration of the three.
pub fn write_config(plan: &Plan, boundary: bool) -> Result<()> {
    write_secret(&plan.dir.config("containerd.toml"), &containerd(plan))?;
    write_secret(&plan.dir.config("cni/10-site.conflist"), &cni(plan, boundary))?;
    packages::link_cni_plugins(&plan.lab)?;
    write_secret(&plan.dir.config("kubelet.yaml"), &kubelet(plan))?;
    write_secret(&plan.dir.config("resolv.conf"), "")
}

fn containerd(plan: &Plan) -> String {
    let (root, cni) = (plan.disk("containerd"), text(&plan.dir.config("cni")));
    let plugins = text(&plan.lab.cni_plugins());
    format!(
        r#"version = 2
root = "{root}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # No CAP_SYS_RESOURCE on such machines.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{cni}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"#
    )
}

/// `ptp` and not `bridge`: every packet then passes the forward hook, which the node boundary needs. Reservations
/// lie on `/run`: after a power cut no pod is left that could hold one. `yunting-cni` comes last: what it hands over has
/// to be there already.
fn cni(plan: &Plan, boundary: bool) -> String {
    let mut config = json!({
        "cniVersion": "0.4.0",
        "name": "site",
        "plugins": [
            {"type": "ptp", "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": plan.site.pods()}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": "/run/cni-ipam",
            }},
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    if boundary && let Some(plugins) = config["plugins"].as_array_mut() {
        plugins.push(json!({"type": packages::OWN_CNI_PLUGIN}));
    }
    format!("{config:#}\n")
}

fn kubelet(plan: &Plan) -> String {
    let (cpu, memory) = reserved(plan.lab.sites.len());
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", plan.lab.cgroup(&plan.site)),
        "enforceNodeAllocatable": ["pods"],
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": plan.pki("cluster-ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDomain": "cluster.local",
        "clusterDNS": [plan.site.dns_service().to_string()],
        "resolvConf": plan.config("resolv.conf"),
        "failSwapOn": false,
        "address": plan.site.address().to_string(),
        "healthzBindAddress": "127.0.0.1",
        "tlsCertFile": plan.pki("kubelet.crt"),
        "tlsPrivateKeyFile": plan.pki("kubelet.key"),
        "serverTLSBootstrap": false,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi"},
        "localStorageCapacityIsolation": false,
        "maxPods": 250,
        "systemReserved": {"cpu": cpu, "memory": memory},
        "volumePluginDir": plan.disk("kubelet-plugins"),
        "podLogsDir": plan.disk("pod-logs"),
        // The default of 5 per second would be what a test of many pods measures.
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "registryPullQPS": 0,
    });
    format!("{config:#}\n")
}

/// What the other sites' share of the machine is: sites share one, and each must not promise all of it.
fn reserved(sites: usize) -> (String, String) {
    let (cpu, memory) = share(sites);
    let others = sites.saturating_sub(1);
    (format!("{}m", cpu * others), format!("{}Ki", memory * others))
}

/// A site's share of the machine: thousandths of a core and KiB.
pub fn share(sites: usize) -> (usize, usize) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total: usize =
        total.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default();
    (cores * 1000 / sites.max(1), total / sites.max(1))
}
