//! One change: where, what, and how it is carried out on a spec.

use serde_json::{Map, Value};

use super::values;

/// A step on the way to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A field of an object.
    Key(String),
    /// An entry of a list.
    Index(usize),
}

/// What is done to a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// It becomes this; what is missing on the way to it is made as small as its schema allows.
    Set(Value),
    /// It is left out.
    Remove,
}

/// One change.
#[derive(Debug, Clone)]
pub struct Change {
    /// The field by its place in the schema.
    pub field: String,
    /// Where in the object.
    pub steps: Vec<Step>,
    /// What is done.
    pub act: Act,
    /// For people.
    pub what: String,
    /// The field's own schema allows it.
    pub within: bool,
}

impl Change {
    /// The spec with the change.
    pub fn apply(&self, schema: &Value, spec: &Value) -> Value {
        let mut changed = spec.clone();
        act(schema, &mut changed, &self.steps, &self.act);
        changed
    }

    /// Whether it leaves out a field, or entries of a list.
    pub fn takes_away(&self, spec: &Value) -> bool {
        let entries = |v: Option<&Value>| v.and_then(Value::as_array).map_or(0, Vec::len);
        match &self.act {
            Act::Remove => true,
            Act::Set(value) => entries(Some(value)) < entries(at(spec, &self.steps)),
        }
    }
}

/// The value at the end of a way.
pub(super) fn at<'a>(value: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Key(name) => value.get(name),
        Step::Index(index) => value.get(index),
    })
}

/// Carries out an act below a value.
pub(super) fn act(schema: &Value, at: &mut Value, steps: &[Step], what: &Act) {
    let Some((step, rest)) = steps.split_first() else {
        if let Act::Set(value) = what {
            *at = value.clone();
        }
        return;
    };
    if rest.is_empty() && *what == Act::Remove {
        return remove(at, step);
    }
    let (below, schema) = match step {
        Step::Key(name) => {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            let schema = &schema["properties"][name];
            let fields = at.as_object_mut().unwrap();
            (fields.entry(name).or_insert_with(|| values::smallest(schema)), schema)
        }
        Step::Index(index) => {
            if !at.is_array() {
                *at = Value::Array(Vec::new());
            }
            let schema = &schema["items"];
            let items = at.as_array_mut().unwrap();
            while items.len() <= *index {
                items.push(values::smallest(schema));
            }
            (&mut items[*index], schema)
        }
    };
    act(schema, below, rest, what);
}

fn remove(at: &mut Value, step: &Step) {
    match (at, step) {
        (Value::Object(fields), Step::Key(name)) => drop(fields.remove(name)),
        (Value::Array(items), Step::Index(index)) if *index < items.len() => drop(items.remove(*index)),
        _ => (),
    }
}

/// A way as people write it: `components[0].image`.
pub(super) fn shown(steps: &[Step]) -> String {
    let one = |step: &Step| match step {
        Step::Key(name) => format!(".{name}"),
        Step::Index(index) => format!("[{index}]"),
    };
    std::iter::once("spec".to_owned()).chain(steps.iter().map(one)).collect()
}
