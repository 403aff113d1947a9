//! Which grants stand: those that both bureaus have agreed to, whose time is not over, and whose ends are there.
//!
//! Owns: the one judgement of a grant at the hub, what each end's slices say of it, and how it sums up.
//! Must never: let one bureau's word do for both. A grant that is not judged to stand is in no slice.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use yunting_crds::access_grant::{GrantFrom, GrantPhase, GrantSite, GrantState, GrantWay, ServiceRef};
use yunting_crds::common::Desired;
use yunting_crds::conditions::{READY, State, Statement, find, reason, say};
use yunting_crds::hall::{Component, HallRole, Port, Zone};
use yunting_crds::hall_grant::{GRANTS, GrantPeer, GrantSide, SliceGrant};
use yunting_crds::hall_slice::HallSliceSpec;
use yunting_crds::names::{BUREAU_NAMESPACE_PREFIX, NamespaceName, VdcName, grant_alias, site_namespace};
use yunting_crds::shared_service::AcceptedGrant;
use yunting_crds::vdc::LifecycleState;
use yunting_crds::{AccessGrant, Hall, HallSlice, SharedService, VirtualDataCenter};

use crate::slices::namespace_of;

/// One end, as far as it is there.
#[derive(Debug, Clone, Copy, Default)]
pub struct End<'a> {
    /// The VDC that is named.
    pub vdc: Option<&'a VirtualDataCenter>,
    /// The hall that is named.
    pub hall: Option<&'a Hall>,
}

/// A grant and everything that decides upon it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The request, in the consumer's namespace.
    pub grant: &'a AccessGrant,
    /// What is asked for, in the producer's.
    pub service: Option<&'a SharedService>,
    /// Who calls.
    pub consumer: End<'a>,
    /// Who is called.
    pub producer: End<'a>,
}

/// A component that calls or is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Uid of its VDC.
    pub vdc: String,
    /// Uid of its hall.
    pub hall: String,
    /// Its name.
    pub component: String,
}

/// A grant that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// Uid of the `AccessGrant`.
    pub uid: String,
    /// The service, as it was asked for.
    pub service: ServiceRef,
    /// Who calls.
    pub consumer: Side,
    /// Who is called.
    pub producer: Side,
    /// Ports there.
    pub ports: Vec<Port>,
    /// When it ends.
    pub until: Timestamp,
    /// Name by which the consumer calls.
    pub address: String,
}

/// Why a grant does not stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// How far it has come.
    pub phase: GrantPhase,
    /// Reason of `Ready`.
    pub reason: &'static str,
    /// What a person should know.
    pub message: String,
}

fn refuse<T>(phase: GrantPhase, reason: &'static str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { phase, reason, message: message.into() })
}

impl Asked<'_> {
    fn bureau(&self) -> String {
        let namespace = self.grant.namespace().unwrap_or_default();
        namespace.strip_prefix(BUREAU_NAMESPACE_PREFIX).unwrap_or_default().to_owned()
    }

    /// The producer's yes: to this grant by its uid, and no other of that name.
    fn accepted(&self) -> Option<&AcceptedGrant> {
        let (bureau, name, uid) = (self.bureau(), self.grant.name_any(), self.grant.uid()?);
        let entries = &self.service?.spec.accepted;
        entries.iter().find(|a| a.bureau == bureau && a.grant == name && a.uid == uid)
    }

    /// Times at which it may end.
    fn ends(&self) -> impl Iterator<Item = Timestamp> {
        let accepted = self.accepted().and_then(|a| a.until.clone());
        std::iter::once(self.grant.spec.expires.clone()).chain(accepted).filter_map(|t| t.parse().ok())
    }

    /// When it has to be judged again though nothing has changed.
    pub fn wakes(&self, now: Timestamp) -> Option<Timestamp> {
        self.ends().filter(|end| *end > now).min()
    }
}

