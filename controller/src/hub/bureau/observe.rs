//! What is known about a bureau.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::ResourceExt;
use yunting_crds::Bureau;
use yunting_crds::names::BUREAU_NAMESPACE_PREFIX;
use yunting_crds::resources::Amounts;

use super::roles;
use crate::hub::world::{ObjectKey, World};

/// What is known about a bureau.
pub(super) struct Seen {
    pub(super) bureau: Arc<Bureau>,
    /// Its hub namespace.
    pub(super) namespace_name: String,
    pub(super) namespace: Option<Arc<Namespace>>,
    /// What its people have been given.
    pub(super) rights: Standing,
    pub(super) vdcs: usize,
    pub(super) halls: usize,
    /// Promised to its VDCs.
    pub(super) promised: Amounts,
    /// Bureaus carved from it.
    pub(super) children: Vec<Arc<Bureau>>,
    /// The bureau it is carved from, if it is named and there.
    pub(super) parent: Option<Arc<Bureau>>,
    /// Other bureaus carved from the same parent.
    pub(super) siblings: Vec<Arc<Bureau>>,
}

/// Rights of a bureau's people that stand.
pub(super) struct Standing {
    pub(super) roles: Vec<Arc<Role>>,
    pub(super) bindings: Vec<Arc<RoleBinding>>,
    pub(super) cluster_roles: Vec<Arc<ClusterRole>>,
    pub(super) cluster_bindings: Vec<Arc<ClusterRoleBinding>>,
}

impl Standing {
    /// In a bureau's namespace, and cluster-wide by name.
    fn of(world: &World, bureau: &str, namespace: &str) -> Self {
        let own = roles::of_own_bureau(bureau);
        let rights = &world.rights;
        Self {
            roles: rights.roles.tagged(namespace),
            bindings: rights.bindings.tagged(namespace),
            cluster_roles: rights.cluster_roles.get_cluster(&own).into_iter().collect(),
            cluster_bindings: rights.cluster_bindings.get_cluster(&own).into_iter().collect(),
        }
    }
}

/// Gathers it; nothing when the bureau is not there.
pub(super) fn observe(world: &World, key: &ObjectKey) -> Option<Seen> {
    let bureau = world.bureaus.get_cluster(&key.name)?;
    let namespace_name = format!("{BUREAU_NAMESPACE_PREFIX}{}", key.name);
    let parent_name = bureau.spec.parent_ref.as_ref().map(|p| p.name.clone());
    let child_of = |name: &str| world.bureaus.tagged(name);
    let siblings = parent_name.as_deref().map(child_of).unwrap_or_default();
    Some(Seen {
        namespace: world.namespaces.get_cluster(&namespace_name),
        rights: Standing::of(world, &key.name, &namespace_name),
        vdcs: world.vdcs.tagged(&namespace_name).len(),
        halls: world.halls.tagged(&namespace_name).len(),
        promised: world.ledger().of_bureau(&key.name, ""),
        children: child_of(&key.name),
        parent: parent_name.and_then(|p| world.bureaus.get_cluster(&p)),
        siblings: siblings.into_iter().filter(|b| b.name_any() != key.name).collect(),
        namespace_name,
        bureau,
    })
}
