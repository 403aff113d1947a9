//! Whether an object has the form its schema gives: types, bounds, patterns, unknown fields, duplicates.
//!
//! Knows exactly the schema words that our CRDs use; a test fails when a CRD uses another.

use std::collections::BTreeSet;
use std::sync::Mutex;

use regex::bytes::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::{Problem, words};

/// Schema words that are checked here, carried out by defaults or CEL, or say nothing about a value.
#[cfg(test)]
pub(super) const KNOWN: &[&str] = &[
    "type",
    "nullable",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "required",
    "properties",
    "items",
    "default",
    "description",
    "title",
    "format",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
];

/// Takes out every null of a field: to a rule such a field is not there.
pub(super) fn without_nulls(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            for below in fields.values_mut() {
                *below = without_nulls(below.take());
            }
        }
        Value::Array(items) => {
            for below in items {
                *below = without_nulls(below.take());
            }
        }
        _ => {}
    }
    value
}

/// A server takes a null where null is not allowed for an absent field.
pub(super) fn drop_nulls(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let property = |name: &str| schema.get("properties").and_then(|properties| properties.get(name));
            fields.retain(|name, value| !value.is_null() || property(name).is_none_or(nullable));
            for (name, value) in fields {
                if let Some(schema) = property(name) {
                    drop_nulls(schema, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for item in items {
                    drop_nulls(schema, item);
                }
            }
        }
        _ => {}
    }
}

/// Everything in which the object departs from its schema.
pub(super) fn problems(schema: &Value, object: &Value) -> Vec<Problem> {
    let mut check = Check { problems: Vec::new() };
    check.value(schema, object, "");
    check.problems
}

struct Check {
    problems: Vec<Problem>,
}

impl Check {
    fn say(&mut self, path: &str, message: String) {
        self.problems.push(Problem::new(path, message));
    }

    fn value(&mut self, schema: &Value, value: &Value, path: &str) {
        if value.is_null() && nullable(schema) {
            // A server counts null as a value of its own where the values are listed.
            if schema.get("enum").is_some() {
                self.say(path, "null is none of the values; leave the field out".to_owned());
            }
            return;
        }
        if let Some(message) = words::wrong_type(text(schema, "type"), value) {
            return self.say(path, message);
        }
        match value {
            Value::Object(fields) => self.object(schema, fields, path),
            Value::Array(items) => self.array(schema, items, path),
            Value::String(string) => self.string(schema, string, path),
            Value::Number(number) => self.number(schema, number, path),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn object(&mut self, schema: &Value, fields: &Map<String, Value>, path: &str) {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
        for (name, value) in fields {
            // Metadata has its own rules, which are the server's; the schema only names it.
            let below = join(path, name);
            match properties.get(name) {
                Some(schema) => self.value(schema, value, &below),
                None if path.is_empty()
                    && ["apiVersion", "kind", "metadata", "status"].contains(&name.as_str()) => {}
                None => self.say(&below, words::unknown_field(properties.keys())),
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str).filter(|name| !fields.contains_key(*name)) {
            let schema = properties.get(name);
            let what = schema.and_then(|schema| text(schema, "description")).unwrap_or_default();
            self.say(&join(path, name), format!("is missing and needed: {what}"));
        }
    }

    fn array(&mut self, schema: &Value, items: &[Value], path: &str) {
        let length = items.len() as u64;
        if let Some(message) = words::out_of_length(schema, "Items", "entries", length) {
            self.say(path, message);
        }
        if let Some(item_schema) = schema.get("items") {
            for (index, item) in items.iter().enumerate() {
                self.value(item_schema, item, &format!("{path}[{index}]"));
            }
        }
        self.duplicates(schema, items, path);
    }

    /// No two entries of a set are equal, no two of a map have the same keys.
    fn duplicates(&mut self, schema: &Value, items: &[Value], path: &str) {
        let key = |item: &Value| match text(schema, "x-kubernetes-list-type") {
            Some("set") => Some(item.to_string()),
            Some("map") => Some(map_key(schema, item)),
            _ => None,
        };
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            if let Some(key) = key(item).filter(|key| !seen.insert(key.clone())) {
                self.say(&format!("{path}[{index}]"), format!("Duplicate value {key}: give each entry once"));
            }
        }
    }

    fn string(&mut self, schema: &Value, string: &str, path: &str) {
        let length = string.chars().count() as u64;
        if let Some(message) = words::out_of_length(schema, "Length", "characters", length) {
            self.say(path, message);
        }
        if let Some(pattern) = text(schema, "pattern").filter(|pattern| !matches(pattern, string)) {
            self.say(path, format!("{} does not fit: {}", words::quoted(string), words::pattern(pattern)));
        }
        let allowed = schema.get("enum").and_then(Value::as_array);
        if let Some(allowed) = allowed.filter(|allowed| !allowed.iter().any(|a| a.as_str() == Some(string))) {
            let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            self.say(path, format!("{} is none of {}", words::quoted(string), allowed.join(", ")));
        }
    }

    fn number(&mut self, schema: &Value, number: &serde_json::Number, path: &str) {
        let Some(value) = number.as_f64() else { return };
        let bound = |name| schema.get(name).and_then(Value::as_f64);
        if let Some(least) = bound("minimum").filter(|least| value < *least) {
            self.say(path, format!("{number} is too small: the least is {least}"));
        }
        if let Some(most) = bound("maximum").filter(|most| value > *most) {
            self.say(path, format!("{number} is too large: the most is {most}"));
        }
    }
}

/// The fields by which entries of a list are told apart, as text.
pub(super) fn map_key(schema: &Value, item: &Value) -> String {
    let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten();
    let part = |key: &str| format!("{key} {}", item.get(key).unwrap_or(&Value::Null));
    keys.filter_map(Value::as_str).map(part).collect::<Vec<_>>().join(", ")
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn nullable(schema: &Value) -> bool {
    schema.get("nullable").and_then(Value::as_bool).unwrap_or(false)
}

fn text<'a>(schema: &'a Value, word: &str) -> Option<&'a str> {
    schema.get(word).and_then(Value::as_str)
}

static PATTERNS: Mutex<Vec<(String, Option<Regex>)>> = Mutex::new(Vec::new());

/// As Go's regexp reads it: classes such as `\s` are those of ASCII. A pattern that cannot be read fits nothing.
fn matches(pattern: &str, string: &str) -> bool {
    let mut known = PATTERNS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, regex)) = known.iter().find(|(text, _)| text == pattern) {
        return regex.as_ref().is_some_and(|regex| regex.is_match(string.as_bytes()));
    }
    let regex = RegexBuilder::new(pattern).unicode(false).build().ok();
    let fits = regex.as_ref().is_some_and(|regex| regex.is_match(string.as_bytes()));
    known.push((pattern.to_owned(), regex));
    fits
}