/// Judges a grant, first whether both agree, then whether it can be carried out.
pub fn judge(asked: &Asked<'_>, now: Timestamp) -> Result<Agreed, Refusal> {
    let until = agreed_until(asked, now)?;
    let spec = &asked.grant.spec;
    let (consumer, calls) = end(asked.consumer, &spec.from, "spec.from")?;
    let ServiceRef { bureau, name } = &spec.service_ref;
    let Some(service) = asked.service else { return not_shared(asked) };
    let at = GrantFrom {
        vdc: service.spec.vdc_ref.name.clone(),
        hall: service.spec.hall.clone(),
        component: service.spec.component.clone(),
    };
    let (producer, called) = end(asked.producer, &at, &format!("SharedService {bureau}/{name}"))?;
    let accepted = |reason, text: String| refuse(GrantPhase::Accepted, reason, text);
    if calls.zone == Zone::Data {
        return accepted(
            reason::INVALID,
            format!(
                "spec.from.component {:?} is in zone Data, which calls nothing outside its VDC",
                calls.name
            ),
        );
    }
    if consumer.hall == producer.hall {
        return accepted(
            reason::INVALID,
            "a hall needs no grant to itself: declare the call in its component's calls".to_owned(),
        );
    }
    let port = |name: &String| called.ports.iter().find(|p| p.name == *name).cloned();
    let ports: Vec<Port> = service.spec.ports.iter().filter_map(port).collect();
    if ports.len() != service.spec.ports.len() || ports.is_empty() {
        return accepted(
            reason::REFERENCE,
            format!("component {} of the service does not have all ports that are shared", called.name),
        );
    }
    Ok(Agreed {
        uid: asked.grant.uid().unwrap_or_default(),
        service: spec.service_ref.clone(),
        address: address(asked, &consumer, calls)?,
        consumer,
        producer,
        ports,
        until,
    })
}

/// Until when both say yes; an error where one does not.
fn agreed_until(asked: &Asked<'_>, now: Timestamp) -> Result<Timestamp, Refusal> {
    let spec = &asked.grant.spec;
    if spec.state == GrantState::Withdrawn || asked.grant.metadata.deletion_timestamp.is_some() {
        return refuse(GrantPhase::Withdrawn, reason::WITHDRAWN, "it was withdrawn by the bureau that asked");
    }
    let Ok(expires) = spec.expires.parse::<Timestamp>() else {
        return refuse(
            GrantPhase::Expired,
            reason::INVALID,
            format!("spec.expires {:?} is no time", spec.expires),
        );
    };
    if expires <= now {
        return refuse(GrantPhase::Expired, reason::EXPIRED, format!("it ended at {}", spec.expires));
    }
    let bureau = asked.bureau();
    let shared = |s: &&SharedService| {
        s.metadata.deletion_timestamp.is_none() && s.spec.allowed_bureaus.allows(&bureau)
    };
    if !asked.service.as_ref().is_some_and(shared) {
        return not_shared(asked);
    }
    let Some(accepted) = asked.accepted() else {
        let text = format!(
            "bureau {} has not accepted it: an administrator there adds its bureau, name and uid to spec.accepted of the SharedService",
            spec.service_ref.bureau
        );
        return refuse(GrantPhase::Pending, reason::NOT_ACCEPTED, text);
    };
    let Some(until) = &accepted.until else { return Ok(expires) };
    match until.parse::<Timestamp>() {
        Ok(until) if until > now => Ok(until.min(expires)),
        _ => refuse(
            GrantPhase::Expired,
            reason::EXPIRED,
            format!("the producer's acceptance ended at {until}"),
        ),
    }
}

/// The same whether there is no such service or the bureau may not ask for it: nobody learns what others have.
fn not_shared<T>(asked: &Asked<'_>) -> Result<T, Refusal> {
    let ServiceRef { bureau, name } = &asked.grant.spec.service_ref;
    let text = format!(
        "bureau {bureau} shares no service {name:?} with bureau {}; ask its administrators to allow it",
        asked.bureau()
    );
    refuse(GrantPhase::Refused, reason::NOT_SHARED, text)
}

