//! The lab's front door: a small Gateway API implementation over HAProxy.
//!
//! It serves the HTTPRoutes of VDCs' namespaces at the site's WAN address. It believes nothing it is told by a
//! tenant: a route speaks only for plain hosts that no other VDC has, and only for Services of its own
//! namespace. It is a stand-in for any Gateway API implementation; Yunting does not know it.

mod api;
mod crds;
mod haproxy;
mod network;
mod plan;
mod render;
mod route;
mod run;
mod status;
mod table;
mod watches;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use crds::{VERSION, crds};
pub use network::Network;
pub use plan::{Plan, Rules, World, plan};
pub use render::render;
pub use run::run;

/// Namespace of the site's Gateway.
pub const NAMESPACE: &str = "yunting-gateway";
/// Its name.
pub const GATEWAY: &str = "site";
/// Its one listener.
pub const LISTENER: &str = "http";
/// The name under which this gateway speaks in status.
pub const CONTROLLER: &str = "yunting.io/lab-gateway";
/// Namespace, class, Gateway, and the rights of user `yunting:gateway`; applied after [`crds`].
pub const MANIFESTS: &str = include_str!("manifests.yaml");

/// Serves a site's HTTPRoutes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Kubeconfig of the site.
    #[arg(long)]
    pub kubeconfig: PathBuf,
    /// Address to listen on; its IP becomes the Gateway's address.
    #[arg(long)]
    pub listen: SocketAddr,
    /// Directory for the configuration; what lies there is served until the API server answers.
    #[arg(long)]
    pub state: PathBuf,
    /// Address ranges in which endpoints may be, for example the site's pods.
    #[arg(long)]
    pub backends: Vec<Network>,
}

/// Why the gateway does not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig can't be used.
    #[error("could not use the kubeconfig")]
    Kubeconfig(#[source] kube::config::KubeconfigError),
    /// No client could be made.
    #[error("could not make a client")]
    Client(#[source] Box<kube::Error>),
    /// A watch ended for good.
    #[error("a watch ended")]
    WatchEnded,
    /// A file can't be written.
    #[error("could not write {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// HAProxy or a signal handler can't be started.
    #[error("could not run haproxy")]
    Run(#[source] std::io::Error),
    /// HAProxy does not understand the configuration.
    #[error("haproxy refused the configuration: {0}")]
    Refused(String),
    /// The Gateway API's kinds can't be had.
    #[error("could not get the Gateway API's kinds: {0}")]
    Kinds(String),
}
