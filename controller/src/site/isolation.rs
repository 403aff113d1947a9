//! What the nodes' controllers have seen of the isolation of VDCs, of their volumes and of the tunnel, and how fresh it is.
//!
//! Age counts from when a report was seen to change, so that nodes' clocks decide nothing; only of a report that was there
//! at the start its own time says how old it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use tokio::time::Instant;
use yunting_crds::conditions::Statement;
use yunting_crds::node_report::VolumesReport;
use yunting_crds::tunnel::{ENDS, TunnelEnd, TunnelReport, TunnelState};
use yunting_crds::{NodeReport, NodeReportStatus, SliceRecord};
use yunting_plan::gate;
use yunting_plan::hall::replica::Room;
use yunting_plan::vdc::encryption::{self, Encryption};
use yunting_plan::vdc::isolation::{FRESH, Isolation, Word, judge};
use yunting_plan::vdc::transport::{self, Crossing};

use super::world::{Wakers, World};
use crate::context::Context;

/// How often it is looked whether a report has become old, or a node has come or gone.
const LOOK: Duration = Duration::from_secs(5);

/// A node's last word.
struct Heard {
    version: Option<String>,
    at: Instant,
    /// Of what it says of volumes, which is written by itself.
    volumes_at: Instant,
    /// Of what it says of the tunnel, which is, too.
    tunnel_at: Instant,
    report: NodeReportStatus,
}

impl Heard {
    fn volumes(&self) -> Option<(&VolumesReport, Duration)> {
        Some((self.report.volumes.as_ref()?, self.volumes_at.elapsed()))
    }

    fn tunnel(&self) -> Option<(&TunnelReport, Duration)> {
        Some((self.report.tunnel.as_ref()?, self.tunnel_at.elapsed()))
    }
}

/// The last words of all nodes.
#[derive(Default)]
pub(super) struct Words(Mutex<BTreeMap<String, Heard>>);

impl Words {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Heard>> {
        // Nothing panics while it is held, so a poisoned lock still holds a whole map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A report came or changed; VDCs that it says something new of are looked at again. What else it says that is new.
    pub(super) fn seen(&self, report: &NodeReport, context: &Context, wakers: &Wakers) -> New {
        let node = report.name_any();
        let Some(status) = &report.status else { return New::default() };
        let mut all = self.all();
        if all.get(&node).is_some_and(|h| h.version == report.resource_version()) {
            return New::default();
        }
        // What says something else, such as how the gate stands, makes no older word of this new.
        let before = all.get(&node);
        let observed = |r: &NodeReportStatus| r.volumes.as_ref().map(|v| v.observed_at.clone());
        let same = before.filter(|h| h.report.observed_at == status.observed_at);
        let at = same.map_or_else(|| since(context, Some(&status.observed_at)), |h| h.at);
        let same = before.filter(|h| observed(&h.report) == observed(status));
        let volumes_at = same.map_or_else(|| since(context, observed(status).as_ref()), |h| h.volumes_at);
        let crossed = |r: &NodeReportStatus| r.tunnel.as_ref().map(|t| t.observed_at.clone());
        let same = before.filter(|h| crossed(&h.report) == crossed(status));
        let tunnel_at = same.map_or_else(|| since(context, crossed(status).as_ref()), |h| h.tunnel_at);
        let version = report.resource_version();
        let heard = Heard { version, at, volumes_at, tunnel_at, report: status.clone() };
        let before = all.insert(node, heard);
        drop(all);
        if before.as_ref().and_then(|h| h.report.gate.as_ref()) != status.gate.as_ref() {
            wakers.report();
        }
        let replicas = before.as_ref().and_then(|h| h.report.replicas.as_ref()) != status.replicas.as_ref();
        let was = before.as_ref().and_then(Heard::tunnel);
        let counted = was.filter(|(_, age)| *age <= FRESH).map(|(report, _)| report);
        let news = New {
            replicas,
            end: was.and_then(|(report, _)| end(report)) != status.tunnel.as_ref().and_then(end),
            tunnel: counted.map(states) != status.tunnel.as_ref().map(states),
        };
        for uid in changed(before.as_ref(), status) {
            wakers.vdc(&uid);
        }
        news
    }

    /// Ends of the tunnel here, by node. One whose node is silent is told all the same: what is not heard changes nothing.
    pub(super) fn ends(&self) -> Vec<TunnelEnd> {
        let all = self.all();
        let said = all.iter().filter_map(|(node, h)| Some((node, end(h.report.tunnel.as_ref()?)?)));
        said.map(|(node, (address, networks))| TunnelEnd { node: node.clone(), address, networks })
            .take(ENDS)
            .collect()
    }

    /// How what a VDC sends to these other sites stands.
    pub(super) fn judge_tunnel(&self, world: &World, sites: &BTreeSet<String>) -> Crossing {
        let all = self.all();
        let said = all.iter().filter_map(|(node, heard)| Some((node, heard.tunnel()?)));
        let words: Vec<transport::Word<'_>> =
            said.map(|(node, (report, age))| transport::Word { node, age, report }).collect();
        transport::judge(sites, &nodes(world), &words)
    }

    /// How a VDC stands.
    pub(super) fn judge(&self, world: &World, vdc: &str) -> Isolation {
        let all = self.all();
        let words: Vec<Word<'_>> = all
            .iter()
            .map(|(node, heard)| Word { node, age: heard.at.elapsed(), report: &heard.report })
            .collect();
        judge(vdc, &nodes(world), &words)
    }

