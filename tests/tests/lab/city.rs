//! The whole city at once: who reaches whom at every site of the Bozhou sample is what its specs declare, also after a site
//! was without power; and no way leads past that through the API server.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use yunting_crds::labels;
use yunting_tests::demo::city;
use yunting_tests::demo::wait::{Picture, until};

use super::boundary::agrees;
use super::fixture::{PATIENCE, World};
use super::provision::BUREAU;
use super::volumes::{Database, HALL, SITE};

/// Site that loses power; halls are active there.
const VICTIM: &str = "qiaocheng";
/// Fewest ways that are open at a site that runs halls: less, and nothing was there to be asked.
const OPEN: usize = 20;

pub fn matrix(world: &World) -> anyhow::Result<()> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/samples/bozhou/lab");
    world.runtime.block_on(async {
        city::apply(&world.lab, &world.hub, &samples).await?;
        until(&world.hub, city::PATIENCE, Picture::all_ready).await
    })?;
    let mut busy = 0;
    for site in &world.lab.sites {
        let open = agrees(world, site).with_context(|| format!("at {}", site.name))?;
        busy += usize::from(open >= OPEN);
    }
    ensure!(busy >= 2, "only {busy} sites have {OPEN} open ways or more");
    let since = Timestamp::now();
    world.lab(&["poweroff", VICTIM])?;
    world.lab(&["poweron", VICTIM])?;
    world.runtime.block_on(async {
        begun_anew(world, since).await?;
        until(&world.hub, city::PATIENCE, Picture::all_ready).await
    })?;
    let open = agrees(world, world.lab.site(VICTIM)?).context("after a power cut")?;
    ensure!(open >= OPEN, "only {open} ways are open after a power cut");
    Ok(())
}

/// Waits until every pod of a VDC at the site is ready and was made so after that moment: before a kubelet has looked, pods
/// that a power cut took still count as ready.
async fn begun_anew(world: &World, since: Timestamp) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::all(world.site(VICTIM).await?);
    let ours = ListParams::default().labels(labels::VDC_UID);
    let began = std::time::Instant::now();
    loop {
        let late: Vec<String> = match pods.list(&ours).await {
            Ok(all) => all.iter().filter(|p| !ready_since(p, since)).map(ResourceExt::name_any).collect(),
            Err(error) => vec![error.to_string()],
        };
        if late.is_empty() {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "not ready after the power cut: {}", late.join(", "));
        tokio::time::sleep(std::time::Duration::from_millis(500)).await; // between two looks
    }
}

fn ready_since(pod: &Pod, since: Timestamp) -> bool {
    let Some(status) = &pod.status else { return false };
    let anew = status.container_statuses.iter().flatten().all(|c| {
        let running = c.state.as_ref().and_then(|s| s.running.as_ref());
        running.and_then(|r| r.started_at.as_ref()).is_some_and(|t| t.0 >= since)
    });
    let ready = status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
    anew && ready
}

/// Forwarded ports and the API server's proxy meet neither the node's table nor its gate: they are closed for everybody, and
/// open for one who takes on the group for it, by name.
pub fn through_the_server(world: &World) -> anyhow::Result<()> {
    let database = world.runtime.block_on(Database::find(world, BUREAU, HALL, SITE))?;
    let (namespace, pod) = (database.namespace(), database.pod.name_any());
    let raw = |path: &str| vec!["get".to_owned(), "--raw".to_owned(), path.to_owned()];
    let ways = [
        raw(&format!("/api/v1/namespaces/{namespace}/pods/{pod}:5432/proxy/")),
        raw(&format!("/api/v1/namespaces/{namespace}/services/x:5432/proxy/")),
        raw(&format!("/api/v1/nodes/{}/proxy/pods", world.lab.site(SITE)?.node())),
        ["--namespace", namespace, "port-forward", &pod, ":5432"].map(str::to_owned).to_vec(),
    ];
    for way in &ways {
        let told = text(&kubectl(world, way)?);
        ensure!(told.contains("break-glass"), "{way:?}: {told}");
    }
    let glass =
        ["--as=ops", "--as-group=system:masters", "--as-group=yunting:break-glass"].map(str::to_owned);
    let measured = raw(&format!("/api/v1/nodes/{}/proxy/metrics", world.lab.site(SITE)?.node()));
    let read = kubectl(world, &measured)?;
    ensure!(read.status.success(), "metrics of a node cannot be read: {}", text(&read));
    // The same ways, taken on: what they lead to answers, so that a refusal above was one.
    let pods = [ways[2].clone(), glass.to_vec()].concat();
    let read = kubectl(world, &pods)?;
    ensure!(read.status.success(), "{pods:?}: {}", text(&read));
    let proxied = [ways[0].clone(), glass.to_vec()].concat();
    let told = text(&kubectl(world, &proxied)?);
    ensure!(!told.contains("leads past the border"), "{proxied:?}: {told}");
    world.runtime.block_on(protected(world, &database, &glass))
}

/// Where pods are protected no command runs in one past its gate, for nobody but who takes it on.
async fn protected(world: &World, database: &Database, glass: &[String]) -> anyhow::Result<()> {
    let (namespace, pod) = (database.namespace(), database.pod.name_any());
    let namespaces: Api<Namespace> = Api::all(world.as_site_controller(SITE).await?);
    let mark = |value: Value| {
        let patch = Patch::Merge(json!({"metadata": {"labels": {labels::PROTECTED: value}}}));
        let namespaces = namespaces.clone();
        async move { namespaces.patch(namespace, &PatchParams::default(), &patch).await }
    };
    let words = ["--namespace", namespace, "exec", &pod];
    let with = |more: &[String]| {
        let head = words.map(str::to_owned).to_vec();
        [head, more.to_vec(), ["--", "true"].map(str::to_owned).to_vec()].concat()
    };
    let before = kubectl(world, &with(&[]))?;
    ensure!(before.status.success(), "{}", text(&before));
    mark(json!("true")).await?;
    let refused = refused_soon(|| kubectl(world, &with(&[]))).await;
    let taken_on = kubectl(world, &with(glass));
    mark(Value::Null).await?;
    refused?;
    let taken_on = taken_on?;
    ensure!(taken_on.status.success(), "{}", text(&taken_on));
    Ok(())
}

/// The API server's policies see a label a moment after it was written.
async fn refused_soon(ask: impl Fn() -> anyhow::Result<Output>) -> anyhow::Result<()> {
    let began = std::time::Instant::now();
    loop {
        let told = text(&ask()?);
        if told.contains("past the gates") && told.contains("break-glass") {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "a command runs in a protected pod: {told}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await; // between two looks
    }
}

fn kubectl(world: &World, words: &[String]) -> anyhow::Result<Output> {
    let kubeconfig = world.lab.kubeconfigs().join(format!("{SITE}.yaml"));
    let mut command = Command::new("timeout");
    let command = command.args(["30"]).arg(world.lab.program("kubectl")).arg("--kubeconfig").arg(kubeconfig);
    Ok(command.args(words).output()?)
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|t| String::from_utf8_lossy(t).into_owned()).concat()
}
