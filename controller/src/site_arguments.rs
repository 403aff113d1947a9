//! Command line of a site's controller.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use yunting_controller::keys::vault;
use yunting_controller::site;

/// How a site's controller is started.
#[derive(Args)]
pub struct SiteArguments {
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
    /// Address of a Vault or OpenBao, `https://<host>[:<port>]`, in whose transit engine the keys of VDCs are that say
    /// `encryption.keyProvider: Vault`; `http://` only to an address of this host. Without it such VDCs get no keys.
    #[arg(long, requires_all = ["vault_token_file", "keys"])]
    vault_address: Option<String>,
    /// File with the token for it, read for every request: Vault's agent may write it anew. It is renewed as long as it can
    /// be.
    #[arg(long, requires = "vault_address")]
    vault_token_file: Option<PathBuf>,
    /// Certificates (PEM) of the authority of Vault's certificate, read for every request.
    #[arg(long, requires = "vault_address")]
    vault_ca: Option<PathBuf>,
    /// Where its transit engine is mounted.
    #[arg(long, default_value = "transit")]
    vault_mount: String,
    /// Its namespace, where it has several.
    #[arg(long, requires = "vault_address")]
    vault_namespace: Option<String>,
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
}

impl SiteArguments {
    /// As the library takes them.
    pub fn options(self) -> site::Options {
        let (mount, namespace, ca) = (self.vault_mount, self.vault_namespace, self.vault_ca);
        let vault = self
            .vault_address
            .zip(self.vault_token_file)
            .map(|(address, token_file)| vault::Options { address, token_file, ca, mount, namespace });
        site::Options {
            site: self.site,
            hub_kubeconfig: self.hub_kubeconfig,
            site_kubeconfig: self.site_kubeconfig,
            keys: self.keys,
            vault,
            custody_key: self.custody_key,
            custody_cert: self.custody_cert,
            machine_ca: self.machine_ca,
            listen: self.listen,
        }
    }
}
