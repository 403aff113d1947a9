//! Runs the processes of a site: each in a task of its own that waits, starts, watches and starts again.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::control::{Answer, Request};
use super::health;
use super::process::{Condition, Phase, Plan, Process};
use crate::error::{Error, Result};

/// Between two looks at a process that isn't ready yet.
const LOOK: Duration = Duration::from_millis(100);
/// A process that ends by itself is started again after this long, doubled each time up to the maximum.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));
/// How long a process may take to end when told.
const GRACE: Duration = Duration::from_secs(10);

type Conditions = watch::Sender<BTreeMap<&'static str, Condition>>;

/// The running site.
struct Site {
    dir: crate::spec::SiteDir,
    conditions: Conditions,
    wanted: BTreeMap<&'static str, watch::Sender<bool>>,
}

/// Starts everything and answers on the control socket until the site is killed.
pub async fn run(plan: &Plan, processes: Vec<Process>) -> Result<()> {
    let path = plan.dir.control();
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(Error::io("listen at", &path))?;
    let conditions = processes.iter().map(|p| (p.name, Condition::default())).collect();
    let wanted = processes.iter().map(|p| (p.name, watch::Sender::new(p.enabled))).collect();
    let site = Arc::new(Site { dir: plan.dir.clone(), conditions: watch::Sender::new(conditions), wanted });
    for process in processes {
        tokio::spawn(Arc::clone(&site).supervise(process));
    }
    loop {
        let (stream, _) = listener.accept().await.map_err(Error::io("accept at", &path))?;
        tokio::spawn(Arc::clone(&site).answer(stream));
    }
}

impl Site {
    /// The life of one process: it ends with the site only.
    async fn supervise(self: Arc<Self>, process: Process) {
        let Some(wanted) = self.wanted.get(process.name) else { return };
        let mut wanted = wanted.subscribe();
        let mut backoff = BACKOFF.0;
        loop {
            if wanted.wait_for(|run| *run).await.is_err() {
                return;
            }
            self.set(process.name, Phase::Waiting, 0);
            self.others_ready(&process).await;
            let was_ready = match self.run_once(&process, &mut wanted).await {
                Ok(was_ready) => was_ready,
                Err(e) => {
                    tracing::error!(process = process.name, error = %e, "could not be started");
                    false
                }
            };
            if !*wanted.borrow() {
                self.set(process.name, Phase::Stopped, 0);
                continue;
            }
            self.failed(process.name);
            backoff = if was_ready { BACKOFF.0 } else { (backoff * 2).min(BACKOFF.1) };
            sleep(backoff).await;
        }
    }

