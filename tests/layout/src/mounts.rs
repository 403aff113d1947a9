//! Loop devices, mounts and helpers' processes that go away with the value that holds them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::command::{command, run};

/// A loop device over a file.
pub struct Loop(PathBuf);

impl Loop {
    /// Attaches `file` with sectors of 4,096 bytes, past the page cache if `direct`.
    pub fn attach(file: &Path, direct: bool) -> anyhow::Result<Self> {
        let direct = format!("--direct-io={}", if direct { "on" } else { "off" });
        let mut losetup = command("losetup", ["--find", "--show", "--sector-size=4096", &direct]);
        run(losetup.arg(file)).map(|device| Self(PathBuf::from(device)))
    }

    /// Its device.
    pub fn device(&self) -> &Path {
        &self.0
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let backing = Path::new("/sys/class/block").join(self.0.file_name().unwrap_or_default()).join("loop");
        // Nobody to tell: what stays attached is seen in the list of loop devices.
        let _ = run(command("losetup", ["--detach"]).arg(&self.0));
        // It lets go of its file only when the last who has it open does.
        let _ = until(|| !backing.exists());
    }
}

/// Looks again and again for a few seconds; whether it came to be.
fn until(mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if done() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20)); // between two looks
    }
}

/// A mounted file system.
pub struct Mount(PathBuf);

impl Mount {
    /// `mount -o options device at`; `at` is made.
    pub fn new(device: &Path, at: &Path, options: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(at)?;
        run(command("mount", ["-o", options]).arg(device).arg(at))?;
        Ok(Self(at.to_owned()))
    }

    /// Takes care of one that a helper has mounted.
    pub fn adopt(at: &Path) -> Self {
        Self(at.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // The last of a server's processes may not be gone yet.
        if !until(|| run(&mut command("umount", [&self.0])).is_ok()) {
            let _ = run(command("umount", ["--lazy"]).arg(&self.0));
        }
    }
}

/// A helper's process, ended and waited for.
pub struct Process(Child);

impl Process {
    /// Starts it.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let shown = format!("{command:?}");
        command.spawn().map(Self).with_context(|| format!("cannot start {shown}"))
    }

    /// Asks it to end with `signal` and waits.
    pub fn end(&mut self, signal: rustix::process::Signal) {
        if let Ok(pid) = i32::try_from(self.0.id())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
            && matches!(self.0.try_wait(), Ok(None))
        {
            let _ = rustix::process::kill_process(pid, signal);
        }
        let _ = self.0.wait();
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(rustix::process::Signal::TERM);
    }
}
