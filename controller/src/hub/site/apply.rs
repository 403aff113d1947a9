//! Writes what a site gets at the hub: namespace, the binding of its identity, its report object; and its status.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde_json::json;
use yunting_crds::{SiteReport, SiteStatus, labels};
use yunting_plan::object::Object;

use super::observe::Seen;
use super::{MANAGER, STATUS_MANAGER};
use crate::hub::{said, standing, world::World};
use crate::kinds;
use crate::writer::Error;

/// ClusterRole and binding by which a site works in its own hub namespace.
const ROLE: &str = "yunting-site";

/// Makes them stand.
pub(super) async fn objects(world: &World, seen: &Seen) -> Result<(), Error> {
    let name = seen.site.name_any();
    let namespace =
        Object::new(&Namespace { metadata: metadata(&seen.namespace, None, &name), ..Namespace::default() });
    let standing = world.namespaces.get_cluster(&seen.namespace);
    standing::apply(world, MANAGER, &namespace, standing.as_deref()).await?;
    let binding = Object::new(&binding(seen, &name));
    let standing = world.rights.bindings.get(&seen.namespace, ROLE);
    standing::apply(world, MANAGER, &binding, standing.as_deref()).await?;
    if seen.report.is_none() {
        let body = json!({"metadata": {"name": name, "namespace": seen.namespace}, "spec": {"site": name}});
        world.writer.apply(MANAGER, &kinds::object::<SiteReport>(body)).await?;
    }
    Ok(())
}

fn binding(seen: &Seen, site: &str) -> RoleBinding {
    RoleBinding {
        metadata: metadata(ROLE, Some(&seen.namespace), site),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".into(),
            kind: "ClusterRole".into(),
            name: ROLE.into(),
        },
        subjects: Some(vec![Subject {
            api_group: Some("rbac.authorization.k8s.io".into()),
            kind: "User".into(),
            name: format!("yunting:site:{site}"),
            namespace: None,
        }]),
    }
}

fn metadata(name: &str, namespace: Option<&str>, site: &str) -> ObjectMeta {
    let label = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.map(str::to_owned),
        labels: Some([label(labels::MANAGED_BY, labels::MANAGER), label(labels::SITE, site)].into()),
        ..ObjectMeta::default()
    }
}

/// Writes the status if it says something new.
pub(super) async fn status(world: &World, seen: &Seen, status: &SiteStatus) -> Result<(), Error> {
    said::status(world, STATUS_MANAGER, seen.site.as_ref(), status).await
}
