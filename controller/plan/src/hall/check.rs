//! The check of a hall's slice at the site: every reference again, against the VDC as this site knows it.

use std::collections::{BTreeMap, BTreeSet};

use yunting_crds::conditions::reason;
use yunting_crds::hall::{AvailabilityClass, Component, ComponentKind, HallRole, Probe, Zone};
use yunting_crds::hall_slice::{HallSliceSpec, SliceComponent};
use yunting_crds::names::{ComponentName, HallName, InvalidName, NamespaceName, component_object};
use yunting_crds::resources::{Amounts, Excess, InvalidQuantity, Kind};
use yunting_crds::vdc::Access;

use super::elsewhere::read;
use super::grants::Grants;
use super::{SecretCopy, ValidComponent, ValidHallSlice, ValidPortal, secret_name};
use crate::vdc::{InvalidUid, Uid, ValidNamespace, ValidVdcSlice};

/// Why a hall's slice cannot be carried out: field, value, limit and remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A name is none.
    #[error("spec.{field}: {source}")]
    Name {
        /// Which field.
        field: String,
        /// Why.
        source: InvalidName,
    },
    /// A uid is none.
    #[error("spec.source.uid: {0}")]
    Uid(#[from] InvalidUid),
    /// It names another VDC than the one it was checked against.
    #[error(
        "spec.vdc is {hall}, but the VDC of that uid belongs to bureau {bureau} here; a hall runs in a VDC of its own bureau only"
    )]
    ForeignVdc {
        /// VDC that the hall names.
        hall: String,
        /// Bureau of the VDC.
        bureau: String,
    },
    /// A reference leads nowhere, or where it may not.
    #[error("spec.components[{component}].{field}: {why}")]
    Reference {
        /// Which component.
        component: String,
        /// Which field.
        field: &'static str,
        /// What is wrong and what helps.
        why: String,
    },
    /// A quantity is none.
    #[error("spec.components[{component}].{field}: {source}")]
    Quantity {
        /// Which component.
        component: String,
        /// Which field.
        field: &'static str,
        /// Why.
        source: InvalidQuantity,
    },
    /// A value is none that may be used.
    #[error("spec.components[{component}].{field}: {why}")]
    Value {
        /// Which component.
        component: String,
        /// Which field.
        field: &'static str,
        /// What is wrong and what helps.
        why: String,
    },
    /// Its portal cannot be.
    #[error("spec.portal: {0}")]
    Portal(&'static str),
    /// More is asked than the namespace has here.
    #[error(
        "namespace {namespace}: {excess} at this site for all of the VDC (rollout surge counts); lower replicas or resources, or have the VDC's quota raised"
    )]
    Quota {
        /// Namespace of the VDC.
        namespace: String,
        /// Resource, asked and limit.
        excess: Excess,
    },
}

impl Invalid {
    /// Reason of the condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Reference { .. } | Self::ForeignVdc { .. } => reason::REFERENCE,
            Self::Quota { .. } => reason::QUOTA_EXCEEDED,
            Self::Name { .. }
            | Self::Uid(_)
            | Self::Quantity { .. }
            | Self::Value { .. }
            | Self::Portal(_) => reason::INVALID,
        }
    }
}

impl ValidHallSlice {
    /// Checks a slice against its VDC at this site.
    pub fn check(spec: &HallSliceSpec, vdc: &ValidVdcSlice) -> Result<Self, Invalid> {
        let hall = Self::standing(spec, vdc)?;
        fits(vdc, &hall.components)?;
        Ok(hall)
    }

