//! What a site does when it gets power: mounts, configuration, then every process.

use std::fs;
use std::path::Path;

use super::process::{Plan, Process};
use super::{apiserver, etcd, node, parts, sidecars, supervisor};
use crate::cmd;
use crate::disk;
use crate::error::{Error, Result};
use crate::state::{self, State};
use crate::stock::Stock;

/// Runs a site until it is killed. Called inside the site's namespaces.
pub async fn run(lab: &str, site: &str) -> Result<()> {
    let (lab, state) = state::open(lab)?;
    let site = lab.site(site)?.clone();
    let dir = lab.site_dir(&site);
    let plan = Plan { lab, site, dir };
    mounts(&plan)?;
    forget_rules(&plan)?;
    apiserver::write_config(&plan)?;
    node::write_config(&plan, state.boundary)?;
    let stock = Stock::read(&plan.lab)?;
    parts::write_config(&plan, &stock)?;
    supervisor::run(&plan, processes(&plan, &state, &stock)).await
}

/// Every process of a site.
pub fn processes(plan: &Plan, state: &State, stock: &Stock) -> Vec<Process> {
    [
        etcd::processes(plan),
        apiserver::processes(plan),
        node::processes(plan),
        parts::processes(plan, state, stock),
        sidecars::processes(plan, state),
    ]
    .concat()
}

/// The network namespace outlives the site, for its cable; a machine that boots has no rules and no connections.
fn forget_rules(plan: &Plan) -> Result<()> {
    let doing = format!("forget the kernel rules {} had before", plan.site.name);
    cmd::run(&doing, "nft", ["flush", "ruleset"])?;
    cmd::run(&doing, "conntrack", ["-F"]).map(drop)
}

/// A fresh `/run`, as after a boot: it also hides the host's network namespaces and sockets. Containers need mounts
/// to be shared downwards.
fn mounts(plan: &Plan) -> Result<()> {
    rustix::system::sethostname(plan.site.node().as_bytes())
        .map_err(|e| Error::io("set the host name of", plan.site.node())(e.into()))?;
    cmd::run("give the site its own /run", "mount", ["-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run"])?;
    for place in ["/run/netns", "/run/lock", "/run/containerd"] {
        fs::create_dir_all(place).map_err(Error::io("make", place))?;
    }
    cmd::run("share the site's mounts downwards", "mount", ["--make-rshared", "/"])?;
    disk::mount(&plan.dir)?;
    let logs = plan.dir.0.join("logs");
    let places = [logs.as_path(), Path::new("/run/cni-ipam")];
    places.into_iter().try_for_each(|place| fs::create_dir_all(place).map_err(Error::io("make", place)))
}