    /// Starts a process and stays with it until it ended or was told to. Whether it ever was ready.
    async fn run_once(&self, process: &Process, wanted: &mut watch::Receiver<bool>) -> Result<bool> {
        let prepare = process.prepare.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare.run());
        prepared.await.map_err(Error::malformed("the task that prepares a start"))??;
        let mut child = self.start(process)?;
        let pid = child.id().unwrap_or_default();
        self.set(process.name, Phase::Starting, pid);
        let mut was_ready = false;
        let ended = tokio::select! {
            ended = self.watch(process, pid, &mut child, &mut was_ready) => Some(ended),
            _ = wanted.wait_for(|run| !*run) => None,
        };
        match ended {
            Some(status) => tracing::warn!(process = process.name, ?status, "ended by itself"),
            None => stop(&mut child, pid).await,
        }
        Ok(was_ready)
    }

    async fn watch(
        &self,
        process: &Process,
        pid: u32,
        child: &mut Child,
        was_ready: &mut bool,
    ) -> std::io::Result<ExitStatus> {
        tokio::select! {
            ended = child.wait() => return ended,
            () = ready(process) => {}
        }
        *was_ready = true;
        self.set(process.name, Phase::Ready, pid);
        child.wait().await
    }

    fn start(&self, process: &Process) -> Result<Child> {
        let log = self.dir.log(process.name);
        let log_file = OpenOptions::new().create(true).append(true).open(&log);
        let log_file = log_file.map_err(Error::io("open the log", &log))?;
        let other = log_file.try_clone().map_err(Error::io("open the log", &log))?;
        let mut command = Command::new(&process.program);
        command.args(&process.args).envs(process.env.iter().map(|(k, v)| (*k, v)));
        command.stdin(Stdio::null()).stdout(log_file).stderr(other);
        command.spawn().map_err(Error::io("start", &process.program))
    }

    async fn others_ready(&self, process: &Process) {
        let all = |now: &BTreeMap<&'static str, Condition>| {
            process.after.iter().all(|name| now.get(name).is_some_and(|c| c.phase == Phase::Ready))
        };
        // The sender lives as long as the site, so waiting can't fail.
        let _ = self.conditions.subscribe().wait_for(all).await;
    }

    fn set(&self, name: &'static str, phase: Phase, pid: u32) {
        tracing::info!(process = name, ?phase, pid);
        self.conditions.send_modify(|all| {
            if let Some(condition) = all.get_mut(name) {
                (condition.phase, condition.pid) = (phase, pid);
            }
        });
    }

    fn failed(&self, name: &'static str) {
        self.set(name, Phase::Failed, 0);
        self.conditions.send_modify(|all| {
            if let Some(condition) = all.get_mut(name) {
                condition.restarts += 1;
            }
        });
    }

    async fn answer(self: Arc<Self>, stream: UnixStream) {
        let (read, mut write) = stream.into_split();
        let mut line = String::new();
        if BufReader::new(read).read_line(&mut line).await.is_err() {
            return;
        }
        let done = match serde_json::from_str::<Request>(&line) {
            Ok(request) => self.act(&request),
            Err(e) => Err(e.to_string()),
        };
        let now = self.conditions.borrow().clone();
        let processes = now.into_iter().map(|(name, condition)| (name.to_owned(), condition)).collect();
        let answer = Answer { error: done.err(), processes };
        let text = serde_json::to_string(&answer).unwrap_or_default();
        // Who asked and went away doesn't want the answer.
        let _ = write.write_all(format!("{text}\n").as_bytes()).await;
    }

    fn act(&self, request: &Request) -> Result<(), String> {
        match request {
            Request::Status => Ok(()),
            Request::Start(name) => self.want(name, true),
            Request::Stop(name) => self.want(name, false),
            Request::Pause(name) => self.turn(name, Signal::STOP, Phase::Paused),
            Request::Resume(name) => self.turn(name, Signal::CONT, Phase::Ready),
            // Who keeps the process sees that it has ended and says so.
            Request::Kill(name) => self.signal(name, Signal::KILL).map(drop),
        }
    }

    fn want(&self, name: &str, run: bool) -> Result<(), String> {
        let wanted = self.wanted.get(name).ok_or_else(|| self.unknown(name))?;
        wanted.send_replace(run);
        Ok(())
    }

    fn turn(&self, name: &str, signal: Signal, phase: Phase) -> Result<(), String> {
        let (name, pid) = self.signal(name, signal)?;
        self.set(name, phase, pid);
        Ok(())
    }

    fn signal(&self, name: &str, signal: Signal) -> Result<(&'static str, u32), String> {
        let (&name, _) = self.wanted.get_key_value(name).ok_or_else(|| self.unknown(name))?;
        let pid = self.conditions.borrow().get(name).map_or(0, |condition| condition.pid);
        let running = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let running = running.ok_or_else(|| format!("{name} does not run"))?;
        kill_process(running, signal).map_err(|e| format!("could not signal {name}: {e}"))?;
        Ok((name, pid))
    }

    fn unknown(&self, name: &str) -> String {
        let names: Vec<&str> = self.wanted.keys().copied().collect();
        format!("this site has no process `{name}`, it has {}", names.join(", "))
    }
}

/// Looks until the process is ready.
async fn ready(process: &Process) {
    while let Err(seen) = health::check(&process.ready).await {
        tracing::debug!(process = process.name, seen, "not ready");
        sleep(LOOK).await;
    }
}

/// Ends a process: politely, and after a while not.
async fn stop(child: &mut Child, pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // One that was paused must be able to hear it.
        let _ = kill_process(pid, Signal::TERM);
        let _ = kill_process(pid, Signal::CONT);
    }
    if timeout(GRACE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}
