//! What is taken away may be named elsewhere: a component by those that call it, a Secret by variables. Then what names
//! it goes along, as a person would do it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::change::{Change, Step, at};

/// The spec without the entries of lists that name what a change takes away, and words for that, if it is good so.
pub(super) fn dropped(
    before: &Value,
    changed: &Value,
    change: &Change,
    good: impl Fn(&Value) -> bool,
) -> Option<(String, Value)> {
    if !change.takes_away(before) {
        return None;
    }
    let entry = |length: usize| name(at(before, &change.steps[..length])?);
    let inside = (0..change.steps.len()).rev().filter(|n| matches!(change.steps[*n], Step::Index(_)));
    let around = inside.filter_map(|n| Some(BTreeSet::from([entry(n + 1)?])));
    std::iter::once(taken(before, changed, &change.steps)).chain(around).find_map(|names| {
        let mut tried = changed.clone();
        drop_entries(&mut tried, Some(&change.steps), &names);
        let words = names.iter().copied().collect::<Vec<_>>().join(", ");
        (tried != *changed && good(&tried)).then(|| (format!(", without what names {words}"), tried))
    })
}

fn name(entry: &Value) -> Option<&str> {
    entry.get("name")?.as_str()
}

/// Names of a list's entries that are there no more.
fn taken<'a>(before: &'a Value, changed: &'a Value, steps: &[Step]) -> BTreeSet<&'a str> {
    let names = |spec: &'a Value| -> BTreeSet<&'a str> {
        let list = at(spec, steps).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(name).collect()
    };
    names(before).difference(&names(changed)).copied().collect()
}

/// Drops, the innermost first, entries in which one of the names stands; but none of a list on the way to what was
/// changed. There is no way where that lies elsewhere.
fn drop_entries(value: &mut Value, way: Option<&[Step]>, names: &BTreeSet<&str>) {
    match value {
        Value::Object(fields) => {
            for (field, below) in fields {
                drop_entries(below, rest(way, |step| *step == Step::Key(field.clone())), names);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                drop_entries(item, rest(way, |step| *step == Step::Index(index)), names);
            }
            if way.is_none() {
                items.retain(|item| !mentions(item, names));
            }
        }
        _ => (),
    }
}

/// What is left of a way after a step that is on it.
fn rest(way: Option<&[Step]>, on_it: impl Fn(&Step) -> bool) -> Option<&[Step]> {
    way?.split_first().filter(|(step, _)| on_it(step)).map(|(_, rest)| rest)
}

/// Whether one of the names stands in an entry, its own name and a value of its own aside.
fn mentions(entry: &Value, names: &BTreeSet<&str>) -> bool {
    match entry {
        Value::Object(fields) => fields
            .iter()
            .any(|(field, below)| !["name", "value"].contains(&field.as_str()) && holds(below, names)),
        _ => holds(entry, names),
    }
}

fn holds(value: &Value, names: &BTreeSet<&str>) -> bool {
    match value {
        Value::String(text) => names.contains(text.as_str()),
        Value::Array(items) => items.iter().any(|item| holds(item, names)),
        Value::Object(fields) => fields.values().any(|below| holds(below, names)),
        _ => false,
    }
}
