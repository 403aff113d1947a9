//! Limits under a storm, and what becomes of what an API server lets past them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use yunting_plan::quota::shrink::Shown;
use yunting_tests::apiserver::wait;
use yunting_tests::pods::pod;

use super::clients::{Deeds, Storm};
use super::judge::{Verdict, replay};
use super::record::Recorder;
use super::world::{PATIENCE, SiteEnd, World};

/// How many mean answers of a client an excess may last: heard of, gathered, decided, removed, and heard of again are
/// five; twice that, because the longest excess is held against the mean answer.
const ANSWERS: u32 = 10;
/// The account by which Kubernetes counts what is used.
const COUNTER: &str = "system:serviceaccount:kube-system:resourcequota-controller";

pub fn limits_hold(world: &World) -> anyhow::Result<()> {
    world.runtime.block_on(async {
        let vdc = world.change(world.vdc(world.size.pods, 0, "Active")).await?;
        let namespaces = world.namespaces(&vdc);
        let recorders = Recorder::all(world).await?;
        let deeds = blow(world, &namespaces, &recorders).await?;
        let refused = deeds.refused.load(Ordering::Relaxed);
        let created = deeds.created.load(Ordering::Relaxed);
        println!("{created} created, {refused} refused, mean answer {:?}", deeds.mean());
        ensure!(refused > 0, "the storm never reached a limit");
        let most = deeds.mean() * ANSWERS;
        for (site, recorder) in world.sites.iter().zip(&recorders) {
            let verdict = judged(world, site, recorder, &namespaces, &deeds).await?;
            println!("{}: {verdict:?}", site.name);
            ensure!(verdict.above_share.is_empty(), "limits above the share: {:?}", verdict.above_share);
            ensure!(verdict.wrongly.is_empty(), "older than the limit: {:?}", verdict.wrongly);
            ensure!(verdict.frozen > 0, "no limit was ever lowered by a freeze");
            ensure!(verdict.longest <= most, "an excess lasted {:?}, more than {most:?}", verdict.longest);
        }
        Ok(())
    })
}

/// Clients storm while quota, weights and a policy change, and somebody tries a closed namespace all the time.
async fn blow(world: &World, namespaces: &[String], recorders: &[Recorder]) -> anyhow::Result<Arc<Deeds>> {
    let storm = Storm::start(&world.people().await?, namespaces, world.size.clients);
    let canary = Canary::start(world);
    for round in 1..=world.size.rounds {
        // Twice the same sum with other weights, then less of it: taken from one another, and given back.
        let pods = if round % 3 == 0 { world.size.pods * 2 / 3 } else { world.size.pods };
        let since = Instant::now();
        let heard: Vec<usize> = recorders.iter().map(|r| r.log.len()).collect();
        world.write(world.vdc(pods, round, "Active")).await?;
        if round % 3 == 2 {
            // The moment at which a crash could leave a limit at zero.
            let frozen = async || {
                recorders.iter().zip(&heard).any(|(r, heard)| r.log.froze_after(*heard)).then_some(())
            };
            wait("a limit on its way down", PATIENCE, frozen).await?;
            world.crash()?;
        }
        world.until("Ready").await?;
        println!("round {round}: {pods} pods, through after {:?}", since.elapsed());
        change_policy(world, round).await?;
    }
    let deeds = storm.stop().await;
    let (tried, let_in) = canary.stop().await;
    let what = "pods came into a closed namespace while its policy changed";
    ensure!(tried > 0 && let_in == 0, "{let_in} of {tried} {what}");
    Ok(deeds)
}

/// The verdict on a site when every excess has ended and every limit has come through.
async fn judged(
    world: &World,
    site: &SiteEnd,
    recorder: &Recorder,
    namespaces: &[String],
    deeds: &Deeds,
) -> anyhow::Result<Verdict> {
    let share = world.size.pods / world.sites.len() as u64;
    let deleted = deeds.deleted.lock().unwrap().clone();
    let mut last = Verdict::default();
    let look = async || {
        recorder.log.catch_up(site.server.client()).await.ok()?;
        last = replay(&recorder.log.changes(), namespaces, share, &deleted);
        last.unfinished.is_empty().then_some(())
    };
    match wait("the end of every excess and lowering", PATIENCE, look).await {
        Ok(()) => Ok(last),
        Err(late) => anyhow::bail!("{late} at {}: {last:?}", site.name),
    }
}

/// Somebody who asks for pods in a closed namespace all the time.
struct Canary {
    stop: Arc<AtomicBool>,
    tasks: tokio::task::JoinSet<()>,
    tried: Arc<AtomicUsize>,
    let_in: Arc<AtomicUsize>,
}

