//! Access control inside the hub's etcd: the API servers may touch their own keys, and only `root` the rest.
//!
//! A client is who its certificate names. Every site tries this before its hub API server starts; what another site
//! did first counts as done.

use std::path::PathBuf;
use std::process::Command;

use super::process::Plan;
use crate::cmd;
use crate::error::{Error, Result};
use crate::spec::HUB_ETCD;

/// As what hub API servers come to the hub's etcd.
const API_SERVER: &str = "hub-apiserver";
/// The key under which API servers agree on compaction, beside everything of theirs under `/registry/`.
const COMPACTION: &str = "compact_rev_key";

/// How to become `root` in the hub's etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdAuth {
    etcdctl: PathBuf,
    args: Vec<String>,
}

impl EtcdAuth {
    /// For the member at this site.
    pub fn new(plan: &Plan) -> Self {
        let args = vec![
            format!("--endpoints=https://127.0.0.1:{}", HUB_ETCD.client),
            format!("--cacert={}", plan.pki("hub-etcd-ca.crt")),
            format!("--cert={}", plan.pki("hub-etcd-root.crt")),
            format!("--key={}", plan.pki("hub-etcd-root.key")),
        ];
        Self { etcdctl: plan.bin("etcdctl"), args }
    }

    /// Makes users and roles and turns access control on, unless it is on.
    pub fn enable(&self) -> Result<()> {
        if self.run(&["auth", "status"])?.contains("Authentication Status: true") {
            return Ok(());
        }
        for words in [
            &["user", "add", "root", "--no-password"][..],
            &["role", "add", "root"],
            &["user", "grant-role", "root", "root"],
            &["role", "add", API_SERVER],
            &["role", "grant-permission", API_SERVER, "--prefix=true", "readwrite", "/registry/"],
            &["role", "grant-permission", API_SERVER, "readwrite", COMPACTION],
            &["user", "add", API_SERVER, "--no-password"],
            &["user", "grant-role", API_SERVER, API_SERVER],
            &["auth", "enable"],
        ] {
            match self.run(words) {
                Err(Error::Command { stderr, .. }) if stderr.contains("already exists") => {}
                other => drop(other?),
            }
        }
        Ok(())
    }

    fn run(&self, words: &[&str]) -> Result<String> {
        let mut etcdctl = Command::new(&self.etcdctl);
        etcdctl.args(&self.args).args(words);
        cmd::output("turn on access control in the hub's etcd", etcdctl)
    }
}
