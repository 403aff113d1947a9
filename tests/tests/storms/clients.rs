//! Clients that create, delete and scale until they are told to stop.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use yunting_tests::pods::pod;

/// Most replicas of a Deployment.
const REPLICAS: u64 = 6;

/// What all clients of a storm did.
#[derive(Default)]
pub struct Deeds {
    stop: AtomicBool,
    pub created: AtomicUsize,
    pub refused: AtomicUsize,
    /// Creations that were accepted though they began after [`Deeds::closed`].
    pub late: AtomicUsize,
    closed: AtomicBool,
    /// Number and sum of the times of all answers.
    answers: Mutex<(u32, Duration)>,
    /// Uids that a client was about to delete.
    pub deleted: Mutex<HashSet<String>>,
}

impl Deeds {
    /// From now on nothing may be accepted.
    pub fn closed(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    fn took(&self, since: Instant) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *answers = (answers.0 + 1, answers.1 + since.elapsed());
    }

    fn answered<T>(&self, since: Instant, closed: bool, answer: &kube::Result<T>) {
        self.took(since);
        match answer {
            Ok(_) => {
                self.created.fetch_add(1, Ordering::Relaxed);
                self.late.fetch_add(usize::from(closed), Ordering::Relaxed);
            }
            Err(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Mean time of an answer.
    pub fn mean(&self) -> Duration {
        let (number, sum) = *self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        sum.checked_div(number).unwrap_or_default()
    }
}

/// A running storm.
pub struct Storm {
    pub deeds: Arc<Deeds>,
    tasks: JoinSet<()>,
}

impl Storm {
    /// So many clients over the namespaces of all sites.
    pub fn start(sites: &[Client], namespaces: &[String], clients: usize) -> Self {
        let deeds = Arc::new(Deeds::default());
        let mut tasks = JoinSet::new();
        for i in 0..clients {
            let client = Tenant {
                client: sites[i % sites.len()].clone(),
                namespace: namespaces[i / sites.len() % namespaces.len()].clone(),
                number: i,
                dice: 0x9e37_79b9 ^ u64::try_from(i).unwrap_or(0),
                mine: Vec::new(),
                deeds: deeds.clone(),
            };
            tasks.spawn(client.run());
        }
        Self { deeds, tasks }
    }

    /// Lets every client end what it is at.
    pub async fn stop(mut self) -> Arc<Deeds> {
        self.deeds.stop.store(true, Ordering::SeqCst);
        while self.tasks.join_next().await.is_some() {}
        self.deeds
    }
}

struct Tenant {
    client: Client,
    namespace: String,
    number: usize,
    dice: u64,
    mine: Vec<(String, String)>,
    deeds: Arc<Deeds>,
}

impl Tenant {
    fn roll(&mut self, sides: usize) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.dice >> 33).unwrap_or(0) % sides
    }

    async fn run(mut self) {
        let mut turn = 0;
        while !self.deeds.stop.load(Ordering::SeqCst) {
            turn += 1;
            match self.roll(20) {
                0 => self.scale().await,
                1 => self.service(turn).await,
                2..=9 if !self.mine.is_empty() => self.delete().await,
                _ => self.create(turn).await,
            }
        }
    }

    async fn create(&mut self, turn: usize) {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let body = pod(&format!("c{}-{turn}", self.number));
        let (closed, since) = (self.deeds.closed.load(Ordering::SeqCst), Instant::now());
        let answer = api.create(&PostParams::default(), &serde_json::from_value(body).unwrap()).await;
        self.deeds.answered(since, closed, &answer);
        if let Ok(pod) = answer {
            self.mine.push((pod.name_any(), pod.uid().unwrap_or_default()));
        }
    }

    async fn delete(&mut self) {
        let i = self.roll(self.mine.len());
        let (name, uid) = self.mine.swap_remove(i);
        self.deeds.deleted.lock().unwrap_or_else(PoisonError::into_inner).insert(uid);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let since = Instant::now();
        let _ = api.delete(&name, &DeleteParams::default()).await;
        self.deeds.took(since);
    }

    async fn scale(&mut self) {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        let standing = api.get_opt("grows").await.ok().flatten();
        let replicas = standing.and_then(|d| d.spec?.replicas).unwrap_or(-1) + 1;
        if u64::try_from(replicas).unwrap_or(0) > REPLICAS {
            return;
        }
        let body = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "grows"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "grows"}},
                "template": {"metadata": {"labels": {"app": "grows"}}, "spec": pod("x")["spec"]}},
        });
        let _ = api.patch("grows", &PatchParams::apply("tenant").force(), &Patch::Apply(&body)).await;
    }

    async fn service(&mut self, turn: usize) {
        let api: Api<Service> = Api::namespaced(self.client.clone(), &self.namespace);
        let body = json!({"metadata": {"name": format!("s{}-{turn}", self.number)},
            "spec": {"selector": {"app": "grows"}, "ports": [{"port": 80}]}});
        let (closed, since) = (self.deeds.closed.load(Ordering::SeqCst), Instant::now());
        let answer = api.create(&PostParams::default(), &serde_json::from_value(body).unwrap()).await;
        self.deeds.answered(since, closed, &answer);
        if answer.is_ok() {
            let _ = api.delete(&format!("s{}-{turn}", self.number), &DeleteParams::default()).await;
        }
    }
}

/// A cron job that does nothing.
pub fn cron_job(name: &str) -> Value {
    let mut spec = pod(name)["spec"].clone();
    spec["restartPolicy"] = json!("Never");
    json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": {
        "schedule": "0 0 1 1 *",
        "suspend": true,
        "jobTemplate": {"spec": {"template": {"spec": spec}}},
    }})
}
