//! Kubeconfigs: for people through the forwards on the host's loopback, for the parts at a site through the WAN.

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::error::Result;
use crate::pki::{ADMIN, ADMINS};
use crate::pki::{Authority, Hub, Pair, SiteAuthorities, Subject, write_secret};
use crate::site::sidecars::SIDECARS;
use crate::spec::{Lab, Site};
use crate::state::Ports;

/// One context: its name, the API server and the authority that signed the server.
struct Target<'a> {
    name: String,
    server: String,
    ca: &'a str,
}

/// Writes the kubeconfigs of a site's processes, Kubernetes' own and ours.
pub fn write_site(lab: &Lab, site: &Site, own: &SiteAuthorities, hub: &Hub) -> Result<()> {
    let dir = lab.site_dir(site);
    let name = site.name.as_str();
    let here = [Target { name: name.into(), server: site.api_url(), ca: own.cluster.cert() }];
    let hub_here = [Target { name: format!("hub-{name}"), server: site.hub_url(), ca: hub.serving.cert() }];
    // The site's own hub API server comes first and is the current context.
    let mut order: Vec<&Site> = lab.sites.iter().collect();
    order.sort_by_key(|other| other.index != site.index);
    let target =
        |s: &&Site| Target { name: format!("hub-{}", s.name), server: s.hub_url(), ca: hub.serving.cert() };
    let hubs: Vec<Target> = order.iter().map(target).collect();
    let write = |file: &str, targets: &[Target], ca: &Authority, subject: Subject| {
        let pair = ca.issue(&subject)?;
        write_secret(&dir.kube(file), &render(targets, file.trim_end_matches(".yaml"), &pair))
    };
    let cluster = |file: &str, subject: Subject| write(file, &here, &own.cluster, subject);
    cluster("controller-manager.yaml", Subject::client("system:kube-controller-manager"))?;
    cluster("scheduler.yaml", Subject::client("system:kube-scheduler"))?;
    cluster("kube-proxy.yaml", Subject::client("system:kube-proxy"))?;
    let node = Subject::client(format!("system:node:{}", site.node())).group("system:nodes");
    cluster("kubelet.yaml", node)?;
    cluster("lab-admin.yaml", Subject::client(ADMIN).group(ADMINS))?;
    let controller = Subject::client("yunting:site-controller").group("yunting:site-controllers");
    cluster("site-controller.yaml", controller)?;
    let node = Subject::client(format!("yunting:node:{}", site.node())).group("yunting:nodes");
    cluster("node-controller.yaml", node)?;
    cluster("gateway.yaml", Subject::client("yunting:gateway"))?;
    cluster("local-path.yaml", Subject::client("yunting:local-path"))?;
    for sidecar in &SIDECARS {
        cluster(&sidecar.kubeconfig(), Subject::client(sidecar.user))?;
    }
    let manager = Subject::client("system:kube-controller-manager");
    write("hub-controller-manager.yaml", &hub_here, &hub.clients, manager)?;
    write("hub-lab-admin.yaml", &hubs, &hub.clients, Subject::client(ADMIN).group(ADMINS))?;
    let controller = Subject::client(format!("yunting:hub:{name}")).group("yunting:hubs");
    write("hub-controller.yaml", &hubs, &hub.clients, controller)?;
    let agent = Subject::client(format!("yunting:site:{name}")).group("yunting:sites");
    write("site-hub.yaml", &hubs, &hub.clients, agent.uri(&format!("yunting://site/{name}")))
}

/// Writes the kubeconfigs for people, whose servers are the forwards.
///
/// They are the lab administrator's kubeconfigs of the sites with other addresses.
pub fn write_people(lab: &Lab, ports: &Ports) -> Result<()> {
    for site in &lab.sites {
        let own = read(lab, site, "lab-admin.yaml")?;
        let text = with_servers(own, |_| ports.site_api(site));
        write_secret(&lab.kubeconfigs().join(format!("{}.yaml", site.name)), &text)?;
    }
    let hub = read(lab, &lab.sites[0], "hub-lab-admin.yaml")?;
    let port = |context: &str| {
        lab.sites
            .iter()
            .find(|site| context == format!("hub-{}", site.name))
            .map_or(0, |site| ports.hub_api(site))
    };
    write_secret(&lab.kubeconfigs().join("hub.yaml"), &with_servers(hub, port))
}

fn read(lab: &Lab, site: &Site, file: &str) -> Result<Value> {
    use crate::error::Error;
    let path = lab.site_dir(site).kube(file);
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    serde_json::from_str(&text).map_err(Error::malformed(path.display().to_string()))
}

fn with_servers(mut config: Value, port: impl Fn(&str) -> u16) -> String {
    for entry in config["clusters"].as_array_mut().into_iter().flatten() {
        let port = port(entry["name"].as_str().unwrap_or_default());
        entry["cluster"]["server"] = format!("https://127.0.0.1:{port}").into();
    }
    format!("{config:#}\n")
}

/// A kubeconfig as JSON, which is YAML, too.
fn render(targets: &[Target], user: &str, pair: &Pair) -> String {
    let encode = |text: &str| BASE64.encode(text.as_bytes());
    let cluster = |t: &Target| json!({"name": t.name, "cluster": {"server": t.server, "certificate-authority-data": encode(t.ca)}});
    let context = |t: &Target| json!({"name": t.name, "context": {"cluster": t.name, "user": user}});
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": targets.iter().map(cluster).collect::<Vec<_>>(),
        "users": [{"name": user, "user": {
            "client-certificate-data": encode(&pair.cert),
            "client-key-data": encode(&pair.key),
        }}],
        "contexts": targets.iter().map(context).collect::<Vec<_>>(),
        "current-context": targets.first().map(|t| t.name.as_str()).unwrap_or_default(),
    });
    format!("{config:#}\n")
}
