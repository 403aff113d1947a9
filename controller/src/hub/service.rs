//! A shared service at the hub: whether it can be answered, and who asks for it. The producer's people see requests here and
//! nowhere else: they may not read in the consumer's namespace.

use kube::ResourceExt;
use yunting_crds::access_grant::GrantPhase;
use yunting_crds::conditions::{conditions, reason};
use yunting_crds::names::BUREAU_NAMESPACE_PREFIX;
use yunting_crds::shared_service::{ASKED, AskedGrant};
use yunting_crds::{SharedService, SharedServiceStatus};
use yunting_plan::grants;
use yunting_plan::summary::progress;

use super::said;
use super::sharing::{Seen, offered};
use super::world::{ObjectKey, World};
use crate::queue::Next;
use crate::writer::Error;

/// Field manager of a shared service's status.
const STATUS_MANAGER: &str = "yunting/hub-service-status";

/// One pass over one service. What time changes wakes the grants, and they this.
pub(super) async fn reconcile(world: &World, key: &ObjectKey) -> Result<Next, Error> {
    let Some(service) = world.sharing.services.get(&key.namespace, &key.name) else { return Ok(Next::Wait) };
    if service.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Wait);
    }
    said::status(world, STATUS_MANAGER, service.as_ref(), &status(world, &service)).await?;
    Ok(Next::Wait)
}

fn status(world: &World, service: &SharedService) -> SharedServiceStatus {
    let before = service.status.clone().unwrap_or_default().conditions;
    let (generation, now) = (service.metadata.generation, world.context.now());
    let ready = offered(world, service);
    let mut statements = progress(&ready, ready.reason != reason::PENDING);
    statements.push(ready);
    let mut asked: Vec<AskedGrant> = asked(world, service);
    let accepted = asked.iter().filter(|a| a.phase == GrantPhase::Accepted).count();
    let summary = format!("{accepted}/{}", asked.len());
    asked.truncate(ASKED);
    SharedServiceStatus {
        observed_generation: generation,
        conditions: conditions(&before, &statements, generation, &now),
        asked,
        summary: Some(summary),
    }
}

/// Requests of bureaus that may ask: others are not let write into the producer's object. What waits for an answer first, so
/// that old ones hide no new one.
fn asked(world: &World, service: &SharedService) -> Vec<AskedGrant> {
    let now = world.context.timestamp();
    let one = |grant: std::sync::Arc<yunting_crds::AccessGrant>| {
        let namespace = grant.namespace().unwrap_or_default();
        let bureau = namespace.strip_prefix(BUREAU_NAMESPACE_PREFIX)?.to_owned();
        if !service.spec.allowed_bureaus.allows(&bureau) {
            return None;
        }
        let phase = match grants::judge(&Seen::of(world, grant.clone()).asked(), now) {
            Ok(_) => GrantPhase::Accepted,
            Err(refusal) => refusal.phase,
        };
        Some(AskedGrant {
            bureau,
            grant: grant.name_any(),
            uid: grant.uid()?,
            from: grant.spec.from.clone(),
            purpose: grant.spec.purpose.clone(),
            expires: grant.spec.expires.clone(),
            phase,
        })
    };
    let mut all: Vec<AskedGrant> = world.sharing.grants_for(service).into_iter().filter_map(one).collect();
    let over = |phase: GrantPhase| !matches!(phase, GrantPhase::Pending | GrantPhase::Accepted);
    all.sort_by(|a, b| {
        (over(a.phase), &a.bureau, &a.grant, &a.uid).cmp(&(over(b.phase), &b.bureau, &b.grant, &b.uid))
    });
    all
}
