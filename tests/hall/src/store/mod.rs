//! Where cases are kept: PostgreSQL when a database is named, memory otherwise.

mod memory;
mod postgres;

use crate::case::{Case, Filing, State};

pub use memory::Memory;
pub use postgres::Postgres;

/// Why a case could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection to the database now.
    #[error("no connection to the database")]
    NotConnected,
    /// The database did not answer in time.
    #[error("the database did not answer in time")]
    TimedOut,
    /// The database refused.
    #[error("the database refused")]
    Database(#[from] tokio_postgres::Error),
    /// The database holds a state this program doesn't know.
    #[error("the database holds an unknown state {0}")]
    UnknownState(i16),
}

/// The store of one back end.
pub enum Store {
    /// Cases of this process only.
    Memory(Memory),
    /// Cases in a database.
    Postgres(Postgres),
}

impl Store {
    /// Name for health answers.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Postgres(_) => "postgresql",
        }
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<(), Error> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Postgres(store) => store.ping().await,
        }
    }

    /// Files a case.
    pub async fn file(&self, filing: &Filing) -> Result<Case, Error> {
        match self {
            Self::Memory(store) => Ok(store.file(filing).await),
            Self::Postgres(store) => store.file(filing).await,
        }
    }

    /// The newest cases, at most `limit`.
    pub async fn list(&self, limit: i64) -> Result<Vec<Case>, Error> {
        match self {
            Self::Memory(store) => Ok(store.list(limit).await),
            Self::Postgres(store) => store.list(limit).await,
        }
    }

    /// One case.
    pub async fn get(&self, id: i64) -> Result<Option<Case>, Error> {
        match self {
            Self::Memory(store) => Ok(store.get(id).await),
            Self::Postgres(store) => store.get(id).await,
        }
    }

    /// Moves a case from one state to the next; None when it is not in `from` any more.
    pub async fn advance(&self, id: i64, from: State, to: State) -> Result<Option<Case>, Error> {
        match self {
            Self::Memory(store) => Ok(store.advance(id, from, to).await),
            Self::Postgres(store) => store.advance(id, from, to).await,
        }
    }

    /// Unfinished cases that have not moved for `seconds`.
    pub async fn due(&self, seconds: i64) -> Result<Vec<Case>, Error> {
        match self {
            Self::Memory(store) => Ok(store.due(seconds).await),
            Self::Postgres(store) => store.due(seconds).await,
        }
    }
}
