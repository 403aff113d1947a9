//! What an API server would say of an object, said without one: the REST API and the CLI answer with it at once.
//!
//! Owns: the same verdict as a Kubernetes API server with `fieldValidation=Strict` gives, from the same schemas
//! and CEL rules, in words that name field, value, limit and remedy. `crds/samples` holds both sides to it.
//! Must never: accept what the server refuses. Metadata beyond names, and `status`, are left to the server;
//! on an update a rule is held against unchanged fields, too, which the server tolerates.

mod structure;
mod transition;
mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::cel::{self, CompiledSchema, ValidationError, Validator};
use serde_json::Value;

use crate::{GROUP, VERSION, generate};

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Path of the field, for example `spec.components[0].image`; empty for the object as a whole.
    pub field: String,
    /// What is wrong, with value and limit, and what to do.
    pub message: String,
}

impl Problem {
    fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.field, self.message)
        }
    }
}

/// Whether a new object of `kind` would be accepted; if not, everything that is wrong with it.
pub fn create(kind: &str, object: &Value) -> Result<(), Vec<Problem>> {
    let rules = rules_of(kind)?;
    let object = checked(kind, rules, object)?;
    verdict(cel_problems(rules, &object, None))
}

/// Whether `old` could become `new`; if not, everything that is wrong with the change.
pub fn update(kind: &str, old: &Value, new: &Value) -> Result<(), Vec<Problem>> {
    let rules = rules_of(kind)?;
    let new = checked(kind, rules, new)?;
    let mut old = without_status(old);
    structure::drop_nulls(&rules.schema, &mut old);
    let old = structure::without_nulls(cel::apply_defaults(&rules.schema, &old));
    verdict(transition::problems(rules, &old, &new))
}

/// Schema and rules of one kind.
struct Rules {
    schema: Value,
    compiled: CompiledSchema,
}

static RULES: LazyLock<BTreeMap<String, Rules>> = LazyLock::new(|| {
    let rules = |(_, crd): (generate::Place, CustomResourceDefinition)| {
        let kind = crd.spec.names.kind;
        let schema = crd.spec.versions.into_iter().next()?.schema?.open_api_v3_schema?;
        let schema = serde_json::to_value(schema).ok()?;
        let compiled = cel::compile_schema(&schema);
        Some((kind, Rules { schema, compiled }))
    };
    generate::all().into_iter().filter_map(rules).collect()
});

fn rules_of(kind: &str) -> Result<&'static Rules, Vec<Problem>> {
    RULES.get(kind).ok_or_else(|| {
        let known: Vec<&str> = RULES.keys().map(String::as_str).collect();
        vec![Problem::new("kind", format!("{kind:?} is no kind of {GROUP}; there are {}", known.join(", ")))]
    })
}

/// The object as CEL rules see it: in form, without status and nulls, its defaults filled in.
fn checked(kind: &str, rules: &Rules, object: &Value) -> Result<Value, Vec<Problem>> {
    let mut object = without_status(object);
    structure::drop_nulls(&rules.schema, &mut object);
    let object = cel::apply_defaults(&rules.schema, &object);
    let mut problems = identity(kind, &object);
    problems.extend(structure::problems(&rules.schema, &object));
    // Rules on an object of another form would say nothing that helps.
    if problems.is_empty() { Ok(structure::without_nulls(object)) } else { Err(tidy(problems)) }
}

/// Group, version, kind and name.
fn identity(kind: &str, object: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (field, wanted) in [("apiVersion", format!("{GROUP}/{VERSION}")), ("kind", kind.to_owned())] {
        let found = object.get(field).and_then(Value::as_str);
        if found != Some(wanted.as_str()) {
            problems.push(Problem::new(
                field,
                format!("must be {wanted:?}, not {:?}", found.unwrap_or_default()),
            ));
        }
    }
    let metadata = object.get("metadata");
    let named = |field| {
        metadata.and_then(|m| m.get(field)).and_then(Value::as_str).is_some_and(|name| !name.is_empty())
    };
    if !named("name") && !named("generateName") {
        problems.push(Problem::new("metadata.name", "is missing: give the object a name"));
    }
    problems
}

fn without_status(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    object
}

fn cel_problems(rules: &Rules, object: &Value, old: Option<&Value>) -> Vec<Problem> {
    cel_errors(rules, object, old).into_iter().map(problem).collect()
}

fn cel_errors(rules: &Rules, object: &Value, old: Option<&Value>) -> Vec<ValidationError> {
    thread_local! {
        // It registers every function of the language, which costs more than most objects do.
        static VALIDATOR: Validator = Validator::new();
    }
    let answer = VALIDATOR.with(|validator| validator.validate_compiled(&rules.compiled, object, old));
    answer.map_or_else(cel::ValidationErrors::into_vec, |()| Vec::new())
}

fn problem(error: ValidationError) -> Problem {
    Problem::new(error.field_path, error.message)
}

fn verdict(problems: Vec<Problem>) -> Result<(), Vec<Problem>> {
    if problems.is_empty() { Ok(()) } else { Err(tidy(problems)) }
}

fn tidy(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort();
    problems.dedup();
    problems
}

#[cfg(test)]
mod tests;
