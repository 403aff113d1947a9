//! Cases in PostgreSQL over one connection, which is made again whenever it ends.
//!
//! A task of its own holds the connection. Requests never wait for it: without one they fail at once, so that
//! a dead database makes the hall say so instead of hanging.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row};

use super::Error;
use crate::case::{Case, Filing, State};

const ANSWER: Duration = Duration::from_secs(3);
const RECONNECT: Duration = Duration::from_millis(500);
const COLUMNS: &str = "id, item, applicant, state, history, \
                       extract(epoch from filed_at)::bigint, extract(epoch from changed_at)::bigint";

/// The lock keeps several back ends from making the table at the same time, which PostgreSQL refuses.
const SCHEMA: &str = "
BEGIN;
SELECT pg_advisory_xact_lock(20141201);
CREATE TABLE IF NOT EXISTS cases (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  item text NOT NULL,
  applicant text NOT NULL,
  state smallint NOT NULL DEFAULT 0,
  history smallint[] NOT NULL DEFAULT '{0}',
  filed_at timestamptz NOT NULL DEFAULT now(),
  changed_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX IF NOT EXISTS cases_unfinished ON cases (changed_at) WHERE state < 9;
COMMIT;";

/// A store over one connection.
pub struct Postgres {
    client: watch::Receiver<Option<Arc<Client>>>,
}

impl Postgres {
    /// Starts connecting; the store is usable at once and fails until the database answers. A password file
    /// is read again for each connection, so that a changed Secret is taken up.
    pub fn start(mut config: Config, password_file: Option<PathBuf>) -> Self {
        config
            .connect_timeout(Duration::from_secs(2))
            .tcp_user_timeout(Duration::from_secs(5))
            .keepalives_idle(Duration::from_secs(5));
        let (sender, client) = watch::channel(None);
        tokio::spawn(hold(config, password_file, sender));
        Self { client }
    }

    pub(super) async fn ping(&self) -> Result<(), Error> {
        self.rows("SELECT 1", &[]).await.map(drop)
    }

    pub(super) async fn file(&self, filing: &Filing) -> Result<Case, Error> {
        let sql = format!("INSERT INTO cases (item, applicant) VALUES ($1, $2) RETURNING {COLUMNS}");
        let rows = self.rows(&sql, &[&filing.item, &filing.applicant]).await?;
        rows.first().map_or(Err(Error::NotConnected), case)
    }

    pub(super) async fn list(&self, limit: i64) -> Result<Vec<Case>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM cases ORDER BY id DESC LIMIT $1");
        self.rows(&sql, &[&limit]).await?.iter().map(case).collect()
    }

    pub(super) async fn get(&self, id: i64) -> Result<Option<Case>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM cases WHERE id = $1");
        self.rows(&sql, &[&id]).await?.first().map(case).transpose()
    }

    pub(super) async fn advance(&self, id: i64, from: State, to: State) -> Result<Option<Case>, Error> {
        let sql = format!(
            "UPDATE cases SET state = $3::smallint, history = array_append(history, $3::smallint), \
             changed_at = now() WHERE id = $1 AND state = $2 RETURNING {COLUMNS}"
        );
        self.rows(&sql, &[&id, &from.number(), &to.number()]).await?.first().map(case).transpose()
    }

    pub(super) async fn due(&self, seconds: i64) -> Result<Vec<Case>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM cases WHERE state < 9 \
             AND extract(epoch from now() - changed_at)::bigint >= $1 ORDER BY changed_at LIMIT 100"
        );
        self.rows(&sql, &[&seconds]).await?.iter().map(case).collect()
    }

    async fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let client = self.client.borrow().clone().ok_or(Error::NotConnected)?;
        let rows = timeout(ANSWER, client.query(sql, parameters)).await.map_err(|_| Error::TimedOut)?;
        Ok(rows?)
    }
}

/// Keeps a connection until nobody wants the store any more.
async fn hold(
    mut config: Config,
    password_file: Option<PathBuf>,
    sender: watch::Sender<Option<Arc<Client>>>,
) {
    while !sender.is_closed() {
        if let Some(Ok(password)) = password_file.as_ref().map(std::fs::read_to_string) {
            config.password(password.trim_end());
        }
        if let Err(error) = connected(&config, &sender).await {
            tracing::warn!(%error, "database connection ended");
        }
        sender.send_replace(None);
        sleep(RECONNECT).await;
    }
}

/// One connection from its start to its end.
async fn connected(
    config: &Config,
    sender: &watch::Sender<Option<Arc<Client>>>,
) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    let publish = async {
        client.batch_execute(SCHEMA).await?;
        tracing::info!("connected to the database");
        sender.send_replace(Some(Arc::new(client)));
        Ok(())
    };
    // The connection moves the bytes that `publish` waits for, so both run together.
    let (ended, published) = tokio::join!(connection, publish);
    published.and(ended)
}

fn case(row: &Row) -> Result<Case, Error> {
    let state = |number: i16| State::from_number(number).ok_or(Error::UnknownState(number));
    let history: Vec<i16> = row.try_get(4)?;
    Ok(Case {
        id: row.try_get(0)?,
        item: row.try_get(1)?,
        applicant: row.try_get(2)?,
        state: state(row.try_get(3)?)?,
        history: history.into_iter().map(state).collect::<Result<_, _>>()?,
        filed_at: row.try_get(5)?,
        changed_at: row.try_get(6)?,
    })
}

#[cfg(test)]
mod tests;
