//! The first objects of an API server, put into etcd before it starts for the first time.
//!
//! Somebody has to be allowed to do the first thing. Kubernetes' own answer is the group `system:masters`, which no
//! rule can take away. The lab writes one ordinary `ClusterRoleBinding` instead, which can be deleted like any other.

use std::process::Command;

use serde_json::{Value, json};

use super::process::Plan;
use crate::cmd;
use crate::error::Result;
use crate::pki::{ADMINS, KUBELET_CLIENT};
use crate::spec::EtcdPorts;

/// Objects by etcd key, and how to reach the etcd.
#[derive(Clone, Debug, PartialEq)]
pub struct FirstObjects {
    etcdctl: std::path::PathBuf,
    args: Vec<String>,
    objects: Vec<(String, Value)>,
}

impl FirstObjects {
    /// The bindings an API server starts with. `client` is the prefix of the certificate files for this etcd.
    pub fn new(plan: &Plan, ports: EtcdPorts, ca: &str, client: &str, with_node: bool) -> Self {
        let mut objects = vec![binding("yunting:lab-admins", "cluster-admin", "Group", ADMINS)];
        if with_node {
            let role = "system:kubelet-api-admin";
            objects.push(binding("yunting:kube-apiserver", role, "User", KUBELET_CLIENT));
        }
        let args = vec![
            format!("--endpoints=https://127.0.0.1:{}", ports.client),
            format!("--cacert={}", plan.pki(ca)),
            format!("--cert={}", plan.pki(&format!("{client}.crt"))),
            format!("--key={}", plan.pki(&format!("{client}.key"))),
            "txn".into(),
        ];
        Self { etcdctl: plan.bin("etcdctl"), args, objects }
    }

    /// Writes each object that is not there yet.
    pub fn write(&self) -> Result<()> {
        self.objects.iter().try_for_each(|(key, object)| {
            let mut etcdctl = Command::new(&self.etcdctl);
            etcdctl.args(&self.args);
            cmd::feed(&format!("write {key} before the API server starts"), etcdctl, &if_absent(key, object))
                .map(drop)
        })
    }
}

/// `etcdctl txn` as text: compare, on success, on failure, each ended by an empty line.
fn if_absent(key: &str, object: &Value) -> String {
    let value = object.to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!("create(\"{key}\") = \"0\"\n\nput \"{key}\" \"{value}\"\n\n\n")
}

fn binding(name: &str, role: &str, kind: &str, subject: &str) -> (String, Value) {
    let group = "rbac.authorization.k8s.io";
    let object = json!({
        "apiVersion": format!("{group}/v1"),
        "kind": "ClusterRoleBinding",
        "metadata": {
            "name": name,
            "uid": uid(name),
            "creationTimestamp": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        },
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": kind, "name": subject}],
    });
    (format!("/registry/clusterrolebindings/{name}"), object)
}

/// A version 8 UUID from the name, so that three sites that start the hub at once agree on it.
fn uid(name: &str) -> String {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(name);
    let hex = data_encoding::HEXLOWER.encode(&hash[..16]);
    format!("{}-{}-8{}-9{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transaction_only_creates() {
        let (key, object) = binding("a", "cluster-admin", "Group", "people");
        let text = if_absent(&key, &object);
        assert!(text.starts_with("create(\"/registry/clusterrolebindings/a\") = \"0\"\n\nput "));
        assert_eq!(object["subjects"][0]["name"], "people");
        assert_eq!(uid("a").len(), 36);
    }
}
