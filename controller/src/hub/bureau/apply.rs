//! Writes a bureau's namespace, bindings, finalizer and status; takes them away in the end.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use yunting_crds::{Bureau, BureauStatus, labels};
use yunting_plan::object::{Object, api_kind};

use super::observe::Seen;
use super::{MANAGER, STATUS_MANAGER, roles};
use crate::hub::{said, standing, world::World};
use crate::kinds;
use crate::writer::{Error, key_of};

/// Makes namespace and bindings stand; bindings of roles that nobody has any more go.
pub(super) async fn objects(world: &World, seen: &Seen) -> Result<(), Error> {
    kinds::add_finalizer(&world.writer, &kinds::of::<Bureau>(), seen.bureau.as_ref(), MANAGER).await?;
    let name = seen.bureau.name_any();
    let namespace = Object::new(&Namespace {
        metadata: ObjectMeta {
            name: Some(seen.namespace_name.clone()),
            labels: Some(
                [
                    (labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned()),
                    (labels::BUREAU.to_owned(), name.clone()),
                ]
                .into(),
            ),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    });
    standing::apply(world, MANAGER, &namespace, seen.namespace.as_deref()).await?;
    let wanted = roles::bindings(&name, &seen.namespace_name, &seen.bureau.spec.members);
    for binding in &wanted {
        let standing = seen.bindings.iter().find(|b| b.metadata.name == binding.metadata.name);
        standing::apply(world, MANAGER, &Object::new(binding), standing.map(AsRef::as_ref)).await?;
    }
    for old in seen.bindings.iter().filter(|b| !wanted.iter().any(|w| w.metadata.name == b.metadata.name)) {
        let key = key_of(&api_kind::<RoleBinding>(), old.as_ref());
        world.writer.delete(&key, old.metadata.uid.as_deref().unwrap_or_default()).await?;
    }
    Ok(())
}

/// Takes the namespace away once no VDC and no hall is in it, then lets the bureau go.
pub(super) async fn remove(world: &World, seen: &Seen) -> Result<(), Error> {
    if seen.vdcs > 0 || seen.halls > 0 {
        return Ok(());
    }
    match &seen.namespace {
        Some(namespace) if namespace.metadata.deletion_timestamp.is_none() => {
            let key = key_of(&api_kind::<Namespace>(), namespace.as_ref());
            world.writer.delete(&key, namespace.metadata.uid.as_deref().unwrap_or_default()).await
        }
        Some(_) => Ok(()),
        None => kinds::remove_finalizer(&world.writer, &kinds::of::<Bureau>(), seen.bureau.as_ref()).await,
    }
}

/// Writes the status if it says something new.
pub(super) async fn status(world: &World, seen: &Seen, status: &BureauStatus) -> Result<(), Error> {
    said::status(world, STATUS_MANAGER, seen.bureau.as_ref(), status).await
}
