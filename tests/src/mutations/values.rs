//! Values of a field by its schema: other ones, ones just outside, and the smallest.

use regex::Regex;
use serde_json::{Map, Value, json};

/// Texts of many forms; a field takes those that fit its pattern and its length.
const TEXTS: [&str; 14] = [
    "other",
    "another-one",
    "OTHER_NAME",
    "/other",
    "/other/file.txt",
    "203.0.113.0/28",
    "198.51.100.0/24",
    "other.zq000a.example",
    "elsewhere.example",
    "localhost/other@sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
    "2",
    "2Gi",
    "其他",
    "/other/page?x=1",
];
/// What is no text of any pattern.
const ODD: &str = "A B\u{3000}!\n";
/// Most texts of one field.
const MOST: usize = 3;

fn kind(schema: &Value) -> &str {
    schema["type"].as_str().unwrap_or_default()
}

/// Values that the schema allows and that are not what stands, or what absence stands for.
pub(super) fn others(schema: &Value, now: Option<&Value>) -> Vec<Value> {
    let before = now.or_else(|| schema.get("default"));
    let mut all = match (kind(schema), now) {
        ("boolean", _) => vec![json!(true), json!(false)],
        ("integer", _) => numbers(schema, before),
        ("string", _) => texts(schema, before),
        ("array", None) => vec![json!([smallest(&schema["items"])])],
        ("object", None) => vec![smallest(schema)],
        _ => Vec::new(),
    };
    all.retain(|v| Some(v) != before);
    all
}

fn bounds(schema: &Value) -> (i64, i64) {
    let bound = |name: &str| schema[name].as_f64();
    // Bounds are written as whole numbers with a point.
    #[allow(clippy::cast_possible_truncation)]
    let whole = |n: f64| n as i64;
    (bound("minimum").map_or(0, whole), bound("maximum").map_or(i64::from(i32::MAX), whole))
}

fn numbers(schema: &Value, now: Option<&Value>) -> Vec<Value> {
    let (least, most) = bounds(schema);
    let now = now.and_then(Value::as_i64);
    let near = now.map_or([least + 1, least + 2], |n| [n + 1, n - 1]);
    let mut all: Vec<i64> = near.into_iter().chain([least, most]).collect();
    all.retain(|n| (least..=most).contains(n));
    let mut unique = Vec::new();
    for n in all {
        if !unique.contains(&json!(n)) {
            unique.push(json!(n));
        }
    }
    unique
}

fn texts(schema: &Value, now: Option<&Value>) -> Vec<Value> {
    if let Some(all) = schema["enum"].as_array() {
        return all.iter().filter(|v| !v.is_null()).cloned().collect();
    }
    let now = now.and_then(Value::as_str);
    let amounts = now.into_iter().flat_map(amounts);
    let fitting = amounts.chain(TEXTS.map(str::to_owned)).filter(|text| fits(schema, text));
    fitting.filter(|text| Some(text.as_str()) != now).take(MOST).map(Value::String).collect()
}

/// An amount doubled, and the same amount written otherwise.
fn amounts(now: &str) -> Vec<String> {
    let split = now.find(|c: char| !c.is_ascii_digit()).unwrap_or(now.len());
    let (number, unit) = now.split_at(split);
    let Ok(number) = number.parse::<u64>() else { return Vec::new() };
    let same = match unit {
        "" => format!("{}m", number * 1000),
        "m" => format!("{}.{:03}", number / 1000, number % 1000),
        "Gi" => format!("{}Mi", number * 1024),
        "Mi" => format!("{}Ki", number * 1024),
        _ => return Vec::new(),
    };
    vec![format!("{}{unit}", number * 2), same]
}

fn fits(schema: &Value, text: &str) -> bool {
    let length = text.chars().count() as u64;
    let within = schema["minLength"].as_u64().is_none_or(|least| length >= least)
        && schema["maxLength"].as_u64().is_none_or(|most| length <= most);
    within && matches(schema, text)
}

fn matches(schema: &Value, text: &str) -> bool {
    schema["pattern"].as_str().is_none_or(|pattern| Regex::new(pattern).is_ok_and(|r| r.is_match(text)))
}

/// Values just outside of what the schema allows.
pub(super) fn outside(schema: &Value) -> Vec<Value> {
    match kind(schema) {
        "integer" => {
            let (least, most) = bounds(schema);
            let above = schema.get("maximum").map(|_| json!(most + 1));
            std::iter::once(json!(least - 1)).chain(above).collect()
        }
        "string" if schema.get("enum").is_some() => vec![json!("Other")],
        "string" => {
            let empty = schema["minLength"].as_u64().filter(|n| *n > 0).map(|_| json!(""));
            let length = schema["maxLength"].as_u64().and_then(|n| usize::try_from(n + 1).ok());
            let long = length.map(|n| json!("a".repeat(n)));
            let odd = (!matches(schema, ODD)).then(|| json!(ODD));
            empty.into_iter().chain(long).chain(odd).collect()
        }
        _ => Vec::new(),
    }
}

/// The smallest value that the schema allows: what is needed, and nothing else.
pub(super) fn smallest(schema: &Value) -> Value {
    match kind(schema) {
        "object" => {
            let needed = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let field = |name: &str| (name.to_owned(), smallest(&schema["properties"][name]));
            Value::Object(needed.map(field).collect::<Map<_, _>>())
        }
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or(0);
            (0..least).map(|_| smallest(&schema["items"])).collect()
        }
        _ => others(schema, None).into_iter().next().unwrap_or(Value::Null),
    }
}

/// One more entry for a list: none that is there, and none with the keys of one that is there.
pub(super) fn another(schema: &Value, items: &[Value]) -> Option<Value> {
    let entry = &schema["items"];
    let keys: Vec<&str> = schema["x-kubernetes-list-map-keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if kind(entry) != "object" {
        return others(entry, None).into_iter().find(|v| !items.contains(v));
    }
    let mut new = smallest(entry);
    for key in keys {
        let taken = |v: &Value| items.iter().any(|i| i.get(key) == Some(v));
        new[key] = others(&entry["properties"][key], None).into_iter().find(|v| !taken(v))?;
    }
    Some(new)
}

/// Whether the token is among the texts as it is replaced.
#[cfg(test)]
pub(super) fn hosts_are_a_tenants_own() -> bool {
    TEXTS.iter().any(|t| t.contains(super::TOKEN))
}