    /// The same of a hall that stands already: a limit that was lowered below what it asks stops nothing, and what is more
    /// than the limit the API server refuses.
    pub fn standing(spec: &HallSliceSpec, vdc: &ValidVdcSlice) -> Result<Self, Invalid> {
        let name = HallName::new(&spec.source.name)
            .map_err(|source| Invalid::Name { field: "source.name".to_owned(), source })?;
        let uid = Uid::new(&spec.source.uid)?;
        if spec.source.bureau != vdc.owner.bureau.as_str() || spec.vdc.uid != vdc.owner.uid.as_str() {
            return Err(Invalid::ForeignVdc {
                hall: spec.vdc.name.clone(),
                bureau: vdc.owner.bureau.to_string(),
            });
        }
        let mut components = Vec::new();
        for c in &spec.components {
            components.push(component(spec, vdc, &name, &uid, c)?);
        }
        link(&mut components)?;
        let portal = portal(spec, vdc, &components)?;
        let everywhere = spec.availability_class == AvailabilityClass::Platinum;
        let elsewhere = if everywhere { read(&spec.elsewhere, &components) } else { Vec::new() };
        Ok(Self {
            owner: vdc.owner.clone(),
            name,
            uid,
            portal,
            components,
            everywhere,
            elsewhere,
            // Which of them have not ended is known to who knows what time it is.
            grants: Grants::default(),
        })
    }
}

fn component(
    spec: &HallSliceSpec,
    vdc: &ValidVdcSlice,
    hall: &HallName,
    uid: &Uid,
    slice: &SliceComponent,
) -> Result<ValidComponent, Invalid> {
    let c = &slice.component;
    let name = ComponentName::new(&c.name)
        .map_err(|source| Invalid::Name { field: "components[].name".to_owned(), source })?;
    if spec.components.iter().filter(|o| o.component.name == c.name).count() > 1 {
        return Err(value(c, "name", "two components have this name; rename one"));
    }
    let namespace = namespace(vdc, c)?;
    let quantity = |field, kind: Kind, text: &str| {
        kind.parse(text).map_err(|source| Invalid::Quantity { component: c.name.clone(), field, source })
    };
    image(c)?;
    ports(c)?;
    mounts(c)?;
    let volumes = c
        .volumes
        .iter()
        .map(|v| quantity("volumes[].size", Kind::Storage, &v.size))
        .collect::<Result<_, _>>()?;
    Ok(ValidComponent {
        object: component_object(uid.as_str(), hall, &name),
        namespace: namespace.at_site.clone(),
        active: active(spec.role, slice.role, c)?,
        cpu: quantity("resources.cpu", Kind::Cpu, &c.resources.cpu)?,
        memory: quantity("resources.memory", Kind::Memory, &c.resources.memory)?,
        volumes,
        calls: BTreeSet::new(),
        callers: BTreeSet::new(),
        secrets: secrets(spec, hall, uid, c)?,
        name,
        spec: c.clone(),
    })
}

fn reference(c: &Component, field: &'static str, why: impl Into<String>) -> Invalid {
    Invalid::Reference { component: c.name.clone(), field, why: why.into() }
}

fn value(c: &Component, field: &'static str, why: impl Into<String>) -> Invalid {
    Invalid::Value { component: c.name.clone(), field, why: why.into() }
}

/// A component runs only if the hall and the component are both to run here.
fn active(hall: HallRole, component: HallRole, c: &Component) -> Result<bool, Invalid> {
    if hall == HallRole::Drill || component == HallRole::Drill {
        return Err(value(
            c,
            "role",
            "Drill is not carried out by this version; use Active, Standby or Closed",
        ));
    }
    Ok(hall == HallRole::Active && component == HallRole::Active)
}

fn namespace<'a>(vdc: &'a ValidVdcSlice, c: &Component) -> Result<&'a ValidNamespace, Invalid> {
    let text = c.namespace.as_deref().unwrap_or_default();
    let known = || vdc.namespaces.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = NamespaceName::new(text).ok().and_then(|name| vdc.namespaces.iter().find(|n| n.name == name));
    let found = found.ok_or_else(|| {
        reference(c, "namespace", format!("{text:?} is no namespace of the VDC; it has {}", known()))
    })?;
    if found.access == Access::Direct && c.kind == ComponentKind::Stateful {
        return Err(reference(
            c,
            "namespace",
            format!(
                "{text} is Direct; stateful components live in HallsOnly namespaces, where nobody else can touch their volumes"
            ),
        ));
    }
    Ok(found)
}

