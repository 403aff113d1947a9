//! Which authorities and certificates a lab has, and in which files its processes find them.

use super::authority::{Authority, Subject, signing_key};
use super::write_secret;
use crate::error::{Error, Result};
use crate::spec::{Lab, Site, SiteDir};

/// The group of people who run the lab, bound to `cluster-admin`.
pub const ADMINS: &str = "yunting:lab-admins";
/// The person on the kubeconfigs.
pub const ADMIN: &str = "yunting:lab-admin";
/// As what API servers come to a kubelet.
pub const KUBELET_CLIENT: &str = "yunting:kube-apiserver";

/// What the three hub API servers and the two stretched etcd clusters share.
pub struct Hub {
    /// Signs the serving certificates of hub API servers.
    pub serving: Authority,
    /// Signs clients of the hub API.
    pub clients: Authority,
    etcd: Authority,
    authority_etcd: Authority,
    front_proxy: Authority,
    machines: Authority,
    issuer: Authority,
    issuer_signing: (String, String),
    service_accounts: (String, String),
    encryption: String,
}

/// What belongs to one site alone.
pub struct SiteAuthorities {
    /// Signs the site's API server, kubelet and clients.
    pub cluster: Authority,
}

impl Hub {
    /// Makes all of it and keeps the authorities in the lab's state.
    pub fn make(lab: &Lab) -> Result<Self> {
        let hub = Self {
            serving: Authority::new("yunting-hub-serving")?,
            clients: Authority::new("yunting-hub-clients")?,
            etcd: Authority::new("yunting-hub-etcd")?,
            authority_etcd: Authority::new("yunting-authority-etcd")?,
            front_proxy: Authority::new("yunting-hub-front-proxy")?,
            machines: Authority::new("yunting-machines")?,
            issuer: Authority::new("yunting-token-issuer")?,
            issuer_signing: signing_key("issuer")?,
            service_accounts: signing_key("hub-sa")?,
            encryption: encryption_config()?,
        };
        for (name, authority) in [
            ("hub-serving", &hub.serving),
            ("hub-clients", &hub.clients),
            ("hub-etcd", &hub.etcd),
            ("authority-etcd", &hub.authority_etcd),
            ("hub-front-proxy", &hub.front_proxy),
            ("machines", &hub.machines),
            ("issuer", &hub.issuer),
        ] {
            authority.pair().write(&lab.pki(), name)?;
        }
        write_secret(&lab.pki().join("issuer-signing.key"), &hub.issuer_signing.0)?;
        write_secret(&lab.pki().join("issuer-signing.pub"), &hub.issuer_signing.1)?;
        // For a person or a test that looks into the stretched clusters from the host.
        hub.etcd.issue(&Subject::client("root"))?.write(&lab.pki(), "hub-etcd-root")?;
        hub.authority_etcd.issue(&Subject::client("root"))?.write(&lab.pki(), "authority-etcd-root")?;
        Ok(hub)
    }

