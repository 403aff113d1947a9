//! The end of a VDC: every slice `Absent`, then gone, then a certificate of what became of its keys, then the VDC itself. A
//! site given up does not hold it back.

use kube::ResourceExt;
use yunting_crds::VdcSlice;
use yunting_crds::conditions::{GONE, READY, State, conditions, find, reason, say};
use yunting_plan::certificate::{Ended, certificate};

use super::observe::Seen;
use super::{Error, apply};
use crate::hub::said;
use crate::hub::world::World;
use crate::queue::Next;

/// Longest message.
const LONGEST: usize = 1024;

/// What the sites say that they wait for.
fn waiting(seen: &Seen, sites: &[String]) -> String {
    let says = |site: &String| {
        let status = seen.slices.get(site).and_then(|s| s.status.as_ref());
        let gone = status.and_then(|s| find(&s.conditions, GONE)).filter(|c| !c.message.is_empty());
        gone.map_or_else(|| site.clone(), |c| format!("{site} ({})", c.message))
    };
    let text =
        format!("waiting for {} to take it away", sites.iter().map(says).collect::<Vec<_>>().join(", "));
    text.chars().take(LONGEST).collect()
}

/// Every site has taken it away; slices that are asked to go and do not are held by somebody's finalizer.
fn held(seen: &Seen) -> String {
    let holds = |slice: &VdcSlice| slice.finalizers().join(", ");
    let all: Vec<String> = seen
        .slices
        .iter()
        .filter(|(_, slice)| !slice.finalizers().is_empty())
        .map(|(site, slice)| format!("finalizers {} hold the slice of {site}", holds(slice)))
        .collect();
    if all.is_empty() {
        return "its slices are being removed".to_owned();
    }
    let text = format!("{}: whoever put them there has to take them off", all.join("; "));
    text.chars().take(LONGEST).collect()
}

/// One pass of the removal.
pub(super) async fn delete(world: &World, seen: &Seen) -> Result<Next, Error> {
    let sites: Vec<String> = seen.slices.keys().cloned().collect();
    let remaining = apply::leavers(world, seen, &sites).await?;
    if remaining.is_empty() && seen.slices.is_empty() {
        certify(world, seen).await?;
        world.forget_promise(&seen.uid);
        said::let_go(world, seen.vdc.as_ref()).await?;
        return Ok(Next::Wait);
    }
    let mut status = seen.vdc.status.clone().unwrap_or_default();
    let message = if remaining.is_empty() { held(seen) } else { waiting(seen, &remaining) };
    let ready = say(READY, State::False, reason::DELETING, message);
    status.left_sites = seen.left(world);
    status.conditions =
        conditions(&status.conditions, &[ready], seen.vdc.metadata.generation, &world.context.now());
    apply::status(world, seen, &status).await?;
    Ok(Next::Wait)
}

/// Writes what became of its keys, before nobody knows of it any more.
async fn certify(world: &World, seen: &Seen) -> Result<(), Error> {
    let (vdc, status) = (&seen.vdc, seen.vdc.status.clone().unwrap_or_default());
    let now = world.context.now();
    let requested = vdc.metadata.deletion_timestamp.as_ref().unwrap_or(&now);
    let ended = Ended {
        bureau: &seen.bureau_name,
        vdc: &vdc.name_any(),
        uid: &seen.uid,
        provider: vdc.spec.encryption.key_provider,
        requested_at: requested.0.to_string(),
        ended_at: now.0.to_string(),
        left: &status.left_sites,
        shown: &status.sites,
    };
    world.certificates.write(&world.writer, &seen.uid, |head| certificate(head, &ended)).await?;
    Ok(())
}
