//! A controller as a process: killed, stopped, continued, and started again when it ends, as an init does.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::task::JoinHandle;
use yunting_faults::proxy::Crash;

/// How often a keeper looks whether its process has ended.
const LOOK: Duration = Duration::from_millis(100);

/// A kept process. It ends with its value.
pub struct Process {
    inner: Arc<Inner>,
    keeper: JoinHandle<()>,
}

struct Inner {
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Mutex<Option<Child>>,
    wanted: AtomicBool,
    starts: AtomicU64,
}

impl Inner {
    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        self.starts.fetch_add(1, Ordering::Relaxed);
        // A test that is killed takes its processes along.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.program).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().with_context(|| format!("cannot start {}", self.program.display()))
    }

    fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it if it is to run and does not.
    fn keep(&self) {
        let mut child = self.child();
        if child.as_mut().is_some_and(|c| !matches!(c.try_wait(), Ok(None))) {
            *child = None;
        }
        if child.is_none() && self.wanted.load(Ordering::Relaxed) {
            *child = self.spawn().ok();
        }
    }
}

impl Process {
    /// Starts it and keeps it running.
    pub fn start(program: &Path, arguments: Vec<String>, log: PathBuf) -> Self {
        let inner = Arc::new(Inner {
            program: program.to_owned(),
            arguments,
            log,
            child: Mutex::default(),
            wanted: AtomicBool::new(true),
            starts: AtomicU64::new(0),
        });
        let kept = inner.clone();
        let keeper = tokio::spawn(async move {
            let mut tick = tokio::time::interval(LOOK);
            loop {
                tick.tick().await;
                kept.keep();
            }
        });
        Self { inner, keeper }
    }

    /// Kills it and lets it be started anew.
    pub fn crash(&self) -> Crash {
        let inner = self.inner.clone();
        Arc::new(move || {
            let inner = inner.clone();
            Box::pin(async move {
                let _ = tokio::task::spawn_blocking(move || {
                    inner.kill();
                    inner.keep();
                })
                .await;
            })
        })
    }

    /// Kills it and keeps it away.
    pub fn away(&self) {
        self.inner.wanted.store(false, Ordering::Relaxed);
        self.inner.kill();
    }

    /// Lets it run again.
    pub fn back(&self) {
        self.inner.wanted.store(true, Ordering::Relaxed);
    }

    /// Stops it in mid-step; all of its threads have stopped when this comes back.
    pub fn freeze(&self) -> anyhow::Result<()> {
        let id = self.signal(Signal::STOP)?;
        waitpid(Some(id), WaitOptions::UNTRACED)?;
        Ok(())
    }

    /// Lets it go on.
    pub fn go_on(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT).map(drop)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<Pid> {
        let child = self.inner.child();
        let id = child.as_ref().map(Child::id).and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let id = id.context("the process does not run")?;
        kill_process(id, signal)?;
        Ok(id)
    }

    /// How often it was started.
    pub fn starts(&self) -> u64 {
        self.inner.starts.load(Ordering::Relaxed)
    }

    /// The end of its log.
    pub fn tail(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(&self.inner.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// The last line of its log that says that.
    pub fn line(&self, text: &str) -> Option<String> {
        let all = std::fs::read_to_string(&self.inner.log).unwrap_or_default();
        all.lines().rfind(|line| line.contains(text)).map(str::to_owned)
    }

    /// Whether its log says that.
    pub fn said(&self, text: &str) -> bool {
        std::fs::read_to_string(&self.inner.log).unwrap_or_default().contains(text)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.keeper.abort();
        self.away();
    }
}
