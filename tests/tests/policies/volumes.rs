//! What the sidecars of volumes may write on claims in a namespace of halls, and that it is no more than that.

use serde_json::{Value, json};

use crate::case::{Case, PERSON, User, json_patch, merge, policy};

const PROVISIONER: User = User { name: "yunting:volumes-provisioner", groups: &[] };
const RESIZER: User = User { name: "yunting:volumes-resizer", groups: &[] };
const SNAPSHOTS: User = User { name: "yunting:snapshot-controller", groups: &[] };
const SNAPSHOTTER: User = User { name: "yunting:volumes-snapshotter", groups: &[] };
/// How the provisioner holds a claim that is copied.
const COPIED: &str = "provisioner.storage.kubernetes.io/cloning-protection";
/// How the snapshot controller holds a claim of which a snapshot is taken.
const SOURCE: &str = "snapshot.storage.kubernetes.io/pvc-as-source-protection";
/// It has `kubernetes.io/pvc-protection` from the API server.
const CLAIM: &str = "/api/v1/namespaces/halls/persistentvolumeclaims/old";
const WHY: &str = "come from Halls";

pub fn cases() -> Vec<Case> {
    let status = format!("{CLAIM}/status");
    let growing = json!({"status": {"conditions": [{"type": "Resizing", "status": "True"}]}});
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let let_go = json_patch(CLAIM, json!([{"op": "remove", "path": "/metadata/finalizers/0"}]));
    let held = |finalizer: &str| json_patch(CLAIM, hold(finalizer));
    policy("yunting-halls-only")
        .accepts(PROVISIONER, held(COPIED))
        .accepts(SNAPSHOTS, held(SOURCE))
        .accepts(RESIZER, merge(&status, growing.clone()))
        .refuses(WHY, PROVISIONER, held(SOURCE))
        .refuses(WHY, PROVISIONER, let_go)
        .refuses(WHY, PROVISIONER, merge(&status, growing.clone()))
        .refuses(WHY, SNAPSHOTS, held(COPIED))
        .refuses(WHY, SNAPSHOTS, merge(CLAIM, label.clone()))
        .refuses(WHY, SNAPSHOTTER, held(SOURCE))
        .refuses(WHY, RESIZER, merge(CLAIM, label))
        .refuses(WHY, RESIZER, held(SOURCE))
        .refuses(WHY, PERSON, held(SOURCE))
        .refuses(WHY, PERSON, merge(&status, growing))
        .done()
}

fn hold(finalizer: &str) -> Value {
    json!([{"op": "add", "path": "/metadata/finalizers/-", "value": finalizer}])
}
