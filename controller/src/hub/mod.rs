//! placeholder

use std::net::SocketAddr;
use std::path::PathBuf;

/// How a hub controller is started.
pub struct Options {
    /// Kubeconfig of the hub, one context per API server.
    pub kubeconfig: PathBuf,
    /// Name in the leader Lease.
    pub identity: String,
    /// Address of metrics and health.
    pub listen: SocketAddr,
}

/// Runs until stopped.
pub async fn run(_options: Options) -> anyhow::Result<()> {
    Ok(())
}
