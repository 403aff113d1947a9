//! PostgreSQL in a volume: made, run while the power is cut, and recovered.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::Signal;

use crate::command::{command, feed, run};
use crate::mounts::Process;

/// Small caches and frequent checkpoints, so that data files are written all the time and not the log alone.
const SETTINGS: &str = "
listen_addresses = ''
shared_buffers = 4MB
checkpoint_timeout = 30s
max_wal_size = 8MB
min_wal_size = 2MB
bgwriter_delay = 50ms
autovacuum_naptime = 10s
logging_collector = off
";

/// The counter and the check of indexes. The templates would be read at each look, and nobody writes them.
const PREPARE: [&str; 7] = [
    "create extension amcheck",
    "create table counter (n bigint primary key)",
    "alter database template0 is_template false",
    "drop database template0",
    "alter database template1 is_template false",
    "drop database template1",
    "checkpoint",
];

/// What must hold of every state a transaction has left: pgbench's sums agree, numbers have no gaps, indexes are sound.
const QUESTION: &str = "select 'YUNTING ' || coalesce(max(n), 0) || ' ' || count(*) || ' ' || \
    ((select sum(abalance) from pgbench_accounts) = (select coalesce(sum(delta), 0) from pgbench_history) \
    and (select sum(tbalance) from pgbench_tellers) = (select coalesce(sum(delta), 0) from pgbench_history) \
    and (select sum(bbalance) from pgbench_branches) = (select coalesce(sum(delta), 0) from pgbench_history) \
    and (select count(*) = 100000 from pgbench_accounts)) || ' ' || \
    (select count(*) from pg_class, lateral bt_index_check(oid, true) where relkind = 'i' and relam = 403 \
    and relpersistence = 'p') from counter";

/// What a recovered database says.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The greatest number of the counter.
    pub greatest: u64,
    /// How many numbers it has.
    pub numbers: u64,
    /// Whether pgbench's sums agree.
    pub sums_agree: bool,
}

/// The programs, and the user they run as: not root, whom PostgreSQL refuses.
#[derive(Clone)]
pub struct Postgres {
    programs: PathBuf,
    user: u32,
    group: u32,
}

impl Postgres {
    /// Looks for the programs and the user.
    pub fn find() -> anyhow::Result<Self> {
        let programs = PathBuf::from(run(command("pg_config", ["--bindir"]).env("LC_ALL", "C"))?);
        let users = std::fs::read_to_string("/etc/passwd")?;
        let of = |name: &str| {
            let line = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            let mut fields = line.split(':').skip(1).map_while(|field| field.parse().ok());
            Some((fields.next()?, fields.next()?))
        };
        let (user, group) = of("postgres").or_else(|| of("nobody")).context("neither postgres nor nobody")?;
        Ok(Self { programs, user, group })
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.uid(self.user).gid(self.group).current_dir("/").env("LC_ALL", "C").env("PGUSER", "postgres");
        command
    }

    /// Makes a database in `root`/pg that writes to its files all the time, and starts it; its socket is in `socket`.
    pub fn create(&self, root: &Path, socket: &Path) -> anyhow::Result<Server> {
        self.create_with(SETTINGS, root, socket)
    }

    /// The same with settings of somebody else's.
    pub fn create_with(&self, settings: &str, root: &Path, socket: &Path) -> anyhow::Result<Server> {
        for directory in [root, socket] {
            std::os::unix::fs::chown(directory, Some(self.user), Some(self.group))?;
        }
        let data = root.join("pg");
        let options = [
            "-A",
            "trust",
            "-U",
            "postgres",
            "-k",
            "--wal-segsize=1",
            "--no-locale",
            "-E",
            "UTF8",
            "-N",
            "-D",
        ];
        run(self.program("initdb").args(options).arg(&data))?;
        let file = data.join("postgresql.conf");
        let defaults = std::fs::read_to_string(&file)?;
        std::fs::write(file, defaults + settings)?;
        let server = self.start(&data, socket)?;
        run(self.client("pgbench", socket).args(["-q", "-i", "-s", "1", "postgres"]))?;
        for statement in PREPARE {
            run(self.client("psql", socket).args(["-q", "-c", statement, "postgres"]))?;
        }
        Ok(server)
    }

    /// A client's program that finds the server.
    pub fn client(&self, name: &str, socket: &Path) -> Command {
        let mut command = self.program(name);
        command.env("PGHOST", socket);
        command
    }

    fn start(&self, data: &Path, socket: &Path) -> anyhow::Result<Server> {
        let log = std::fs::File::create(socket.join("log"))?;
        let mut server = self.program("postgres");
        server.arg("-D").arg(data).arg("-k").arg(socket).stdin(Stdio::null());
        let mut process = Process::start(server.stdout(log.try_clone()?).stderr(log))?;
        let deadline = Instant::now() + Duration::from_mins(1);
        while run(self.client("pg_isready", socket).arg("-q")).is_err() {
            if process.has_ended() || Instant::now() > deadline {
                bail!("postgres: {}", std::fs::read_to_string(socket.join("log"))?);
            }
            std::thread::sleep(Duration::from_millis(20)); // between two looks
        }
        Ok(Server { process })
    }

    /// Recovers what a crash has left and asks it. Without fsync: nobody cuts this one's power.
    pub fn recover(&self, root: &Path) -> anyhow::Result<Answer> {
        let data = root.join("pg");
        // Left by the server that was cut; its process number may be another's by now.
        let _ = std::fs::remove_file(data.join("postmaster.pid"));
        let mut single = self.program("postgres");
        single
            .args(["--single", "-c", "fsync=off", "-c", "shared_buffers=16MB", "-D"])
            .arg(&data)
            .arg("postgres");
        let said = feed(&mut single, format!("{QUESTION}\n").as_bytes())?;
        parse(&said).with_context(|| format!("postgres answers: {said}"))
    }
}

/// Reads the answer out of what single-user mode prints.
fn parse(said: &str) -> Option<Answer> {
    let (_, answer) = said.split_once("= \"YUNTING ")?;
    let mut words = answer.split(['"', ' ']);
    let mut next = || words.next();
    Some(Answer {
        greatest: next()?.parse().ok()?,
        numbers: next()?.parse().ok()?,
        sums_agree: next()? == "true",
    })
}

/// A running server, stopped at once when dropped.
pub struct Server {
    process: Process,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.end(Signal::QUIT);
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, parse};

    #[test]
    fn an_answer_is_read_and_half_an_answer_is_not() {
        let said = "backend> \t 1: ?column?\t(typeid = 25)\n\t 1: ?column? = \"YUNTING 12 11 false 99\"\t(typeid = 25)";
        assert_eq!(parse(said), Some(Answer { greatest: 12, numbers: 11, sums_agree: false }));
        assert_eq!(parse("1: ?column? = \"YUNTING 12 11"), None);
        assert_eq!(parse("ERROR: could not read block 0"), None);
    }
}