    /// The hub's part of a site.
    fn write(&self, site: &Site, dir: &SiteDir) -> Result<()> {
        let pki = dir.0.join("pki");
        let (ip, name) = (site.address(), site.name.as_str());
        write_secret(&pki.join("hub-serving-ca.crt"), self.serving.cert())?;
        self.clients.pair().write(&pki, "hub-clients-ca")?;
        write_secret(&pki.join("hub-front-proxy-ca.crt"), self.front_proxy.cert())?;
        write_secret(&pki.join("machines-ca.crt"), self.machines.cert())?;
        let api = Subject::server("yunting-hub").ip(ip).ip(std::net::Ipv4Addr::new(10, 130, 0, 1));
        self.serving.issue(&api.dns("kubernetes.default.svc"))?.write(&pki, "hub-serving")?;
        self.front_proxy.issue(&Subject::client("front-proxy-client"))?.write(&pki, "hub-front-proxy")?;
        for (authority, prefix) in [(&self.etcd, "hub-etcd"), (&self.authority_etcd, "authority-etcd")] {
            write_secret(&pki.join(format!("{prefix}-ca.crt")), authority.cert())?;
            authority.issue(&Subject::peer(name).ip(ip))?.write(&pki, prefix)?;
        }
        self.etcd.issue(&Subject::client("hub-apiserver"))?.write(&pki, "hub-etcd-client")?;
        self.etcd.issue(&Subject::client("root"))?.write(&pki, "hub-etcd-root")?;
        let role = format!("yunting:authority:{name}");
        self.authority_etcd.issue(&Subject::client(role))?.write(&pki, "authority-etcd-client")?;
        let node =
            Subject::peer(format!("yunting:node:{name}:{}", site.node())).group("yunting:nodes").ip(ip);
        let node = node.uri(&format!("yunting://site/{name}/node/{}", site.node()));
        self.machines.issue(&node)?.write(&pki, "machine")?;
        let custody = Subject::client(format!("yunting:custody:{name}"));
        let custody = custody.uri(&format!("yunting://site/{name}/custody"));
        self.machines.issue(&custody)?.write(&pki, "custody")?;
        write_secret(&pki.join("issuer-ca.crt"), self.issuer.cert())?;
        self.issuer.issue(&Subject::server("login.bozhou.example"))?.write(&pki, "issuer")?;
        write_secret(&pki.join("issuer-signing.key"), &self.issuer_signing.0)?;
        write_secret(&pki.join("issuer-signing.pub"), &self.issuer_signing.1)?;
        write_secret(&pki.join("hub-sa.key"), &self.service_accounts.0)?;
        write_secret(&pki.join("hub-sa.pub"), &self.service_accounts.1)?;
        write_secret(&pki.join("hub-encryption.yaml"), &self.encryption)
    }
}

/// Makes and writes all certificates one site's processes use.
pub fn site(lab: &Lab, site: &Site, hub: &Hub) -> Result<SiteAuthorities> {
    let dir = lab.site_dir(site);
    let pki = dir.0.join("pki");
    let (ip, name) = (site.address(), site.name.as_str());
    let cluster = Authority::new(&format!("yunting-{name}-cluster"))?;
    cluster.pair().write(&pki, "cluster-ca")?;
    let api = Subject::server("kube-apiserver").ip(ip).ip(site.api_service());
    let api = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ]
    .into_iter()
    .fold(api, Subject::dns);
    cluster.issue(&api)?.write(&pki, "apiserver")?;
    cluster.issue(&Subject::client(KUBELET_CLIENT))?.write(&pki, "kubelet-client")?;
    cluster.issue(&Subject::server(site.node()).ip(ip).dns(&site.node()))?.write(&pki, "kubelet")?;
    let etcd = Authority::new(&format!("yunting-{name}-etcd"))?;
    write_secret(&pki.join("etcd-ca.crt"), etcd.cert())?;
    etcd.issue(&Subject::peer(name))?.write(&pki, "etcd")?;
    etcd.issue(&Subject::client("kube-apiserver"))?.write(&pki, "etcd-client")?;
    let front_proxy = Authority::new(&format!("yunting-{name}-front-proxy"))?;
    write_secret(&pki.join("front-proxy-ca.crt"), front_proxy.cert())?;
    front_proxy.issue(&Subject::client("front-proxy-client"))?.write(&pki, "front-proxy")?;
    let (private, public) = signing_key("sa")?;
    write_secret(&pki.join("sa.key"), &private)?;
    write_secret(&pki.join("sa.pub"), &public)?;
    write_secret(&pki.join("encryption.yaml"), &encryption_config()?)?;
    hub.write(site, &dir)?;
    Ok(SiteAuthorities { cluster })
}

/// Secrets at rest: a fresh secretbox key, plain text only readable for what was there before.
fn encryption_config() -> Result<String> {
    let mut key = [0_u8; 32];
    let mut random = std::fs::File::open("/dev/urandom").map_err(Error::io("open", "/dev/urandom"))?;
    std::io::Read::read_exact(&mut random, &mut key).map_err(Error::io("read", "/dev/urandom"))?;
    let key = data_encoding::BASE64.encode(&key);
    Ok(format!(
        "apiVersion: apiserver.config.k8s.io/v1\n\
         kind: EncryptionConfiguration\n\
         resources:\n\
         - resources: [secrets]\n\
         \x20 providers:\n\
         \x20 - secretbox: {{keys: [{{name: first, secret: {key}}}]}}\n\
         \x20 - identity: {{}}\n"
    ))
}
