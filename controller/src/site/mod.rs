//! The site's controllers: mirror, VDCs, halls, report.

use std::net::SocketAddr;
use std::path::PathBuf;

/// How a site controller is started.
pub struct Options {
    /// Name of the site.
    pub site: String,
    /// Kubeconfig of the hub, one context per API server.
    pub hub_kubeconfig: PathBuf,
    /// Kubeconfig of the own cluster, one context per API server.
    pub site_kubeconfig: PathBuf,
    /// Address of metrics and health.
    pub listen: SocketAddr,
}

/// Runs until stopped.
pub async fn run(options: Options) -> anyhow::Result<()> {
    anyhow::bail!("the controller of site {} is not built yet", options.site)
}
