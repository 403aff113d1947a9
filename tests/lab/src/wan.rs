//! The WAN: a bridge in a namespace of its own and one cable to each site.
//!
//! A whole cut takes the cable down, so the site loses its carrier as it would outside. A cut between two sites, or
//! in one direction only, is a rule on the bridge. Names of namespaces are the only thing the host sees.

use std::fmt::Write;
use std::process::Command;

use crate::cmd;
use crate::error::Result;
use crate::spec::{Lab, Site, WAN_GATEWAY};

/// The WAN itself.
pub(crate) const BRIDGE: &str = "br0";
const TABLE: &str = "yunting_cuts";

/// Makes the namespaces, the bridge and the cables; what exists is left alone.
pub fn ensure(lab: &Lab) -> Result<()> {
    let wan = lab.wan_netns();
    if ensure_netns(&wan)? {
        ip(&wan, "make the WAN's bridge", &["link", "add", BRIDGE, "type", "bridge"])?;
        ip(&wan, "address the WAN", &["addr", "add", &format!("{WAN_GATEWAY}/24"), "dev", BRIDGE])?;
        ip(&wan, "start the WAN's bridge", &["link", "set", BRIDGE, "up"])?;
        ip(&wan, "start the WAN's loopback", &["link", "set", "lo", "up"])?;
    }
    lab.sites.iter().try_for_each(|site| ensure_site(lab, site))
}

fn ensure_site(lab: &Lab, site: &Site) -> Result<()> {
    let (wan, own, port) = (lab.wan_netns(), lab.site_netns(site), site.wan_port());
    if !ensure_netns(&own)? {
        return Ok(());
    }
    let doing = format!("connect {} to the WAN", site.name);
    let peer = ["peer", "name", "eth0", "netns", &own];
    ip(&wan, &doing, &[&["link", "add", &port, "type", "veth"], &peer[..]].concat())?;
    ip(&wan, &doing, &["link", "set", &port, "master", BRIDGE, "up"])?;
    ip(&own, &doing, &["addr", "add", &format!("{}/24", site.address()), "dev", "eth0"])?;
    ip(&own, &doing, &["link", "set", "lo", "up"])?;
    ip(&own, &doing, &["link", "set", "eth0", "up"])?;
    routes(lab, site)?;
    let forwarding = ["-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0"];
    inside(&own, &doing, "sysctl", &forwarding).map(drop)
}

/// The site's routes: the default one, without which service addresses go nowhere, and the other sites' pods, in the clear and less
/// preferred than a tunnel's: only the nodes' boundary keeps packets from them.
fn routes(lab: &Lab, site: &Site) -> Result<()> {
    let (own, doing) = (lab.site_netns(site), format!("set the routes of {}", site.name));
    let gateway = WAN_GATEWAY.to_string();
    ip(&own, &doing, &["route", "replace", "default", "via", &gateway, "dev", "eth0"])?;
    for other in lab.sites.iter().filter(|other| other.index != site.index) {
        let via = other.address().to_string();
        ip(&own, &doing, &["route", "replace", &other.pods(), "via", &via, "dev", "eth0", "metric", "1000"])?;
    }
    Ok(())
}