impl Canary {
    fn start(world: &World) -> Self {
        let (stop, tried, let_in) = (Arc::new(AtomicBool::new(false)), Arc::default(), Arc::default());
        let mut tasks = tokio::task::JoinSet::new();
        for site in &world.sites {
            let api: Api<Pod> = Api::namespaced(site.server.client().clone(), "yunting-canary");
            let (stop, tried, let_in) =
                (stop.clone(), Arc::<AtomicUsize>::clone(&tried), Arc::<AtomicUsize>::clone(&let_in));
            tasks.spawn(async move {
                let body: Pod = serde_json::from_value(pod("asks")).unwrap();
                while !stop.load(Ordering::SeqCst) {
                    let answer =
                        api.create(&PostParams { dry_run: true, ..PostParams::default() }, &body).await;
                    tried.fetch_add(1, Ordering::Relaxed);
                    let_in.fetch_add(usize::from(answer.is_ok()), Ordering::Relaxed);
                }
            });
        }
        Self { stop, tasks, tried, let_in }
    }

    async fn stop(mut self) -> (usize, usize) {
        self.stop.store(true, Ordering::SeqCst);
        while self.tasks.join_next().await.is_some() {}
        (self.tried.load(Ordering::Relaxed), self.let_in.load(Ordering::Relaxed))
    }
}

/// Changes what policy of closed namespaces says, and waits until it says so: from then on the new one acts.
async fn change_policy(world: &World, round: usize) -> anyhow::Result<()> {
    for site in &world.sites {
        let client = site.server.client();
        let path =
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/yunting-closed-namespace";
        let words = format!("round {round}: closed");
        let change = json!([{"op": "replace", "path": "/spec/validations/0/messageExpression", "value": format!("'{words}'")}]);
        let request = http::Request::patch(path).header("Content-Type", "application/json-patch+json");
        client.request::<serde_json::Value>(request.body(serde_json::to_vec(&change)?)?).await?;
        let api: Api<Pod> = Api::namespaced(client.clone(), "yunting-canary");
        let body: Pod = serde_json::from_value(pod("asks"))?;
        let says = async || {
            let answer = api.create(&PostParams { dry_run: true, ..PostParams::default() }, &body).await;
            answer.is_err_and(|e| e.to_string().contains(&words)).then_some(())
        };
        wait("the changed policy", PATIENCE, says).await?;
    }
    Ok(())
}

/// One namespace of one site, as its people see it.
struct Sandbox<'a> {
    world: &'a World,
    admin: Client,
    pods: Api<Pod>,
    namespace: String,
}

impl<'a> Sandbox<'a> {
    /// Emptied.
    async fn open(world: &'a World, limit: u64) -> anyhow::Result<Self> {
        let vdc = world.change(Self::spec(world, limit)).await?;
        let namespace = world.namespaces(&vdc)[0].clone();
        let person = world.people().await?.remove(0);
        let pods: Api<Pod> = Api::namespaced(person.clone(), &namespace);
        let deployments: Api<Deployment> = Api::namespaced(person, &namespace);
        let _ = deployments.delete("grows", &DeleteParams::default()).await;
        let empty = async || {
            for pod in pods.list_metadata(&ListParams::default()).await.ok()?.items {
                let _ = pods.delete(&pod.name_any(), &DeleteParams::default()).await;
            }
            let none = deployments.get_opt("grows").await.ok()?.is_none();
            (none && pods.list_metadata(&ListParams::default()).await.ok()?.items.is_empty()).then_some(())
        };
        wait("an empty namespace", PATIENCE, empty).await?;
        let sandbox = Self { world, admin: world.sites[0].server.client().clone(), pods, namespace };
        sandbox.limited(limit).await?;
        Ok(sandbox)
    }

    /// The VDC with this limit in each namespace.
    fn spec(world: &World, limit: u64) -> serde_json::Value {
        world.vdc(limit * (world.sites.len() * world.size.namespaces) as u64, 0, "Active")
    }

    /// Waits until the limit holds and everything is counted.
    async fn limited(&self, limit: u64) -> anyhow::Result<()> {
        let quotas: Api<ResourceQuota> = Api::namespaced(self.admin.clone(), &self.namespace);
        let holds = async || {
            let quota = quotas.get("yunting-quota").await.ok()?;
            let shown = Shown::read(&serde_json::to_value(&quota).ok()?);
            let hard = shown.status.get("pods") == Some(&limit) && shown.spec.get("pods") == Some(&limit);
            (hard && shown.lowering().is_empty()).then_some(())
        };
        wait(&format!("a limit of {limit}"), PATIENCE, holds).await
    }

