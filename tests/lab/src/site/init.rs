//! The first process of a site. It starts the supervisor and reaps orphans; its end is the end of the site.

use std::process::Command;

use rustix::process::{WaitOptions, wait};

use crate::cgroup;
use crate::error::{Error, Result};
use crate::state;

/// Runs until the supervisor ends. Returns what the supervisor ended with.
///
/// Containers leave orphans behind that only PID 1 can reap. The supervisor waits for its own children by number, so
/// the two are separate processes: one `wait` for everything would take results away from the other.
pub fn run(lab: &str, site: &str) -> Result<i32> {
    let (lab_spec, _) = state::open(lab)?;
    cgroup::enter(&format!("{}/system", lab_spec.cgroup(lab_spec.site(site)?)))?;
    let own = std::env::current_exe().map_err(Error::io("find the program", "/proc/self/exe"))?;
    let child = Command::new(&own).args(["--name", lab, "site-run", site]).spawn();
    let child = child.map_err(Error::io("start the supervisor", &own))?;
    let supervisor = i32::try_from(child.id()).unwrap_or(-1);
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == supervisor => {
                return Ok(status.exit_status().unwrap_or(1));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Error::io("wait for processes of", "the site")(e.into())),
        }
    }
}
