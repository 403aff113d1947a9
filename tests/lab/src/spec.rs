//! Names, addresses, ports and places of a lab. Pure: everything follows from the lab's name and the site's index.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The sites a lab can have, in order; the index of the first is 1.
pub const SITES: [&str; 3] = ["qiaocheng", "guoyang", "mengcheng"];
/// The bridge's own address on the WAN.
pub const WAN_GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 254);
/// Port of a site's API server on its WAN address.
pub const SITE_API_PORT: u16 = 6443;
/// Port of a hub API server on its site's WAN address.
pub const HUB_API_PORT: u16 = 7443;
/// Port of a site's gateway on its WAN address.
pub const GATEWAY_PORT: u16 = 80;
/// Port of the token issuer on each site's loopback.
pub const ISSUER_PORT: u16 = 5556;
/// Addresses of the WAN.
pub const WAN: &str = "192.168.77.0/24";
/// Services of the hub.
pub const HUB_SERVICES: &str = "10.130.0.0/16";

/// One etcd cluster's pair of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EtcdPorts {
    /// For clients.
    pub client: u16,
    /// Between members.
    pub peer: u16,
    /// Health and metrics, on loopback and without TLS.
    pub metrics: u16,
}

/// The site's own etcd, on its loopback only.
pub const SITE_ETCD: EtcdPorts = EtcdPorts { client: 2379, peer: 2380, metrics: 2381 };
/// The hub's etcd, one member per site.
pub const HUB_ETCD: EtcdPorts = EtcdPorts { client: 3379, peer: 3380, metrics: 3381 };
/// The authority's etcd, one member per site.
pub const AUTHORITY_ETCD: EtcdPorts = EtcdPorts { client: 4379, peer: 4380, metrics: 4381 };

/// One site's names and addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The site's name.
    pub name: String,
    /// Its place in [`SITES`], starting at 1.
    pub index: u8,
}

impl Site {
    /// The site's address on the WAN.
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 77, self.index)
    }

    /// The addresses of its pods.
    pub fn pods(&self) -> String {
        format!("10.1{}.0.0/16", self.index)
    }

    /// The addresses of its services.
    pub fn services(&self) -> String {
        format!("10.12{}.0.0/16", self.index)
    }

    /// The API server's service address.
    pub fn api_service(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 120 + self.index, 0, 1)
    }

    /// The cluster DNS's service address.
    pub fn dns_service(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 120 + self.index, 0, 10)
    }

    /// The name of its one node.
    pub fn node(&self) -> String {
        format!("{}-1", self.name)
    }

    /// The end of its WAN cable inside the WAN's namespace.
    pub fn wan_port(&self) -> String {
        format!("v{}", self.index)
    }

    /// What takes the place of that end on the bridge while the cable is led through a relay.
    pub fn relay_port(&self) -> String {
        format!("f{}", self.index)
    }

    /// The site's own API server as its own processes reach it.
    pub fn api_url(&self) -> String {
        format!("https://{}:{SITE_API_PORT}", self.address())
    }

    /// The hub API server at this site.
    pub fn hub_url(&self) -> String {
        format!("https://{}:{HUB_API_PORT}", self.address())
    }
}

/// One lab: its name, its sites and where its state lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lab {
    /// The lab's name.
    pub name: String,
    /// Its sites.
    pub sites: Vec<Site>,
    /// Its state directory, removed by `down`.
    pub dir: PathBuf,
}

impl Lab {
    /// A lab of the first `count` sites, its state in the usual place.
    pub fn new(name: &str, count: usize) -> Result<Self> {
        let base =
            std::env::var_os("YUNTING_LAB_DIR").map_or_else(|| "/var/lib/yunting-lab".into(), PathBuf::from);
        let base = std::path::absolute(&base).map_err(Error::io("find the state directory", &base))?;
        Self::in_dir(name, count, &base)
    }

