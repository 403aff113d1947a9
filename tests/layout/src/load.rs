//! Keeps PostgreSQL busy, and remembers which of its commits were acknowledged when.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, anyhow};

use yunting_layout::mounts::Process;
use yunting_layout::postgres::Postgres;

/// Commits the client was told of: the number, and where a clock (a log's position) stood after it was told.
#[derive(Default)]
pub struct Acknowledged(Mutex<Vec<(u64, usize)>>);

impl Acknowledged {
    /// The greatest number that was acknowledged when the clock stood at `position` or before.
    pub fn by(&self, position: usize) -> u64 {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.get(told.partition_point(|(_, at)| *at <= position).wrapping_sub(1))
            .map_or(0, |(number, _)| *number)
    }

    /// The greatest number acknowledged so far.
    pub fn greatest(&self) -> u64 {
        self.by(usize::MAX)
    }

    fn tell(&self, number: u64, at: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((number, at));
    }
}

/// pgbench with four clients and a client that counts. Ends when dropped or stopped.
pub struct Load {
    pgbench: Process,
    stop: Arc<AtomicBool>,
    counter: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Load {
    /// Starts both; `clock` is asked after each acknowledged commit.
    pub fn start(
        postgres: &Postgres,
        socket: &Path,
        told: Arc<Acknowledged>,
        clock: impl Fn() -> usize + Send + 'static,
    ) -> anyhow::Result<Self> {
        let mut pgbench = postgres.client("pgbench", socket);
        pgbench.args(["-n", "-c", "4", "-T", "3600", "postgres"]);
        pgbench.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let pgbench = Process::start(&mut pgbench)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (halt, socket) = (stop.clone(), socket.to_owned());
        let counter = std::thread::spawn(move || count(&socket, &halt, &told, &clock));
        Ok(Self { pgbench, stop, counter: Some(counter) })
    }

    /// Ends both; an error if the counting client had one.
    pub fn stop(mut self) -> anyhow::Result<()> {
        if self.pgbench.has_ended() {
            return Err(anyhow!("pgbench ended by itself"));
        }
        self.stop.store(true, Ordering::SeqCst);
        let counter = self.counter.take().context("stopped twice")?;
        counter.join().map_err(|_| anyhow!("the counting client panicked"))?
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn count(
    socket: &Path,
    stop: &AtomicBool,
    told: &Acknowledged,
    clock: &dyn Fn() -> usize,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut config = tokio_postgres::Config::new();
        config.host_path(socket).user("postgres").dbname("postgres");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        let mut number = told.greatest();
        while !stop.load(Ordering::SeqCst) {
            number += 1;
            client.batch_execute(&format!("insert into counter values ({number})")).await?;
            told.tell(number, clock());
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::Acknowledged;

    #[test]
    fn what_was_told_later_is_not_asked_for() {
        let told = Acknowledged::default();
        for (number, at) in [(1, 10), (2, 10), (3, 20)] {
            told.tell(number, at);
        }
        assert_eq!([9, 10, 19, 20].map(|position| told.by(position)), [0, 2, 2, 3]);
    }
}
