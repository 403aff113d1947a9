//! Processes that outlive the command that started them: each is known by its number and its start time.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, Result};

/// Starts a program in a session of its own and remembers it in `pid_file`.
pub fn start<S: AsRef<OsStr>>(
    pid_file: &Path,
    log: &Path,
    words: impl IntoIterator<Item = S>,
) -> Result<u32> {
    for file in [pid_file, log] {
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).map_err(Error::io("make", parent))?;
        }
    }
    let out = OpenOptions::new().create(true).append(true).open(log).map_err(Error::io("open", log))?;
    let err = out.try_clone().map_err(Error::io("open", log))?;
    let mut command = Command::new("setsid");
    command.args(words).stdin(Stdio::null()).stdout(out).stderr(err).current_dir("/");
    let child = command.spawn().map_err(Error::io("start setsid for", pid_file))?;
    let pid = child.id();
    let started = start_time(pid).unwrap_or_default();
    fs::write(pid_file, format!("{pid} {started}\n")).map_err(Error::io("write", pid_file))?;
    Ok(pid)
}

/// The process remembered in `pid_file`, when it still runs. A number given to another process doesn't count.
pub fn alive(pid_file: &Path) -> Option<u32> {
    let text = fs::read_to_string(pid_file).ok()?;
    let (pid, started) = text.trim().split_once(' ')?;
    let pid = pid.parse().ok()?;
    (start_time(pid)?.to_string() == started).then_some(pid)
}

/// Kills the process remembered in `pid_file` and waits until it is gone.
pub fn kill(pid_file: &Path) -> Result<()> {
    let Some(pid) = alive(pid_file) else { return Ok(()) };
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended in between.
        let _ = kill_process(pid, Signal::KILL);
    }
    let after = Duration::from_secs(20);
    wait_until("a killed process to be gone", after, || match alive(pid_file) {
        None => Ok(()),
        Some(pid) => Err(format!("process {pid} is still there")),
    })
}

/// Looks until `condition` holds; its error is what was seen last.
pub fn wait_until(what: &str, after: Duration, condition: impl Fn() -> Result<(), String>) -> Result<()> {
    let since = Instant::now();
    while let Err(last) = condition() {
        if since.elapsed() > after {
            let next = "look into the lab's logs".into();
            return Err(Error::Timeout { what: what.into(), after, last, next });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// When a process started, in clock ticks since the boot; nothing for one that is gone or a zombie.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold blanks.
    let mut rest = stat.rsplit_once(") ")?.1.split(' ');
    let state = rest.next()?;
    if state == "Z" { None } else { rest.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_number_and_start_time() {
        let dir = tempfile::tempdir().unwrap();
        let (file, log) = (dir.path().join("pid"), dir.path().join("log"));
        let pid = start(&file, &log, ["sleep", "100"]).unwrap();
        assert_eq!(alive(&file), Some(pid));
        fs::write(&file, format!("{pid} 1\n")).unwrap();
        assert_eq!(alive(&file), None, "another start time is another process");
        fs::write(&file, format!("{pid} {}\n", start_time(pid).unwrap())).unwrap();
        kill(&file).unwrap();
        assert_eq!(alive(&file), None);
    }
}
