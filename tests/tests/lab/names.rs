//! A pod is answered the names of its own VDC, and none of another's; nobody of a VDC may list the city by asking backwards.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use yunting_tests::names::{Answer, address, backwards};
use yunting_tests::netns::{of_pods, run};

use super::fixture::{PATIENCE, World, gone};
use super::provision::BUREAU;
use super::volumes::{Database, HALL, SITE};

/// Where the site's DNS listens.
const LISTENS: u16 = 1053;
/// Named as a VDC's namespaces are.
const STRANGER: &str = "strange-app-0a1b2c3d";

pub fn own(world: &World) -> anyhow::Result<()> {
    let site = world.lab.site(SITE)?;
    let database = world.runtime.block_on(Database::find(world, BUREAU, HALL, SITE))?;
    let pod: IpAddr =
        database.pod.status.as_ref().and_then(|s| s.pod_ip.as_ref()).context("no address")?.parse()?;
    let IpAddr::V4(v4) = pod else { anyhow::bail!("{pod}") };
    let inside = of_pods(&world.lab, site)?.remove(&v4).context("the pod has no network namespace")?;
    let names = world.runtime.block_on(Names::make(world, &database))?;
    let dns = of_pods(&world.lab, site)?.remove(&names.server).context("DNS has no network namespace")?;
    let service = SocketAddr::from((site.dns_service(), 53));
    // Who asks the server in its own place is nobody's pod.
    let (inside, outside) = ((inside, service), (dns, SocketAddr::from((Ipv4Addr::LOCALHOST, LISTENS))));
    let ask = |(from, server): &(PathBuf, SocketAddr), name: &str| {
        let (name, server) = (format!("{name}.svc.cluster.local"), *server);
        run(from, move || address(server, &name))?
    };
    let reverse = |(from, server): &(PathBuf, SocketAddr)| {
        let (of, server) = (names.address, *server);
        run(from, move || backwards(server, of))?
    };
    let stranger = format!("web.{STRANGER}");
    let seen = (|| {
        ensure!(ask(&inside, &names.own)? == Answer::Found, "{} is not answered", names.own);
        for other in [stranger.as_str(), "kube-dns.kube-system", STRANGER] {
            ensure!(ask(&inside, other)? == Answer::Nothing, "a pod of a VDC is answered {other}");
        }
        ensure!(reverse(&inside)? == Answer::Nothing, "a pod of a VDC is told whose {} is", names.address);
        // The same questions from elsewhere: there was something to be told.
        for name in [names.own.as_str(), stranger.as_str(), "kube-dns.kube-system"] {
            ensure!(ask(&outside, name)? == Answer::Found, "nobody is answered {name}");
        }
        ensure!(reverse(&outside)? == Answer::Found, "nobody is told whose {} is", names.address);
        Ok(())
    })();
    world.runtime.block_on(away(world))?;
    seen
}

struct Names {
    /// Service and namespace of the pod's own VDC.
    own: String,
    /// Address of the stranger's Service.
    address: IpAddr,
    /// Address of the pod that answers.
    server: Ipv4Addr,
}

impl Names {
    async fn make(world: &World, database: &Database) -> anyhow::Result<Self> {
        let client = world.site(SITE).await?;
        let services: Api<Service> = Api::namespaced(client.clone(), database.namespace());
        let own = services.list(&ListParams::default()).await?;
        let own = own.iter().find(|s| s.name_any().contains(HALL)).context("the hall has no Service")?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let params = PatchParams::apply("suite");
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": STRANGER}});
        namespaces.patch(STRANGER, &params, &Patch::Apply(&namespace)).await?;
        let services: Api<Service> = Api::namespaced(client, STRANGER);
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"ports": [{"port": 80, "protocol": "TCP"}], "selector": {"app": "web"}}});
        let made = services.patch("web", &params, &Patch::Apply(&service)).await?;
        let address = made.spec.and_then(|s| s.cluster_ip).context("the Service has no address")?.parse()?;
        let pods: Api<Pod> = Api::namespaced(world.site(SITE).await?, "kube-system");
        let dns = pods.list(&ListParams::default().labels("k8s-app=kube-dns")).await?;
        let server = dns.iter().find_map(|p| p.status.as_ref()?.pod_ip.as_ref()?.parse().ok());
        let server = server.context("DNS has no pod")?;
        Ok(Self { server, own: format!("{}.{}", own.name_any(), database.namespace()), address })
    }
}

async fn away(world: &World) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(world.site(SITE).await?);
    namespaces.delete(STRANGER, &DeleteParams::default()).await?;
    gone(namespaces, STRANGER, PATIENCE).await
}
