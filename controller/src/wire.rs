//! Objects as they come from an API server: read once, straight from the text, and without managed fields, which are
//! often more than half of it and which nobody here asks for.
//!
//! kube's own types were measured and not taken for what comes by the thousand: `DynamicObject` and
//! `PartialObjectMeta` read everything into a buffer first, since they flatten fields, and `DeserializeGuard` copies
//! each object twice, also when nothing is wrong with it.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// Where managed fields stand.
const METADATA: &str = "metadata";
const MANAGED_FIELDS: &str = "managedFields";
/// Beginning of the names of Yunting's field managers.
const OURS: &str = "yunting/";

/// An entry of managed fields, as much of it as somebody asks for.
#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    manager: String,
    #[serde(default, rename = "fieldsV1")]
    fields: Fields,
}

#[derive(Default, Deserialize)]
struct Fields {
    #[serde(default, rename = "f:spec")]
    spec: SpecFields,
}

#[derive(Default, Deserialize)]
struct SpecFields {
    #[serde(default, rename = "f:replicas")]
    replicas: Option<IgnoredAny>,
}

impl Entry {
    fn says_replicas(&self) -> bool {
        self.manager.starts_with(OURS) && self.fields.spec.replicas.is_some()
    }
}

/// Metadata without managed fields, and the one thing that is asked of those.
#[derive(Default)]
struct Metadata {
    fields: Map<String, Value>,
    says_replicas: bool,
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InMetadata)
    }
}

struct InMetadata;

impl<'de> Visitor<'de> for InMetadata {
    type Value = Metadata;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("metadata of an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
        let mut metadata = Metadata::default();
        while let Some(key) = map.next_key::<String>()? {
            if key == MANAGED_FIELDS {
                let entries: Vec<Entry> = map.next_value()?;
                metadata.says_replicas = entries.iter().any(Entry::says_replicas);
            } else {
                metadata.fields.insert(key, map.next_value()?);
            }
        }
        Ok(metadata)
    }
}

/// A whole object.
struct Whole {
    body: Map<String, Value>,
    says_replicas: bool,
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InWhole)
    }
}

struct InWhole;

impl<'de> Visitor<'de> for InWhole {
    type Value = Whole;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of the Kubernetes API")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Whole, A::Error> {
        let mut whole = Whole { body: Map::new(), says_replicas: false };
        while let Some(key) = map.next_key::<String>()? {
            let value = if key == METADATA {
                let metadata: Metadata = map.next_value()?;
                whole.says_replicas = metadata.says_replicas;
                Value::Object(metadata.fields)
            } else {
                map.next_value()?
            };
            whole.body.insert(key, value);
        }
        Ok(whole)
    }
}

/// An object of any kind.
#[derive(Debug, Clone)]
pub struct Lean {
    /// Its metadata, managed fields not among them.
    pub metadata: ObjectMeta,
    /// All of it, metadata included.
    pub body: Value,
    /// How many replicas it has was said by us last, not by an autoscaler.
    pub says_replicas: bool,
}

impl<'de> Deserialize<'de> for Lean {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Whole { body, says_replicas } = Whole::deserialize(deserializer)?;
        let metadata = match body.get(METADATA) {
            Some(metadata) => ObjectMeta::deserialize(metadata).map_err(D::Error::custom)?,
            None => ObjectMeta::default(),
        };
        Ok(Self { metadata, body: Value::Object(body), says_replicas })
    }
}

impl Resource for Lean {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(kind: &ApiResource) -> Cow<'_, str> {
        kind.kind.as_str().into()
    }

    fn group(kind: &ApiResource) -> Cow<'_, str> {
        kind.group.as_str().into()
    }

    fn version(kind: &ApiResource) -> Cow<'_, str> {
        kind.version.as_str().into()
    }

    fn plural(kind: &ApiResource) -> Cow<'_, str> {
        kind.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// An object of a kind, or why it is none: one that cannot be read keeps no other from being read.
#[derive(Debug, Clone)]
pub struct Read<K>(pub Result<K, Unreadable>);

