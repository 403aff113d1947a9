//! Command line of the controllers: role, kubeconfigs, identity. Everything else is in the library.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use yunting_controller::{audit, hub, node, site, storage_class};

mod node_arguments;
mod site_arguments;

use node_arguments::NodeArguments;
use site_arguments::SiteArguments;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Yunting's controllers: one subcommand per role.
#[derive(Parser)]
#[command(name = "yunting-controller", version)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Turns bureaus, VDCs and halls into slices for sites. One of all running is active.
    Hub {
        /// Kubeconfig of the hub; each of its contexts is one hub API server.
        #[arg(long, env = "YUNTING_HUB_KUBECONFIG")]
        kubeconfig: PathBuf,
        /// Name of this instance in the leader Lease.
        #[arg(long, env = "YUNTING_IDENTITY")]
        identity: String,
        /// Address of /metrics, /healthz and /readyz.
        #[arg(long, default_value = "127.0.0.1:9091")]
        listen: SocketAddr,
    },
    /// Makes one site's slices true.
    Site(Box<SiteArguments>),
    /// Keeps the network boundary and the gate of one node. Runs in the node's network namespace, with CAP_NET_ADMIN for
    /// nftables and links, and CAP_SYS_ADMIN to enter the network namespaces of pods, which its prober does, and for BPF;
    /// nft and ip have to be there.
    Node(Box<NodeArguments>),
    /// Asks the gate of this node, through its controller.
    Gate {
        /// Where the CNI plugin asks; the gate answers beside it.
        #[arg(long, default_value = node::cni::SOCKET)]
        socket: PathBuf,
        #[command(subcommand)]
        command: node::gate::local::Command,
    },
    /// Prints the StorageClass with which Ceph-CSI (RBD) or Longhorn encrypts volumes, for whoever installs it, and says what a
    /// key of a VDC is there. Asks no server.
    StorageClass(storage_class::Options),
    /// Checks that certificates of deletion are one whole chain. Fails when one is missing, was changed, or does not follow
    /// the one before it. Asks no server.
    VerifyCertificates(audit::Options),
}

fn main() -> ExitCode {
    // A container runtime calls plugins by the name of their file.
    let called = std::env::args_os().next().map(PathBuf::from);
    if called.as_ref().and_then(|c| c.file_name()).is_some_and(|name| name == "yunting-cni") {
        return node::cni::main();
    }
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,kube=warn"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::error!("another TLS provider was installed first");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start the run-time");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(arguments.role)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(role: Role) -> anyhow::Result<()> {
    match role {
        Role::Hub { kubeconfig, identity, listen } => {
            hub::run(hub::Options { kubeconfig, identity, listen }).await
        }
        // Larger than a future that lies on a stack should be.
        Role::Site(arguments) => Box::pin(site::run(arguments.options())).await,
        Role::Node(arguments) => Box::pin(node::run(arguments.options())).await,
        Role::Gate { socket, command } => {
            node::gate::local::run(&node::gate::local::socket(&socket), command)
        }
        Role::StorageClass(options) => storage_class::run(&options),
        Role::VerifyCertificates(options) => audit::run(&options),
    }
}
