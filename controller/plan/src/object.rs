//! A desired object: what is applied, and how to tell that it already stands.

use std::collections::BTreeMap;
use std::fmt;

use data_encoding::BASE32_NOPAD;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{ClusterResourceScope, Metadata, NamespaceResourceScope, Resource};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use yunting_crds::labels;

/// Type of an object, as an API server's paths need it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Name in paths.
    pub plural: &'static str,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
}

impl ApiKind {
    /// `group/version`, or `version` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

impl fmt::Display for ApiKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)
    }
}

/// Whether a scope has namespaces; implemented for the scopes of k8s-openapi.
pub trait Scope {
    /// Objects of this scope live in namespaces.
    const NAMESPACED: bool;
}

impl Scope for NamespaceResourceScope {
    const NAMESPACED: bool = true;
}

impl Scope for ClusterResourceScope {
    const NAMESPACED: bool = false;
}

/// The [`ApiKind`] of a type of k8s-openapi.
pub fn api_kind<K>() -> ApiKind
where
    K: Resource,
    K::Scope: Scope,
{
    ApiKind {
        group: K::GROUP,
        version: K::VERSION,
        kind: K::KIND,
        plural: K::URL_PATH_SEGMENT,
        namespaced: <K::Scope as Scope>::NAMESPACED,
    }
}

/// Key of an object in an API server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its type.
    pub kind: ApiKind,
    /// Its namespace, if its kind has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// An object as it is to be: exactly the fields that Yunting owns, its own hash among the annotations.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// What and where.
    pub key: Key,
    /// The whole body as it is applied.
    pub body: Value,
    /// Hash of the body without itself; also in annotation `yunting.io/desired-hash`.
    pub hash: String,
}

impl Object {
    /// From a typed object. `status` and empty values are dropped: they are not ours to say.
    pub fn new<K>(object: &K) -> Self
    where
        K: Resource + Metadata<Ty = ObjectMeta> + Serialize,
        K::Scope: Scope,
    {
        let body = serde_json::to_value(object).unwrap_or(Value::Null);
        Self::from_value(api_kind::<K>(), body)
    }

    /// From a body; name and namespace are read from its metadata.
    pub fn from_value(kind: ApiKind, mut body: Value) -> Self {
        prune(&mut body);
        if let Value::Object(map) = &mut body {
            map.remove("status");
            map.insert("apiVersion".to_owned(), Value::String(kind.api_version()));
            map.insert("kind".to_owned(), Value::String(kind.kind.to_owned()));
        }
        let text = |path: &str| body.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let key = Key {
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name").unwrap_or_default(),
            kind,
        };
        let hash = hash(&body);
        annotate(&mut body, &hash);
        Self { key, body, hash }
    }

    /// Whether `observed` already is as desired: made from the same desired body, and every field of it
    /// still has our value. Fields of others are not looked at.
    pub fn stands_in(&self, observed: &Value) -> bool {
        let hash = observed.pointer("/metadata/annotations").and_then(|a| a.get(labels::DESIRED_HASH));
        hash.and_then(Value::as_str) == Some(self.hash.as_str()) && contains(observed, &self.body)
    }
}

/// First 26 characters of base32 SHA-256 of the body: 130 bits.
fn hash(body: &Value) -> String {
    let mut text = BASE32_NOPAD.encode(&Sha256::digest(body.to_string().as_bytes())).to_ascii_lowercase();
    text.truncate(26);
    text
}

fn annotate(body: &mut Value, hash: &str) {
    let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(map) = annotations {
        map.insert(labels::DESIRED_HASH.to_owned(), json!(hash));
    }
}

/// Removes nulls, which an apply would read as a wish to delete.
fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(prune);
        }
        Value::Array(list) => list.iter_mut().for_each(prune),
        _ => (),
    }
}

/// Whether every field of `desired` is in `observed` with the same value. Lists of objects with a
/// `name` match by it; others match in order and length.
pub fn contains(observed: &Value, desired: &Value) -> bool {
    match (observed, desired) {
        (Value::Object(o), Value::Object(d)) => d.iter().all(|(k, v)| match o.get(k) {
            Some(found) => contains(found, v),
            None => is_empty(v),
        }),
        (Value::Array(o), Value::Array(d)) => o.len() == d.len() && list_contains(o, d),
        (o, d) => o == d,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
        _ => false,
    }
}

fn list_contains(observed: &[Value], desired: &[Value]) -> bool {
    let key = |v: &Value| v.get("name").and_then(Value::as_str).map(str::to_owned);
    let by_name: Option<BTreeMap<String, &Value>> = observed.iter().map(|v| key(v).map(|k| (k, v))).collect();
    match by_name {
        Some(by_name) if !observed.is_empty() && by_name.len() == observed.len() => desired
            .iter()
            .all(|d| key(d).and_then(|k| by_name.get(&k).map(|o| contains(o, d))).unwrap_or(false)),
        _ => observed.iter().zip(desired).all(|(o, d)| contains(o, d)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn map(value: &str) -> Object {
        Object::new(&ConfigMap {
            metadata: ObjectMeta {
                name: Some("m".into()),
                namespace: Some("n".into()),
                ..ObjectMeta::default()
            },
            data: Some([("k".to_owned(), value.to_owned())].into()),
            ..ConfigMap::default()
        })
    }

    #[test]
    fn a_fresh_copy_with_server_fields_stands() {
        let object = map("v");
        let mut seen = object.body.clone();
        seen["metadata"]["uid"] = json!("x");
        seen["immutable"] = json!(false);
        assert!(object.stands_in(&seen));
        assert_eq!(object.key.to_string(), "ConfigMap n/m");
    }

    #[test]
    fn a_changed_field_or_another_plan_does_not_stand() {
        let object = map("v");
        let mut drifted = object.body.clone();
        drifted["data"]["k"] = json!("w");
        assert!(!object.stands_in(&drifted));
        assert!(!map("other").stands_in(&object.body));
    }

    #[test]
    fn an_added_item_of_a_list_is_drift() {
        let (desired, seen) = (json!({"l": [{"name": "a"}]}), json!({"l": [{"name": "a"}, {"name": "b"}]}));
        assert!(!contains(&seen, &desired));
        assert!(contains(&json!({"l": [{"name": "a", "x": 1}]}), &desired));
    }
}
