//! Secrets of a hall: copied from the site's hub namespace into the VDC's, each for the hall alone. A copy that
//! stands is good without the hub.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use yunting_crds::labels;
use yunting_plan::hall::{SecretCopy, ValidHallSlice};
use yunting_plan::object::{Key, Object, api_kind};

use crate::site::world::World;

/// The Secrets a hall needs.
#[derive(Default)]
pub(super) struct Secrets {
    /// To be made to stand, from the hub's copies.
    pub(super) objects: Vec<Object>,
    /// Keys of all of them, also of those that stand without the hub.
    pub(super) keys: Vec<Key>,
    /// Which are waited for, and why.
    pub(super) missing: Vec<String>,
}

/// Gathers them.
pub(super) fn gather(world: &World, hall: &ValidHallSlice) -> Secrets {
    let mut found = Secrets::default();
    for c in &hall.components {
        for (name, copy) in &c.secrets {
            let key = Key {
                kind: api_kind::<Secret>(),
                namespace: Some(c.namespace.clone()),
                name: copy.name.clone(),
            };
            if found.keys.contains(&key) {
                continue;
            }
            match object(world, hall, &key, copy) {
                Some(object) => found.objects.push(object),
                None if stands(world, &key, copy) => (),
                None => found.missing.push(name.clone()),
            }
            found.keys.push(key);
        }
    }
    found
}

/// The Secret as it is to be, if the hub's copy is the one meant.
fn object(world: &World, hall: &ValidHallSlice, key: &Key, copy: &SecretCopy) -> Option<Object> {
    let source = world.hub_secrets.get(&world.site.namespace(), &copy.copy)?;
    let meant = |s: &Secret| {
        s.metadata.annotations.as_ref().and_then(|a| a.get(labels::SECRET_HASH)) == Some(&copy.hash)
    };
    let ours = |s: &Secret| {
        s.metadata.labels.as_ref().and_then(|l| l.get(labels::VDC_UID)).map(String::as_str)
            == Some(hall.owner.uid.as_str())
    };
    if !meant(&source) || !ours(&source) {
        return None;
    }
    Some(Object::new(&Secret {
        metadata: ObjectMeta {
            name: Some(key.name.clone()),
            namespace: key.namespace.clone(),
            labels: Some(hall.labels()),
            annotations: Some([(labels::SECRET_HASH.to_owned(), copy.hash.clone())].into()),
            ..ObjectMeta::default()
        },
        data: source.data.clone(),
        ..Secret::default()
    }))
}

fn stands(world: &World, key: &Key, copy: &SecretCopy) -> bool {
    let value = world.memory.value(&world.children, key);
    let hash =
        value.as_ref().and_then(|v| v.pointer("/metadata/annotations")?.get(labels::SECRET_HASH)?.as_str());
    hash == Some(copy.hash.as_str())
}
