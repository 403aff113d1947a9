//! Switching sites on and off.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::cgroup;
use crate::daemon;
use crate::disk;
use crate::error::{Error, Result};
use crate::hygiene;
use crate::spec::{Lab, Site};
use crate::wan;

/// Starts a site's process tree unless it runs.
///
/// `unshare` gives it mounts, host name and processes of its own; with `--kill-child` the end of the one process
/// that is remembered here is the end of all.
pub fn on(lab: &Lab, site: &Site) -> Result<()> {
    let dir = lab.site_dir(site);
    if daemon::alive(&dir.pid_file()).is_some() {
        return Ok(());
    }
    disk::ensure(&dir)?;
    let own = lab.own_program();
    let net = format!("--net={}", Lab::netns_file(&lab.site_netns(site)).display());
    let own = own.to_string_lossy();
    let words =
        ["nsenter", &net, "unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let init = [own.as_ref(), "--name", &lab.name, "site-init", &site.name];
    daemon::start(&dir.pid_file(), &dir.log("site"), words.into_iter().chain(init)).map(drop)
}

/// Whether a site has power.
pub fn is_on(lab: &Lab, site: &Site) -> bool {
    daemon::alive(&lab.site_dir(site).pid_file()).is_some()
}

/// When a site got power: whole seconds, as Kubernetes writes times.
pub fn since(lab: &Lab, site: &Site) -> Timestamp {
    let written = std::fs::metadata(lab.site_dir(site).pid_file()).and_then(|file| file.modified()).ok();
    let time = written.and_then(|time| Timestamp::try_from(time).ok()).unwrap_or(Timestamp::UNIX_EPOCH);
    Timestamp::from_second(time.as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Cuts a site's power: first its disk, so that nothing unsynced survives, then every process at once.
pub fn off(lab: &Lab, site: &Site) -> Result<()> {
    let dir = lab.site_dir(site);
    if let Some(pid) = daemon::alive(&dir.pid_file()) {
        if let Some(init) = daemon::children(pid).first() {
            disk::power_off(&dir, *init)?;
        }
        kill(lab, site)?;
        wan::forget(lab, site)?;
    }
    Ok(())
}

/// Ends a site's process tree without touching its disk, and waits until nothing of it is left.
pub fn kill(lab: &Lab, site: &Site) -> Result<()> {
    let dir = lab.site_dir(site);
    daemon::kill(&dir.pid_file())?;
    let netns = lab.site_netns(site);
    daemon::wait_until(
        &format!("the processes of {} to be gone", site.name),
        Duration::from_secs(20),
        || {
            let left = hygiene::processes_in(&netns);
            if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
        },
    )?;
    let image = dir.disk_image();
    daemon::wait_until(&format!("the disk of {} to be free", site.name), Duration::from_secs(20), || {
        if loop_devices(&image) { Err("a loop device still uses it".into()) } else { Ok(()) }
    })?;
    cgroup::remove(&lab.cgroup(site))
}

/// The first process of a running site, as the host sees it.
pub fn first_process(lab: &Lab, site: &Site) -> Result<u32> {
    let pid = daemon::alive(&lab.site_dir(site).pid_file());
    pid.and_then(|pid| daemon::children(pid).first().copied()).ok_or_else(|| Error::Unsuitable {
        what: format!("{} has no power", site.name),
        next: format!("switch it on with `yunting-lab poweron {}`", site.name),
    })
}

/// Whether a loop device is backed by that file.
fn loop_devices(image: &Path) -> bool {
    hygiene::loop_files().iter().any(|file| Path::new(file) == image)
}
