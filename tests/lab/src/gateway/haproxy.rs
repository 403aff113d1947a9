//! HAProxy as a child: started, reloaded, started again when it dies.
//!
//! A new configuration is checked before it takes the old one's place, so that a mistake of ours can't take
//! the front door down. Master-worker mode reloads without refusing a connection. It loses a signal that comes while
//! it reloads, so the running worker is asked which configuration it has.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use data_encoding::HEXLOWER;
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::sleep;

use super::Error;
use super::render::{UNKNOWN, unavailable};

const RESTART: Duration = Duration::from_millis(500);
/// Before it has its signal handlers, the signal to reload would end it.
const HANDLERS: Duration = Duration::from_millis(300);
/// How long a reload may take before it is asked for again.
const RELOAD: Duration = Duration::from_secs(3);
/// How often the running worker is asked what it has.
const LOOK: Duration = Duration::from_millis(100);
/// How often a reload is asked for.
const RELOADS: usize = 5;
/// What stands before a configuration's own name, in its text and in a worker's answer.
const NAME: &str = "description";
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
        let (path, text) = (self.configuration(), named(text));
        if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(false);
        }
        let new = self.directory.join("haproxy.cfg.new");
        std::fs::write(&new, &text).map_err(|source| Error::Write { path: new.clone(), source })?;
        check(&new).await?;
        std::fs::rename(&new, &path).map_err(|source| Error::Write { path, source })?;
        Ok(true)
    }
}

/// The text with a name of its own in it, by which a worker says that it runs it.
fn named(text: &str) -> String {
    let name = HEXLOWER.encode(&Sha256::digest(text)[..8]);
    text.replacen("global\n", &format!("global\n    {NAME} {name}\n"), 1)
}

/// The name of the configuration in force.
fn wanted(configuration: &Path) -> Option<String> {
    let text = std::fs::read_to_string(configuration).ok()?;
    text.lines().find_map(|line| line.trim().strip_prefix(NAME)).map(|name| name.trim().to_owned())
}

/// The name of the configuration that the running worker has.
async fn running(configuration: &Path) -> std::io::Result<Option<String>> {
    let mut stream = UnixStream::connect(configuration.with_file_name("haproxy.sock")).await?;
    stream.write_all(b"show info\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let told = answer.lines().find_map(|line| line.strip_prefix(NAME)?.strip_prefix(':'));
    Ok(told.map(|name| name.trim().to_owned()))
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
                if !attend(child, configuration, &mut versions).await {
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
async fn attend(mut child: Child, configuration: &Path, versions: &mut watch::Receiver<u64>) -> bool {
    // What came while it started may have been missed.
    if !loaded(configuration).await {
        reload(&child, configuration).await;
    }
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
                reload(&child, configuration).await;
            }
        }
    }
}

/// Reloads until the running worker has what is in force.
async fn reload(child: &Child, configuration: &Path) {
    for _ in 0..RELOADS {
        signal(child, Signal::USR2);
        if loaded(configuration).await {
            return;
        }
        tracing::warn!("haproxy did not take the new configuration; it is asked again");
    }
    tracing::error!("haproxy does not take the configuration in force; the one before goes on serving");
}

/// Whether the running worker has what is in force, now or in a moment.
async fn loaded(configuration: &Path) -> bool {
    let asked = async {
        loop {
            let wanted = wanted(configuration);
            if wanted.is_some() && running(configuration).await.is_ok_and(|name| name == wanted) {
                return;
            }
            sleep(LOOK).await;
        }
    };
    tokio::time::timeout(RELOAD, asked).await.is_ok()
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
        assert_eq!(std::fs::read_to_string(files.configuration()).unwrap(), named(&text));
    }

    #[tokio::test]
    async fn reloads_that_follow_each_other_at_once_end_with_the_last_configuration() {
        if std::process::Command::new("haproxy").arg("-v").output().is_err() {
            eprintln!("skipped: haproxy is not installed");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let files = Files::prepare(directory.path()).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}").parse().unwrap();
        let text = super::super::render::render(&Table::default(), listen, directory.path());
        files.replace(&text).await.unwrap();
        let (versions, reloads) = watch::channel(0);
        let configuration = files.configuration();
        let kept = tokio::spawn(async move { keep(&configuration, reloads).await });
        assert!(loaded(&files.configuration()).await);
        for change in 1..=3 {
            files.replace(&text.replace("maxconn 4096", &format!("maxconn 409{change}"))).await.unwrap();
            versions.send_modify(|version| *version += 1);
            tokio::task::yield_now().await;
        }
        let mut patience = 10;
        while !loaded(&files.configuration()).await && patience > 0 {
            patience -= 1;
        }
        let name = running(&files.configuration()).await.unwrap();
        assert!(name.is_some() && name == wanted(&files.configuration()));
        drop(versions);
        kept.await.unwrap();
    }
}
