//! What the bureau's people may do in a namespace: RoleBindings to the site's fixed ClusterRoles, by the role table
//! of the design. Yunting makes no Roles: it would need the rights it hands out.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use yunting_crds::common::{Role, SubjectKind};
use yunting_crds::vdc::Access;

use super::{ValidMember, ValidNamespace, ValidVdcSlice};
use crate::object::Object;

const RBAC: &str = "rbac.authorization.k8s.io";

/// ClusterRole of the site for a role of the bureau, if it gives anything there. An `AppVendor` gets nothing: a
/// member does not say for which halls, and the logs of all would be too much.
pub fn cluster_role(role: Role, access: Access) -> Option<&'static str> {
    match (role, access) {
        (Role::Admin | Role::Operator, Access::HallsOnly) => Some("yunting-halls-reader"),
        (Role::Admin, Access::Direct) => Some("yunting-direct-admin"),
        (Role::Operator, Access::Direct) => Some("yunting-direct-operator"),
        (Role::Viewer | Role::Auditor, _) => Some("yunting-reader"),
        (Role::AppVendor, _) => None,
    }
}

/// One binding per ClusterRole that somebody has, named as it is.
pub(super) fn bindings(slice: &ValidVdcSlice, namespace: &ValidNamespace) -> Vec<Object> {
    let mut by_role: BTreeMap<&'static str, BTreeSet<&ValidMember>> = BTreeMap::new();
    for member in &slice.members {
        if let Some(role) = cluster_role(member.role, namespace.access) {
            by_role.entry(role).or_default().insert(member);
        }
    }
    by_role.into_iter().map(|(role, members)| binding(slice, namespace, role, &members)).collect()
}

fn binding(
    slice: &ValidVdcSlice,
    namespace: &ValidNamespace,
    role: &str,
    members: &BTreeSet<&ValidMember>,
) -> Object {
    let people: BTreeSet<(SubjectKind, &str)> =
        members.iter().map(|m| (m.kind, m.subject.as_str())).collect();
    let subject = |(kind, name): (SubjectKind, &str)| Subject {
        api_group: Some(RBAC.to_owned()),
        kind: match kind {
            SubjectKind::User => "User".to_owned(),
            SubjectKind::Group => "Group".to_owned(),
        },
        name: name.to_owned(),
        namespace: None,
    };
    Object::new(&RoleBinding {
        metadata: slice.owner.metadata(role, &namespace.at_site),
        role_ref: RoleRef {
            api_group: RBAC.to_owned(),
            kind: "ClusterRole".to_owned(),
            name: role.to_owned(),
        },
        subjects: Some(people.into_iter().map(subject).collect()),
    })
}