fn image(c: &Component) -> Result<(), Invalid> {
    let digest = c.image.split_once("@sha256:").map(|(name, digest)| (name, digest.len(), digest));
    let hex = |d: &str| d.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    match digest {
        Some((name, 64, digest)) if hex(digest) && !name.is_empty() => Ok(()),
        _ => Err(value(c, "image", "an image is named by digest: <name>@sha256:<64 hex digits>")),
    }
}

fn ports(c: &Component) -> Result<(), Invalid> {
    let names: BTreeSet<&str> = c.ports.iter().map(|p| p.name.as_str()).collect();
    let numbers: BTreeSet<u16> = c.ports.iter().map(|p| p.port).collect();
    if names.len() != c.ports.len() || numbers.len() != c.ports.len() {
        return Err(value(c, "ports", "each port has a name and a number of its own"));
    }
    let probes = [&c.probes.ready, &c.probes.live, &c.probes.start];
    for probe in probes.into_iter().flatten() {
        probe_port(c, probe)?;
    }
    Ok(())
}

fn probe_port(c: &Component, probe: &Probe) -> Result<(), Invalid> {
    if probe.exec.is_some() {
        return Ok(());
    }
    match &probe.port {
        Some(name) if !c.ports.iter().any(|p| p.name == *name) => {
            Err(reference(c, "probes", format!("port {name:?} is none of the component's ports")))
        }
        None if c.ports.is_empty() => Err(reference(
            c,
            "probes",
            "a probe by http or tcp needs one of the component's ports; it has none",
        )),
        _ => Ok(()),
    }
}

/// Two mounts at one place, or one that leaves its place, would be refused by the API server without a name.
fn mounts(c: &Component) -> Result<(), Invalid> {
    let files = c.config_files.iter().map(|f| f.path.as_str());
    let secrets = c.secret_refs.iter().filter_map(|s| s.mount_path.as_deref());
    let volumes = c.volumes.iter().map(|v| v.mount_path.as_str());
    let writable = c.writable_paths.iter().map(String::as_str);
    let mut seen = BTreeSet::new();
    for path in files.chain(secrets).chain(volumes).chain(writable) {
        let clean = path.trim_end_matches('/');
        if clean.is_empty()
            || !path.starts_with('/')
            || path.contains(':')
            || path.split('/').any(|part| part == "..")
        {
            return Err(value(c, "mountPath", format!("{path:?} is no full path of a container")));
        }
        if !seen.insert(clean) {
            return Err(value(
                c,
                "mountPath",
                format!(
                    "{path} is used twice; give each file, Secret, volume and writable path a place of its own"
                ),
            ));
        }
    }
    Ok(())
}

fn secrets(
    spec: &HallSliceSpec,
    hall: &HallName,
    uid: &Uid,
    c: &Component,
) -> Result<BTreeMap<String, SecretCopy>, Invalid> {
    let mut found = BTreeMap::new();
    for r in &c.secret_refs {
        let slice = spec.secrets.iter().find(|s| s.name == r.name);
        let slice = slice.ok_or_else(|| {
            reference(
                c,
                "secretRefs",
                format!(
                    "Secret {:?} was not copied for this VDC; label it yunting.io/vdc: {}",
                    r.name, spec.vdc.name
                ),
            )
        })?;
        let copy = SecretCopy {
            copy: slice.copy.clone(),
            name: secret_name(uid, hall, &r.name),
            hash: slice.hash.clone(),
        };
        found.insert(r.name.clone(), copy);
    }
    for variable in &c.env {
        let Some(key) = &variable.secret_key else { continue };
        if !found.contains_key(&key.name) {
            return Err(reference(
                c,
                "env",
                format!(
                    "variable {} reads Secret {:?}, which is not among secretRefs; add it there",
                    variable.name, key.name
                ),
            ));
        }
    }
    Ok(found)
}

