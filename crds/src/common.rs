//! Pieces that several kinds share, and the schema fragments that bound every string.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::resources::{Amounts, InvalidQuantity, Kind};

const NAME: &str = "^[a-z]([-a-z0-9]*[a-z0-9])?$";
/// A time of UTC as RFC 3339 writes it.
const TIME: &str = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?Z$";
const QUANTITY: &str = r"^[0-9]{1,15}(\.[0-9]{1,3})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$";
const CIDR: &str = r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$";
const HOST: &str = r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]([-a-z0-9]{0,61}[a-z0-9])?$";
const SUBJECT: &str = "^[^\\s]+$";

/// A DNS-1035 name of at most 20 characters.
pub fn name20(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 20, "pattern": NAME})
}

/// A DNS-1035 name of at most 40 characters.
pub fn name40(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 40, "pattern": NAME})
}

/// A name of any Kubernetes object: DNS-1123 subdomain, at most 63 characters here.
pub fn object_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"})
}

/// A time of UTC in a spec. A pattern, and not `format: date-time`: with that an API server takes lists, too (seen with 1.36).
pub fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 30, "pattern": TIME})
}

/// The same where it may be absent.
pub fn optional_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 30, "pattern": TIME, "nullable": true})
}

/// A text for people, in any script, at most 64 characters.
pub fn display_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 64})
}

/// A Kubernetes quantity that is not negative.
pub fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 20, "pattern": QUANTITY})
}

/// A Kubernetes quantity that is not negative, or nothing.
pub fn optional_quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 20, "pattern": QUANTITY, "nullable": true})
}

/// An IPv4 network.
pub fn cidr(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 9, "maxLength": 18, "pattern": CIDR})
}

/// A full host name in lower case.
pub fn host(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 4, "maxLength": 253, "pattern": HOST})
}

/// A list of full host names.
pub fn hosts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 16, "x-kubernetes-list-type": "set",
        "items": {"type": "string", "minLength": 4, "maxLength": 253, "pattern": HOST}})
}

/// A list of names of at most 40 characters.
pub fn names40(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 16, "x-kubernetes-list-type": "set",
        "items": {"type": "string", "minLength": 1, "maxLength": 40, "pattern": NAME}})
}

/// A list of names of at most 20 characters.
pub fn names20(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 16, "x-kubernetes-list-type": "set",
        "items": {"type": "string", "minLength": 1, "maxLength": 20, "pattern": NAME}})
}

/// A list of TCP ports.
pub fn ports(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 16, "x-kubernetes-list-type": "set",
        "items": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535}})
}

/// Name of a user or group without the provider's prefix; what begins with `system:` or `yunting:` is refused by CEL.
pub fn subject_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 128, "pattern": SUBJECT})
}

/// Conditions as every kind has them: a map by type, bounded.
pub fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<Condition>();
    json_schema!({"type": "array", "maxItems": 24, "items": item,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})
}

/// Reference to an object by name, in the same namespace or cluster-scoped as the field says.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NameRef {
    /// Name of the object.
    #[schemars(schema_with = "name40")]
    pub name: String,
}

/// Amounts of every resource that quota is kept in. What is absent is not limited, or filled by a template, as the field says.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quota {
    /// Processor time in cores, for example `40` or `500m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_quantity")]
    pub cpu: Option<String>,
    /// Memory in bytes, for example `160Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_quantity")]
    pub memory: Option<String>,
    /// Space of all volumes in bytes, for example `2Ti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_quantity")]
    pub storage: Option<String>,
    /// Number of pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub pods: Option<u32>,
    /// Number of Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub services: Option<u32>,
    /// Number of Services of type LoadBalancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub load_balancers: Option<u32>,
    /// Number of accelerators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub gpu: Option<u32>,
}

/// A field that is no quantity, with its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {source}")]
pub struct InvalidField {
    field: Kind,
    source: InvalidQuantity,
}

impl Quota {
    /// As exact numbers; what is absent stays absent.
    pub fn amounts(&self) -> Result<Amounts, InvalidField> {
        let mut amounts = Amounts::new();
        for (kind, text) in
            [(Kind::Cpu, &self.cpu), (Kind::Memory, &self.memory), (Kind::Storage, &self.storage)]
        {
            if let Some(text) = text {
                let amount = kind.parse(text).map_err(|source| InvalidField { field: kind, source })?;
                amounts.set(kind, amount);
            }
        }
        let counts = [
            (Kind::Pods, self.pods),
            (Kind::Services, self.services),
            (Kind::LoadBalancers, self.load_balancers),
            (Kind::Gpu, self.gpu),
        ];
        for (kind, count) in counts {
            if let Some(count) = count {
                amounts.set(kind, u64::from(count));
            }
        }
        Ok(amounts)
    }

