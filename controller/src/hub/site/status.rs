//! What is said of a site: its own report, as far as its beat lets it be believed, and what is promised there.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use yunting_crds::common::Quota;
use yunting_crds::conditions::{
    CONNECTED, GATE_ARMED, HUB_BELIEVED, POLICIES_ENFORCED, READY, State, Statement, conditions, find,
    reason, say, state_of,
};
use yunting_crds::resources::Amounts;
use yunting_crds::site::CapacitySource;
use yunting_crds::{SiteReportStatus, SiteStatus};
use yunting_plan::slices::room;
use yunting_plan::summary::{known, table};

use super::observe::Seen;
use crate::hub::world::World;

/// The status as it is to be.
pub(super) fn status(world: &World, seen: &Seen) -> SiteStatus {
    let before = seen.site.status.clone().unwrap_or_default();
    let report = seen.report.as_ref().and_then(|r| r.status.clone()).unwrap_or_default();
    let (allocatable, source) = capacity(seen, &report);
    let generation = seen.site.metadata.generation;
    let connected = connected(seen);
    let policies = policies(seen, &report.conditions);
    let ready = ready(&connected, &policies);
    let total = seen.promised.total();
    SiteStatus {
        observed_generation: generation,
        conditions: conditions(
            &before.conditions,
            &[ready, connected, policies, believed(seen, &report.conditions), gate(seen, &report.conditions)],
            generation,
            &world.context.now(),
        ),
        kubernetes_version: report.kubernetes_version,
        yunting_version: report.yunting_version,
        node_summary: Some(format!("{}/{}", report.ready_nodes, report.nodes)),
        gate_tested_at: report.gate_tested_at.filter(|_| seen.fresh),
        allocatable: Quota::from_amounts(&allocatable),
        capacity_source: Some(source),
        allocated: Quota::from_amounts(&total),
        reserved: Quota::from_amounts(&seen.promised.reserved),
        summary: table(&total, &room(&seen.site.spec, &allocatable)),
    }
}

/// What a person declared overrides what nodes report, resource by resource.
fn capacity(seen: &Seen, report: &SiteReportStatus) -> (Amounts, CapacitySource) {
    let reported = report.allocatable.amounts().unwrap_or_default();
    let declared = seen.site.spec.capacity.declared.as_ref().and_then(|d| d.amounts().ok());
    match declared {
        Some(declared) => {
            let mut both = reported;
            declared.iter().for_each(|(kind, amount)| both.set(kind, amount));
            (both, CapacitySource::Declared)
        }
        None => (reported, CapacitySource::Reported),
    }
}

fn connected(seen: &Seen) -> Statement {
    if seen.fresh {
        return say(CONNECTED, State::True, reason::AS_ASKED, "its beat is fresh");
    }
    say(
        CONNECTED,
        State::False,
        reason::SITE_SILENT,
        "no beat: the site is down, cut off, or its controller has not started",
    )
}

fn policies(seen: &Seen, reported: &[Condition]) -> Statement {
    let Some(said) = find(reported, POLICIES_ENFORCED).filter(|_| seen.fresh) else {
        return say(
            POLICIES_ENFORCED,
            State::Unknown,
            if seen.fresh { reason::PENDING } else { reason::SITE_SILENT },
            "the site has not reported it",
        );
    };
    let why = if said.reason == reason::VERIFIED { reason::VERIFIED } else { reason::IN_PROGRESS };
    say(POLICIES_ENFORCED, state_of(reported, POLICIES_ENFORCED), why, said.message.clone())
}

/// A site that does not believe the hub goes on and takes new things, but lets nothing go: that is not for `Ready`, and
/// somebody has to know.
fn believed(seen: &Seen, reported: &[Condition]) -> Statement {
    match find(reported, READY).filter(|_| seen.fresh) {
        None if seen.fresh => {
            say(HUB_BELIEVED, State::Unknown, reason::PENDING, "the site has not reported it")
        }
        None => say(HUB_BELIEVED, State::Unknown, reason::SITE_SILENT, "the site is silent"),
        Some(said) if said.reason == reason::HUB_LOST_RECORDS => {
            say(HUB_BELIEVED, State::False, reason::HUB_LOST_RECORDS, said.message.clone())
        }
        Some(_) => say(HUB_BELIEVED, State::True, reason::AS_ASKED, ""),
    }
}

/// Of a silent site nobody knows how its gates stand.
fn gate(seen: &Seen, reported: &[Condition]) -> Statement {
    if let Some(said) = find(reported, GATE_ARMED).filter(|_| seen.fresh) {
        return say(GATE_ARMED, state_of(reported, GATE_ARMED), known(&said.reason), said.message.clone());
    }
    let why = if seen.fresh { reason::PENDING } else { reason::SITE_SILENT };
    say(GATE_ARMED, State::Unknown, why, "the site has not reported it")
}

fn ready(connected: &Statement, policies: &Statement) -> Statement {
    if connected.state != State::True {
        return say(READY, State::Unknown, reason::SITE_SILENT, connected.message.clone());
    }
    say(READY, policies.state, policies.reason, policies.message.clone())
}
