//! Goes through schema and object together and finds what can be changed.

use serde_json::{Value, json};

use super::change::{Act, Change, Step, shown};
use super::values;

/// Longest value that is shown, in characters.
const SHOWN: usize = 48;

/// Every change of a spec.
pub(super) fn changes(schema: &Value, spec: &Value) -> Vec<Change> {
    let mut walk = Walk { all: Vec::new(), steps: Vec::new(), field: "spec".to_owned() };
    walk.below(schema, Some(spec));
    walk.all
}

struct Walk {
    all: Vec<Change>,
    steps: Vec<Step>,
    field: String,
}

impl Walk {
    fn add(&mut self, act: Act, done: &str, within: bool) {
        let what = format!("{}: {done}", shown(&self.steps));
        self.all.push(Change { field: self.field.clone(), steps: self.steps.clone(), act, what, within });
    }

    fn set(&mut self, value: Value, within: bool) {
        let text: String = value.to_string().chars().take(SHOWN).collect();
        self.add(Act::Set(value), &format!("= {text}"), within);
    }

    /// What is below a value that is there, or could be.
    fn below(&mut self, schema: &Value, now: Option<&Value>) {
        for (name, below) in schema["properties"].as_object().into_iter().flatten() {
            let next = format!("{}.{name}", self.field);
            let field = std::mem::replace(&mut self.field, next);
            self.steps.push(Step::Key(name.clone()));
            self.field(below, now.and_then(|n| n.get(name)));
            self.steps.pop();
            self.field = field;
        }
        if let Some(items) = schema.get("items") {
            let there = now.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            if there.is_empty() {
                self.entry(items, 0, None);
            }
            for (index, item) in there.iter().enumerate() {
                self.entry(items, index, Some(item));
            }
        }
    }

    /// An entry of a list. Texts and numbers in a list count as the list's own field.
    fn entry(&mut self, schema: &Value, index: usize, now: Option<&Value>) {
        let simple = schema.get("properties").is_none();
        let next = if simple { self.field.clone() } else { format!("{}[]", self.field) };
        let field = std::mem::replace(&mut self.field, next);
        self.steps.push(Step::Index(index));
        if simple && index == 0 {
            self.value(schema, now);
        } else if !simple {
            self.below(schema, now);
        }
        self.steps.pop();
        self.field = field;
    }

    fn field(&mut self, schema: &Value, now: Option<&Value>) {
        self.value(schema, now);
        if now.is_some() {
            self.add(Act::Remove, "left out", false);
        }
        if let Some(items) = now.and_then(Value::as_array) {
            self.list(schema, items);
        }
        self.below(schema, now);
    }

    fn value(&mut self, schema: &Value, now: Option<&Value>) {
        for value in values::others(schema, now) {
            self.set(value, true);
        }
        if now.is_some() {
            for value in values::outside(schema) {
                self.set(value, false);
            }
        }
    }

    fn list(&mut self, schema: &Value, items: &[Value]) {
        if let Some(new) = values::another(schema, items) {
            let more = items.iter().cloned().chain([new.clone()]).collect();
            self.add(Act::Set(more), &format!("one more, {new}"), true);
        }
        if let Some(first) = items.first() {
            let twice = items.iter().cloned().chain([first.clone()]).collect();
            self.add(Act::Set(twice), "the first twice", false);
        }
        for index in 0..items.len() {
            let mut less = items.to_vec();
            less.remove(index);
            self.add(Act::Set(json!(less)), &format!("without entry {index}"), true);
        }
        if items.len() > 1 {
            let turned: Vec<&Value> = items.iter().rev().collect();
            self.add(Act::Set(json!(turned)), "turned round", true);
        }
    }
}
