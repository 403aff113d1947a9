//! Kubernetes clients for the lab's administrator, through the forwards.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::error::{Error, Result};
use crate::spec::{Lab, Site};

/// A client of a site's own API server.
pub async fn site(lab: &Lab, site: &Site) -> Result<Client> {
    from_file(&lab.kubeconfigs().join(format!("{}.yaml", site.name)), None).await
}

/// A client of the hub API server at a site.
pub async fn hub(lab: &Lab, site: &Site) -> Result<Client> {
    from_file(&lab.kubeconfigs().join("hub.yaml"), Some(format!("hub-{}", site.name))).await
}

async fn from_file(path: &Path, context: Option<String>) -> Result<Client> {
    let what = path.display().to_string();
    let kubeconfig = Kubeconfig::read_from(path).map_err(Error::malformed(&what))?;
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let config =
        Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(Error::malformed(&what))?;
    Client::try_from(config).map_err(Error::kube(format!("make a client from {what}")))
}