    async fn limit(&self, limit: u64) -> anyhow::Result<()> {
        self.world.change(Self::spec(self.world, limit)).await?;
        self.limited(limit).await
    }

    /// Creates a pod; its uid.
    async fn create(&self, name: &str) -> kube::Result<String> {
        let pod =
            self.pods.create(&PostParams::default(), &serde_json::from_value(pod(name)).unwrap()).await?;
        Ok(pod.uid().unwrap_or_default())
    }

    async fn uids(&self) -> anyhow::Result<BTreeSet<String>> {
        let list = self.pods.list_metadata(&ListParams::default()).await?;
        Ok(list.items.iter().filter_map(ResourceExt::uid).collect())
    }

    /// Makes the API server believe that nothing is used, as its recounting does in a storm, and creates past the limit.
    async fn past_the_limit(&self, name: &str) -> anyhow::Result<String> {
        let quotas: Api<ResourceQuota> = Api::namespaced(self.admin.clone(), &self.namespace);
        let path = format!("/api/v1/namespaces/{}/resourcequotas/yunting-quota/status", self.namespace);
        let created = async || {
            let mut quota = quotas.get("yunting-quota").await.ok()?;
            let used = quota.status.as_mut()?.used.as_mut()?;
            used.insert("pods".into(), Quantity("0".into()));
            let request = http::Request::put(path.as_str())
                .header("Content-Type", "application/json")
                .header("Impersonate-User", COUNTER)
                .header("Impersonate-Group", "system:serviceaccounts")
                .header("Impersonate-Group", "system:serviceaccounts:kube-system")
                .body(serde_json::to_vec(&quota).ok()?)
                .ok()?;
            self.admin.request::<ResourceQuota>(request).await.ok()?;
            self.create(name).await.ok()
        };
        wait("a pod past the limit", PATIENCE, created).await
    }

    /// Lets some past the limit, one after another; how long each was there. Nothing else goes.
    async fn lets_past(&self, name: &str, kept: &BTreeSet<String>) -> anyhow::Result<Vec<Duration>> {
        let mut took = Vec::new();
        for i in 0..3 {
            let past = self.past_the_limit(&format!("{name}-{i}")).await?;
            let since = Instant::now();
            ensure!(!kept.contains(&past), "a pod was made twice");
            self.left(kept).await?;
            took.push(since.elapsed());
        }
        Ok(took)
    }

    /// Waits until exactly these are left.
    async fn left(&self, expected: &BTreeSet<String>) -> anyhow::Result<()> {
        let mut last = BTreeSet::new();
        let look = async || {
            last = self.uids().await.ok()?;
            (last == *expected).then_some(())
        };
        let waited = wait("the end of what is above the limit", PATIENCE, look).await;
        waited.map_err(|late| anyhow::anyhow!("{late}: expected {expected:?}, there are {last:?}"))
    }
}

pub fn excess_is_removed(world: &World) -> anyhow::Result<()> {
    world.runtime.block_on(async {
        let sandbox = Sandbox::open(world, 6).await?;
        let mut kept = BTreeSet::new();
        for i in 0..6 {
            // What the test before this one has left is counted until Kubernetes has counted anew.
            let created = async || sandbox.create(&format!("old-{i}")).await.ok();
            kept.insert(wait("a pod within the limit", PATIENCE, created).await?);
        }
        // Lowering below use stops nothing; nothing comes on top of it.
        sandbox.limit(3).await?;
        sandbox.left(&kept).await?;
        let mut took = sandbox.lets_past("past", &kept).await?;
        // Raised, there is room for two more; of what comes past them the newest goes.
        sandbox.limit(8).await?;
        for i in 0..2 {
            let created = async || sandbox.create(&format!("new-{i}")).await.ok();
            kept.insert(wait("a pod in the new room", PATIENCE, created).await?);
        }
        took.extend(sandbox.lets_past("again", &kept).await?);
        println!("what was let past a limit was gone after {took:?}");
        let events: Api<Event> = Api::namespaced(world.sites[0].server.client().clone(), &sandbox.namespace);
        let told = async || {
            let all = events.list(&ListParams::default()).await.ok()?.items;
            all.iter().any(|e| e.reason.as_deref() == Some("RemovedAboveQuota")).then_some(())
        };
        wait("an Event that tells of it", PATIENCE, told).await
    })
}
