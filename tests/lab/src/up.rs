//! `up` and `down`: from nothing to sites whose nodes are Ready, and back.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::runtime::wait::{Condition, await_condition};

use crate::client;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::site::control::{self, Request};
use crate::site::process::Phase;
use crate::spec::{Lab, Site};
use crate::state::{self, State, Volumes};
use crate::stock::{self, Stock};
use crate::{
    addons, binaries, cgroup, daemon, forward, hygiene, install, kubeconfig, limits, packages, pki, power,
    relay, wan,
};

/// How long a site may take from power to Ready. Three sites on two loaded cores need about 60 s.
const SITE_READY: Duration = Duration::from_mins(5);
/// How often a process may end before it counts as broken.
const TRIES: u32 = 8;

/// What `up` is told besides the lab.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The clusters only.
    pub bare: bool,
    /// The binary of the demo workload.
    pub hall: PathBuf,
    /// The binary of our controllers.
    pub controller: PathBuf,
}

/// Starts a lab. What exists is kept, so a second call finishes what a first one began and brings what is newer.
pub async fn run(lab: &Lab, options: &Options, progress: &Progress) -> Result<()> {
    packages::ensure(progress)?;
    let _lock = state::lock(lab)?;
    limits::raise(lab, progress)?;
    let (stock, newer) = foundation(lab, options, progress)?;
    let state = power_and_wait(lab, &stock, progress).await?;
    if options.bare {
        return Ok(());
    }
    install::run(lab, &state, progress).await?;
    if newer {
        install::restart(lab, &state)?;
    }
    install::controllers(lab, &state, true)?;
    let since = Instant::now();
    let ready = lab.sites.iter().map(|site| processes_ready(lab, site, Which::All, progress, since));
    futures::future::try_join_all(ready).await?;
    progress.done("lab", "controllers ready", since);
    Ok(())
}

/// What lies on the host: programs, images, keys, the WAN, the forwards.
fn foundation(lab: &Lab, options: &Options, progress: &Progress) -> Result<(Stock, bool)> {
    binaries::ensure(&lab.dir.join("bin"), progress)?;
    let own = std::env::current_exe().map_err(Error::io("find the program", "/proc/self/exe"))?;
    let running = lab.sites.iter().any(|site| power::is_on(lab, site));
    if binaries::adopt(&own, &lab.own_program())? && running {
        let what = "this program is newer than the running sites; `poweroff` and `poweron` renew a site";
        progress.say("lab", what);
    }
    let newer = !options.bare && binaries::adopt(&options.controller, &lab.program("yunting-controller"))?;
    let since = Instant::now();
    let stock = stock::ensure(lab, &options.hall, progress)?;
    progress.done("images", "images", since);
    let since = Instant::now();
    let state = State::read(lab)?.unwrap_or_default();
    // What a site's pods were started with, they have until it boots anew.
    let fresh = !options.bare && !running;
    let boundary = state.boundary || fresh;
    let volumes = if fresh { Volumes::Driver } else { state.volumes };
    State { sites: lab.sites.len(), boundary, volumes, ..state }.write(lab)?;
    pki::ensure(lab)?;
    wan::ensure(lab)?;
    let ports = forward::ensure(lab)?;
    kubeconfig::write_people(lab, &ports)?;
    progress.done("lab", "keys, certificates, WAN and forwards", since);
    Ok((stock, newer))
}

async fn power_and_wait(lab: &Lab, stock: &Stock, progress: &Progress) -> Result<State> {
    let since = Instant::now();
    for site in &lab.sites {
        if power::is_on(lab, site) {
            stock::import(lab, site)?;
        }
        power::on(lab, site)?;
        progress.say(&site.name, "has power");
    }
    let state = State::read(lab)?.unwrap_or_default();
    let ready = lab.sites.iter().map(|site| async {
        site_ready(lab, site, progress, since).await?;
        if state.boundary {
            install::site(lab, &state, stock, site).await?;
        }
        addons::ensure(lab, &state, stock, site).await?;
        addons::start(lab, &state, site)?;
        processes_ready(lab, site, Which::All, progress, since).await?;
        progress.done(&site.name, "cluster DNS, gateway and volumes ready", since);
        Ok(())
    });
    futures::future::try_join_all(ready).await?;
    progress.done("lab", "all sites ready", since);
    let state = State { addons: true, ..state };
    state.write(lab)?;
    Ok(state)
}

