//! What is said of a hall: summed up from its slices, never better than they are.

use yunting_crds::conditions::{
    CALLS_CONNECTED, PLACED, PROTECTED, REACHABLE, READY, State, Statement, conditions, find, reason, say,
    state_of,
};
use yunting_crds::hall::{AvailabilityClass, HallRole, HallSiteStatus};
use yunting_crds::{HallSlice, HallStatus};
use yunting_plan::replicas;
use yunting_plan::slices::hall_role;
use yunting_plan::summary::{SliceView, Verdict, not_ready, progress, sum, verdict};

use super::copies;
use super::observe::Seen;
use super::validate::Valid;
use crate::hub::world::World;

/// The status as it is to be.
pub(super) fn status(world: &World, seen: &Seen, judged: &Result<Valid, Statement>) -> HallStatus {
    let missing = judged.as_ref().ok().and_then(|_| missing_secret(seen));
    // A host that belongs to an older hall leaves this one running, but not reachable as asked.
    let conflict = judged.as_ref().ok().and_then(|_| host_conflict(seen));
    let (ready, placed, stuck) = match judged {
        Err(refused) => (
            refused.clone(),
            Statement { type_: PLACED, ..refused.clone() },
            refused.reason != reason::VDC_NOT_READY,
        ),
        Ok(valid) => {
            // What the hub makes itself is under way, not stuck.
            let stuck =
                missing.as_ref().or(conflict.as_ref()).is_some_and(|s| s.reason != reason::IN_PROGRESS);
            let ready = missing.or(conflict).unwrap_or_else(|| overall(seen, valid));
            (ready, placed(valid), stuck)
        }
    };
    let mut statements = progress(&ready, stuck);
    let replicated = replicated(world, seen, judged);
    statements.extend([protected(seen, replicated.as_ref()), ready, placed]);
    statements.extend(replicated);
    statements.extend(reachable(seen));
    statements.extend(connected(seen));
    finish(world, seen, &statements)
}

/// The status while the hall is being taken away.
pub(super) fn deleting(world: &World, seen: &Seen, remaining: &[String]) -> HallStatus {
    let text = format!("waiting for {} to take it away", remaining.join(", "));
    finish(world, seen, &[not_ready(reason::DELETING, text)])
}

fn finish(world: &World, seen: &Seen, statements: &[Statement]) -> HallStatus {
    let before = seen.hall.status.as_ref().map(|s| s.conditions.clone()).unwrap_or_default();
    let generation = seen.hall.metadata.generation;
    let sites: Vec<HallSiteStatus> =
        seen.slices.iter().map(|(site, slice)| site_status(seen, site, slice)).collect();
    let serving: Vec<&str> = sites
        .iter()
        .filter(|s| s.role == HallRole::Active && s.ready == "True")
        .map(|s| s.site.as_str())
        .collect();
    let (have, want) =
        sites.iter().fold((0, 0), |(have, want), s| (have + s.ready_replicas, want + s.replicas));
    HallStatus {
        observed_generation: generation,
        conditions: conditions(&before, statements, generation, &world.context.now()),
        url: seen
            .hall
            .spec
            .portal
            .as_ref()
            .filter(|_| seen.host_owner.is_none())
            .map(|p| format!("http://{}/", p.host)),
        site_summary: Some(if serving.is_empty() { "-".to_owned() } else { serving.join(",") }),
        replica_summary: Some(format!("{have}/{want}")),
        sites,
    }
}

fn view<'a>(seen: &Seen, site: &'a str, slice: &'a HallSlice) -> SliceView<'a> {
    let status = slice.status.as_ref();
    SliceView {
        site,
        source_generation: slice.spec.source.generation,
        generation: slice.metadata.generation.unwrap_or_default(),
        observed_generation: status.and_then(|s| s.observed_generation),
        conditions: status.map(|s| s.conditions.as_slice()).unwrap_or_default(),
        fresh: seen.sites.get(site).is_some_and(|s| s.fresh),
    }
}

fn overall(seen: &Seen, valid: &Valid) -> Statement {
    let generation = seen.hall.metadata.generation.unwrap_or_default();
    let class = seen.hall.spec.availability_class;
    let wanted = valid.places.iter().filter(|(_, role)| hall_role(class, **role).is_some());
    let about = |(site, _): (&String, &yunting_crds::vdc::SiteRole)| match seen.slices.get(site) {
        Some(slice) => verdict(&view(seen, site, slice), READY, generation),
        None => Verdict {
            site: site.clone(),
            state: State::Unknown,
            reason: reason::PENDING.to_owned(),
            message: "its slice is being written".to_owned(),
        },
    };
    let verdicts: Vec<Verdict> = wanted.map(about).collect();
    sum(READY, &verdicts)
}

fn placed(valid: &Valid) -> Statement {
    let sites: Vec<String> =
        valid.places.iter().map(|(site, role)| format!("{site} ({})", role.as_str())).collect();
    say(PLACED, State::True, reason::AS_ASKED, sites.join(", "))
}