    /// The same with the state below `base`.
    pub fn in_dir(name: &str, count: usize, base: &Path) -> Result<Self> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if name.is_empty() || name.len() > 16 || !name.chars().all(good) {
            return Err(Error::Malformed {
                what: format!("the lab name `{name}`"),
                why: "1 to 16 lower-case letters and digits are wanted, it becomes part of namespace names"
                    .into(),
            });
        }
        if !(1..=SITES.len()).contains(&count) {
            return Err(Error::Malformed {
                what: format!("{count} sites"),
                why: format!("a lab has one to {} sites", SITES.len()),
            });
        }
        let sites = (1_u8..).zip(SITES).take(count);
        let sites = sites.map(|(index, name)| Site { name: name.into(), index }).collect();
        Ok(Self { name: name.into(), sites, dir: base.join(name) })
    }

    /// The site of that name.
    pub fn site(&self, name: &str) -> Result<&Site> {
        self.sites.iter().find(|site| site.name == name).ok_or_else(|| Error::Malformed {
            what: format!("the site `{name}`"),
            why: format!(
                "this lab has {}",
                self.sites.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ")
            ),
        })
    }

    /// The WAN's network namespace.
    pub fn wan_netns(&self) -> String {
        format!("{}-wan", self.name)
    }

    /// A site's network namespace.
    pub fn site_netns(&self, site: &Site) -> String {
        format!("{}-{}", self.name, site.name)
    }

    /// The file that holds a network namespace of that name.
    pub fn netns_file(name: &str) -> PathBuf {
        Path::new("/run/netns").join(name)
    }

    /// The control group a site's pods live under, in every hierarchy.
    pub fn cgroup(&self, site: &Site) -> String {
        format!("{}-{}", self.name, site.name)
    }

    /// A site's part of the state.
    pub fn site_dir(&self, site: &Site) -> SiteDir {
        SiteDir(self.dir.join("sites").join(&site.name))
    }

    /// The lab's copy of a program of ours: a build in the checkout must not pull it from under a running site.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join("bin").join(name)
    }

    /// The CNI plugins that its sites' container runtimes find.
    pub fn cni_plugins(&self) -> PathBuf {
        self.dir.join("cni")
    }

    /// The lab's copy of this program.
    pub fn own_program(&self) -> PathBuf {
        self.program("yunting-lab")
    }

    /// Kubeconfigs for people.
    pub fn kubeconfigs(&self) -> PathBuf {
        self.dir.join("kubeconfigs")
    }

    /// Certificate authorities, with their keys.
    pub fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }

    /// The digests of the images this lab runs.
    pub fn images_lock(&self) -> PathBuf {
        self.dir.join("images.lock.json")
    }

    /// `--initial-cluster` of an etcd with one member per site.
    pub fn etcd_members(&self, ports: EtcdPorts) -> String {
        let member = |site: &Site| format!("{}=https://{}:{}", site.name, site.address(), ports.peer);
        self.sites.iter().map(member).collect::<Vec<_>>().join(",")
    }
}

/// Places in a site's part of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteDir(pub PathBuf);

impl SiteDir {
    /// Keys and certificates of this site.
    pub fn pki(&self, file: &str) -> PathBuf {
        self.0.join("pki").join(file)
    }

    /// Kubeconfigs of this site's processes.
    pub fn kube(&self, file: &str) -> PathBuf {
        self.0.join("kube").join(file)
    }

    /// Rendered configuration, written anew at each start.
    pub fn config(&self, file: &str) -> PathBuf {
        self.0.join("config").join(file)
    }

    /// What a process wrote.
    pub fn log(&self, process: &str) -> PathBuf {
        self.0.join("logs").join(format!("{process}.log"))
    }

    /// The loop file under the site's ext4 file system.
    pub fn disk_image(&self) -> PathBuf {
        self.0.join("disk.img")
    }

    /// Where the site sees that file system; empty from outside.
    pub fn disk(&self) -> PathBuf {
        self.0.join("disk")
    }

    /// Where the site sees its btrfs for volumes, a loop file on the ext4.
    pub fn volumes(&self) -> PathBuf {
        self.0.join("volumes")
    }

    /// The socket the site's first process listens on.
    pub fn control(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    /// The process that holds the site, as `pid start-time`.
    pub fn pid_file(&self) -> PathBuf {
        self.0.join("site.pid")
    }
}

/// Where built binaries and images are kept between labs.
pub fn cache_dir() -> PathBuf {
    let under = |var: &str, rest: &str| {
        std::env::var_os(var).filter(|value| !value.is_empty()).map(|value| PathBuf::from(value).join(rest))
    };
    under("YUNTING_CACHE", "")
        .or_else(|| under("XDG_CACHE_HOME", "yunting"))
        .or_else(|| under("HOME", ".cache/yunting"))
        .unwrap_or_else(|| PathBuf::from("/var/cache/yunting"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_from_the_index() {
        let lab = Lab::in_dir("yunting", 3, Path::new("/lab")).unwrap();
        let site = lab.site("guoyang").unwrap();
        assert_eq!(site.address().to_string(), "192.168.77.2");
        assert_eq!((site.pods().as_str(), site.services().as_str()), ("10.12.0.0/16", "10.122.0.0/16"));
        assert_eq!(site.dns_service().to_string(), "10.122.0.10");
        assert_eq!(lab.site_netns(site), "yunting-guoyang");
    }

    #[test]
    fn names_that_can_not_become_namespaces_are_refused() {
        for bad in ["", "Lab", "a-b", "aaaaaaaaaaaaaaaaa", "a/b"] {
            assert!(Lab::in_dir(bad, 3, Path::new("/lab")).is_err(), "{bad}");
        }
        assert!(Lab::in_dir("lab", 4, Path::new("/lab")).is_err());
    }
}