fn link(components: &mut [ValidComponent]) -> Result<(), Invalid> {
    for from in 0..components.len() {
        for call in components[from].spec.calls.clone() {
            let c = &components[from].spec;
            if let Some(shared) = &call.shared_service {
                return Err(reference(
                    c,
                    "calls",
                    format!(
                        "sharedService {}/{} is called through an AccessGrant that names this component: make one, and remove the call",
                        shared.vdc, shared.name
                    ),
                ));
            }
            let Some(name) = call.component else { continue };
            let to = components.iter().position(|o| o.name.as_str() == name);
            let to =
                to.ok_or_else(|| reference(c, "calls", format!("{name:?} is no component of this hall")))?;
            if components[to].spec.ports.is_empty() {
                return Err(reference(
                    c,
                    "calls",
                    format!("component {name:?} has no port to call; give it ports"),
                ));
            }
            components[from].calls.insert(to);
            components[to].callers.insert(from);
        }
    }
    Ok(())
}

/// What the hall's components ask of each namespace, as its ResourceQuota would count it during a rollout.
fn fits(vdc: &ValidVdcSlice, components: &[ValidComponent]) -> Result<(), Invalid> {
    for n in &vdc.namespaces {
        let here = components.iter().filter(|c| c.namespace == n.at_site);
        let asked = here.map(demand).fold(Amounts::new(), |sum, a| sum.plus(&a));
        if let Some(excess) = asked.first_above(&n.quota) {
            return Err(Invalid::Quota { namespace: n.name.to_string(), excess });
        }
    }
    Ok(())
}

/// What a component asks here at most.
pub(super) fn demand(c: &ValidComponent) -> Amounts {
    if !c.active {
        return Amounts::new();
    }
    let most = u64::from(c.spec.autoscaling.as_ref().map_or(c.spec.replicas, |a| a.max_replicas));
    let pods = most + if c.stateful() { 0 } else { u64::from(c.spec.rollout.max_surge) };
    let volumes = c.volumes.iter().fold(0u64, |sum, v| sum.saturating_add(*v));
    Amounts::new()
        .with(Kind::Cpu, c.cpu.saturating_mul(pods))
        .with(Kind::Memory, c.memory.saturating_mul(pods))
        .with(Kind::Pods, pods)
        .with(Kind::Storage, volumes.saturating_mul(u64::from(c.spec.replicas)))
}

fn portal(
    spec: &HallSliceSpec,
    vdc: &ValidVdcSlice,
    components: &[ValidComponent],
) -> Result<Option<ValidPortal>, Invalid> {
    let Some(portal) = &spec.portal else { return Ok(None) };
    let place = components.iter().position(|c| c.name.as_str() == portal.component);
    let place = place.ok_or(Invalid::Portal("component names no component of this hall"))?;
    let c = &components[place];
    if c.spec.zone != Zone::Portal {
        return Err(Invalid::Portal("component is not in zone Portal; the front door calls no other"));
    }
    if c.spec.ports.is_empty() {
        return Err(Invalid::Portal("component has no port to answer at; give it ports"));
    }
    if !vdc.portal {
        return Err(Invalid::Portal(
            "the VDC lets nobody in; add Portal to spec.isolation.ingressFrom of the VDC",
        ));
    }
    let paths: BTreeSet<String> = portal.paths.iter().cloned().collect();
    if paths.iter().any(|p| !p.starts_with('/')) {
        return Err(Invalid::Portal("a path prefix begins with /"));
    }
    Ok(c.active.then(|| ValidPortal { host: portal.host.clone(), paths, component: place }))
}
