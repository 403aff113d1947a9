//! A value that its own schema allows and a rule over several fields refuses: one other field is changed along.

use serde_json::Value;

use super::change::{Act, Step, act, shown};
use super::values;

/// The spec with one more change by which it is good, and words for that change. Fields beside the changed one are
/// tried first, then those beside what it is in.
pub(super) fn repaired(
    schema: &Value,
    spec: &Value,
    changed: &[Step],
    good: impl Fn(&Value) -> bool,
) -> Option<(String, Value)> {
    for depth in (0..changed.len()).rev() {
        let (above, step) = (&changed[..depth], &changed[depth]);
        let Step::Key(own) = step else { continue };
        let Some((schema_here, here)) = at(schema, spec, above) else { continue };
        for (name, below) in schema_here["properties"].as_object().into_iter().flatten() {
            if name == own {
                continue;
            }
            let steps: Vec<Step> = above.iter().cloned().chain([Step::Key(name.clone())]).collect();
            for what in acts(below, here.get(name)) {
                let mut tried = spec.clone();
                act(schema, &mut tried, &steps, &what);
                if good(&tried) {
                    return Some((words(&steps, &what), tried));
                }
            }
        }
    }
    None
}

fn words(steps: &[Step], what: &Act) -> String {
    match what {
        Act::Set(value) => format!(", with {} = {value}", shown(steps)),
        Act::Remove => format!(", without {}", shown(steps)),
    }
}

/// What may be done to a field that is in the way.
fn acts(schema: &Value, now: Option<&Value>) -> Vec<Act> {
    let removal = now.map(|_| Act::Remove);
    removal.into_iter().chain(values::others(schema, now).into_iter().map(Act::Set)).collect()
}

/// Schema and value at the end of a way.
fn at<'a>(schema: &'a Value, value: &'a Value, steps: &[Step]) -> Option<(&'a Value, &'a Value)> {
    steps.iter().try_fold((schema, value), |(schema, value), step| match step {
        Step::Key(name) => Some((schema.get("properties")?.get(name)?, value.get(name)?)),
        Step::Index(index) => Some((schema.get("items")?, value.get(index)?)),
    })
}
