//! What a site tells the hub of itself: its report, its beat, and whether its policies are enforced.

pub(super) mod beat;
pub(super) mod canary;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use serde_json::json;
use yunting_crds::common::Quota;
use yunting_crds::conditions::{POLICIES_ENFORCED, READY, State, Statement, conditions, reason, say};
use yunting_crds::resources::{Amounts, Kind};
use yunting_crds::{SiteReport, SiteReportStatus};
use yunting_plan::hall::door::GATEWAY_CLASS;

use super::orphans;
use super::world::{Name, World};
use crate::kinds;
use crate::queue::Next;
use crate::writer::{Error, key_of};

/// Field manager of the report.
const MANAGER: &str = "yunting/site-report";
/// Most orphans that are named; the field's bound.
const ORPHANS_SHOWN: usize = 256;
/// Most classes of a kind that are named; the fields' bound.
const CLASSES_SHOWN: usize = 64;

/// Writes the report if it says something new. The hub makes the object; until then there is nothing to write.
pub(super) async fn reconcile(world: &World, _: &Name) -> Result<Next, Error> {
    let Some(report) = world.reports.get(&world.site.namespace(), world.site.as_str()) else {
        return Ok(Next::Wait);
    };
    let status = status(world, &report);
    if report.status.as_ref() != Some(&status) {
        let key = key_of(&kinds::of::<SiteReport>(), report.as_ref());
        world.ends.hub_writer.status(MANAGER, &key, None, &json!(status)).await?;
    }
    Ok(Next::Wait)
}

fn status(world: &World, report: &SiteReport) -> SiteReportStatus {
    let nodes = world.nodes.all();
    let ready: Vec<&Node> = nodes.iter().map(AsRef::as_ref).filter(|n| is_ready(n)).collect();
    let allocatable = ready.iter().fold(Amounts::new(), |sum, n| sum.plus(&amounts(n)));
    let mut orphaned = orphans::orphans(world);
    let before = report.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    let (gate, gate_tested_at) = world.words.judge_gates(world);
    let statements = vec![world.canary.statement(), works(world, &orphaned), gate];
    orphaned.truncate(ORPHANS_SHOWN);
    let mut storage_classes: Vec<String> = world.storage_classes.all().iter().map(|c| c.name_any()).collect();
    storage_classes.truncate(CLASSES_SHOWN);
    let mut gateway_classes = world.children.names(&GATEWAY_CLASS);
    gateway_classes.truncate(CLASSES_SHOWN);
    SiteReportStatus {
        conditions: conditions(before, &statements, report.metadata.generation, &world.context.now()),
        kubernetes_version: Some(world.version.clone()),
        yunting_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        nodes: u32::try_from(nodes.len()).unwrap_or(u32::MAX),
        ready_nodes: u32::try_from(ready.len()).unwrap_or(u32::MAX),
        allocatable: Quota::from_amounts(&allocatable),
        storage_classes,
        gateway_classes,
        gate_tested_at,
        custody: world.ends.keys.certificate(),
        tunnel: world.words.ends(),
        orphaned,
    }
}

fn works(world: &World, orphaned: &[String]) -> Statement {
    world.context.metrics.lost_records.set(i64::try_from(orphaned.len()).unwrap_or(i64::MAX));
    if orphaned.is_empty() {
        return say(READY, State::True, reason::AS_ASKED, "");
    }
    if let Err(lost) = orphans::lost(world) {
        return say(READY, State::False, reason::HUB_LOST_RECORDS, lost.to_string());
    }
    let text = format!(
        "{} records have no slice at the hub; nothing is done to them until they are adopted or taken away",
        orphaned.len()
    );
    say(READY, State::True, "Orphaned", text)
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

fn amounts(node: &Node) -> Amounts {
    let allocatable = node.status.as_ref().and_then(|s| s.allocatable.as_ref());
    let read = |kind: Kind, name: &str| {
        let text = &allocatable?.get(name)?.0;
        kind.parse(text).ok().map(|amount| (kind, amount))
    };
    [(Kind::Cpu, "cpu"), (Kind::Memory, "memory"), (Kind::Pods, "pods"), (Kind::Gpu, "nvidia.com/gpu")]
        .into_iter()
        .filter_map(|(kind, name)| read(kind, name))
        .collect()
}

/// A statement that the canary's reason decides.
pub(super) fn enforced(state: State, why: &'static str, message: String) -> Statement {
    say(POLICIES_ENFORCED, state, why, message)
}
