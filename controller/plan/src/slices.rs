//! What the hub writes for sites: one `VdcSlice` per VDC and site, one `HallSlice` per hall and site.

use yunting_crds::common::{Desired, Member, Quota, SliceSource};
use yunting_crds::hall::{AvailabilityClass, Component, ComponentKind, HallRole, HallSpec};
use yunting_crds::hall_slice::{HallSliceSpec, SliceComponent, SliceSecret, SliceVdc};
use yunting_crds::resources::{Amounts, Kind};
use yunting_crds::site::{Overcommit, SiteSpec};
use yunting_crds::vdc::{Access, Effective, SiteRole, VdcSpec};
use yunting_crds::vdc_slice::{SliceNamespace, VdcSliceSpec};

use crate::quota::split::{Share, over_namespaces};

/// Who a resource is, as its slices say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Bureau.
    pub bureau: String,
    /// Name in the bureau.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Generation that is carried out.
    pub generation: i64,
}

impl Identity {
    fn source(&self) -> SliceSource {
        SliceSource {
            bureau: self.bureau.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            generation: self.generation,
        }
    }
}

/// The quota in force: absent storage, accelerators and load balancers are zero, absent `services` not limited.
pub fn effective_amounts(mut quota: Amounts) -> Amounts {
    for kind in [Kind::Storage, Kind::Gpu, Kind::LoadBalancers] {
        if quota.get(kind).is_none() {
            quota.set(kind, 0);
        }
    }
    quota
}

/// A VDC as its slices need it.
#[derive(Debug, Clone)]
pub struct VdcInput<'a> {
    /// Term of the leader that writes.
    pub term: i64,
    /// Who it is.
    pub identity: &'a Identity,
    /// What was asked.
    pub spec: &'a VdcSpec,
    /// Values in force.
    pub effective: &'a Effective,
    /// People of the bureau.
    pub members: &'a [Member],
}

/// The slice of a VDC for one site.
pub fn vdc_slice(vdc: &VdcInput<'_>, site: &SiteSpec, role: SiteRole, share: &Share) -> VdcSliceSpec {
    let weights: Vec<u32> = vdc.spec.namespaces.iter().map(|n| n.weight).collect();
    let parts = over_namespaces(&share.hard, &weights);
    let namespace = |(n, part): (&yunting_crds::vdc::VdcNamespace, Amounts)| SliceNamespace {
        name: n.name.clone(),
        access: n.access,
        quota: Quota::from_amounts(&part),
    };
    VdcSliceSpec {
        term: vdc.term,
        source: vdc.identity.source(),
        desired: Desired::Present,
        role,
        state: vdc.spec.lifecycle.state,
        namespaces: vdc.spec.namespaces.iter().zip(parts).map(namespace).collect(),
        reserved: Quota::from_amounts(&share.reserved),
        overcommit_percent: site.capacity.overcommit_percent.clone(),
        isolation: vdc.effective.isolation.clone(),
        key_provider: vdc.spec.encryption.key_provider,
        key_generation: vdc.spec.encryption.key_generation,
        key_rotation_days: vdc.spec.encryption.rotation_days,
        transport: vdc.spec.encryption.transport,
        storage_class: site.providers.storage.first().map(|s| s.name.clone()),
        providers: site.providers.clone(),
        members: vdc.members.to_vec(),
    }
}

/// What a slice holds of a site's room: the sum of its namespaces, and its reserve.
pub fn share_of(slice: &VdcSliceSpec) -> Share {
    let hard = slice.namespaces.iter().filter_map(|n| n.quota.amounts().ok());
    Share {
        hard: hard.fold(Amounts::new(), |sum, a| sum.plus(&a)),
        reserved: slice.reserved.amounts().unwrap_or_default(),
    }
}

/// The same slice, to be taken away.
pub fn absent_vdc(slice: &VdcSliceSpec, term: i64) -> VdcSliceSpec {
    VdcSliceSpec { term, desired: Desired::Absent, ..slice.clone() }
}