    /// From exact numbers, in canonical text. Counts above 32 bits are cut there, which their bounds never reach.
    pub fn from_amounts(amounts: &Amounts) -> Self {
        let text = |kind: Kind| amounts.get(kind).map(|a| kind.print(a));
        let count = |kind: Kind| amounts.get(kind).map(|a| u32::try_from(a).unwrap_or(u32::MAX));
        Self {
            cpu: text(Kind::Cpu),
            memory: text(Kind::Memory),
            storage: text(Kind::Storage),
            pods: count(Kind::Pods),
            services: count(Kind::Services),
            load_balancers: count(Kind::LoadBalancers),
            gpu: count(Kind::Gpu),
        }
    }

    /// These amounts, and the other's where these are silent.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            cpu: self.cpu.clone().or_else(|| other.cpu.clone()),
            memory: self.memory.clone().or_else(|| other.memory.clone()),
            storage: self.storage.clone().or_else(|| other.storage.clone()),
            pods: self.pods.or(other.pods),
            services: self.services.or(other.services),
            load_balancers: self.load_balancers.or(other.load_balancers),
            gpu: self.gpu.or(other.gpu),
        }
    }
}

/// Cpu and memory of one replica: asked and allowed alike (guaranteed), so that quota counts what is used.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplicaResources {
    /// Processor time per replica in cores, for example `250m`.
    #[schemars(schema_with = "quantity")]
    pub cpu: String,
    /// Memory per replica in bytes, for example `256Mi`.
    #[schemars(schema_with = "quantity")]
    pub memory: String,
}

/// Who a person is, as the city's identity provider says.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!self.name.startsWith('system:') && !self.name.startsWith('yunting:')").message("subject.name must not begin with 'system:' or 'yunting:': name a user or group of the identity provider"))]
pub struct Subject {
    /// `User` or `Group` of the identity provider.
    pub kind: SubjectKind,
    /// Name at the identity provider, without prefix.
    #[schemars(schema_with = "subject_name")]
    pub name: String,
}

/// Kind of a [`Subject`].
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SubjectKind {
    /// One person.
    User,
    /// A group of people.
    Group,
}

/// What a person may do in a bureau; the table is in the design of tenancy.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Everything of the bureau, its Secrets included.
    Admin,
    /// Halls and recovery runs; reads the rest.
    Operator,
    /// Images and configuration of the halls it is named for.
    AppVendor,
    /// Reads all but Secrets.
    Viewer,
    /// Reads all but Secrets, audit and reports included.
    Auditor,
}

/// A person or group with a role.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.role != 'AppVendor' || (has(self.halls) && size(self.halls) > 0)").message("an AppVendor needs halls: name the halls it works for"),
    validation = Rule::new("self.role == 'AppVendor' || !has(self.halls) || size(self.halls) == 0").message("halls is for role AppVendor only, other roles are for the whole bureau: remove halls or choose role AppVendor")
)]
pub struct Member {
    /// Who.
    pub subject: Subject,
    /// What they may do.
    pub role: Role,
    /// Halls of the bureau that an `AppVendor` works for, by name; they need not be there yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "names20")]
    pub halls: Vec<String>,
}

/// Whether a slice's objects are to be there.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Desired {
    /// Make it true.
    Present,
    /// Take it away, then report `Gone`. The absence of the slice itself deletes nothing.
    Absent,
}

/// What a slice was made from; decides where names could be taken again.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SliceSource {
    /// Bureau that owns the resource.
    #[schemars(schema_with = "name40")]
    pub bureau: String,
    /// Name of the resource in its bureau.
    #[schemars(schema_with = "name20")]
    pub name: String,
    /// Uid of the resource.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// Generation of the resource that this slice carries out.
    #[schemars(range(min = 0))]
    pub generation: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_survives_the_way_through_numbers() {
        let quota = Quota {
            cpu: Some("1500m".into()),
            memory: Some("3Gi".into()),
            pods: Some(4),
            ..Quota::default()
        };
        assert_eq!(Quota::from_amounts(&quota.amounts().unwrap()), quota);
    }

    #[test]
    fn a_bad_quantity_is_named_with_its_field() {
        let quota = Quota { memory: Some("lots".into()), ..Quota::default() };
        assert!(quota.amounts().unwrap_err().to_string().starts_with("memory: \"lots\""));
    }
}