/// What an end names, if it is there and in use.
fn end<'a>(end: End<'a>, named: &GrantFrom, what: &str) -> Result<(Side, &'a Component), Refusal> {
    let no = |reason, text: String| refuse(GrantPhase::Accepted, reason, format!("{what}: {text}"));
    let GrantFrom { vdc: vdc_name, hall: hall_name, component: component_name } = named;
    let Some(vdc) = end.vdc.filter(|v| v.metadata.deletion_timestamp.is_none()) else {
        return no(reason::REFERENCE, format!("VDC {vdc_name:?} is not there"));
    };
    if vdc.spec.lifecycle.state != LifecycleState::Active {
        let text = format!(
            "VDC {vdc_name} is {:?}: grants of a VDC pass only while it is Active",
            vdc.spec.lifecycle.state
        );
        return no(reason::LIFECYCLE, text);
    }
    let there = |h: &&Hall| h.metadata.deletion_timestamp.is_none() && h.spec.vdc_ref.name == *vdc_name;
    let Some(hall) = end.hall.filter(there) else {
        return no(reason::REFERENCE, format!("hall {hall_name:?} is not in VDC {vdc_name}"));
    };
    let Some(component) = hall.spec.components.iter().find(|c| c.name == *component_name) else {
        return no(reason::REFERENCE, format!("hall {hall_name} has no component {component_name:?}"));
    };
    let (Some(vdc), Some(hall)) = (vdc.uid(), hall.uid()) else {
        return no(reason::PENDING, "it has no uid yet".to_owned());
    };
    Ok((Side { vdc, hall, component: component.name.clone() }, component))
}

/// The alias in the namespace of the component that calls: the same at every site, and by every grant for the service.
fn address(asked: &Asked<'_>, consumer: &Side, component: &Component) -> Result<String, Refusal> {
    let invalid =
        |text: String| Refusal { phase: GrantPhase::Accepted, reason: reason::INVALID, message: text };
    let vdc = asked.consumer.vdc.ok_or_else(|| invalid("spec.from.vdc is not there".to_owned()))?;
    let (namespace, _) = namespace_of(component, &vdc.spec)
        .ok_or_else(|| invalid("the component is in no namespace of its VDC".to_owned()))?;
    let name = VdcName::new(&vdc.name_any()).map_err(|e| invalid(e.to_string()))?;
    let namespace = NamespaceName::new(namespace).map_err(|e| invalid(e.to_string()))?;
    let ServiceRef { bureau, name: service } = &asked.grant.spec.service_ref;
    let alias = grant_alias(&consumer.hall, &consumer.component, bureau, service);
    Ok(format!("{alias}.{}.svc", site_namespace(&name, &namespace, &consumer.vdc)))
}

impl Agreed {
    /// What the slices of a hall say of it: nothing where the hall is neither end.
    pub fn of_hall(&self, hall: &str) -> Option<SliceGrant> {
        let (side, own, other) = if self.consumer.hall == hall {
            (GrantSide::Consumer, &self.consumer, &self.producer)
        } else if self.producer.hall == hall {
            (GrantSide::Producer, &self.producer, &self.consumer)
        } else {
            return None;
        };
        Some(SliceGrant {
            uid: self.uid.clone(),
            side,
            component: own.component.clone(),
            peer: GrantPeer {
                vdc: other.vdc.clone(),
                hall: other.hall.clone(),
                component: other.component.clone(),
            },
            service: self.service.clone(),
            ports: self.ports.clone(),
            until: self.until.to_string(),
        })
    }

    /// Whether these slices of both halls, for one site, are as it says.
    pub fn is_told(&self, consumer: &HallSliceSpec, producer: &HallSliceSpec) -> bool {
        let says = |slice: &HallSliceSpec, hall: &str| {
            self.of_hall(hall).is_some_and(|grant| slice.grants.contains(&grant))
        };
        says(consumer, &self.consumer.hall) && says(producer, &self.producer.hall)
    }
}

/// What a hall's slices carry of all grants that stand, in an order of its own, as many as there is room for.
pub fn of_hall<'a>(hall: &str, agreed: impl IntoIterator<Item = &'a Agreed>) -> Vec<SliceGrant> {
    let mut all: Vec<SliceGrant> = agreed.into_iter().filter_map(|a| a.of_hall(hall)).collect();
    all.sort_by(|a, b| (&a.uid, a.side).cmp(&(&b.uid, b.side)));
    all.dedup_by(|a, b| (&a.uid, a.side) == (&b.uid, b.side));
    all.truncate(GRANTS);
    all
}