/// The same slice, to be taken away.
pub fn absent_hall(slice: &HallSliceSpec, term: i64) -> HallSliceSpec {
    HallSliceSpec { term, desired: Desired::Absent, ..slice.clone() }
}

/// What a site does for a hall of that class, or nothing.
pub fn hall_role(class: AvailabilityClass, site: SiteRole) -> Option<HallRole> {
    match (class, site) {
        (_, SiteRole::NotChosen) => None,
        (_, SiteRole::Active) | (AvailabilityClass::Platinum, _) => Some(HallRole::Active),
        (AvailabilityClass::Silver | AvailabilityClass::Gold, SiteRole::Standby) => Some(HallRole::Standby),
        _ => None,
    }
}

/// What a site does for one component: stateful ones run at the active site only, whatever the class.
pub fn component_role(component: &Component, hall: HallRole, site: SiteRole) -> HallRole {
    match (component.kind, hall, site) {
        (ComponentKind::Stateful, HallRole::Active, SiteRole::Standby | SiteRole::Member) => {
            HallRole::Standby
        }
        _ => hall,
    }
}

/// A hall as its slices need it.
#[derive(Debug, Clone)]
pub struct HallInput<'a> {
    /// Term of the leader that writes.
    pub term: i64,
    /// Who it is.
    pub identity: &'a Identity,
    /// What was asked.
    pub spec: &'a HallSpec,
    /// Uid of its VDC.
    pub vdc_uid: &'a str,
    /// First namespace of the VDC, for components that name none.
    pub first_namespace: &'a str,
    /// Secrets copied for it.
    pub secrets: &'a [SliceSecret],
    /// The host is this hall's to claim.
    pub host_is_ours: bool,
}

/// The slice of a hall for one site, or nothing where the site does nothing for it.
pub fn hall_slice(hall: &HallInput<'_>, site: SiteRole) -> Option<HallSliceSpec> {
    let role = hall_role(hall.spec.availability_class, site)?;
    let component = |c: &Component| SliceComponent {
        role: component_role(c, role, site),
        component: Component {
            namespace: Some(c.namespace.clone().unwrap_or_else(|| hall.first_namespace.to_owned())),
            ..c.clone()
        },
    };
    Some(HallSliceSpec {
        term: hall.term,
        source: hall.identity.source(),
        vdc: SliceVdc { name: hall.spec.vdc_ref.name.clone(), uid: hall.vdc_uid.to_owned() },
        desired: Desired::Present,
        role,
        display_name: hall.spec.display_name.clone(),
        availability_class: hall.spec.availability_class,
        portal: hall.spec.portal.clone().filter(|_| hall.host_is_ours),
        components: hall.spec.components.iter().map(component).collect(),
        secrets: hall.secrets.to_vec(),
        // What stands says what is to be replicated: [`crate::replicas::fill`].
        replicas: Vec::new(),
        copies: Vec::new(),
        // What stands says this, too: [`crate::elsewhere::fill`].
        elsewhere: Vec::new(),
        // And this what both bureaus agree to: [`crate::grants::fill`].
        grants: Vec::new(),
    })
}

/// Room of a site that may be promised: declared or reported, times overcommitment.
pub fn room(spec: &SiteSpec, allocatable: &Amounts) -> Amounts {
    let Overcommit { cpu, memory } = spec.capacity.overcommit_percent;
    let percent = |kind: Kind| match kind {
        Kind::Cpu => cpu,
        Kind::Memory => memory,
        _ => 100,
    };
    allocatable
        .iter()
        .map(|(kind, amount)| {
            (kind, Amounts::new().with(kind, amount).scaled(u64::from(percent(kind)), 100).amount(kind))
        })
        .collect()
}

/// Namespace of the VDC that a component runs in, if there is such a one.
pub fn namespace_of<'a>(component: &'a Component, vdc: &'a VdcSpec) -> Option<(&'a str, Access)> {
    let name = component.namespace.as_deref().or_else(|| vdc.namespaces.first().map(|n| n.name.as_str()))?;
    vdc.namespaces.iter().find(|n| n.name == name).map(|n| (n.name.as_str(), n.access))
}
