//! Members as rights: one binding per role that anybody has, to the fixed ClusterRoles of the installation; and, where
//! the right is on named objects only, a role made for these names. The hub makes such a role from rights it holds
//! itself: it may neither `escalate` nor `bind` beyond them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role as NamespaceRole, RoleBinding, RoleRef, Subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use yunting_crds::common::{Member, Role, SubjectKind};
use yunting_crds::{GROUP, labels};

const RBAC: &str = "rbac.authorization.k8s.io";
/// Begins the name of what lets administrators of a bureau edit its `Bureau`; policy yunting-hub-cluster-roles
/// knows it.
const MEMBERS: &str = "yunting-bureau-members-";
/// Begins the name of what lets vendors work on a hall; policy yunting-hub-bindings knows it.
const VENDOR: &str = "yunting-hall-vendor-";

/// Name of the ClusterRole by which administrators edit their own bureau, and of its binding.
pub(super) fn of_own_bureau(bureau: &str) -> String {
    format!("{MEMBERS}{bureau}")
}

/// ClusterRole of a role in a bureau's hub namespace. An application vendor has none there: it has roles of their own
/// for the halls it is named for.
fn cluster_role(role: Role) -> Option<&'static str> {
    match role {
        Role::Admin => Some("yunting-bureau-admin"),
        Role::Operator => Some("yunting-bureau-operator"),
        Role::Viewer => Some("yunting-bureau-viewer"),
        Role::Auditor => Some("yunting-bureau-auditor"),
        Role::AppVendor => None,
    }
}

/// The rights of a bureau's people at the hub.
#[derive(Debug, Default)]
pub(super) struct Rights {
    /// Roles for the halls that vendors are named for.
    pub(super) roles: Vec<NamespaceRole>,
    /// In the bureau's namespace.
    pub(super) bindings: Vec<RoleBinding>,
    /// For its `Bureau`, while it has an administrator.
    pub(super) cluster_role: Option<ClusterRole>,
    /// To the administrators.
    pub(super) cluster_binding: Option<ClusterRoleBinding>,
}

/// Rights for these members. What the provider's prefix would hide (`system:`, `yunting:`) is left out.
pub(super) fn rights(bureau: &str, namespace: &str, members: &[Member]) -> Rights {
    let place = Place { bureau, namespace };
    let (mut by_role, mut by_hall) = (BTreeMap::<_, People>::new(), BTreeMap::<_, People>::new());
    for member in members.iter().filter(|m| !reserved(&m.subject.name)) {
        let who = (member.subject.kind, member.subject.name.as_str());
        if let Some(role) = cluster_role(member.role) {
            by_role.entry(role).or_default().insert(who);
        }
        if member.role == Role::AppVendor {
            member.halls.iter().for_each(|hall| {
                by_hall.entry(hall.as_str()).or_default().insert(who);
            });
        }
    }
    let admins = by_role.get("yunting-bureau-admin");
    let (cluster_role, cluster_binding) = admins.map(|people| place.own_bureau(people)).unzip();
    let mut bindings: Vec<RoleBinding> =
        by_role.iter().map(|(role, people)| place.binding("ClusterRole", role, people)).collect();
    bindings.extend(by_hall.iter().map(|(hall, p)| place.binding("Role", &format!("{VENDOR}{hall}"), p)));
    let roles = by_hall.keys().map(|hall| place.hall_role(hall)).collect();
    Rights { roles, bindings, cluster_role, cluster_binding }
}

type People<'a> = BTreeSet<(SubjectKind, &'a str)>;

fn reserved(name: &str) -> bool {
    name.starts_with("system:") || name.starts_with("yunting:")
}

struct Place<'a> {
    bureau: &'a str,
    namespace: &'a str,
}

impl Place<'_> {
    /// The bureau's own `Bureau`, of which policy yunting-bureau-members lets them change the members only.
    fn own_bureau(&self, people: &People<'_>) -> (ClusterRole, ClusterRoleBinding) {
        let name = of_own_bureau(self.bureau);
        let metadata = ObjectMeta { namespace: None, ..self.metadata(&name) };
        let role = ClusterRole {
            metadata: metadata.clone(),
            rules: Some(vec![rule("bureaus", self.bureau, &["get", "patch", "update"])]),
            ..ClusterRole::default()
        };
        let role_ref = role_ref("ClusterRole", &name);
        (role, ClusterRoleBinding { metadata, role_ref, subjects: Some(subjects(people)) })
    }

    /// One hall, of which policy yunting-hall-vendors lets them change image and configuration only.
    fn hall_role(&self, hall: &str) -> NamespaceRole {
        NamespaceRole {
            metadata: self.metadata(&format!("{VENDOR}{hall}")),
            rules: Some(vec![rule("halls", hall, &["get", "patch", "update", "watch"])]),
        }
    }

    fn binding(&self, kind: &str, role: &str, people: &People<'_>) -> RoleBinding {
        RoleBinding {
            metadata: self.metadata(role),
            role_ref: role_ref(kind, role),
            subjects: Some(subjects(people)),
        }
    }

    fn metadata(&self, name: &str) -> ObjectMeta {
        let label = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(
                [label(labels::MANAGED_BY, labels::MANAGER), label(labels::BUREAU, self.bureau)].into(),
            ),
            ..ObjectMeta::default()
        }
    }
}

