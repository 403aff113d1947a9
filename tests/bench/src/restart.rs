//! A controller that begins anew on a world that stands: how long until it is ready, and what it writes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use kube::Client;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::audit::{self, Mark};
use crate::city::{City, deadline};
use crate::clients::path;
use crate::floor::SETTLE;

/// Objects per page.
const PAGE: usize = 500;
/// What the hub's controller lists: group, plural.
const HUB: [(&str, &str, &str); 11] = [
    ("yunting.io", "v1alpha1", "sites"),
    ("yunting.io", "v1alpha1", "sitereports"),
    ("yunting.io", "v1alpha1", "bureaus"),
    ("yunting.io", "v1alpha1", "vdctemplates"),
    ("yunting.io", "v1alpha1", "virtualdatacenters"),
    ("yunting.io", "v1alpha1", "vdcslices"),
    ("yunting.io", "v1alpha1", "halls"),
    ("yunting.io", "v1alpha1", "hallslices"),
    ("", "v1", "namespaces"),
    ("rbac.authorization.k8s.io", "v1", "rolebindings"),
    ("", "v1", "secrets"),
];
/// What a site's controller lists at the hub, in its namespace there.
const SITE_AT_HUB: [(&str, &str, &str); 4] = [
    ("yunting.io", "v1alpha1", "sitereports"),
    ("yunting.io", "v1alpha1", "vdcslices"),
    ("yunting.io", "v1alpha1", "hallslices"),
    ("", "v1", "secrets"),
];
/// What a site's controller lists in its own cluster. Kinds of which little or nothing stands in this benchmark are left out.
const SITE: [(&str, &str, &str); 10] = [
    ("yunting.io", "v1alpha1", "slicerecords"),
    ("", "v1", "namespaces"),
    ("networking.k8s.io", "v1", "networkpolicies"),
    ("", "v1", "resourcequotas"),
    ("", "v1", "limitranges"),
    ("rbac.authorization.k8s.io", "v1", "rolebindings"),
    ("", "v1", "serviceaccounts"),
    ("", "v1", "configmaps"),
    ("apps", "v1", "deployments"),
    ("", "v1", "pods"),
];

/// One restart.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Restart {
    /// Seconds until the controller said that it is ready.
    pub ready: f64,
    /// Seconds of the raw list.
    pub list: f64,
    /// Seconds of the controllers' processor time until it was ready: nearly all of it is this one's.
    pub controllers: f64,
    /// The same of API servers and etcd.
    pub servers: f64,
    /// Requests that change something, Leases and dry runs not among them.
    pub writes: usize,
    /// Which those are: by whom, verb, resource, number.
    pub which: Vec<(String, String, String, usize)>,
}

/// Ends and begins the hub's controller.
pub async fn hub(city: &mut City) -> anyhow::Result<Restart> {
    let began = Instant::now();
    list_all(&city.clients.person, &HUB, None).await?;
    let list = began.elapsed().as_secs_f64();
    city.stop("hub")?;
    let mark = Mark::now(&city.audit_logs());
    city.start_hub()?;
    measured(city, "hub", list, &mark).await
}

/// Ends and begins the first site's controller.
pub async fn site(city: &mut City) -> anyhow::Result<Restart> {
    let name = city.sites.first().context("no site")?.name;
    let at_hub = format!("site-{name}");
    let began = Instant::now();
    tokio::try_join!(
        list_all(&city.clients.person, &SITE_AT_HUB, Some(&at_hub)),
        list_all(&city.clients.sites[0], &SITE, None),
    )?;
    let list = began.elapsed().as_secs_f64();
    city.stop(name)?;
    let mark = Mark::now(&city.audit_logs());
    city.start_site(0)?;
    measured(city, name, list, &mark).await
}

async fn measured(city: &City, name: &str, list: f64, mark: &Mark) -> anyhow::Result<Restart> {
    let (began, before) = (Instant::now(), city.usage());
    let port = city.port(name)?;
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while !is_ready(port).await {
        tick.tick().await;
        deadline("a controller to be ready", began)?;
    }
    let (ready, after) = (began.elapsed().as_secs_f64(), city.usage());
    tokio::time::sleep(SETTLE).await;
    let mut written = mark.counts()?;
    written.retain(|line, _| line.writes() && !line.is_beat());
    let controllers = after.controllers - before.controllers;
    let servers = (after.api_servers + after.etcd) - (before.api_servers + before.etcd);
    Ok(Restart {
        ready,
        list,
        controllers,
        servers,
        writes: written.values().sum(),
        which: audit::rows(&written),
    })
}

/// Whether `/readyz` of a local port answers 200.
async fn is_ready(port: u16) -> bool {
    let ask = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask.await.unwrap_or(false)
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMeta,
}

#[derive(Deserialize)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    token: String,
}

/// All of them at once, page by page.
async fn list_all(
    client: &Client,
    kinds: &[(&str, &str, &str)],
    namespace: Option<&str>,
) -> anyhow::Result<()> {
    let lists = kinds
        .iter()
        .map(|(group, version, plural)| list(client, path(group, version, plural, namespace, "")));
    try_join_all(lists).await.map(drop)
}

async fn list(client: &Client, path: String) -> anyhow::Result<()> {
    let mut token = String::new();
    loop {
        let uri = format!("{path}?limit={PAGE}&continue={token}");
        let page: Page = client.request(http::Request::get(&uri).body(Vec::new())?).await.context(uri)?;
        if page.metadata.token.is_empty() {
            return Ok(());
        }
        ensure!(page.metadata.token != token, "{path}: the same page twice");
        token = page.metadata.token;
    }
}
