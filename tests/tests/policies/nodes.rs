//! What a site refuses to nodes' controllers.

use serde_json::json;

use crate::case::{Case, User, applied, create, policy};

const NODE: User = User { name: "yunting:node:n1", groups: &["yunting:nodes"] };

/// What a node says decides whether a VDC counts as isolated.
pub fn cases() -> Vec<Case> {
    let reports = "/apis/yunting.io/v1alpha1/nodereports";
    let report = |name: &str| {
        json!({
            "apiVersion": "yunting.io/v1alpha1", "kind": "NodeReport", "metadata": {"name": name},
            "spec": {"node": name},
        })
    };
    let mut all = keys();
    let cases = policy("yunting-node-report")
        .refuses("its own node only", NODE, create(reports, report("n2")))
        .refuses("its own node only", NODE, applied(&format!("{reports}/n2"), report("n2")))
        .accepts(NODE, create(reports, report("n1")))
        .accepts(NODE, applied(&format!("{reports}/n1"), report("n1")))
        .done();
    all.extend(cases);
    all.extend(replicas());
    all
}

/// Who asks for a key gets it.
fn keys() -> Vec<Case> {
    let keys = "/apis/yunting.io/v1alpha1/volumekeys";
    let key = |name: &str, node: &str| {
        json!({
            "apiVersion": "yunting.io/v1alpha1", "kind": "VolumeKey", "metadata": {"name": name},
            "spec": {"node": node, "vdc": "aaaaaaaa-1111"},
        })
    };
    policy("yunting-volume-key")
        .refuses("of its own node only", NODE, create(keys, key("v", "n2")))
        .refuses("of its own node only", NODE, applied(&format!("{keys}/v"), key("v", "n2")))
        .accepts(NODE, create(keys, key("v", "n1")))
        .accepts(NODE, applied(&format!("{keys}/v"), key("v", "n1")))
        .done()
}

/// How far replication is, each node says of its own.
fn replicas() -> Vec<Case> {
    let mut lines = policy("yunting-replica");
    for (kind, plural) in [("VolumeReplication", "volumereplications"), ("VolumeReplica", "volumereplicas")] {
        let path = |node: &str| format!("/apis/yunting.io/v1alpha1/{plural}/{node}/status");
        let said = |node: &str| {
            json!({
                "apiVersion": "yunting.io/v1alpha1", "kind": kind, "metadata": {"name": node},
                "status": {"observedGeneration": 1},
            })
        };
        lines = lines
            .refuses("of its own node only", NODE, applied(&path("n2"), said("n2")))
            .accepts(NODE, applied(&path("n1"), said("n1")));
    }
    lines.done()
}