/// Writes them into the slices of all sites: who of the other end is where, each site sees for itself.
pub fn fill(slices: &mut [(String, HallSliceSpec)], grants: &[SliceGrant]) {
    for (_, slice) in slices {
        slice.grants = grants.to_vec();
    }
}

/// A slice without the grants that do not stand any more, those that do as they stand now, and with nothing else changed:
/// what is carried out even where the hall itself cannot be.
pub fn narrowed(slice: &HallSliceSpec, grants: &[SliceGrant]) -> Option<HallSliceSpec> {
    let now = |g: &SliceGrant| grants.iter().find(|o| (&o.uid, o.side) == (&g.uid, g.side)).cloned();
    let kept: Vec<SliceGrant> = slice.grants.iter().filter_map(now).collect();
    (kept != slice.grants).then(|| HallSliceSpec { grants: kept, ..slice.clone() })
}

/// Whether the service can be called at a site; nothing where the caller does not run there.
pub fn way(
    agreed: &Agreed,
    consumer: &HallSlice,
    producer: Option<&HallSlice>,
    fresh: bool,
) -> Option<GrantWay> {
    let runs = |slice: &HallSlice, component: &str| {
        let active = slice.spec.role == HallRole::Active && slice.spec.desired == Desired::Present;
        active
            && slice
                .spec
                .components
                .iter()
                .any(|c| c.component.name == component && c.role == HallRole::Active)
    };
    if !runs(consumer, &agreed.consumer.component) {
        return None;
    }
    let Some(producer) = producer.filter(|p| runs(p, &agreed.producer.component)) else {
        return Some(GrantWay::SiteApart);
    };
    let looked = |slice: &HallSlice| {
        let Some(status) = &slice.status else { return false };
        // One that cannot write what the hall becomes has not made its name or its policies either.
        let failed = find(&status.conditions, READY).is_some_and(|c| c.reason == reason::APPLY_FAILED);
        status.observed_generation.is_some()
            && status.observed_generation == slice.metadata.generation
            && !failed
    };
    let known = agreed.is_told(&consumer.spec, &producer.spec) && looked(consumer) && looked(producer);
    Some(if known && fresh { GrantWay::Open } else { GrantWay::Pending })
}

/// `Ready` of a grant that stands: true only where it leads from everywhere that the caller runs.
pub fn ready(sites: &[GrantSite]) -> Statement {
    let named = |way: GrantWay| {
        let of: Vec<&str> = sites.iter().filter(|s| s.way == way).map(|s| s.site.as_str()).collect();
        (!of.is_empty()).then(|| of.join(", "))
    };
    let no = |reason, text: String| say(READY, State::False, reason, text);
    if sites.is_empty() {
        return no(reason::NO_PLACE, "the component that calls runs at no site".to_owned());
    }
    if let Some(apart) = named(GrantWay::SiteApart) {
        let text = format!(
            "the service does not run at {apart}, where it would be called from, and grants lead to no other site: nothing passes there"
        );
        return no(reason::SITE_APART, text);
    }
    if let Some(pending) = named(GrantWay::Pending) {
        return no(reason::IN_PROGRESS, format!("{pending} has not carried it out yet, or is silent"));
    }
    let text = format!("the service can be called at {}", named(GrantWay::Open).unwrap_or_default());
    say(READY, State::True, reason::AS_ASKED, text)
}

/// `Ready` of a shared service: there is such a component, whoever asks for it.
pub fn offered(service: &SharedService, producer: End<'_>) -> Statement {
    let spec = &service.spec;
    let at = GrantFrom {
        vdc: spec.vdc_ref.name.clone(),
        hall: spec.hall.clone(),
        component: spec.component.clone(),
    };
    let no = |reason, text: String| say(READY, State::False, reason, text);
    let component = match end(producer, &at, "spec") {
        Ok((_, component)) => component,
        Err(refusal) => return no(refusal.reason, refusal.message),
    };
    match spec.ports.iter().find(|name| component.ports.iter().all(|p| p.name != **name)) {
        Some(name) => {
            no(reason::REFERENCE, format!("spec.ports: component {} has no port {name:?}", component.name))
        }
        None => say(READY, State::True, reason::AS_ASKED, "it can be asked for and accepted"),
    }
}

#[cfg(test)]
mod tests;
