//! What a pod reaches, asked in its own network namespace.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use yunting_crds::labels;
use yunting_lab::spec::{Lab, SITE_API_PORT};

use super::shell::Shell;
use crate::netns;

/// Where it is tried, and from which component.
const SITE: &str = "qiaocheng";
const FROM: &str = "portal";
/// Database of the sample's halls.
const DATABASE: u16 = 5432;
const PORTAL: u16 = 8080;

/// Tries what was declared and what was not.
pub async fn show(shell: &Shell, lab: &Lab, namespace: &str) -> anyhow::Result<()> {
    let site = lab.site(SITE)?;
    let client = yunting_lab::client::site(lab, site).await?;
    let pods = Api::<Pod>::all(client).list(&ListParams::default()).await?.items;
    let from = pods.iter().find(|p| is(p, namespace, FROM)).context("no portal runs")?;
    let netns = netns::of_pods(lab, site)?.remove(&address(from)?).context("the portal has no network")?;
    let of_hall = |component: &str| {
        let hall =
            |p: &&Pod| is(p, namespace, component) && label(p, labels::HALL) == label(from, labels::HALL);
        pods.iter().find(hall)
    };
    let other = pods.iter().find(|p| is_portal(p) && p.namespace().as_deref() != Some(namespace));
    let mut ways = vec![("the node's API server", Some(site.address()), SITE_API_PORT, false)];
    for (name, pod, port, may) in [
        ("its hall's approval, which it says it calls", of_hall("approval"), PORTAL, true),
        ("its hall's database, which it does not call", of_hall("db"), DATABASE, false),
        ("a portal of another bureau's VDC", other, PORTAL, false),
    ] {
        ways.push((name, pod.map(address).transpose()?, port, may));
    }
    ways.sort_by_key(|(_, _, _, may)| !may);
    shell.title(&format!("On the wire: what {} reaches at {SITE}", from.name_any()));
    for (name, address, port, may) in ways {
        let Some(address) = address else { continue };
        let to = SocketAddr::new(IpAddr::V4(address), port);
        let passed = netns::ways(&netns, &[(to, may)], netns::passes)? == [true];
        let word = if passed { "answers" } else { "nothing comes back" };
        println!("{to:<20} {name}: {word}");
        ensure!(passed == may, "{name} must {}", if may { "answer" } else { "not be reached" });
    }
    Ok(())
}

fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.labels().get(key).map(String::as_str)
}

fn is_portal(pod: &Pod) -> bool {
    label(pod, labels::COMPONENT) == Some(FROM) && address(pod).is_ok()
}

fn is(pod: &Pod, namespace: &str, component: &str) -> bool {
    pod.namespace().as_deref() == Some(namespace)
        && label(pod, labels::COMPONENT) == Some(component)
        && address(pod).is_ok()
}

fn address(pod: &Pod) -> anyhow::Result<Ipv4Addr> {
    let ip = pod.status.as_ref().and_then(|s| s.pod_ip.as_deref());
    Ok(ip.with_context(|| format!("{} has no address", pod.name_any()))?.parse()?)
}
