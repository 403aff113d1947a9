//! What the bureau's people may do in a namespace: RoleBindings to the site's fixed ClusterRoles, by the role table
//! of the design. Yunting makes no Roles at a site: it would need the rights it hands out.
//!
//! RBAC knows no labels, so an application vendor reads all of a namespace or nothing of it. It is bound only where
//! every hall that has something in the namespace is one it is named for; what has something there are [`Residents`].

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use serde_json::Value;
use yunting_crds::common::{Role, SubjectKind};
use yunting_crds::hall_slice::HallSliceSpec;
use yunting_crds::names::HallName;
use yunting_crds::vdc::Access;

use super::{ValidMember, ValidNamespace, ValidVdcSlice};
use crate::object::{Key, Object, api_kind};

const RBAC: &str = "rbac.authorization.k8s.io";
/// ClusterRole of application vendors, and name of the binding to it.
const VENDOR: &str = "yunting-halls-vendor";
/// Every ClusterRole that is given to somebody in a namespace, and so the name of every binding of ours.
const ROLES: [&str; 5] =
    ["yunting-halls-reader", "yunting-direct-admin", "yunting-direct-operator", "yunting-reader", VENDOR];

/// ClusterRole of the site for a role of the bureau, if it gives anything there. That of an `AppVendor` is given only
/// where the namespace holds nothing but its halls.
pub fn cluster_role(role: Role, access: Access) -> Option<&'static str> {
    match (role, access) {
        (Role::Admin | Role::Operator, Access::HallsOnly) => Some("yunting-halls-reader"),
        (Role::Admin, Access::Direct) => Some("yunting-direct-admin"),
        (Role::Operator, Access::Direct) => Some("yunting-direct-operator"),
        (Role::Viewer | Role::Auditor, _) => Some("yunting-reader"),
        (Role::AppVendor, Access::HallsOnly) => Some(VENDOR),
        (Role::AppVendor, Access::Direct) => None,
    }
}

/// A hall with something in a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resident {
    /// It has a record.
    Hall(HallName),
    /// Something of a hall without a record, or without a name: nobody is named for it.
    Unknown,
}

/// Which halls have something in each namespace, by the namespace's name at the site.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Residents(BTreeMap<String, BTreeSet<Resident>>);

impl Residents {
    /// From the records of all halls of the VDC, those on their way out included, and from what of halls stands in
    /// its namespaces: `(namespace at the site, uid of the hall)`. What stands counts wherever its record says it
    /// belongs now: pods of a component that has moved end slowly.
    pub fn new<'a>(
        slice: &ValidVdcSlice,
        records: impl IntoIterator<Item = &'a HallSliceSpec>,
        standing: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut all = Self::default();
        let mut names: BTreeMap<&str, Resident> = BTreeMap::new();
        for hall in records {
            let own = hall.source.bureau == slice.owner.bureau.as_str();
            let name = HallName::new(&hall.source.name).ok().filter(|_| own);
            let who = name.map_or(Resident::Unknown, Resident::Hall);
            names.insert(&hall.source.uid, who.clone());
            for component in &hall.components {
                let wanted = component.component.namespace.as_deref();
                let its = slice.namespaces.iter().filter(|n| wanted.is_none_or(|w| w == n.name.as_str()));
                its.for_each(|n| all.add(&n.at_site, who.clone()));
            }
        }
        for (namespace, uid) in standing {
            all.add(namespace, names.get(uid).cloned().unwrap_or(Resident::Unknown));
        }
        all
    }

    fn add(&mut self, namespace: &str, who: Resident) {
        self.0.entry(namespace.to_owned()).or_default().insert(who);
    }

    /// Those that are in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let both = |(namespace, all): (&String, &BTreeSet<Resident>)| {
            Some((namespace.clone(), all & other.0.get(namespace)?))
        };
        Self(self.0.iter().filter_map(both).collect())
    }

    /// Whether this hall is counted in the namespace.
    pub fn holds(&self, namespace: &str, hall: &HallName) -> bool {
        self.0.get(namespace).is_some_and(|all| all.contains(&Resident::Hall(hall.clone())))
    }

    /// Whether a vendor works for everything there, and something is there.
    fn all_of(&self, namespace: &str, vendor: &ValidMember) -> bool {
        let named = |r: &Resident| matches!(r, Resident::Hall(name) if vendor.halls.contains(name));
        self.0.get(namespace).is_some_and(|all| !all.is_empty() && all.iter().all(named))
    }
}

