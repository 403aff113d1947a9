//! Watched copies of the roles and bindings that the hub made for people and sites.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::ResourceExt;
use kube::runtime::watcher;
use yunting_crds::{labels, names};

use super::world::{Starter, Wakers, cluster, tag};
use crate::cache::{Cache, Cached};

/// Roles and bindings of the hub's own making.
pub(super) struct Rights {
    pub(super) roles: Cache<Role>,
    pub(super) bindings: Cache<RoleBinding>,
    /// Those of bureaus; what the installation brought is not among them.
    pub(super) cluster_roles: Cache<ClusterRole>,
    pub(super) cluster_bindings: Cache<ClusterRoleBinding>,
}

impl Rights {
    /// Starts the watches: what somebody changes is put right.
    pub(super) fn start(start: &Starter<'_>, wakers: &Wakers) -> Self {
        let ours = || format!("{}={}", labels::MANAGED_BY, labels::MANAGER);
        let within = || watcher::Config::default().labels(&ours());
        let of_bureaus = || watcher::Config::default().labels(&format!("{},{}", ours(), labels::BUREAU));
        let (a, b, c, d) = (wakers.clone(), wakers.clone(), wakers.clone(), wakers.clone());
        Self {
            roles: start.tagged(within(), tag::namespace, move |r: &Role| touched_within(&a, r)),
            bindings: start.tagged(within(), tag::namespace, move |r: &RoleBinding| touched_within(&b, r)),
            cluster_roles: start.all(of_bureaus(), move |r: &ClusterRole| touched_of_bureau(&c, r)),
            cluster_bindings: start.all(of_bureaus(), move |r: &ClusterRoleBinding| touched_of_bureau(&d, r)),
        }
    }

    /// Waits until each has seen everything.
    pub(super) async fn ready(&self) {
        self.roles.ready().await;
        self.bindings.ready().await;
        self.cluster_roles.ready().await;
        self.cluster_bindings.ready().await;
    }
}

/// In a namespace: the site or bureau whose it is.
fn touched_within<K: Cached>(w: &Wakers, object: &K) {
    let namespace = object.namespace().unwrap_or_default();
    if let Some(site) = names::SiteName::from_namespace(&namespace) {
        w.sites.wake(cluster(site.as_str()));
    } else if let Some(bureau) = names::BureauName::from_namespace(&namespace) {
        w.bureaus.wake(cluster(bureau.as_str()));
    }
}

fn touched_of_bureau<K: Cached>(w: &Wakers, object: &K) {
    if let Some(bureau) = object.labels().get(labels::BUREAU) {
        w.bureaus.wake(cluster(bureau));
    }
}
