//! A good sample with one field at a time made different.

use serde_json::{Map, Value, json};

use crate::support::Sample;

/// Every variation with words for what was done.
pub fn of(sample: &Sample) -> Vec<(String, Value)> {
    let object = &sample.objects[0];
    let mut paths = Vec::new();
    collect(&object["spec"], "/spec", &mut paths);
    let mut all = Vec::new();
    for path in &paths {
        let before = object.pointer(path).unwrap();
        for after in values().into_iter().chain(near(before)).filter(|after| after != before) {
            let mut varied = object.clone();
            *varied.pointer_mut(path).unwrap() = after.clone();
            let shown: String = after.to_string().chars().take(40).collect();
            all.push((format!("{}: {path} = {shown}", sample.name), varied));
        }
        all.extend(without(object, path).map(|varied| (format!("{}: no {path}", sample.name), varied)));
        all.extend(twice(object, path).map(|varied| (format!("{}: {path} twice", sample.name), varied)));
    }
    all
}

fn collect(value: &Value, path: &str, into: &mut Vec<String>) {
    into.push(path.to_owned());
    match value {
        Value::Object(fields) => {
            fields
                .iter()
                .for_each(|(name, below)| collect(below, &format!("{path}/{}", escaped(name)), into));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, below)| collect(below, &format!("{path}/{index}"), into));
        }
        _ => {}
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Values that fit few fields.
fn values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(0),
        json!(1.5),
        json!(9_999_999_999_i64),
        json!(""),
        json!("x"),
        json!("7"),
        json!("-1Gi"),
        json!("0.0.0.0/0"),
        json!("中文"),
        json!("a\u{3000}b"),
        json!("A B"),
        json!("a".repeat(600)),
        json!([]),
        json!([null]),
        json!(["x"]),
        json!({}),
        json!({"x": 1}),
    ]
}

/// Values near the one that is there: just outside and just inside of what is allowed.
fn near(value: &Value) -> Vec<Value> {
    match value {
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or_default();
            vec![json!(number - 1), json!(number + 1), json!(number * 2)]
        }
        Value::String(text) => {
            let mut all =
                vec![json!(format!("{text}0")), json!(format!("1{text}")), json!(format!("{text}-"))];
            all.extend([20, 40, 63, 64, 65].map(|length| json!("a".repeat(length))));
            all.push(json!("文".repeat(64)));
            all.push(json!(format!("{text}\n")));
            all
        }
        Value::Object(fields) => {
            let mut more = fields.clone();
            more.insert("unknownField".to_owned(), json!("x"));
            let mut null = Map::clone(fields);
            null.values_mut().for_each(|value| *value = Value::Null);
            vec![Value::Object(more), Value::Object(null)]
        }
        Value::Array(items) => vec![json!(items.iter().rev().collect::<Vec<_>>())],
        _ => Vec::new(),
    }
}

fn without(object: &Value, path: &str) -> Option<Value> {
    let (parent, name) = path.rsplit_once('/')?;
    let mut varied = object.clone();
    match varied.pointer_mut(parent)? {
        Value::Object(fields) => drop(fields.remove(&name.replace("~1", "/").replace("~0", "~"))),
        Value::Array(items) => drop(items.remove(name.parse().ok()?)),
        _ => return None,
    }
    Some(varied)
}

/// An entry of a list repeated.
fn twice(object: &Value, path: &str) -> Option<Value> {
    let (parent, name) = path.rsplit_once('/')?;
    let index: usize = name.parse().ok()?;
    let mut varied = object.clone();
    let items = varied.pointer_mut(parent)?.as_array_mut()?;
    items.push(items.get(index)?.clone());
    Some(varied)
}