/// One binding per ClusterRole that somebody has, named as it is.
pub(super) fn bindings(
    slice: &ValidVdcSlice,
    namespace: &ValidNamespace,
    residents: &Residents,
) -> Vec<Object> {
    let mut by_role: BTreeMap<&'static str, BTreeSet<&ValidMember>> = BTreeMap::new();
    for member in &slice.members {
        let role = cluster_role(member.role, namespace.access);
        let reads = member.role != Role::AppVendor || residents.all_of(&namespace.at_site, member);
        if let Some(role) = role.filter(|_| reads) {
            by_role.entry(role).or_default().insert(member);
        }
    }
    by_role.into_iter().map(|(role, members)| binding(slice, &namespace.at_site, role, &members)).collect()
}

/// Bindings that name somebody who has the right no more, without them, for before anything else is done: nothing that
/// fails later may hold a withdrawal up. Nobody gets a right here. In a namespace that is kept though no longer asked
/// for, those who have a role still keep it: they empty it. `standing` tells what stands under a key.
pub fn withdrawals(
    slice: &ValidVdcSlice,
    left_over: &BTreeSet<String>,
    residents: &Residents,
    standing: impl Fn(&Key) -> Option<Value>,
) -> Vec<Object> {
    let asked = slice.namespaces.iter().map(|n| (n.at_site.as_str(), Some(n.access)));
    let kept = left_over.iter().map(|name| (name.as_str(), None));
    let every = asked.chain(kept).flat_map(|(at_site, access)| ROLES.map(|role| (at_site, access, role)));
    let narrowed = |(at_site, access, role): (&str, Option<Access>, &str)| {
        let key = Key {
            kind: api_kind::<RoleBinding>(),
            namespace: Some(at_site.to_owned()),
            name: role.to_owned(),
        };
        let stands = standing(&key)?;
        let now = subjects(&stands);
        let has = |m: &&ValidMember| {
            gives(m.role, access, role) && (m.role != Role::AppVendor || residents.all_of(at_site, m))
        };
        let named = |m: &&ValidMember| now.contains(&(kind_of(m.kind), m.subject.as_str()));
        let people: BTreeSet<&ValidMember> = slice.members.iter().filter(has).filter(named).collect();
        let stay = |(kind, name): &(&str, &str)| {
            people.iter().any(|m| kind_of(m.kind) == *kind && m.subject == *name)
        };
        (!now.iter().all(stay)).then(|| binding(slice, at_site, role, &people))
    };
    every.filter_map(narrowed).collect()
}

/// Whether a role of the bureau gives a ClusterRole; where it is not known any more who creates workloads there, in
/// either way.
fn gives(role: Role, access: Option<Access>, wanted: &str) -> bool {
    let ways = access.map_or(vec![Access::HallsOnly, Access::Direct], |one| vec![one]);
    ways.into_iter().any(|access| cluster_role(role, access) == Some(wanted))
}

/// Whom a binding names.
fn subjects(binding: &Value) -> BTreeSet<(&str, &str)> {
    let list = binding["subjects"].as_array().into_iter().flatten();
    list.map(|s| (s["kind"].as_str().unwrap_or_default(), s["name"].as_str().unwrap_or_default())).collect()
}

fn binding(slice: &ValidVdcSlice, at_site: &str, role: &str, members: &BTreeSet<&ValidMember>) -> Object {
    let people: BTreeSet<(SubjectKind, &str)> =
        members.iter().map(|m| (m.kind, m.subject.as_str())).collect();
    let subject = |(kind, name): (SubjectKind, &str)| Subject {
        api_group: Some(RBAC.to_owned()),
        kind: kind_of(kind).to_owned(),
        name: name.to_owned(),
        namespace: None,
    };
    Object::new(&RoleBinding {
        metadata: slice.owner.metadata(role, at_site),
        role_ref: RoleRef {
            api_group: RBAC.to_owned(),
            kind: "ClusterRole".to_owned(),
            name: role.to_owned(),
        },
        subjects: Some(people.into_iter().map(subject).collect()),
    })
}

fn kind_of(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::User => "User",
        SubjectKind::Group => "Group",
    }
}

#[cfg(test)]
mod tests;
