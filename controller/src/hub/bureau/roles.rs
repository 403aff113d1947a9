//! Members as role bindings: one binding per role that anybody has, to the fixed ClusterRoles of the installation.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use yunting_crds::common::{Member, Role, SubjectKind};
use yunting_crds::labels;

const RBAC: &str = "rbac.authorization.k8s.io";

/// ClusterRole of a role in a bureau's hub namespace. An application vendor has none there: its rights are on
/// the halls it is named for, which REST gives.
fn cluster_role(role: Role) -> Option<&'static str> {
    match role {
        Role::Admin => Some("yunting-bureau-admin"),
        Role::Operator => Some("yunting-bureau-operator"),
        Role::Viewer => Some("yunting-bureau-viewer"),
        Role::Auditor => Some("yunting-bureau-auditor"),
        Role::AppVendor => None,
    }
}

/// Bindings for these members. What the provider's prefix would hide (`system:`, `yunting:`) is left out.
pub(super) fn bindings(bureau: &str, namespace: &str, members: &[Member]) -> Vec<RoleBinding> {
    let mut by_role: BTreeMap<&'static str, Vec<Subject>> = BTreeMap::new();
    for member in members {
        let name = &member.subject.name;
        if name.starts_with("system:") || name.starts_with("yunting:") {
            continue;
        }
        if let Some(role) = cluster_role(member.role) {
            by_role.entry(role).or_default().push(subject(member.subject.kind, name));
        }
    }
    by_role.into_iter().map(|(role, subjects)| binding(bureau, namespace, role, subjects)).collect()
}

fn subject(kind: SubjectKind, name: &str) -> Subject {
    let kind = match kind {
        SubjectKind::User => "User",
        SubjectKind::Group => "Group",
    };
    Subject {
        api_group: Some(RBAC.to_owned()),
        kind: kind.to_owned(),
        name: format!("{}{name}", labels::OIDC_PREFIX),
        namespace: None,
    }
}

fn binding(bureau: &str, namespace: &str, role: &str, subjects: Vec<Subject>) -> RoleBinding {
    let label = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    RoleBinding {
        metadata: ObjectMeta {
            name: Some(role.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some([label(labels::MANAGED_BY, labels::MANAGER), label(labels::BUREAU, bureau)].into()),
            ..ObjectMeta::default()
        },
        role_ref: RoleRef {
            api_group: RBAC.to_owned(),
            kind: "ClusterRole".to_owned(),
            name: role.to_owned(),
        },
        subjects: Some(subjects),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_get_the_provider_prefix_and_reserved_names_nothing() {
        let member = |name: &str, role| Member {
            subject: yunting_crds::common::Subject { kind: SubjectKind::Group, name: name.into() },
            role,
        };
        let members = [
            member("edu-it", Role::Admin),
            member("system:masters", Role::Admin),
            member("vendor", Role::AppVendor),
        ];
        let bindings = bindings("edu", "bureau-edu", &members);
        assert_eq!(bindings.len(), 1);
        let subjects = bindings[0].subjects.as_ref().unwrap();
        assert_eq!(subjects.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["oidc:edu-it"]);
    }
}
