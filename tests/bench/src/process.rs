//! A program under measurement: started with its output in a file, ended with its value; its processor time and
//! memory as the kernel counts them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// Ticks of processor time per second in `/proc`; the same on every Linux that this runs on.
const TICKS: f64 = 100.0;

/// A running program.
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it; it ends with this process, too.
    pub fn start(program: &Path, arguments: &[String], log: PathBuf) -> anyhow::Result<Self> {
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, log })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of what it wrote.
    pub fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Asks it to end and waits until it has.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let id = self.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().context("cannot run kill")?;
        self.child.wait().context("cannot wait for a program's end")?;
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds of processor time a process has used; none where it has ended.
pub fn cpu_seconds(id: u32) -> Option<f64> {
    parse_cpu(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// Fields 14 and 15, counted after the command, which may hold spaces.
fn parse_cpu(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}

/// Memory of a process in MiB: now, and at its highest.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Memory {
    /// Resident now.
    pub now: f64,
    /// Resident at its highest.
    pub high: f64,
}

/// Memory of a process; none where it has ended.
pub fn memory(id: u32) -> Option<Memory> {
    parse_memory(&fs::read_to_string(format!("/proc/{id}/status")).ok()?)
}

fn parse_memory(status: &str) -> Option<Memory> {
    let mib = |field: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(field))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
    };
    Some(Memory { now: mib("VmRSS:")?, high: mib("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_spaces_and_brackets_hides_no_field() {
        let stat = "42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20";
        assert_eq!(parse_cpu(stat), Some(2.0));
        assert_eq!(parse_cpu("gone"), None);
    }

    #[test]
    fn memory_is_read_in_mebibytes() {
        let status = "Name:\tx\nVmHWM:\t    4096 kB\nVmRSS:\t    2048 kB\n";
        assert_eq!(parse_memory(status), Some(Memory { now: 2.0, high: 4.0 }));
        assert_eq!(parse_memory("Name:\tkthread\n"), None);
    }
}
