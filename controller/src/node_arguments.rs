//! Command line of a node's controller.

use std::net::{SocketAddr, SocketAddrV4};
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use yunting_controller::node;
use yunting_controller::node::tunnel;
use yunting_controller::node::volume::replica::{self, tls::Machine};
use yunting_plan::boundary::Link;
use yunting_plan::vdc::cidr::Network;

/// How a node's controller is started.
#[derive(Args)]
pub struct NodeArguments {
    /// Name of the Node.
    #[arg(long, env = "YUNTING_NODE")]
    node: String,
    /// Kubeconfig of the site's cluster for this node; each of its contexts is one API server.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// A link that leads to no pod: loopback, the way out, a tunnel. Every other link is a pod's or unknown.
    #[arg(long = "outer", required = true, value_parser = Link::new)]
    outer: Vec<Link>,
    /// A network inside the cloud that no declared egress reaches into: pods, services and nodes of every site.
    #[arg(long = "inside", required = true)]
    inside: Vec<Network>,
    /// A network of another site's pods. Nothing comes from there or goes there but through the tunnel, whatever slices say.
    #[arg(long = "abroad")]
    abroad: Vec<Network>,
    /// Address of this node for the tunnel to other sites, `<IPv4 address>:<port>`: WireGuard over UDP, the exchange of keys over
    /// TCP. Without it nothing crosses sites from here. Needs CAP_NET_RAW besides, to see that what leaves is ciphertext.
    #[arg(long, requires_all = ["abroad", "machine_cert", "machine_key", "machine_ca"])]
    tunnel: Option<SocketAddrV4>,
    /// Where nodes of other sites reach that address, if it is not the same.
    #[arg(long, requires = "tunnel")]
    tunnel_address: Option<SocketAddrV4>,
    /// A network of this node's pods, as other sites are told. Without it what the Node says.
    #[arg(long, requires = "tunnel")]
    tunnel_pods: Vec<Network>,
    /// Who encrypts: this process (`userspace`), on every kernel; `kernel` is not built yet.
    #[arg(long, requires = "tunnel", default_value = "userspace")]
    tunnel_wireguard: WireGuard,
    /// A namespace of the platform, whose pods belong to no VDC.
    #[arg(long = "platform", default_values = ["kube-system", "yunting-gateway", "yunting-system"])]
    platform: Vec<String>,
    /// An end besides pods and nodes that no VDC reaches unless it declares it, such as an API server or the metadata
    /// service; the prober tries it.
    #[arg(long = "beyond")]
    beyond: Vec<SocketAddrV4>,
    /// A directory of a btrfs file system for the ciphertext of volumes. Without it the node serves none. Needs
    /// btrfs-progs, e2fsprogs, xfsprogs and losetup; CAP_SYS_RESOURCE besides lets volumes grow while they are in use.
    #[arg(long)]
    volumes: Option<PathBuf>,
    /// Address where other nodes' points of volumes come in. Without it volumes are replicated neither to this node nor
    /// from it.
    #[arg(long, requires_all = ["volumes", "machine_cert", "machine_key", "machine_ca"])]
    replicas: Option<SocketAddr>,
    /// Where nodes of other sites reach that address, `<host or address>:<port>`, if it is not the same.
    #[arg(long, requires = "replicas")]
    replica_address: Option<String>,
    /// Certificate (PEM) of this machine, with `yunting://site/<site>/node/<node>` as its one URI: by it other nodes know
    /// whose volumes it sends and receives. Read for every connection.
    #[arg(long)]
    machine_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long)]
    machine_key: Option<PathBuf>,
    /// Certificate (PEM) of the authority of all machines.
    #[arg(long)]
    machine_ca: Option<PathBuf>,
    /// Bytes in a second that all volumes together may send to other sites; without it as many as go.
    #[arg(long)]
    replica_rate: Option<NonZeroU32>,
    /// The kubelet's root directory, where it looks for drivers.
    #[arg(long, default_value = "/var/lib/kubelet")]
    kubelet: PathBuf,
    /// Where the CNI plugin asks.
    #[arg(long, default_value = node::cni::SOCKET)]
    socket: PathBuf,
    /// Where the gate of protected pods is pinned: a directory on a BPF file system. Where it is on none, one is mounted
    /// there, which has to outlive the process.
    #[arg(long, default_value = "/sys/fs/bpf/yunting")]
    gate_pins: PathBuf,
    /// Address of /metrics, /healthz and /readyz.
    #[arg(long, default_value = "127.0.0.1:9093")]
    listen: SocketAddr,
}

/// Who encrypts.
#[derive(Clone, Copy, ValueEnum)]
enum WireGuard {
    Userspace,
    Kernel,
}

impl From<WireGuard> for tunnel::WireGuard {
    fn from(who: WireGuard) -> Self {
        match who {
            WireGuard::Userspace => Self::Userspace,
            WireGuard::Kernel => Self::Kernel,
        }
    }
}

impl NodeArguments {
    /// As the library takes them.
    pub fn options(self) -> node::Options {
        let machine = self.machine_cert.zip(self.machine_key).zip(self.machine_ca);
        let machine = machine.map(|((certificate, key), authority)| Machine { certificate, key, authority });
        let (tunnel_at, pods, wireguard) =
            (self.tunnel_address, self.tunnel_pods, self.tunnel_wireguard.into());
        let tunnel = self.tunnel.zip(machine.clone()).map(|(listen, machine)| {
            let address = tunnel_at.unwrap_or(listen);
            tunnel::Options { machine, listen, address, pods, wireguard }
        });
        let bytes_per_second = self.replica_rate;
        let replicas = self.replicas.zip(machine);
        let address = self.replica_address;
        let replicas = replicas.map(|(listen, machine)| {
            let address = address.unwrap_or_else(|| listen.to_string());
            replica::Options { machine, listen, address, bytes_per_second }
        });
        let kubelet = self.kubelet;
        let volumes = self.volumes.map(|directory| node::volume::Options { directory, kubelet, replicas });
        node::Options {
            node: self.node,
            kubeconfig: self.kubeconfig,
            outer: self.outer,
            inside: self.inside,
            abroad: self.abroad,
            tunnel,
            platform: self.platform,
            beyond: self.beyond,
            socket: self.socket,
            volumes,
            gate_pins: self.gate_pins,
            listen: self.listen,
        }
    }
}
