//! Rules that compare an object with what it was. A server tells the entries of a list apart by their keys, the
//! CEL engine used here by their place; so the old lists are put into the new order first.
//!
//! A rule inside a list's entry must see its own old entry; a rule outside must see the old list whole, with what
//! was removed. One pass per depth of lists: in pass n the lists above depth n are put into order, those below are
//! left whole, and only what rules at depth n say is kept.

use std::collections::BTreeSet;

use kube::core::cel::ValidationError;
use serde_json::Value;

use super::structure::{join, map_key};
use super::{Problem, Rules, cel_errors, problem};

/// How deep lists lie within lists in our kinds; a test fails when one goes deeper.
pub(super) const DEPTH: usize = 3;

/// What the rules say of the change.
pub(super) fn problems(rules: &Rules, old: &Value, new: &Value) -> Vec<Problem> {
    (0..=DEPTH).flat_map(|depth| pass(rules, old, new, depth)).map(problem).collect()
}

fn pass(rules: &Rules, old: &Value, new: &Value, depth: usize) -> Vec<ValidationError> {
    let mut order = Order { added: BTreeSet::new() };
    let old = order.align(&rules.schema, old, new, "", depth);
    let at_depth = |error: &ValidationError| error.field_path.matches('[').count() == depth;
    let about_nothing =
        |error: &ValidationError| error.rule.contains("oldSelf") && order.added.contains(&error.field_path);
    cel_errors(rules, new, Some(&old)).into_iter().filter(|e| at_depth(e) && !about_nothing(e)).collect()
}

struct Order {
    /// Paths of entries that were not there before: no rule may compare them.
    added: BTreeSet<String>,
}

impl Order {
    /// The old value with its lists in the new order, `depth` levels of lists deep.
    fn align(&mut self, schema: &Value, old: &Value, new: &Value, path: &str, depth: usize) -> Value {
        match (old, new) {
            (Value::Object(old), Value::Object(new)) => {
                let field = |(name, value): (&String, &Value)| {
                    let schema = schema.get("properties").and_then(|properties| properties.get(name));
                    let aligned = match (schema, new.get(name)) {
                        (Some(schema), Some(new)) => self.align(schema, value, new, &join(path, name), depth),
                        _ => value.clone(),
                    };
                    (name.clone(), aligned)
                };
                Value::Object(old.iter().map(field).collect())
            }
            (Value::Array(old), Value::Array(new)) if depth > 0 => {
                let entry =
                    |(index, item)| self.entry(schema, old, item, &format!("{path}[{index}]"), depth - 1);
                Value::Array(new.iter().enumerate().map(entry).collect())
            }
            _ => old.clone(),
        }
    }

    fn entry(&mut self, schema: &Value, old: &[Value], new: &Value, path: &str, depth: usize) -> Value {
        let map = schema.get("x-kubernetes-list-type").and_then(Value::as_str) == Some("map");
        let key = map_key(schema, new);
        let before = old.iter().find(|item| map && map_key(schema, item) == key);
        let items = schema.get("items");
        if let (Some(before), Some(items)) = (before, items) {
            self.align(items, before, new, path, depth)
        } else {
            self.added.insert(path.to_owned());
            Value::Null
        }
    }
}
