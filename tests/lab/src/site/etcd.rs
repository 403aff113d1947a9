//! The three etcds of a site: its own, its member of the hub's and its member of the authority's.
//!
//! All of them want a client certificate of their own authority.

use super::process::{Plan, Process, Ready, flags};
use crate::spec::{AUTHORITY_ETCD, EtcdPorts, HUB_ETCD, SITE_ETCD};

/// The three processes.
pub fn processes(plan: &Plan) -> Vec<Process> {
    let own = format!("{}=https://127.0.0.1:{}", plan.site.name, SITE_ETCD.peer);
    vec![
        etcd(plan, "etcd", SITE_ETCD, "127.0.0.1", own),
        stretched(plan, "hub-etcd", HUB_ETCD),
        stretched(plan, "authority-etcd", AUTHORITY_ETCD),
    ]
}

fn stretched(plan: &Plan, name: &'static str, ports: EtcdPorts) -> Process {
    let mut process = etcd(plan, name, ports, &plan.site.address().to_string(), plan.lab.etcd_members(ports));
    // Two cores carry nine members: the usual 100 ms and 1 s would elect leaders all the time under load.
    process.args.extend(flags([("heartbeat-interval", "200"), ("election-timeout", "2000")]));
    process
}

fn etcd(plan: &Plan, name: &'static str, ports: EtcdPorts, ip: &str, members: String) -> Process {
    let url = |ip: &str, port: u16| format!("https://{ip}:{port}");
    let local = url("127.0.0.1", ports.client);
    let clients =
        if ip == "127.0.0.1" { local.clone() } else { format!("{local},{}", url(ip, ports.client)) };
    let (cert, key) = (plan.pki(&format!("{name}.crt")), plan.pki(&format!("{name}.key")));
    let ca = plan.pki(&format!("{name}-ca.crt"));
    let args = flags([
        ("name", plan.site.name.clone()),
        ("data-dir", plan.disk(name)),
        ("listen-client-urls", clients),
        ("advertise-client-urls", url(ip, ports.client)),
        ("listen-peer-urls", url(ip, ports.peer)),
        ("initial-advertise-peer-urls", url(ip, ports.peer)),
        ("initial-cluster", members),
        ("initial-cluster-token", format!("{}-{name}", plan.lab.name)),
        ("listen-metrics-urls", format!("http://127.0.0.1:{}", ports.metrics)),
        ("client-cert-auth", "true".into()),
        ("trusted-ca-file", ca.clone()),
        ("cert-file", cert.clone()),
        ("key-file", key.clone()),
        ("peer-client-cert-auth", "true".into()),
        ("peer-trusted-ca-file", ca),
        ("peer-cert-file", cert),
        ("peer-key-file", key),
        ("logger", "zap".into()),
        ("log-level", "warn".into()),
    ]);
    Process::new(name, plan.bin("etcd"), args).ready(Ready::Http(ports.metrics, "/health"))
}
