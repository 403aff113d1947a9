//! The words in which a refusal is said: value, limit, remedy.

use serde_json::Value;

/// Longest part of a value that a message repeats, in characters.
const SHOWN: usize = 80;

/// What each pattern of the schemas asks, in words.
pub(super) const PATTERNS: &[(&str, &str)] = &[
    ("^[a-z]([-a-z0-9]*[a-z0-9])?$", NAME),
    (r"^[a-z]([-a-z0-9]*[a-z0-9])?$", NAME),
    (
        r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?Z$",
        "write a time of UTC, for example 2026-11-27T09:00:00Z",
    ),
    (
        "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        "write lower-case letters, digits, '-' or '.', a letter or digit at both ends",
    ),
    (
        r"^[0-9]{1,15}(\.[0-9]{1,3})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$",
        "write a quantity that is not negative, for example 500m, 2, 512Mi or 10Gi",
    ),
    (r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$", "write an IPv4 network, for example 203.0.113.0/24"),
    (
        r"^[0-9]{1,3}(\.[0-9]{1,3}){3}:[0-9]{1,5}$",
        "write an IPv4 address and a port, for example 10.130.2.1:51820",
    ),
    (r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$", "write an IPv4 address, for example 10.12.0.7"),
    (
        r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]([-a-z0-9]{0,61}[a-z0-9])?$",
        "write a full host name in lower case, for example guoyang.hall.bozhou.example",
    ),
    ("^[^\\s]+$", "write a name without white space"),
    (
        r"^[a-z0-9][-a-zA-Z0-9._:/]*@sha256:[0-9a-f]{64}$",
        "name the image by digest, <repository>@sha256:<64 hexadecimal digits>: a tag can change its content",
    ),
    (r"^[A-Za-z_][A-Za-z0-9_]*$", "write letters, digits or '_', not a digit first"),
    (r"^[-._a-zA-Z0-9]+$", "write letters, digits, '-', '_' or '.'"),
    (r"^/[-A-Za-z0-9_./]*$", "write a full path that begins with '/'"),
    (r"^/[-A-Za-z0-9_./]*[-A-Za-z0-9_]$", "write a full path of a file that begins with '/'"),
    (r"^/[-A-Za-z0-9_./?=&]*$", "write a path that begins with '/'"),
    (r"^[^\s]+:[0-9]{1,5}$", "write a host or address with a port, for example 10.130.2.1:9443"),
    ("^[A-Za-z0-9+/]+={0,2}$", "write base64"),
    ("^[0-9a-f]{16}$", "write 16 of 0-9 and a-f"),
    ("^[0-9a-f]{64}$", "write 64 of 0-9 and a-f, a SHA-256"),
    ("^[0-9a-f][0-9a-f-]*[0-9a-f]$", "write a uid as an API server gives it"),
];

const NAME: &str = "write lower-case letters, digits or '-', a letter first and no '-' last; other scripts belong in a displayName";

/// What a pattern asks.
pub(super) fn pattern(pattern: &str) -> String {
    let words = PATTERNS.iter().find(|(known, _)| *known == pattern).map(|(_, words)| (*words).to_owned());
    words.unwrap_or_else(|| format!("it must match {pattern}"))
}

/// A value as a message repeats it.
pub(super) fn quoted(value: &str) -> String {
    let short: String = value.chars().take(SHOWN).collect();
    let rest = if short.len() < value.len() { "…" } else { "" };
    format!("\"{short}{rest}\"")
}

/// What to say when a value has another type than its schema.
pub(super) fn wrong_type(wanted: Option<&str>, value: &Value) -> Option<String> {
    let wanted = wanted?;
    let (found, fits) = match value {
        Value::Null => ("null", false),
        Value::Bool(_) => ("a boolean", wanted == "boolean"),
        Value::Number(number) => ("a number", fits_number(wanted, number)),
        Value::String(_) => ("a string", wanted == "string"),
        Value::Array(_) => ("a list", wanted == "array"),
        Value::Object(_) => ("an object", wanted == "object"),
    };
    if fits {
        return None;
    }
    let remedy = match (wanted, value) {
        ("string", Value::Number(_) | Value::Bool(_)) => format!("; write \"{value}\" with quotes"),
        ("integer" | "number", Value::String(_)) => "; write it without quotes".to_owned(),
        _ => String::new(),
    };
    let shown = quoted(value.to_string().trim_matches('"'));
    Some(format!("{shown} is {found}, it must be of type {wanted}{remedy}"))
}

fn fits_number(wanted: &str, number: &serde_json::Number) -> bool {
    match wanted {
        "number" => true,
        // A server takes 2.0 for 2 where no rule reads it and refuses it elsewhere.
        "integer" => number.is_i64() || number.is_u64(),
        _ => false,
    }
}

/// What to say of a field that the schema does not have.
pub(super) fn unknown_field<'a>(known: impl Iterator<Item = &'a String>) -> String {
    let known: Vec<&str> = known.map(String::as_str).collect();
    format!("unknown field; there are {}", known.join(", "))
}

/// What to say of a list or text that is too short or too long. `word` is `Items` or `Length`.
pub(super) fn out_of_length(schema: &Value, word: &str, unit: &str, length: u64) -> Option<String> {
    let bound = |side: &str| schema.get(format!("{side}{word}")).and_then(Value::as_u64);
    if let Some(least) = bound("min").filter(|least| length < *least) {
        return Some(format!("has {length} {unit}: the least is {least}"));
    }
    let most = bound("max").filter(|most| length > *most)?;
    Some(format!("has {length} {unit}: the most is {most}"))
}
