//! Policies have a readiness of their own. A pod is asked for in the permanently closed canary namespace, as a dry
//! run, at every API server of the site: only when each refuses it **by the policy** may a namespace be opened.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::core::Request;
use tokio::sync::Notify;
use tokio::time::Instant;
use yunting_crds::conditions::{State, Statement, reason};
use yunting_crds::labels;
use yunting_plan::object::Object;

use super::enforced;
use crate::site::world::{Name, World};
use crate::writer::Writer;

/// The policy that must refuse.
const POLICY: &str = "yunting-closed-namespace";
/// A new or changed policy takes about a second to act: asked earlier, an old one could answer for a new one.
const SETTLE: Duration = Duration::from_millis(1500);
/// Time for an answer to a dry run.
const ANSWER: Duration = Duration::from_secs(3);
/// Time between tries while a server does not refuse.
const RETRY: Duration = Duration::from_secs(2);

/// What the canary last showed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Unknown,
    Enforced,
    NotEnforced(String),
}

/// Whether the site's API servers enforce Yunting's policies.
pub(crate) struct Canary {
    seen: Mutex<Seen>,
    changed: Notify,
    /// API servers that did not answer, and when that was found.
    silent: Mutex<HashMap<usize, Instant>>,
}

impl Default for Canary {
    fn default() -> Self {
        Self { seen: Mutex::new(Seen::Unknown), changed: Notify::new(), silent: Mutex::default() }
    }
}

impl Canary {
    /// A policy or binding changed: what was shown is shown again.
    pub(crate) fn policies_changed(&self) {
        self.changed.notify_one();
    }

    /// Every API server refused, as last asked.
    pub(crate) fn verified(&self) -> bool {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) == Seen::Enforced
    }

    /// What is said of it.
    pub(crate) fn statement(&self) -> Statement {
        match &*self.seen.lock().unwrap_or_else(PoisonError::into_inner) {
            Seen::Unknown => {
                enforced(State::Unknown, reason::PENDING, "the canary has not been asked yet".to_owned())
            }
            Seen::Enforced => enforced(
                State::True,
                reason::VERIFIED,
                "a pod in the closed canary namespace was refused by every API server".to_owned(),
            ),
            Seen::NotEnforced(why) => enforced(State::False, reason::IN_PROGRESS, why.clone()),
        }
    }

    /// Whether an API server did not answer a moment ago: many that ask wait for it once, not each for itself.
    fn is_silent(&self, index: usize) -> bool {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.get(&index).is_some_and(|since| since.elapsed() < RETRY)
    }

    fn set(&self, seen: &Seen) -> bool {
        let mut held = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, seen.clone()) != *seen
    }
}

/// Asks at the start, after each change of a policy, and until every server refuses.
pub(crate) async fn watch_over(world: Arc<World>) {
    loop {
        let seen = ask(&world).await;
        let enforced = seen == Seen::Enforced;
        if world.canary.set(&seen) {
            tracing::info!(enforced, "the canary was asked");
            world.wakers.report();
            for record in world.records.all() {
                if let Some(vdc) = &record.spec.vdc {
                    world.wakers.vdcs.wake(Name(vdc.source.uid.clone()));
                }
            }
        }
        if enforced {
            world.canary.changed.notified().await;
            tokio::time::sleep(SETTLE).await;
        } else {
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn ask(world: &World) -> Seen {
    match every_server_refuses(world, &Object::new(&pod())).await {
        Ok(()) => Seen::Enforced,
        Err(why) => Seen::NotEnforced(why),
    }
}

/// Asks every API server of the site for this object, as a dry run, all at once: each must refuse it, by the policy of
/// closed namespaces and nothing else. A server that does not answer is no server that refuses: cut off from its peers
/// it may still admit.
pub(in crate::site) async fn every_server_refuses(world: &World, object: &Object) -> Result<(), String> {
    let servers = world.ends.own.each().iter().enumerate();
    let asked = servers.map(|(index, client)| {
        let writer = Writer::new(client.clone(), world.context.metrics.clone());
        async move { answer(&world.canary, index, &writer, object).await.map_err(|why| (index, why)) }
    });
    for answer in futures::future::join_all(asked).await {
        answer
            .map_err(|(index, why)| format!("API server {index} of the site does not refuse yet: {why}"))?;
    }
    Ok(())
}

async fn answer(canary: &Canary, index: usize, writer: &Writer, object: &Object) -> Result<(), String> {
    let silent = format!(
        "it did not answer within {ANSWER:?}; if it is gone for good, take it out of the site controller's kubeconfig"
    );
    if canary.is_silent(index) {
        return Err(silent);
    }
    let answer = tokio::time::timeout(ANSWER, refused(writer, object)).await;
    answer.unwrap_or_else(|_| {
        canary.silent.lock().unwrap_or_else(PoisonError::into_inner).insert(index, Instant::now());
        Err(silent)
    })
}

async fn refused(writer: &Writer, object: &Object) -> Result<(), String> {
    let key = &object.key;
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let body = object.body.to_string().into_bytes();
    let request = Request::new(crate::writer::path(key)).create(&params, body).map_err(|e| e.to_string())?;
    match writer.raw(key, "dry-run", request).await {
        Ok(_) => Err(format!("{key} was accepted: policy {POLICY} does not act")),
        Err(crate::writer::Error::Change { source: kube::Error::Api(status), .. })
            if status.message.contains(POLICY) =>
        {
            Ok(())
        }
        Err(error) => Err(crate::error::chain(&error)),
    }
}

/// A pod that nothing but the policy has a reason to refuse.
fn pod() -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some("canary".to_owned()),
            namespace: Some(labels::CANARY_NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: vec![Container {
                name: "canary".to_owned(),
                image: Some("canary.invalid/canary@sha256:0000000000000000000000000000000000000000000000000000000000000000".to_owned()),
                ..Container::default()
            }],
            automount_service_account_token: Some(false),
            ..PodSpec::default()
        }),
        ..Pod::default()
    }
}