/// Waits until a site's own processes are ready and its node is.
///
/// A site that was given power by this command must say so anew. The hub's processes are not waited for: while only
/// one of three sites has power there is no hub.
pub async fn site_ready(lab: &Lab, site: &Site, progress: &Progress, since: Instant) -> Result<()> {
    let heard_after = power::since(lab, site);
    processes_ready(lab, site, Which::Own, progress, since).await?;
    let client = client::site(lab, site).await?;
    let nodes: Api<Node> = Api::all(client);
    let node = site.node();
    let ready = await_condition(nodes, &node, node_ready(heard_after));
    let waited = tokio::time::timeout(SITE_READY, ready).await;
    waited.map_err(|_| late(lab, site, "its node to be Ready", "NotReady".into()))?.map(drop).map_err(
        |e| Error::Malformed { what: format!("the watch on the node of {}", site.name), why: e.to_string() },
    )?;
    progress.done(&site.name, "node Ready", since);
    Ok(())
}

/// Which processes are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// The site's own cluster.
    Own,
    /// With the hub, the authority's etcd and our own.
    All,
}

impl Which {
    fn wants(self, name: &str) -> bool {
        let needs_others =
            ["hub-", "authority-", "site-controller"].iter().any(|prefix| name.starts_with(prefix));
        self == Self::All || !needs_others
    }
}

/// Waits for the processes alone.
async fn processes_ready(
    lab: &Lab,
    site: &Site,
    which: Which,
    progress: &Progress,
    since: Instant,
) -> Result<()> {
    let dir = lab.site_dir(site);
    loop {
        let last = match control::ask(&dir, &Request::Status) {
            Err(_) if !power::is_on(lab, site) => {
                let next = format!("read {}", dir.log("site").display());
                return Err(Error::Unsuitable {
                    what: format!("{} ended right after its start", site.name),
                    next,
                });
            }
            Err(e) => e.to_string(),
            Ok(answer) => {
                let wanted = answer
                    .processes
                    .iter()
                    .filter(|(name, c)| which.wants(name) && c.phase != Phase::Stopped);
                let (ready, open): (Vec<_>, Vec<_>) = wanted.partition(|(_, c)| c.phase == Phase::Ready);
                for (name, _) in &ready {
                    progress.ready(&site.name, name, since);
                }
                if open.is_empty() && !ready.is_empty() {
                    return Ok(());
                }
                hopeless(lab, site, &open)?;
                open.iter().map(|(name, c)| format!("{name} {:?}", c.phase)).collect::<Vec<_>>().join(", ")
            }
        };
        if since.elapsed() > SITE_READY {
            return Err(late(lab, site, "its processes to be ready", last));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A process that ends again and again won't become ready by waiting.
fn hopeless(lab: &Lab, site: &Site, open: &[(&String, &control::Condition)]) -> Result<()> {
    let Some((name, condition)) = open.iter().find(|(_, c)| c.phase == Phase::Failed && c.restarts >= TRIES)
    else {
        return Ok(());
    };
    let log = std::fs::read_to_string(lab.site_dir(site).log(name)).unwrap_or_default();
    Err(Error::Command {
        doing: format!("keep {name} of {} running", site.name),
        program: (*name).clone(),
        status: format!("an end of its own, {} times", condition.restarts),
        stderr: log,
    })
}

fn late(lab: &Lab, site: &Site, what: &str, last: String) -> Error {
    let logs = lab.site_dir(site).log("*");
    Error::Timeout {
        what: format!("{what} at {}", site.name),
        after: SITE_READY,
        last,
        next: format!("read {}", logs.display()),
    }
}

/// Ready, and said so after `since`: the API server still has the answer from before a power cut.
fn node_ready(since: Timestamp) -> impl Condition<Node> {
    move |node: Option<&Node>| {
        let conditions = node.and_then(|node| node.status.as_ref()?.conditions.as_ref());
        let fresh = |beat: &Option<Time>| beat.as_ref().is_some_and(|beat| beat.0 >= since);
        let ready = |all: &Vec<NodeCondition>| {
            all.iter().any(|c| c.type_ == "Ready" && c.status == "True" && fresh(&c.last_heartbeat_time))
        };
        conditions.is_some_and(ready)
    }
}

/// Ends a lab, whatever state it is in, and proves that nothing is left.
pub fn down(name: &str, progress: &Progress) -> Result<()> {
    // All three: a lab that never got as far as its state file may still have namespaces.
    let lab = Lab::new(name, crate::spec::SITES.len())?;
    let since = Instant::now();
    daemon::kill(&forward::pid_file(&lab))?;
    lab.sites.iter().try_for_each(|site| relay::stop(&lab, site))?;
    for site in &lab.sites {
        power::kill(&lab, site)?;
        progress.say(&site.name, "no process left");
    }
    wan::remove(&lab)?;
    cgroup::remove(&lab.name)?;
    hygiene::remove_state(&lab)?;
    limits::restore(&lab)?;
    let left = hygiene::leftovers(name);
    if !left.is_empty() {
        let next = "end or remove it by hand, then run `down` again".into();
        return Err(Error::Unsuitable { what: format!("the lab left behind: {}", left.join("; ")), next });
    }
    progress.done("lab", "nothing left", since);
    Ok(())
}
