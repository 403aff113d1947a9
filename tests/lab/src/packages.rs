//! Debian packages the lab needs. As root it installs what is missing and says so.

use std::fs;
use std::process::Command;

use crate::binaries;
use crate::cmd;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::spec::Lab;

/// A program and the Debian package that has it.
const PROGRAMS: [(&str, &str); 19] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("umoci", "umoci"),
    ("skopeo", "skopeo"),
    ("haproxy", "haproxy"),
    ("busybox", "busybox-static"),
    ("conntrack", "conntrack"),
    ("curl", "curl"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("losetup", "mount"),
    ("sysctl", "procps"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("xfs_io", "xfsprogs"),
    ("mount", "mount"),
];
/// Where Debian puts the CNI plugins.
const CNI_DIR: &str = "/usr/lib/cni";
/// The one of ours, which is our controllers' program under another name.
pub const OWN_CNI_PLUGIN: &str = "yunting-cni";

/// Installs what is missing.
pub fn ensure(progress: &Progress) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::Unsuitable {
            what: "the lab makes network namespaces, mounts and containers, for which it must be root".into(),
            next: "run it with sudo or in a virtual machine".into(),
        });
    }
    let mut missing: Vec<&str> = PROGRAMS.iter().filter(|p| !cmd::present(p.0)).map(|p| p.1).collect();
    if !std::path::Path::new(CNI_DIR).join("ptp").is_file() {
        missing.push("containernetworking-plugins");
    }
    if !cmd::present("go") {
        missing.push("golang");
    }
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() { Ok(()) } else { install(&missing, progress) }
}

/// Puts Debian's CNI plugins and ours into one directory: a container runtime looks into one only.
pub fn link_cni_plugins(lab: &Lab) -> Result<()> {
    let place = lab.cni_plugins();
    fs::create_dir_all(&place).map_err(Error::io("make", &place))?;
    let found = fs::read_dir(CNI_DIR).map_err(Error::io("list", CNI_DIR))?;
    for plugin in found {
        let plugin = plugin.map_err(Error::io("list", CNI_DIR))?;
        binaries::link(&plugin.path(), &place.join(plugin.file_name()))?;
    }
    binaries::link(&lab.program("yunting-controller"), &place.join(OWN_CNI_PLUGIN))
}

fn install(missing: &[&str], progress: &Progress) -> Result<()> {
    if !cmd::present("apt-get") {
        return Err(Error::Unsuitable {
            what: format!("programs of these Debian packages are missing: {}", missing.join(", ")),
            next: "this machine has no apt-get, install them by other means".into(),
        });
    }
    progress.say("packages", &format!("installing {}", missing.join(" ")));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        cmd::output("install Debian packages", command)
    };
    apt(&["update", "-q"])?;
    let words = ["install", "-y", "-q", "--no-install-recommends"];
    apt(&[&words[..], missing].concat())?;
    Ok(())
}