/// An object that is not of its kind.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// Why.
    pub error: String,
    /// Name, namespace and resourceVersion.
    pub metadata: ObjectMeta,
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Read<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Whole { body, .. } = Whole::deserialize(deserializer)?;
        let metadata = body.get(METADATA);
        let text = |name: &str| metadata?.get(name)?.as_str().map(str::to_owned);
        let known = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        let read = serde_json::from_value(Value::Object(body));
        Ok(Self(read.map_err(|error| Unreadable { error: error.to_string(), metadata: known })))
    }
}

impl<K: Resource> Resource for Read<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(kind: &K::DynamicType) -> Cow<'_, str> {
        K::kind(kind)
    }

    fn group(kind: &K::DynamicType) -> Cow<'_, str> {
        K::group(kind)
    }

    fn version(kind: &K::DynamicType) -> Cow<'_, str> {
        K::version(kind)
    }

    fn plural(kind: &K::DynamicType) -> Cow<'_, str> {
        K::plural(kind)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|unreadable| &unreadable.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|unreadable| &mut unreadable.metadata, K::meta_mut)
    }
}

/// What an answer to a write is asked for; the rest of it is passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Written {
    /// Of the object as it stands now.
    pub metadata: WrittenMetadata,
}

/// Its version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WrittenMetadata {
    /// The version that this write made, or that stood before if it changed nothing.
    pub resource_version: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt;
    use kube::core::WatchEvent;
    use serde_json::json;

    fn object(data: &Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": {
                "name": "m", "namespace": "n", "uid": "u", "resourceVersion": "7", "labels": {"l": "x"},
                "managedFields": [{"manager": "somebody", "fieldsV1": {"f:data": {}}}],
            },
        })
    }

    fn event<K: DeserializeOwned>(object: &Value) -> K {
        let text = format!(r#"{{"type":"ADDED","object":{object}}}"#);
        match serde_json::from_str(&text).unwrap() {
            WatchEvent::Added(object) => object,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn managed_fields_are_passed_over_and_nothing_else() {
        let lean: Lean = event(&object(&json!({"managedFields": "data of this name stays"})));
        let mut expected = object(&json!({"managedFields": "data of this name stays"}));
        expected["metadata"].as_object_mut().unwrap().remove("managedFields");
        assert_eq!(lean.body, expected);
        assert_eq!((lean.name_any().as_str(), lean.labels()["l"].as_str()), ("m", "x"));
        assert_eq!(lean.resource_version().as_deref(), Some("7"));
    }

    #[test]
    fn it_is_known_whether_we_say_the_replicas() {
        for (manager, fields, ours) in [
            ("yunting/site-hall", json!({"f:spec": {"f:replicas": {}, "f:template": {".": {}}}}), true),
            ("yunting/site-hall", json!({"f:spec": {"f:template": {}}, "f:metadata": {}}), false),
            ("kube-controller-manager", json!({"f:spec": {"f:replicas": {}}}), false),
        ] {
            let mut object = object(&json!({}));
            let entry = json!({"manager": manager, "operation": "Apply", "fieldsV1": fields});
            object["metadata"]["managedFields"].as_array_mut().unwrap().push(entry);
            assert_eq!(event::<Lean>(&object).says_replicas, ours, "{manager} {fields}");
        }
    }

    #[test]
    fn what_is_not_of_its_kind_says_who_it_is_and_why() {
        let good: Read<ConfigMap> = event(&object(&json!({"k": "v"})));
        assert_eq!(good.0.as_ref().unwrap().data.as_ref().unwrap()["k"], "v");
        assert!(good.meta().managed_fields.is_none());
        let bad: Read<ConfigMap> = event(&object(&json!({"k": 1})));
        assert_eq!((bad.name_any().as_str(), bad.resource_version().as_deref()), ("m", Some("7")));
        assert!(bad.0.unwrap_err().error.contains("invalid type"));
    }

    #[test]
    fn an_answer_gives_its_version_whatever_else_it_holds() {
        let written: Written = serde_json::from_value(object(&json!({"k": "v"}))).unwrap();
        assert_eq!(written.metadata.resource_version.as_deref(), Some("7"));
        let nothing: Written = serde_json::from_value(json!({"kind": "Status"})).unwrap();
        assert_eq!(nothing, Written::default());
    }
}
