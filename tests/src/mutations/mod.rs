//! Changes of an object, found from the schema of its kind alone: a field that is added to a kind tomorrow is changed
//! here without a word in this place.
//!
//! Each field of the spec is set to other values that the schema allows, to some that are just outside, and left out;
//! lists get one more entry, one less, one twice, and are turned round. A field that the object does not set is set.
//! Where a rule over several fields refuses a value that its own schema allows, one other field beside it is changed
//! along, if that satisfies the rule. Where something is taken away that others name, what names it goes along.
// Part of tests.
#![allow(clippy::unwrap_used)]

mod change;
mod mention;
mod repair;
mod values;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;
use yunting_crds::{generate, validate};

pub use change::Change;

/// Stands in objects for what differs from tenant to tenant: part of names and of hosts. As long as what replaces it.
pub const TOKEN: &str = "zq000a";

/// What an API server says of a change, as `yunting_crds::validate` foretells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is taken.
    Accepted,
    /// A new object may be so, but this one may not become so.
    RefusedHere,
    /// No object may be so.
    Refused,
}

/// An object with one change.
#[derive(Debug, Clone)]
pub struct Mutation {
    /// Kind of the object.
    pub kind: &'static str,
    /// The field by its place in the schema, for example `spec.components[].image`.
    pub field: String,
    /// What was done, for people.
    pub what: String,
    /// The spec after it.
    pub spec: Value,
    /// What is foretold of it.
    pub verdict: Verdict,
}

/// The schema of a kind's spec. Making it takes a while, so it is made once.
pub fn schema(kind: &str) -> &'static Value {
    static ALL: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
        let spec = |crd: CustomResourceDefinition| {
            let schema = crd.spec.versions.into_iter().next()?.schema?.open_api_v3_schema?;
            let schema = serde_json::to_value(schema).ok()?;
            Some((crd.spec.names.kind, schema.pointer("/properties/spec")?.clone()))
        };
        generate::all().into_iter().filter_map(|(_, crd)| spec(crd)).collect()
    });
    &ALL[kind]
}

/// Every field below a spec, by its place in the schema.
pub fn fields(kind: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    collect(schema(kind), "spec", &mut all);
    all
}

fn collect(schema: &Value, at: &str, into: &mut BTreeSet<String>) {
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        into.insert(at.clone());
        collect(below, &at, into);
    }
    if let Some(items) = schema.get("items") {
        collect(items, &format!("{at}[]"), into);
    }
}

/// Every change of an object; nothing is said yet of what becomes of it.
pub fn changes(kind: &str, object: &Value) -> Vec<Change> {
    walk::changes(schema(kind), &object["spec"])
}

/// Whether an object of that spec may be given that other one: not every way leads back.
pub fn may_become(kind: &str, object: &Value, from: &Value, to: &Value) -> bool {
    let mut before = object.clone();
    before["spec"] = from.clone();
    judge(kind, &before, to) == Verdict::Accepted
}

/// What is foretold of a change alone; nothing where it changes nothing.
pub fn foretold(kind: &str, object: &Value, change: &Change) -> Option<Verdict> {
    let spec = change.apply(schema(kind), &object["spec"]);
    (spec != object["spec"]).then(|| judge(kind, object, &spec))
}

/// The object with a change, and another with one more beside it: without what names something that the change takes
/// away, or, where a rule over several fields is in the way, with another field as the rule wants it.
pub fn judged(kind: &'static str, object: &Value, change: &Change) -> Vec<Mutation> {
    let mut all = cleared(kind, object, change);
    if let [first] = all.as_slice()
        && change.within
        && first.verdict != Verdict::Accepted
    {
        let good = |spec: &Value| judge(kind, object, spec) == Verdict::Accepted;
        let repaired = repair::repaired(schema(kind), &first.spec, &change.steps, good);
        all.extend(repaired.map(|(beside, spec)| mutation(kind, object, change, &beside, spec)));
    }
    all
}

/// The object with a change, and, where that takes something away, another without what names it.
pub fn cleared(kind: &'static str, object: &Value, change: &Change) -> Vec<Mutation> {
    let spec = change.apply(schema(kind), &object["spec"]);
    if spec == object["spec"] {
        return Vec::new();
    }
    let good = |spec: &Value| judge(kind, object, spec) == Verdict::Accepted;
    let without = mention::dropped(&object["spec"], &spec, change, good);
    let without = without.map(|(beside, spec)| mutation(kind, object, change, &beside, spec));
    std::iter::once(mutation(kind, object, change, "", spec)).chain(without).collect()
}

fn mutation(kind: &'static str, object: &Value, change: &Change, beside: &str, spec: Value) -> Mutation {
    let verdict = judge(kind, object, &spec);
    let what = format!("{kind} {}{beside}", change.what);
    Mutation { kind, field: change.field.clone(), what, spec, verdict }
}

fn judge(kind: &str, object: &Value, spec: &Value) -> Verdict {
    let mut changed = object.clone();
    changed["spec"] = spec.clone();
    if validate::create(kind, &changed).is_err() {
        return Verdict::Refused;
    }
    if validate::update(kind, object, &changed).is_err() { Verdict::RefusedHere } else { Verdict::Accepted }
}

#[cfg(test)]
mod tests;
