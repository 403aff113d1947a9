//! Looks all the time whether the VDCs that have pods here are closed, and writes it into the node's report.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use kube::ResourceExt;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};
use yunting_crds::NodeReport;
use yunting_crds::node_report::{Breach, IsolationState, VdcIsolation};
use yunting_plan::boundary::Facts;
use yunting_plan::boundary::ways::{Way, ways};
use yunting_plan::object::Object;
use yunting_plan::vdc::isolation;

use super::probe::{Job, ask};
use super::world::World;
use crate::context::Context;
use crate::error::chain;
use crate::kinds;
use crate::writer::Writer;

/// Field manager of the report.
const MANAGER: &str = "yunting/node-report";
/// Time between two turns.
const TURN: Duration = Duration::from_secs(10);
/// Time after which a report that says nothing new is written again.
const BEAT: Duration = Duration::from_secs(30);
/// Most breaches that are named of a VDC; the field's bound.
const SHOWN: usize = 10;
/// Most VDCs of a report; the field's bound.
const VDCS: usize = 1024;

/// Does so for ever.
pub(super) async fn keep(world: &World, beyond: &[(Ipv4Addr, u16)], writer: &Writer, context: &Context) {
    let mut tick = interval(TURN);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut written: Option<(Instant, Vec<VdcIsolation>)> = None;
    for turn in 0.. {
        tick.tick().await;
        let found = look(world, beyond, turn).await;
        tell(&found, context);
        let stands = written.as_ref().is_some_and(|(at, said)| *said == found && at.elapsed() < BEAT);
        if !stands {
            let known = written.is_some();
            written = write(world, &found, known, writer, context).await.then(|| (Instant::now(), found));
        }
    }
}

fn tell(found: &[VdcIsolation], context: &Context) {
    let open: Vec<_> = found.iter().filter(|v| v.state == IsolationState::Open).collect();
    context.metrics.open_vdcs.set(i64::try_from(open.len()).unwrap_or(i64::MAX));
    for vdc in open {
        tracing::error!(vdc = vdc.vdc, breaches = ?vdc.breaches, "a VDC is not closed");
    }
}

/// One turn.
async fn look(world: &World, beyond: &[(Ipv4Addr, u16)], turn: usize) -> Vec<VdcIsolation> {
    let facts = world.facts();
    let all = ways(&facts, beyond, turn);
    let passed = passed(world, &all).await;
    let suspects: Vec<&Way<'_>> = all
        .iter()
        .zip(&passed)
        .filter(|(way, p)| !way.may && **p == Some(true))
        .map(|(way, _)| way)
        .collect();
    let breaches =
        if suspects.is_empty() { BTreeMap::new() } else { confirm(world, beyond, turn, &suspects).await };
    if !breaches.is_empty() {
        world.renew.notify_one();
    }
    let mut found: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (way, passed) in all.iter().zip(&passed) {
        let (closed, open) = found.entry(way.vdc.as_str()).or_default();
        *closed += usize::from(!way.may && passed.is_some());
        *open += usize::from(way.may && *passed == Some(true));
    }
    let summed = |(vdc, (closed, open)): (&str, (usize, usize))| {
        let mut breaches = breaches.get(vdc).cloned().unwrap_or_default();
        breaches.truncate(SHOWN);
        let state = isolation::shown(closed, open, !breaches.is_empty());
        VdcIsolation { vdc: vdc.to_owned(), state, breaches }
    };
    found.into_iter().map(summed).take(VDCS).collect()
}

/// For each way whether something passed; nothing where it could not be tried.
async fn passed(world: &World, ways: &[Way<'_>]) -> Vec<Option<bool>> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut places = Vec::new();
    let mut by_netns: HashMap<PathBuf, usize> = HashMap::new();
    for way in ways {
        let place = world.links.netns(way.from.address).map(|netns| {
            let job = *by_netns.entry(netns.clone()).or_insert_with(|| {
                jobs.push(Job { netns, targets: Vec::new() });
                jobs.len() - 1
            });
            let targets = jobs.get_mut(job).map(|j| &mut j.targets);
            let at = targets.map_or(0, |targets| {
                targets.push((way.address, way.port));
                targets.len() - 1
            });
            (job, at)
        });
        places.push(place);
    }
    let answers = ask(jobs).await;
    let of = |(job, at): (usize, usize)| answers.get(job)?.as_ref()?.get(at).copied();
    places.into_iter().map(|place| of(place?)).collect()
}

/// What passed may have become allowed, or its address another's, since the ways were chosen: each is chosen and tried
/// again.
async fn confirm(
    world: &World,
    beyond: &[(Ipv4Addr, u16)],
    turn: usize,
    suspects: &[&Way<'_>],
) -> BTreeMap<String, Vec<Breach>> {
    let facts = world.facts();
    let same = |a: &Way<'_>, b: &Way<'_>| {
        a.vdc == b.vdc && a.from.address == b.from.address && (a.address, a.port) == (b.address, b.port)
    };
    let again: Vec<Way<'_>> = ways(&facts, beyond, turn)
        .into_iter()
        .filter(|way| !way.may && suspects.iter().any(|s| same(s, way)))
        .collect();
    let passed = passed(world, &again).await;
    let mut breaches: BTreeMap<String, Vec<Breach>> = BTreeMap::new();
    for (way, _) in again.iter().zip(passed).filter(|(_, p)| *p == Some(true)) {
        breaches.entry(way.vdc.as_str().to_owned()).or_default().push(breach(&facts, way));
    }
    breaches
}

fn breach(facts: &Facts, way: &Way<'_>) -> Breach {
    let to = match way.to {
        Some(pod) => format!("{}/{}", pod.namespace, pod.name),
        None if facts.node.addresses.contains(&way.address) => "the node".to_owned(),
        None => "an address that is no pod's".to_owned(),
    };
    Breach {
        from: format!("{}/{}", way.from.namespace, way.from.name),
        to,
        address: way.address.to_string(),
        port: way.port,
    }
}

/// Whether it arrived. The report itself is made when it may not be there.
async fn write(
    world: &World,
    found: &[VdcIsolation],
    known: bool,
    writer: &Writer,
    context: &Context,
) -> bool {
    let report = report(world);
    let status = json!({"observedAt": context.now(), "isolation": found});
    let write = async {
        if !known {
            writer.apply(MANAGER, &report).await?;
        }
        writer.status(MANAGER, &report.key, None, &status).await
    };
    match write.await {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(error = chain(&error), "the node's report did not arrive");
            false
        }
    }
}

/// It goes with its Node, which owns it.
pub(super) fn report(world: &World) -> Object {
    let mut body = json!({
        "apiVersion": "yunting.io/v1alpha1", "kind": "NodeReport",
        "metadata": {"name": world.node},
        "spec": {"node": world.node},
    });
    if let Some(node) = world.nodes.get_cluster(&world.node) {
        body["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Node", "name": world.node, "uid": node.uid()}]);
    }
    kinds::object::<NodeReport>(body)
}
