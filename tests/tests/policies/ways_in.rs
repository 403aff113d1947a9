//! What a site refuses of the ways that lead into pods through the API server and the kubelet.

use crate::case::{Ask, Case, KUBELET, PERSON, User, call, policy};

/// Who has taken it on.
const BREAK_GLASS: User = User { name: "oidc:wang", groups: &["yunting:break-glass"] };

pub fn cases() -> Vec<Case> {
    let mut all = into_pods();
    all.extend(into_protected());
    all.extend(through_nodes());
    all
}

fn into_pods() -> Vec<Case> {
    let ways = |namespace: &str| -> Vec<Ask> {
        let at = |rest: &str| format!("/api/v1/namespaces/{namespace}/{rest}");
        vec![
            call("POST", &at("pods/p/portforward")),
            call("GET", &at("pods/p/portforward")),
            call("GET", &at("pods/p/proxy/")),
            call("GET", &at("pods/p:5432/proxy/x")),
            call("POST", &at("services/s/proxy/")),
            call("GET", &at("services/s:pg/proxy/x")),
        ]
    };
    let mut lines = policy("yunting-ways-in");
    for namespace in ["halls", "closed", "odd", "gated"] {
        for way in ways(namespace) {
            lines = lines
                .refuses("leads past the border", PERSON, way.clone())
                .refuses("leads past the border", KUBELET, way.clone())
                .accepts(BREAK_GLASS, way);
        }
    }
    for way in ways("direct").into_iter().chain(ways("plain")) {
        lines = lines.accepts(PERSON, way);
    }
    lines.done()
}

fn into_protected() -> Vec<Case> {
    let ways = |namespace: &str| {
        let at =
            |rest: &str| format!("/api/v1/namespaces/{namespace}/pods/p/{rest}?command=true&stdout=true");
        [
            call("POST", &at("exec")),
            call("GET", &at("exec")),
            call("POST", &at("attach")),
            call("GET", &at("attach")),
        ]
    };
    let mut lines = policy("yunting-ways-into-protected");
    for way in ways("gated") {
        lines = lines
            .refuses("past the gates", PERSON, way.clone())
            .refuses("past the gates", KUBELET, way.clone())
            .accepts(BREAK_GLASS, way);
    }
    for way in ["halls", "direct", "plain"].into_iter().flat_map(ways) {
        lines = lines.accepts(PERSON, way);
    }
    lines.done()
}

fn through_nodes() -> Vec<Case> {
    let at = |path: &str| format!("/api/v1/nodes/n1/proxy{path}");
    let mut lines = policy("yunting-node-proxy");
    for path in [
        "",
        "/",
        "/exec/ns/p/c",
        "/run/ns/p/c",
        "/portForward/ns/p",
        "/metricsx",
        "/metrics/../exec/ns/p/c",
        "/pods",
    ] {
        let ask = call("GET", &at(path));
        lines = lines.refuses("leads to every pod", PERSON, ask.clone()).accepts(BREAK_GLASS, ask);
    }
    for path in ["/metrics", "/metrics/cadvisor", "/stats/summary", "/healthz", "/configz"] {
        lines = lines.accepts(PERSON, call("GET", &at(path)));
    }
    lines.done()
}