fn rule(resource: &str, name: &str, verbs: &[&str]) -> PolicyRule {
    let list = |items: &[&str]| items.iter().map(|i| (*i).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(list(&[GROUP])),
        resources: Some(list(&[resource])),
        resource_names: Some(list(&[name])),
        verbs: list(verbs),
        ..PolicyRule::default()
    }
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: RBAC.to_owned(), kind: kind.to_owned(), name: name.to_owned() }
}

fn subjects(people: &People<'_>) -> Vec<Subject> {
    let subject = |(kind, name): &(SubjectKind, &str)| Subject {
        api_group: Some(RBAC.to_owned()),
        kind: match kind {
            SubjectKind::User => "User".to_owned(),
            SubjectKind::Group => "Group".to_owned(),
        },
        name: format!("{}{name}", labels::OIDC_PREFIX),
        namespace: None,
    };
    people.iter().map(subject).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, role: Role, halls: &[&str]) -> Member {
        Member {
            subject: yunting_crds::common::Subject { kind: SubjectKind::Group, name: name.into() },
            role,
            halls: halls.iter().map(|h| (*h).to_owned()).collect(),
        }
    }

    fn names(subjects: Option<&Vec<Subject>>) -> Vec<&str> {
        subjects.unwrap().iter().map(|s| s.name.as_str()).collect()
    }

    #[test]
    fn members_get_the_provider_prefix_and_reserved_names_nothing() {
        let members = [
            member("edu-it", Role::Admin, &[]),
            member("system:masters", Role::Admin, &[]),
            member("yunting:hubs", Role::AppVendor, &["exams"]),
        ];
        let rights = rights("edu", "bureau-edu", &members);
        assert_eq!(rights.bindings.len(), 1);
        assert_eq!(names(rights.bindings[0].subjects.as_ref()), ["oidc:edu-it"]);
        assert_eq!(names(rights.cluster_binding.unwrap().subjects.as_ref()), ["oidc:edu-it"]);
        assert_eq!(rights.roles.len(), 0);
    }

    #[test]
    fn administrators_edit_exactly_their_own_bureau() {
        let rights = rights("edu", "bureau-edu", &[member("edu-it", Role::Admin, &[])]);
        let (role, binding) = (rights.cluster_role.unwrap(), rights.cluster_binding.unwrap());
        assert_eq!(role.metadata.name.as_deref(), Some("yunting-bureau-members-edu"));
        assert_eq!(role.metadata.namespace, None);
        assert_eq!(role.rules.unwrap(), [rule("bureaus", "edu", &["get", "patch", "update"])]);
        assert_eq!(binding.role_ref, role_ref("ClusterRole", "yunting-bureau-members-edu"));
    }

    #[test]
    fn a_bureau_without_an_administrator_has_nobody_to_edit_it() {
        let rights = rights("edu", "bureau-edu", &[member("staff", Role::Viewer, &[])]);
        assert!(rights.cluster_role.is_none() && rights.cluster_binding.is_none());
    }

    #[test]
    fn a_vendor_gets_a_role_of_its_own_for_each_hall_it_is_named_for() {
        let members = [
            member("a", Role::AppVendor, &["exams", "admissions"]),
            member("b", Role::AppVendor, &["exams"]),
            member("c", Role::Viewer, &["exams"]),
        ];
        let rights = rights("edu", "bureau-edu", &members);
        let of = |name: &str| rights.bindings.iter().find(|b| b.metadata.name.as_deref() == Some(name));
        let exams = of("yunting-hall-vendor-exams").unwrap();
        assert_eq!(names(exams.subjects.as_ref()), ["oidc:a", "oidc:b"]);
        assert_eq!(exams.role_ref, role_ref("Role", "yunting-hall-vendor-exams"));
        assert_eq!(names(of("yunting-hall-vendor-admissions").unwrap().subjects.as_ref()), ["oidc:a"]);
        let role = |name: &str| rights.roles.iter().find(|r| r.metadata.name.as_deref() == Some(name));
        let rules = role("yunting-hall-vendor-exams").unwrap().rules.clone().unwrap();
        assert_eq!(rules, [rule("halls", "exams", &["get", "patch", "update", "watch"])]);
        assert_eq!(rights.roles.len(), 2);
    }
}
