//! HAProxy as a child: started, reloaded, started again when it dies.
//!
//! A new configuration is checked before it takes the old one's place, so that a mistake of ours can't take
//! the front door down. Master-worker mode reloads without refusing a connection.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::sleep;

use super::Error;
use super::render::{UNKNOWN, unavailable};

const RESTART: Duration = Duration::from_millis(500);
/// Before it has its signal handlers, the signal to reload would end it.
const HANDLERS: Duration = Duration::from_millis(300);
/// How long a stop may take before it is made.
const STOP: Duration = Duration::from_secs(3);

/// The files HAProxy reads.
pub struct Files {
    directory: PathBuf,
}

impl Files {
    /// Makes the directory and the pages.
    pub fn prepare(directory: &Path) -> Result<Self, Error> {
        let written = std::fs::create_dir_all(directory)
            .and_then(|()| std::fs::write(directory.join("503.http"), unavailable()))
            .and_then(|()| std::fs::write(directory.join("404.html"), UNKNOWN));
        written.map_err(|source| Error::Write { path: directory.to_owned(), source })?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// The configuration in force.
    pub fn configuration(&self) -> PathBuf {
        self.directory.join("haproxy.cfg")
    }

    /// Puts a text in force; false when it was already.
    pub async fn replace(&self, text: &str) -> Result<bool, Error> {
        let path = self.configuration();
        if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(false);
        }
        let new = self.directory.join("haproxy.cfg.new");
        std::fs::write(&new, text).map_err(|source| Error::Write { path: new.clone(), source })?;
        check(&new).await?;
        std::fs::rename(&new, &path).map_err(|source| Error::Write { path, source })?;
        Ok(true)
    }
}

/// Asks HAProxy whether it understands a configuration.
async fn check(path: &Path) -> Result<(), Error> {
    let output = Command::new("haproxy")
        .args(["-c", "-q", "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(Error::Run)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// Runs HAProxy as long as somebody says what to load: each new value of `versions` is a reload. The first
/// configuration must be there.
pub async fn keep(configuration: &Path, mut versions: watch::Receiver<u64>) {
    loop {
        versions.mark_unchanged();
        match start(configuration) {
            Ok(child) => {
                sleep(HANDLERS).await;
                if !attend(child, &mut versions).await {
                    return;
                }
            }
            Err(error) => tracing::error!(%error, "could not start haproxy"),
        }
        sleep(RESTART).await;
    }
}

/// The kernel ends HAProxy when this process is killed: an orphan would go on serving an old configuration
/// beside its successor, on the same port.
fn start(configuration: &Path) -> std::io::Result<Child> {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "haproxy", "-W", "-db", "-f"])
        .arg(configuration)
        .stdin(Stdio::null())
        .spawn()
}

/// Reloads the running HAProxy when told to; true when it died and must be started again.
async fn attend(mut child: Child, versions: &mut watch::Receiver<u64>) -> bool {
    loop {
        tokio::select! {
            status = child.wait() => {
                tracing::error!(?status, "haproxy ended");
                return true;
            }
            changed = versions.changed() => {
                if changed.is_err() {
                    stop(child).await;
                    return false;
                }
                signal(&child, Signal::USR2);
            }
        }
    }
}

async fn stop(mut child: Child) {
    signal(&child, Signal::TERM);
    if tokio::time::timeout(STOP, child.wait()).await.is_err() {
        let _ = child.start_kill();
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = kill_process(pid, signal)
    {
        tracing::warn!(%error, ?signal, "could not signal haproxy");
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Table;
    use super::*;

    #[tokio::test]
    async fn an_unchanged_text_is_no_change_and_a_wrong_one_never_takes_force() {
        if std::process::Command::new("haproxy").arg("-v").output().is_err() {
            eprintln!("skipped: haproxy is not installed");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let files = Files::prepare(directory.path()).unwrap();
        let listen = "127.0.0.1:8099".parse().unwrap();
        let text = super::super::render::render(&Table::default(), listen, directory.path());
        assert!(files.replace(&text).await.unwrap());
        assert!(!files.replace(&text).await.unwrap());
        assert!(matches!(files.replace("nonsense").await, Err(Error::Refused(_))));
        assert_eq!(std::fs::read_to_string(files.configuration()).unwrap(), text);
    }
}
