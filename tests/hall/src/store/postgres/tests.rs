//! Tests of the store on a real PostgreSQL.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::*;

/// A PostgreSQL of its own on a socket in a temporary directory.
struct Server {
    programs: PathBuf,
    directory: tempfile::TempDir,
    process: Option<Child>,
}

impl Server {
    /// None where PostgreSQL's programs are not installed.
    fn new() -> Option<Self> {
        let programs = std::fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok);
        let programs =
            programs.map(|entry| entry.path().join("bin")).find(|bin| bin.join("initdb").exists())?;
        let directory = tempfile::tempdir().unwrap();
        let server = Self { programs, directory, process: None };
        chown(server.directory.path());
        let status =
            server.command("initdb").args(["-D", "data", "-U", "hall", "-A", "trust", "-N"]).status();
        assert!(status.unwrap().success());
        Some(server)
    }

    /// PostgreSQL refuses to run as root, which tests may be.
    fn command(&self, program: &str) -> Command {
        let path = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.current_dir(self.directory.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn start(&mut self) {
        let socket = self.directory.path().to_str().unwrap().to_owned();
        let mut command = self.command("postgres");
        command.args(["-D", "data", "-c", "listen_addresses=", "-c", "fsync=off", "-k", &socket]);
        self.process = Some(command.spawn().unwrap());
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let status =
                self.command("pg_ctl").args(["-D", "data", "-m", "immediate", "-w", "stop"]).status();
            assert!(status.unwrap().success());
            process.wait().unwrap();
        }
    }

    fn store(&self) -> Postgres {
        let mut config = Config::new();
        config.host_path(self.directory.path()).user("hall").dbname("postgres");
        Postgres::start(config, None)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

fn chown(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
    }
}

/// Waits until the store answers, or does no more.
async fn until(store: &Postgres, answers: bool) {
    let start = Instant::now();
    while store.ping().await.is_ok() != answers {
        assert!(start.elapsed() < Duration::from_secs(20), "the store should answer: {answers}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn cases_are_kept_moved_once_and_outlive_the_connection() {
    let Some(mut server) = Server::new() else {
        eprintln!("skipped: PostgreSQL is not installed");
        return;
    };
    server.start();
    // Two back ends make the table at the same time.
    let (one, other) = (server.store(), server.store());
    until(&one, true).await;
    until(&other, true).await;
    let filing = Filing { item: "生育登记".into(), applicant: "王小明".into() };
    let case = one.file(&filing).await.unwrap();
    let (first, second) = tokio::join!(
        one.advance(case.id, State::Applied, State::PreAccepted),
        other.advance(case.id, State::Applied, State::PreAccepted),
    );
    assert!(first.unwrap().is_some() != second.unwrap().is_some());
    assert_eq!(one.due(0).await.unwrap().len(), 1);
    assert!(one.due(1000).await.unwrap().is_empty());

    server.stop();
    until(&one, false).await;
    server.start();
    until(&one, true).await;
    let case = one.get(case.id).await.unwrap().unwrap();
    assert_eq!(case.history, [State::Applied, State::PreAccepted]);
    assert_eq!(one.list(10).await.unwrap(), [case]);
}
