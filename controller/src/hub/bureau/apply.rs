//! Writes a bureau's namespace, its people's rights, finalizer and status; takes them away in the end.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, Resource};
use kube::ResourceExt;
use serde::Serialize;
use yunting_crds::{BureauStatus, labels};
use yunting_plan::object::{Key, Object, Scope, api_kind};

use super::observe::Seen;
use super::roles::{self, Rights};
use super::{MANAGER, STATUS_MANAGER};
use crate::hub::{said, standing, world::World};
use crate::writer::{Error, key_of};

/// Makes namespace and rights stand; those that nobody has any more go.
pub(super) async fn objects(world: &World, seen: &Seen) -> Result<(), Error> {
    said::finalizer(world, MANAGER, seen.bureau.as_ref()).await?;
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
    rights(world, seen, &roles::rights(&name, &seen.namespace_name, &seen.bureau.spec.members)).await
}

/// Makes exactly these rights stand. What is taken away goes first, bindings before the roles they are to: a failure
/// to grant keeps nobody in.
async fn rights(world: &World, seen: &Seen, wanted: &Rights) -> Result<(), Error> {
    let binding = wanted.cluster_binding.as_slice();
    let role = wanted.cluster_role.as_slice();
    let at = &seen.rights;
    withdraw(world, &at.cluster_bindings, binding).await?;
    withdraw(world, &at.bindings, &wanted.bindings).await?;
    withdraw(world, &at.cluster_roles, role).await?;
    withdraw(world, &at.roles, &wanted.roles).await?;
    grant(world, &at.roles, &wanted.roles).await?;
    grant(world, &at.bindings, &wanted.bindings).await?;
    grant(world, &at.cluster_roles, role).await?;
    grant(world, &at.cluster_bindings, binding).await
}

fn named<'a, K>(all: &'a [Arc<K>], name: Option<&str>) -> Option<&'a K>
where
    K: Metadata<Ty = ObjectMeta>,
{
    all.iter().map(AsRef::as_ref).find(|o: &&K| o.metadata().name.as_deref() == name)
}

async fn grant<K>(world: &World, standing: &[Arc<K>], wanted: &[K]) -> Result<(), Error>
where
    K: Resource + Metadata<Ty = ObjectMeta> + Serialize,
    K::Scope: Scope,
{
    for object in wanted {
        let standing = named(standing, object.metadata().name.as_deref());
        standing::apply(world, MANAGER, &Object::new(object), standing).await?;
    }
    Ok(())
}

async fn withdraw<K>(world: &World, standing: &[Arc<K>], wanted: &[K]) -> Result<(), Error>
where
    K: Resource + Metadata<Ty = ObjectMeta>,
    K::Scope: Scope,
{
    let kept = |o: &&Arc<K>| wanted.iter().any(|w| w.metadata().name == o.metadata().name);
    for old in standing.iter().filter(|o| !kept(o)) {
        let meta = old.metadata();
        let key = Key {
            kind: api_kind::<K>(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone().unwrap_or_default(),
        };
        world.writer.delete(&key, meta.uid.as_deref().unwrap_or_default()).await?;
    }
    Ok(())
}

/// Once no VDC and no hall is in it, takes the rights away and the namespace, then lets the bureau go.
pub(super) async fn remove(world: &World, seen: &Seen) -> Result<(), Error> {
    if seen.vdcs > 0 || seen.halls > 0 {
        return Ok(());
    }
    rights(world, seen, &Rights::default()).await?;
    match &seen.namespace {
        Some(namespace) if namespace.metadata.deletion_timestamp.is_none() => {
            let key = key_of(&api_kind::<Namespace>(), namespace.as_ref());
            world.writer.delete(&key, namespace.metadata.uid.as_deref().unwrap_or_default()).await
        }
        Some(_) => Ok(()),
        None => said::let_go(world, seen.bureau.as_ref()).await,
    }
}

/// Writes the status if it says something new.
pub(super) async fn status(world: &World, seen: &Seen, status: &BureauStatus) -> Result<(), Error> {
    said::status(world, STATUS_MANAGER, seen.bureau.as_ref(), status).await
}
