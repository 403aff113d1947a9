//! One call to an API server, as plans and records see it.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a call does. Each kind is numbered by itself, so that the beat of a Lease moves no other number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Reads, an answer at once.
    Read,
    /// Reads, and goes on.
    Watch,
    /// Changes something.
    Write,
    /// Changes a Lease.
    Lease,
    /// Changes nothing, but is asked as a write: `dryRun=All`.
    DryRun,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Number among the calls of its kind, from 1.
    pub number: u64,
    /// What it does.
    pub kind: Kind,
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Query.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// Field manager, where one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// First 16 hexadecimal digits of the body's SHA-256; none when there is no body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl Call {
    /// Of a request. Numbered by the plan.
    pub fn new(method: &str, path: &str, query: &str, body: &[u8]) -> Self {
        let manager = parameter(query, "fieldManager").map(|m| m.replace("%2F", "/"));
        let hash = || HEXLOWER.encode(&Sha256::digest(body)[..8]);
        Self {
            number: 0,
            kind: kind(method, path, query),
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            manager,
            body: (!body.is_empty()).then(hash),
        }
    }
}

fn kind(method: &str, path: &str, query: &str) -> Kind {
    match method {
        "GET" | "HEAD" if parameter(query, "watch").is_some_and(|w| w == "true" || w == "1") => Kind::Watch,
        "GET" | "HEAD" => Kind::Read,
        _ if parameter(query, "dryRun").is_some() => Kind::DryRun,
        _ if path.starts_with("/apis/coordination.k8s.io/") && path.contains("/leases") => Kind::Lease,
        _ => Kind::Write,
    }
}

/// Value of a parameter of a query.
pub fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.split_once('=').filter(|(n, _)| *n == name).map(|(_, v)| v))
}

/// The query of a LIST, made to show what was there at a revision. Pages after the first carry their own.
pub fn at_revision(query: &str, revision: u64) -> String {
    if parameter(query, "continue").is_some() {
        return query.to_owned();
    }
    let kept = query.split('&').filter(|p| !p.is_empty() && !p.starts_with("resourceVersion"));
    let exact = [format!("resourceVersion={revision}"), "resourceVersionMatch=Exact".to_owned()];
    kept.map(str::to_owned).chain(exact).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_apart_by_what_they_do() {
        for (method, path, query, wanted) in [
            ("GET", "/api/v1/nodes", "limit=500", Kind::Read),
            ("GET", "/api/v1/nodes", "&watch=true&resourceVersion=5", Kind::Watch),
            ("PATCH", "/api/v1/namespaces/a", "fieldManager=x", Kind::Write),
            ("POST", "/api/v1/namespaces/a/pods", "dryRun=All", Kind::DryRun),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/b", "", Kind::Lease),
            ("DELETE", "/api/v1/namespaces/leases", "", Kind::Write),
        ] {
            assert_eq!(Call::new(method, path, query, b"").kind, wanted, "{method} {path}?{query}");
        }
    }

    #[test]
    fn the_manager_and_the_body_are_kept() {
        let call = Call::new("PATCH", "/p", "&force=true&fieldManager=yunting%2Fsite-vdc", b"{}");
        assert_eq!(call.manager.as_deref(), Some("yunting/site-vdc"));
        assert_eq!(call.body.as_deref(), Some("44136fa355b3678a"));
        assert_eq!(Call::new("DELETE", "/p", "", b"").body, None);
    }

    #[test]
    fn a_stale_list_asks_for_exactly_that_revision() {
        assert_eq!(
            at_revision("&limit=5&resourceVersion=0&resourceVersionMatch=NotOlderThan", 9),
            "limit=5&resourceVersion=9&resourceVersionMatch=Exact"
        );
        assert_eq!(at_revision("limit=5&continue=abc", 9), "limit=5&continue=abc");
    }
}