fn missing_secret(seen: &Seen) -> Option<Statement> {
    let missing = copies::references(&seen.hall).into_iter().find(|r| !seen.secrets.contains_key(&r.name))?;
    let vdc = &seen.hall.spec.vdc_ref.name;
    if !missing.generate.is_empty() {
        let text = format!(
            "Secret {:?} is being made; if one of that name stands already, label it yunting.io/vdc={vdc}",
            missing.name
        );
        return Some(not_ready(reason::IN_PROGRESS, text));
    }
    let text = format!(
        "Secret {:?} is not in the bureau's namespace with label yunting.io/vdc={vdc}; create or label it, or list the keys to make in secretRefs[].generate",
        missing.name
    );
    Some(not_ready(reason::REFERENCE, text))
}

fn host_conflict(seen: &Seen) -> Option<Statement> {
    let owner = seen.host_owner.as_ref()?;
    let host = seen.hall.spec.portal.as_ref().map(|p| p.host.clone()).unwrap_or_default();
    Some(not_ready(
        reason::HOST_CONFLICT,
        format!("spec.portal.host {host:?} belongs to the older hall {owner}; choose another host"),
    ))
}

/// Whether each volume has a replica; nothing of a hall that keeps no data, or that cannot be carried out.
fn replicated(world: &World, seen: &Seen, judged: &Result<Valid, Statement>) -> Option<Statement> {
    let valid = judged.as_ref().ok()?;
    let slices = valid.slices(world.term, seen, &[], &world.context.now());
    replicas::replicated(&seen.hall.spec, &slices, &seen.places())
}

/// What keeps data is protected only when that is at another site; and nothing moves a hall by itself yet.
fn protected(seen: &Seen, replicated: Option<&Statement>) -> Statement {
    let no = |reason, text: &str| say(PROTECTED, State::False, reason, text);
    let class = seen.hall.spec.availability_class;
    match replicated {
        _ if class == AvailabilityClass::Bronze => no(reason::SINGLE_SITE, "class Bronze lives at one site"),
        Some(r) if r.state != State::True => {
            no(reason::REPLICATION_MISSING, "not all of its volumes have a replica; see Replicated")
        }
        Some(_) => no(reason::PROVIDER_MISSING, "its data is at another site; failover is not built yet"),
        None if class == AvailabilityClass::Platinum && !keeps_data(seen) => say(
            PROTECTED,
            State::True,
            reason::CONFIGURED,
            "it keeps no data and is active at every site of its VDC",
        ),
        None if keeps_data(seen) => no(reason::REPLICATION_MISSING, "it is at no site yet"),
        None => no(reason::PROVIDER_MISSING, "failover is not built yet"),
    }
}

fn keeps_data(seen: &Seen) -> bool {
    seen.hall.spec.components.iter().any(|c| !c.volumes.is_empty())
}

/// What requests through the front doors showed, of a hall that is to have one; a site that does not run it says nothing.
fn reachable(seen: &Seen) -> Option<Statement> {
    seen.hall.spec.portal.as_ref()?;
    let generation = seen.hall.metadata.generation.unwrap_or_default();
    let serving = seen
        .slices
        .iter()
        .filter(|(_, slice)| slice.spec.role == HallRole::Active && slice.spec.portal.is_some());
    let verdicts: Vec<Verdict> =
        serving.map(|(site, slice)| verdict(&view(seen, site, slice), REACHABLE, generation)).collect();
    Some(sum(REACHABLE, &verdicts))
}

/// Whether what is called over the border of sites answers; nothing of a hall whose sites say nothing of it.
fn connected(seen: &Seen) -> Option<Statement> {
    let generation = seen.hall.metadata.generation.unwrap_or_default();
    let says = |slice: &HallSlice| {
        let status = slice.status.as_ref();
        status.is_some_and(|s| find(&s.conditions, CALLS_CONNECTED).is_some())
            && !slice.spec.elsewhere.is_empty()
    };
    let verdicts: Vec<Verdict> = seen
        .slices
        .iter()
        .filter(|(_, slice)| says(slice))
        .map(|(site, slice)| verdict(&view(seen, site, slice), CALLS_CONNECTED, generation))
        .collect();
    (!verdicts.is_empty()).then(|| sum(CALLS_CONNECTED, &verdicts))
}

fn site_status(seen: &Seen, site: &str, slice: &HallSlice) -> HallSiteStatus {
    let generation = seen.hall.metadata.generation.unwrap_or_default();
    let ready = verdict(&view(seen, site, slice), READY, generation);
    let components = slice.status.iter().flat_map(|s| &s.components);
    let (have, want) = components.fold((0, 0), |(have, want), c| (have + c.ready, want + c.replicas));
    // The last word of a silent site says nothing of now.
    let fresh = seen.sites.get(site).is_some_and(|s| s.fresh);
    let serving = ready.state == State::True
        || state_of(slice.status.as_ref().map_or(&[], |s| &s.conditions), READY) == State::True;
    let door = seen
        .sites
        .get(site)
        .and_then(|s| s.site.spec.providers.ingress.as_ref())
        .and_then(|i| i.address.clone());
    HallSiteStatus {
        site: site.to_owned(),
        role: slice.spec.role,
        ready: ready.state.as_str().to_owned(),
        reason: ready.reason,
        message: ready.message.chars().take(1024).collect(),
        ready_replicas: if fresh { have } else { 0 },
        replicas: want,
        url: door
            .filter(|_| {
                fresh && serving && slice.spec.role == HallRole::Active && slice.spec.portal.is_some()
            })
            .map(|a| format!("http://{a}/")),
    }
}