/// What a site's kernel forgets when its power fails: rules, and every link but the cable. A pod's namespace may live on for
/// minutes, as long as a connection of it wants to say that it ends; with its link the site would still have its address.
pub(crate) fn forget(lab: &Lab, site: &Site) -> Result<()> {
    let (own, doing) = (lab.site_netns(site), format!("have the kernel of {} forget", site.name));
    inside(&own, &doing, "nft", &["flush", "ruleset"])?;
    let all = cmd::run(&doing, "ip", ["-n", &own, "-o", "link", "show"])?;
    let names = all.lines().filter_map(|line| line.split(": ").nth(1)?.split('@').next());
    for link in names.filter(|name| !matches!(*name, "lo" | "eth0")) {
        if let Err(error) = ip(&own, &doing, &["link", "delete", link]) {
            // Gone with its other end meanwhile.
            let shown = cmd::run(&doing, "ip", ["-n", &own, "-o", "link", "show"])?;
            if shown.contains(&format!(": {link}@")) || shown.contains(&format!(": {link}:")) {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// How two sites are to be parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Nothing passes.
    Both,
    /// What the first site sends does not arrive; what the other sends does.
    OneWay,
}

/// Takes a site off the WAN.
pub fn cut(lab: &Lab, site: &Site) -> Result<()> {
    ip(&lab.wan_netns(), &format!("cut {}", site.name), &["link", "set", &site.wan_port(), "down"])
}

/// Drops everything `site` sends to the WAN, or to `other` only, and with [`Direction::Both`] the answers as well.
pub fn part(lab: &Lab, site: &Site, other: Option<&Site>, direction: Direction) -> Result<()> {
    let mut rules = format!(
        "add table bridge {TABLE}\n\
         add chain bridge {TABLE} forward {{ type filter hook forward priority 0; policy accept; }}\n\
         add chain bridge {TABLE} input {{ type filter hook input priority 0; policy accept; }}\n"
    );
    let ports = |site: &Site| format!("{{ {}, {} }}", site.wan_port(), site.relay_port());
    let mut drop = |from: &Site, to: Option<&Site>| {
        let to_port = to.map(|to| format!(" oifname {}", ports(to))).unwrap_or_default();
        let to_name = to.map_or("*", |to| to.name.as_str());
        let rule = format!("iifname {}{to_port} drop comment \"{} to {to_name}\"", ports(from), from.name);
        for chain in if to.is_some() { &["forward"][..] } else { &["forward", "input"] } {
            let _ = writeln!(rules, "add rule bridge {TABLE} {chain} {rule}");
        }
    };
    drop(site, other);
    if let (Direction::Both, Some(other)) = (direction, other) {
        drop(other, Some(site));
    }
    let mut nft = Command::new("nsenter");
    nft.arg(net(&lab.wan_netns())).args(["nft", "-f", "-"]);
    cmd::feed(&format!("part {}", site.name), nft, &rules).map(|_| ())
}

/// Undoes every cut of a site, or all cuts.
pub fn heal(lab: &Lab, site: Option<&Site>) -> Result<()> {
    let wan = lab.wan_netns();
    // Rules are not kept apart by site: a cut between two sites belongs to both. Healing one site heals them all.
    inside(&wan, "remove the cuts", "nft", &["add", "table", "bridge", TABLE])?;
    inside(&wan, "remove the cuts", "nft", &["delete", "table", "bridge", TABLE])?;
    for site in lab.sites.iter().filter(|s| site.is_none_or(|only| only == *s)) {
        ip(&wan, &format!("heal {}", site.name), &["link", "set", &site.wan_port(), "up"])?;
        routes(lab, site)?;
    }
    Ok(())
}

/// What is cut at the moment, for `status`.
pub fn cuts(lab: &Lab, site: &Site) -> Result<Vec<String>> {
    let wan = lab.wan_netns();
    let link = inside(&wan, "look at the WAN", "ip", &["-o", "link", "show", "dev", &site.wan_port()])?;
    let mut found = Vec::new();
    if link.contains("state DOWN") {
        found.push("cut".to_owned());
    }
    let rules = inside(&wan, "look at the cuts", "nft", &["list", "ruleset"])?;
    let comment = format!("comment \"{} to ", site.name);
    for to in rules.lines().filter_map(|line| line.split_once(&comment)?.1.split('"').next()) {
        found.push(if to == "*" { "sends nothing".into() } else { format!("not to {to}") });
    }
    found.dedup();
    Ok(found)
}

/// Removes every namespace of the lab, and with them cables and rules.
pub fn remove(lab: &Lab) -> Result<()> {
    let names = lab.sites.iter().map(|site| lab.site_netns(site)).chain([lab.wan_netns()]);
    for name in names.filter(|name| Lab::netns_file(name).exists()) {
        cmd::run(&format!("remove the namespace {name}"), "ip", ["netns", "del", &name])?;
    }
    Ok(())
}

/// Makes a namespace; `true` when it is new.
fn ensure_netns(name: &str) -> Result<bool> {
    if Lab::netns_file(name).exists() {
        return Ok(false);
    }
    cmd::run(&format!("make the namespace {name}"), "ip", ["netns", "add", name]).map(|_| true)
}

fn ip(netns: &str, doing: &str, args: &[&str]) -> Result<()> {
    cmd::run(doing, "ip", [&["-n", netns], args].concat()).map(drop)
}

/// `nsenter` and not `ip netns exec`, which would hide the control groups under a fresh `/sys`.
fn inside(netns: &str, doing: &str, program: &str, args: &[&str]) -> Result<String> {
    let net = net(netns);
    cmd::run(doing, "nsenter", [&[net.as_str(), program], args].concat())
}

fn net(netns: &str) -> String {
    format!("--net={}", Lab::netns_file(netns).display())
}