    /// How the gates of the nodes stand, and when the one that was tested longest ago was.
    pub(super) fn judge_gates(&self, world: &World) -> (Statement, Option<Time>) {
        let all = self.all();
        let words: Vec<Word<'_>> = all
            .iter()
            .map(|(node, heard)| Word { node, age: heard.at.elapsed(), report: &heard.report })
            .collect();
        gate::site::judge(&nodes(world), &words)
    }

    /// Nodes that take points of other sites' volumes, as far as they spoke lately, by name.
    pub(super) fn rooms(&self) -> Vec<Room> {
        let all = self.all();
        let fresh = all.iter().filter(|(_, h)| h.at.elapsed() <= FRESH);
        let room = |(node, heard): (&String, &Heard)| {
            let room = heard.report.replicas.as_ref()?;
            Some(Room { node: node.clone(), address: room.address.clone(), free: room.free_bytes })
        };
        fresh.filter_map(room).collect()
    }

    /// How the volumes of a VDC stand.
    pub(super) fn judge_volumes(&self, world: &World, vdc: &str) -> Encryption {
        let all = self.all();
        let said = all.iter().filter_map(|(node, heard)| Some((node, heard.volumes()?)));
        let words: Vec<encryption::Word<'_>> =
            said.map(|(node, (report, age))| encryption::Word { node, age, report }).collect();
        encryption::judge(vdc, &nodes(world), &words)
    }

    /// Nodes with a fresh word, with a fresh one of volumes, and with one of the tunnel.
    fn fresh(&self) -> [BTreeSet<String>; 3] {
        let all = self.all();
        let of = |fresh: &dyn Fn(&Heard) -> bool| {
            all.iter().filter(|(_, h)| fresh(h)).map(|(node, _)| node.clone()).collect()
        };
        [
            of(&|h| h.at.elapsed() <= FRESH),
            of(&|h| h.volumes().is_some_and(|(_, age)| age <= FRESH)),
            of(&|h| h.tunnel().is_some_and(|(_, age)| age <= FRESH)),
        ]
    }
}

/// What a report says that it did not say before, besides of VDCs.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct New {
    /// Of where replicas may be.
    pub(super) replicas: bool,
    /// Of where the node's end of the tunnel is.
    pub(super) end: bool,
    /// Of how the tunnel stands.
    pub(super) tunnel: bool,
}

/// Where an end is; nothing of one without networks.
fn end(report: &TunnelReport) -> Option<(String, Vec<String>)> {
    (!report.networks.is_empty()).then(|| (report.address.clone(), report.networks.clone()))
}

/// How its peers stand. When it was proved is no news.
fn states(report: &TunnelReport) -> Vec<(String, String, TunnelState, String)> {
    let of = |p: &yunting_crds::tunnel::TunnelPeer| (p.site.clone(), p.node.clone(), p.state, p.why.clone());
    report.peers.iter().map(of).collect()
}

/// When something was written that was observed at a node's time. What is not said was never.
fn since(context: &Context, observed: Option<&Time>) -> Instant {
    let now = Instant::now();
    let Some(observed) = observed else { return now };
    let age = Duration::try_from(context.timestamp().duration_since(observed.0)).unwrap_or_default();
    now.checked_sub(age).unwrap_or(now)
}

/// VDCs of which a report says something else than the one before it said, or had said while it counted.
fn changed(before: Option<&Heard>, now: &NodeReportStatus) -> BTreeSet<String> {
    let counts = before.filter(|h| h.at.elapsed() <= FRESH).map(|h| h.report.isolation.as_slice());
    let isolation = differ(counts.unwrap_or_default(), &now.isolation, |i| &i.vdc);
    let counts = before.and_then(Heard::volumes).filter(|(_, age)| *age <= FRESH);
    let old = counts.map(|(report, _)| report.vdcs.as_slice()).unwrap_or_default();
    let new = now.volumes.as_ref().map(|v| v.vdcs.as_slice()).unwrap_or_default();
    isolation.into_iter().chain(differ(old, new, |v| &v.vdc)).collect()
}

fn differ<T: PartialEq>(old: &[T], new: &[T], vdc: fn(&T) -> &String) -> Vec<String> {
    let changed = new.iter().filter(|n| !old.contains(n)).chain(old.iter().filter(|o| !new.contains(o)));
    changed.map(vdc).cloned().collect()
}

fn nodes(world: &World) -> BTreeSet<String> {
    world.nodes.all().iter().map(|n| n.name_any()).collect()
}

/// Has every VDC looked at again when a node falls silent, speaks again, comes or goes.
pub(super) async fn watch_over(world: Arc<World>) {
    let mut tick = tokio::time::interval(LOOK);
    let mut before = None;
    loop {
        tick.tick().await;
        let now = Some((nodes(&world), world.words.fresh()));
        if before != now {
            let records = world.records.all();
            let concerned = |r: &&Arc<SliceRecord>| match &r.spec.hall {
                Some(hall) => !hall.replicas.is_empty() || !hall.elsewhere.is_empty(),
                None => true,
            };
            world.wakers.report();
            records.iter().filter(concerned).for_each(|r| world.wakers.about(&r.name_any()));
            before = now;
        }
    }
}
