//! Counts requests by who sent them, from the audit logs of the API servers: what the controllers say of themselves
//! is not asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

/// Which requests are one line of a count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// `hub`, `site` (at the hub) or `site-controller` (at its own site).
    pub who: String,
    /// Verb as the API server names it; a dry run says so.
    pub verb: String,
    /// Resource and, after `/`, its subresource.
    pub resource: String,
}

/// Number of requests per line.
pub type Counts = BTreeMap<Line, usize>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
    object_ref: Option<Reference>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
}

/// A place in the logs; what was written since can be counted.
#[derive(Debug, Clone)]
pub struct Mark(Vec<(PathBuf, u64)>);

impl Mark {
    /// Here and now.
    pub fn now(logs: &[PathBuf]) -> Self {
        let length = |log: &PathBuf| std::fs::metadata(log).map(|m| m.len()).unwrap_or_default();
        Self(logs.iter().map(|log| (log.clone(), length(log))).collect())
    }

    /// Requests since then.
    pub fn counts(&self) -> anyhow::Result<Counts> {
        let mut counts = Counts::new();
        for (log, from) in &self.0 {
            count(&text_from(log, *from)?, &mut counts);
        }
        Ok(counts)
    }
}

fn text_from(log: &Path, from: u64) -> anyhow::Result<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = std::fs::File::open(log).with_context(|| log.display().to_string())?;
    file.seek(SeekFrom::Start(from))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

fn count(text: &str, counts: &mut Counts) {
    for entry in text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok()) {
        // A watch is counted when it begins, everything else when it has been answered.
        let counted = if entry.verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
        if entry.stage != counted {
            continue;
        }
        *counts.entry(entry.line()).or_default() += 1;
    }
}

impl Entry {
    fn line(self) -> Line {
        let who = match self.user.username.split(':').collect::<Vec<_>>()[..] {
            ["yunting", role, ..] => role.to_owned(),
            _ => self.user.username.clone(),
        };
        let dry = if self.request_uri.contains("dryRun=") { " (dry run)" } else { "" };
        let resource = match self.object_ref {
            Some(r) if r.subresource.is_empty() => r.resource,
            Some(r) => format!("{}/{}", r.resource, r.subresource),
            None => self.request_uri.split('?').next().unwrap_or_default().to_owned(),
        };
        Line { who, verb: format!("{}{dry}", self.verb), resource }
    }
}

/// Sum of the lines a predicate takes.
pub fn sum(counts: &Counts, wanted: impl Fn(&Line) -> bool) -> usize {
    counts.iter().filter(|(line, _)| wanted(line)).map(|(_, n)| n).sum()
}

impl Line {
    /// Leases, which carry leadership and beats.
    pub fn is_beat(&self) -> bool {
        self.resource == "leases"
    }

    /// Changes something.
    pub fn writes(&self) -> bool {
        ["create", "update", "patch", "delete"].contains(&self.verb.as_str())
    }

    /// Writes a status.
    pub fn writes_status(&self) -> bool {
        self.writes() && self.resource.ends_with("/status")
    }
}

/// As rows: by whom, verb, resource, number.
pub fn rows(counts: &Counts) -> Vec<(String, String, String, usize)> {
    counts.iter().map(|(l, n)| (l.who.clone(), l.verb.clone(), l.resource.clone(), *n)).collect()
}

/// As lines of text, greatest first.
pub fn print(counts: &Counts) -> String {
    let mut lines: Vec<_> = counts.iter().collect();
    lines.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let line = |(l, n): (&Line, &usize)| format!("  {n:>7}  {:<15} {:<17} {}\n", l.who, l.verb, l.resource);
    lines.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_once_and_a_watch_when_it_begins() {
        let entry = |stage: &str, verb: &str, uri: &str| {
            format!(
                r#"{{"stage":"{stage}","verb":"{verb}","requestURI":"{uri}","user":{{"username":"yunting:site:a"}},"objectRef":{{"resource":"vdcslices","subresource":"status"}}}}"#
            )
        };
        let text = [
            entry("ResponseComplete", "patch", "/x?force=true"),
            entry("ResponseComplete", "patch", "/x?dryRun=All"),
            entry("ResponseStarted", "watch", "/x"),
            entry("ResponseComplete", "watch", "/x"),
            "not json".to_owned(),
        ];
        let mut counts = Counts::new();
        count(&text.join("\n"), &mut counts);
        assert_eq!(counts.values().sum::<usize>(), 3);
        assert_eq!(sum(&counts, Line::writes_status), 1);
        assert!(counts.keys().all(|l| l.who == "site"));
    }
}
