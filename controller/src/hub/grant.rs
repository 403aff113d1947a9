//! A grant at the hub: observe → judge → wake the halls whose slices carry it → status. It writes no slice itself: those are
//! their halls'.

use std::time::Duration;

use jiff::Timestamp;
use yunting_crds::AccessGrantStatus;
use yunting_crds::access_grant::{GrantPhase, GrantSite};
use yunting_crds::conditions::{conditions, reason};
use yunting_plan::grants::{self, Agreed, Refusal};
use yunting_plan::summary::{not_ready, progress};

use super::said;
use super::sharing::{Seen, untold};
use super::world::{ObjectKey, World};
use crate::queue::Next;
use crate::writer::Error;

/// Field manager of a grant's status.
const STATUS_MANAGER: &str = "yunting/hub-grant-status";
/// Longest wait for an end: clocks are put right.
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// One pass over one grant.
pub(super) async fn reconcile(world: &World, key: &ObjectKey) -> Result<Next, Error> {
    let Some(grant) = world.sharing.grants.get(&key.namespace, &key.name) else { return Ok(Next::Wait) };
    if grant.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Wait);
    }
    let (seen, now) = (Seen::of(world, grant), world.context.timestamp());
    let judged = grants::judge(&seen.asked(), now);
    for hall in untold(world, &seen, judged.as_ref().ok()) {
        world.wakers.halls.wake(hall);
    }
    said::status(world, STATUS_MANAGER, seen.grant.as_ref(), &status(world, &seen, &judged)).await?;
    Ok(next(&seen, now))
}

fn next(seen: &Seen, now: Timestamp) -> Next {
    let Some(end) = seen.asked().wakes(now) else { return Next::Wait };
    // A moment later than it: what ends then has ended.
    let left = Duration::try_from(end.duration_since(now)).unwrap_or(Duration::ZERO);
    Next::After((left + Duration::from_millis(10)).min(LONGEST_WAIT))
}

/// The status as it is to be.
fn status(world: &World, seen: &Seen, judged: &Result<Agreed, Refusal>) -> AccessGrantStatus {
    let grant = &seen.grant;
    let before = grant.status.clone().unwrap_or_default().conditions;
    let (generation, now) = (grant.metadata.generation, world.context.now());
    let sites = judged.as_ref().map(|agreed| sites(world, agreed)).unwrap_or_default();
    let (phase, ready) = match judged {
        Ok(_) => (GrantPhase::Accepted, grants::ready(&sites)),
        Err(refusal) => (refusal.phase, not_ready(refusal.reason, refusal.message.clone())),
    };
    let mut statements = progress(&ready, ready.reason != reason::IN_PROGRESS);
    statements.push(ready);
    let agreed = judged.as_ref().ok();
    AccessGrantStatus {
        observed_generation: generation,
        conditions: conditions(&before, &statements, generation, &now),
        phase,
        until: agreed.map(|a| a.until.to_string()),
        address: agreed.map(|a| a.address.clone()),
        ports: agreed.map(|a| a.ports.clone()).unwrap_or_default(),
        sites,
    }
}

/// Each site where the caller runs.
fn sites(world: &World, agreed: &Agreed) -> Vec<GrantSite> {
    let (from, to) =
        (world.hall_slices_of(&agreed.consumer.hall), world.hall_slices_of(&agreed.producer.hall));
    let at = |(site, slice): (&String, &std::sync::Arc<yunting_crds::HallSlice>)| {
        let way = grants::way(agreed, slice, to.get(site).map(AsRef::as_ref), world.liveness.fresh(site))?;
        Some(GrantSite { site: site.clone(), way })
    };
    from.iter().filter_map(at).collect()
}
