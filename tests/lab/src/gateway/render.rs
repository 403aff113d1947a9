//! HAProxy's configuration as text. Pure: the same table always gives the same text, so that an unchanged
//! text means that nothing has to be reloaded.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use super::table::{Endpoint, PathRule, Table};

const UNAVAILABLE: &str = include_str!("503.html");
/// The page for hosts and paths nobody serves.
pub const UNKNOWN: &str = include_str!("404.html");

/// The answer when a host is known and nothing behind it is ready: a whole HTTP message, as HAProxy wants it.
pub fn unavailable() -> String {
    let head = [
        "HTTP/1.1 503 Service Unavailable",
        "Content-Type: text/html; charset=utf-8",
        "Cache-Control: no-store",
        "Retry-After: 5",
        "Connection: close",
    ];
    format!("{}\r\n\r\n{UNAVAILABLE}", head.join("\r\n"))
}

/// The whole configuration.
pub fn render(table: &Table, listen: SocketAddr, state: &Path) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = write_all(&mut text, table, listen, &state.display().to_string());
    text
}

fn write_all(text: &mut String, table: &Table, listen: SocketAddr, state: &str) -> std::fmt::Result {
    write!(
        text,
        "# Made from the site's HTTPRoutes; edits are lost.
global
    maxconn 4096
    hard-stop-after 30s
    stats socket \"{state}/haproxy.sock\" mode 600 level admin expose-fd listeners

defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout http-request 10s
    timeout http-keep-alive 10s
    timeout queue 5s
    retries 3
    retry-on conn-failure
    option redispatch 1
    errorfile 503 \"{state}/503.http\"

frontend {}
    bind {listen}
    http-request set-var(txn.host) req.hdr(host),field(1,:),lower
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto http
",
        super::LISTENER
    )?;
    let mut backends: BTreeMap<&str, &[Endpoint]> = BTreeMap::new();
    for (host, entries) in &table.hosts {
        for entry in entries {
            writeln!(text, "    use_backend {} {}", entry.backend, condition(host, &entry.path))?;
            backends.insert(&entry.backend, &entry.endpoints);
        }
    }
    write!(
        text,
        "    default_backend -unknown

backend -unknown
    http-request return status 404 content-type \"text/html; charset=utf-8\" file \"{state}/404.html\"
"
    )?;
    backends.into_iter().try_for_each(|(name, endpoints)| write_backend(text, name, endpoints))
}

/// A backend without servers answers 503 with our page.
fn write_backend(text: &mut String, name: &str, endpoints: &[Endpoint]) -> std::fmt::Result {
    writeln!(text, "\nbackend {name}\n    balance roundrobin")?;
    endpoints.iter().enumerate().try_for_each(|(number, endpoint)| {
        writeln!(text, "    server {number} {} weight {}", endpoint.address, endpoint.weight)
    })
}

fn condition(host: &str, path: &PathRule) -> String {
    let host = format!("{{ var(txn.host) -m str {host} }}");
    match path {
        PathRule::Exact(path) => format!("if {host} {{ path {path} }}"),
        PathRule::Prefix(path) if path == "/" => format!("if {host}"),
        PathRule::Prefix(path) => {
            format!("if {host} {{ path {path} }} or {host} {{ path -m beg {path}/ }}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Entry;
    use super::*;

    fn table() -> Table {
        let entry = |path, backend: &str, endpoints: &[(&str, u16)]| Entry {
            path,
            backend: backend.into(),
            endpoints: endpoints
                .iter()
                .map(|&(address, weight)| Endpoint { address: address.parse().unwrap(), weight })
                .collect(),
        };
        let qiaocheng = vec![
            entry(PathRule::Exact("/healthz".into()), "vdc-a.health.0", &[]),
            entry(
                PathRule::Prefix("/api".into()),
                "vdc-a.api.0",
                &[("10.11.0.9:8080", 256), ("[fd00::1]:80", 64)],
            ),
            entry(PathRule::Prefix("/".into()), "vdc-a.portal.0", &[("10.11.0.5:8080", 256)]),
        ];
        Table { hosts: BTreeMap::from([("qiaocheng.hall.bozhou.example".into(), qiaocheng)]) }
    }

    #[test]
    fn the_text_says_what_the_table_says() {
        let text = render(&table(), "192.168.77.1:80".parse().unwrap(), Path::new("/state"));
        let served = text.split_once("frontend").unwrap().1;
        insta::assert_snapshot!(served);
    }

    #[test]
    fn an_empty_table_still_answers() {
        let text = render(&Table::default(), "127.0.0.1:80".parse().unwrap(), Path::new("/state"));
        assert!(text.contains("default_backend -unknown"));
        assert!(!text.contains("use_backend"));
    }

    #[test]
    fn the_error_page_is_a_whole_message_in_two_languages() {
        let text = unavailable();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 "));
        assert!(body.contains("暂时无法提供服务") && body.contains("temporarily unavailable"));
        // HAProxy keeps it in one buffer.
        assert!(text.len() < 8192);
    }
}
