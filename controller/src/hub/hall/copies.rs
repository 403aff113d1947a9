//! Secrets of a hall: made where asked, and copied to the hub namespaces of its VDC's sites and nowhere else.
//! Their content is never logged, never in a slice, never in a status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use data_encoding::BASE32_NOPAD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use yunting_crds::hall::SecretRef;
use yunting_crds::hall_slice::SliceSecret;
use yunting_crds::names::{SITE_NAMESPACE_PREFIX, secret_copy};
use yunting_crds::{Hall, labels};
use yunting_plan::object::{Object, api_kind};

use super::observe::Seen;
use super::validate::Valid;
use super::{Error, MANAGER};
use crate::hub::{
    standing,
    world::{World, tag},
};
use crate::writer::key_of;

/// Bytes of a generated value; 32 characters of base32.
const GENERATED: usize = 20;

/// Makes missing Secrets that may be made, and copies all. Nothing when one is missing that a person must give;
/// the status says which.
pub(super) async fn ensure(
    world: &World,
    seen: &Seen,
    valid: &Valid,
) -> Result<Option<Vec<SliceSecret>>, Error> {
    let mut secrets = Vec::new();
    for reference in references(&seen.hall) {
        let Some(secret) = seen.secrets.get(&reference.name) else {
            if !reference.generate.is_empty() {
                generate(world, seen, &reference).await?;
            }
            return Ok(None);
        };
        let data = secret.data.clone().unwrap_or_default();
        let hash = world.hash_key.hash(&data);
        let copy = secret_copy(&valid.vdc_uid, &reference.name);
        for site in valid.places.keys() {
            copy_to(world, seen, valid, site, &copy, &hash, &data).await?;
        }
        secrets.push(SliceSecret { name: reference.name, copy, hash });
    }
    Ok(Some(secrets))
}

/// Each Secret once, with all keys that any component wants made.
pub(super) fn references(hall: &Hall) -> Vec<SecretRef> {
    let mut by_name: BTreeMap<String, SecretRef> = BTreeMap::new();
    for reference in hall.spec.components.iter().flat_map(|c| &c.secret_refs) {
        let known = by_name
            .entry(reference.name.clone())
            .or_insert_with(|| SecretRef { generate: Vec::new(), ..reference.clone() });
        let keys: BTreeSet<String> = known.generate.iter().chain(&reference.generate).cloned().collect();
        known.generate = keys.into_iter().collect();
    }
    by_name.into_values().collect()
}

/// A create, not an apply: a Secret that somebody just made is not overwritten.
async fn generate(world: &World, seen: &Seen, reference: &SecretRef) -> Result<(), Error> {
    let mut data = BTreeMap::new();
    for key in &reference.generate {
        let text = BASE32_NOPAD.encode(&world.context.random(GENERATED)?).to_ascii_lowercase();
        data.insert(key.clone(), ByteString(text.into_bytes()));
    }
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(reference.name.clone()),
            namespace: seen.hall.namespace(),
            labels: Some([(labels::VDC.to_owned(), seen.hall.spec.vdc_ref.name.clone())].into()),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..Secret::default()
    };
    // A 409 says that one exists: either the watch brings it, or it lacks the label, which the status says.
    match world.writer.create(&Object::new(&secret)).await {
        Err(crate::writer::Error::Apply { source: kube::Error::Api(s), .. }) if s.code == 409 => Ok(()),
        other => other.map(drop).map_err(Error::from),
    }
}

async fn copy_to(
    world: &World,
    seen: &Seen,
    valid: &Valid,
    site: &str,
    copy: &str,
    hash: &str,
    data: &BTreeMap<String, ByteString>,
) -> Result<(), Error> {
    let namespace = format!("{SITE_NAMESPACE_PREFIX}{site}");
    let label = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    let secret = Object::new(&Secret {
        metadata: ObjectMeta {
            name: Some(copy.to_owned()),
            namespace: Some(namespace.clone()),
            labels: Some(
                [
                    label(labels::MANAGED_BY, labels::MANAGER),
                    label(labels::BUREAU, &seen.bureau_name),
                    label(labels::VDC, &seen.hall.spec.vdc_ref.name),
                    label(labels::VDC_UID, &valid.vdc_uid),
                ]
                .into(),
            ),
            annotations: Some([(labels::SECRET_HASH.to_owned(), hash.to_owned())].into()),
            ..ObjectMeta::default()
        },
        data: Some(data.clone()),
        ..Secret::default()
    });
    let standing = world.secrets.get(&namespace, copy);
    standing::apply(world, MANAGER, &secret, standing.as_deref()).await.map_err(Error::from)
}

/// Removes what the hall's VDC has of copies and needs no more: of Secrets that none of its halls reads now, and at sites
/// where it is not.
pub(super) async fn tidy(world: &World, seen: &Seen, valid: &Valid) -> Result<(), Error> {
    let needed = names(world, seen, &valid.vdc_uid, |_| true);
    let places: BTreeSet<String> =
        valid.places.keys().map(|site| format!("{SITE_NAMESPACE_PREFIX}{site}")).collect();
    let here =
        |s: &Secret| needed.contains(&s.name_any()) && s.namespace().is_some_and(|n| places.contains(&n));
    remove(world, copies(world, &valid.vdc_uid).filter(|s| !here(s))).await
}

/// Removes copies that no other hall of the VDC needs.
pub(super) async fn forget(world: &World, seen: &Seen) -> Result<(), Error> {
    let Some(vdc_uid) = seen.vdc.as_ref().and_then(|v| v.uid()) else { return Ok(()) };
    let needed = names(world, seen, &vdc_uid, |h| h.uid().as_deref() != Some(&seen.uid));
    remove(world, copies(world, &vdc_uid).filter(|s| !needed.contains(&s.name_any()))).await
}

/// Copies that the hub made for a VDC. A label alone makes nothing ours: they lie where nobody but sites looks.
fn copies(world: &World, vdc_uid: &str) -> impl Iterator<Item = Arc<Secret>> {
    let ours = |s: &Arc<Secret>| {
        let made = s.labels().get(labels::MANAGED_BY).is_some_and(|m| m == labels::MANAGER);
        made && s.namespace().is_some_and(|n| n.starts_with(SITE_NAMESPACE_PREFIX))
    };
    world.secrets.tagged(vdc_uid).into_iter().filter(ours)
}

/// Names of the copies that halls of the VDC read.
fn names(world: &World, seen: &Seen, vdc_uid: &str, counts: impl Fn(&Hall) -> bool) -> BTreeSet<String> {
    let halls = world
        .halls
        .tagged(&tag::in_vdc(&seen.hall.namespace().unwrap_or_default(), &seen.hall.spec.vdc_ref.name));
    let read = halls.iter().filter(|h| counts(h)).flat_map(|h| references(h));
    read.map(|reference| secret_copy(vdc_uid, &reference.name)).collect()
}

async fn remove(world: &World, copies: impl Iterator<Item = Arc<Secret>>) -> Result<(), Error> {
    for copy in copies {
        let key = key_of(&api_kind::<Secret>(), copy.as_ref());
        world.writer.delete(&key, copy.metadata.uid.as_deref().unwrap_or_default()).await?;
    }
    Ok(())
}
