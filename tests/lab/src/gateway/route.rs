//! A route checked on its own: strings become values once, and whatever we don't act on is refused.
//!
//! Host names and paths end up in HAProxy's configuration, so only harmless letters pass.

use std::collections::BTreeSet;

use super::api::{BackendRef, HTTPRoute, Match, ParentRef, Rule};
use super::table::{Finding, PathRule};
use super::{GATEWAY, LISTENER, NAMESPACE};

const GROUP: &str = "gateway.networking.k8s.io";

/// A route that makes sense on its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// Host names in lower case, sorted.
    pub hosts: BTreeSet<String>,
    /// Paths and backends of each rule.
    pub rules: Vec<CheckedRule>,
}

/// A rule of a checked route.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedRule {
    /// Any of these.
    pub paths: Vec<PathRule>,
    /// As written.
    pub backends: Vec<BackendRef>,
}

/// The references of a route to our Gateway; none when it means another one.
pub fn parents(route: &HTTPRoute) -> Vec<ParentRef> {
    let own = route.metadata.namespace.as_deref().unwrap_or_default();
    let ours = |parent: &&ParentRef| {
        parent.group.as_deref().is_none_or(|group| group == GROUP)
            && parent.kind.as_deref().is_none_or(|kind| kind == "Gateway")
            && parent.namespace.as_deref().unwrap_or(own) == NAMESPACE
            && parent.name == GATEWAY
    };
    route.spec.parent_refs.iter().filter(ours).cloned().collect()
}

/// The route as values, or why it is not accepted.
pub fn check(route: &HTTPRoute, parents: &[ParentRef], port: u16) -> Result<Checked, Finding> {
    let listens = |parent: &ParentRef| {
        parent.section_name.as_deref().is_none_or(|name| name == LISTENER)
            && parent.port.is_none_or(|wanted| wanted == port)
    };
    if !parents.iter().all(listens) {
        return Err(Finding::bad(
            "NoMatchingParent",
            format!("the Gateway has one listener, {LISTENER} on {port}"),
        ));
    }
    let rules = route.spec.rules.iter().map(check_rule).collect::<Result<_, _>>()?;
    Ok(Checked { hosts: check_hosts(&route.spec.hostnames)?, rules })
}

/// A route must say for which hosts it speaks. Without names it would speak for all, and a wildcard would
/// speak for names that others may get later.
fn check_hosts(hostnames: &[String]) -> Result<BTreeSet<String>, Finding> {
    if hostnames.is_empty() {
        return Err(unsupported("a route must name its hosts"));
    }
    hostnames
        .iter()
        .map(|host| {
            let host = host.to_ascii_lowercase();
            if is_host(&host) {
                Ok(host)
            } else {
                Err(unsupported(format!("{host:?} is not a plain host name")))
            }
        })
        .collect()
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

fn check_rule(rule: &Rule) -> Result<CheckedRule, Finding> {
    if !rule.filters.is_empty() || rule.backend_refs.iter().any(|backend| !backend.filters.is_empty()) {
        return Err(unsupported("filters are not supported"));
    }
    let mut paths = rule.matches.iter().map(check_match).collect::<Result<Vec<_>, _>>()?;
    if paths.is_empty() {
        paths.push(PathRule::Prefix("/".into()));
    }
    Ok(CheckedRule { paths, backends: rule.backend_refs.clone() })
}

fn check_match(condition: &Match) -> Result<PathRule, Finding> {
    let plain =
        condition.headers.is_empty() && condition.query_params.is_empty() && condition.method.is_none();
    if !plain {
        return Err(unsupported("only matches by path are supported"));
    }
    let path = condition.path.clone().unwrap_or_default();
    let value = path.value.unwrap_or_else(|| "/".into());
    if !is_path(&value) {
        return Err(unsupported(format!("{value:?} is not a plain path")));
    }
    match path.kind.as_deref().unwrap_or("PathPrefix") {
        "Exact" => Ok(PathRule::Exact(value)),
        // The prefix is by whole elements, so a slash at its end means nothing.
        "PathPrefix" if value == "/" => Ok(PathRule::Prefix(value)),
        "PathPrefix" => Ok(PathRule::Prefix(value.trim_end_matches('/').into())),
        other => Err(unsupported(format!("path matches of type {other} are not supported"))),
    }
}

fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains("//")
        && path.len() <= 1024
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%".contains(&b))
}

fn unsupported(message: impl Into<String>) -> Finding {
    Finding::bad("UnsupportedValue", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_names_pass() {
        for good in ["a", "qiaocheng.hall.bozhou.example", "x-1.y"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "*.example", "a b", "a\nb", "a{b}", "-a", "a..b", "a.example.", "谯城"] {
            assert!(!is_host(bad), "{bad}");
        }
        for bad in ["", "a", "/a b", "/a\n", "/a//b", "/{", "/\"", "/#", "/'"] {
            assert!(!is_path(bad), "{bad}");
        }
        assert!(is_path("/") && is_path("/api/v1.0/~x%20"));
    }

    #[test]
    fn a_parent_is_ours_by_its_whole_name() {
        let mut route = HTTPRoute::new("r", crate::gateway::api::HTTPRouteSpec::default());
        route.metadata.namespace = Some("vdc".into());
        let parent = |namespace: Option<&str>, name: &str, kind: Option<&str>| ParentRef {
            namespace: namespace.map(Into::into),
            name: name.into(),
            kind: kind.map(Into::into),
            ..ParentRef::default()
        };
        route.spec.parent_refs = vec![
            parent(None, GATEWAY, None),
            parent(Some(NAMESPACE), "other", None),
            parent(Some(NAMESPACE), GATEWAY, Some("Service")),
            parent(Some(NAMESPACE), GATEWAY, None),
        ];
        assert_eq!(parents(&route), [parent(Some(NAMESPACE), GATEWAY, None)]);
    }
}
