//! Command line of the controllers: role, kubeconfigs, identity. Everything else is in the library.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use yunting_controller::{audit, hub, node, site};

mod node_arguments;

use node_arguments::NodeArguments;

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
    Site {
        /// Name of the site.
        #[arg(long, env = "YUNTING_SITE")]
        site: String,
        /// Kubeconfig of the hub for this site; each of its contexts is one hub API server.
        #[arg(long)]
        hub_kubeconfig: PathBuf,
        /// Kubeconfig of the site's own cluster; each of its contexts is one API server.
        #[arg(long)]
        site_kubeconfig: PathBuf,
        /// Directory for the keys of volumes, on a disk of this host that only it reads. Without it no volume of the driver
        /// volumes.yunting.io gets a key. Whoever reads it opens every volume of the site; it belongs into no backup that
        /// outlives a VDC.
        #[arg(long)]
        keys: Option<PathBuf>,
        /// Key (PEM, PKCS #8, P-256) of the certificate that other sites seal keys of volumes for, with
        /// `yunting://site/<site>/custody` as its one URI. Without it no replica at this site gets a key.
        #[arg(long)]
        custody_key: Option<PathBuf>,
        /// That certificate (PEM). The hub passes it on to the sites whose volumes have replicas here.
        #[arg(long, requires = "custody_key")]
        custody_cert: Option<PathBuf>,
        /// Certificate (PEM) of the authority of all machines, by which custody certificates of other sites are verified.
        /// Without it no volume of this site can be replicated.
        #[arg(long)]
        machine_ca: Option<PathBuf>,
        /// Address of /metrics, /healthz and /readyz.
        #[arg(long, default_value = "127.0.0.1:9092")]
        listen: SocketAddr,
    },
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
        Role::Site {
            site,
            hub_kubeconfig,
            site_kubeconfig,
            keys,
            custody_key,
            custody_cert,
            machine_ca,
            listen,
        } => {
            let options = site::Options {
                site,
                hub_kubeconfig,
                site_kubeconfig,
                keys,
                custody_key,
                custody_cert,
                machine_ca,
                listen,
            };
            // Larger than a future that lies on a stack should be.
            Box::pin(site::run(options)).await
        }
        Role::Node(arguments) => Box::pin(node::run(arguments.options())).await,
        Role::Gate { socket, command } => {
            node::gate::local::run(&node::gate::local::socket(&socket), command)
        }
        Role::VerifyCertificates(options) => audit::run(&options),
    }
}
