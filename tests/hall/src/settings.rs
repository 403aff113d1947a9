//! Command line and environment; the environment is how a Hall object sets a pod up.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};

use crate::faults::{Faults, Plan};
use crate::store::{Memory, Postgres, Store};

/// Which half of the hall runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// The page residents see.
    Portal,
    /// The back end with the cases.
    Approval,
}

/// A small service hall: portal page or approval back end.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Settings {
    /// Which half runs.
    #[arg(value_enum, env = "HALL_MODE")]
    pub mode: Mode,
    /// Address to listen on.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// The hall's name on the page.
    #[arg(long, env = "HALL_NAME", default_value = "网上服务厅")]
    pub hall_name: String,
    /// Where the portal finds the back end.
    #[arg(long, env = "APPROVAL_URL", default_value = "http://approval:8080")]
    pub approval_url: String,
    /// PostgreSQL; without it cases are kept in memory.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Password for the database when the URL has none.
    #[arg(long, env = "DATABASE_PASSWORD", hide_env_values = true)]
    pub database_password: Option<String>,
    /// File with the password; read again for each connection.
    #[arg(long, env = "DATABASE_PASSWORD_FILE")]
    pub database_password_file: Option<PathBuf>,
    /// Cases move one state on by themselves after so many seconds; 0 is never.
    #[arg(long, env = "ADVANCE_EVERY_S", default_value_t = 0)]
    pub advance_every_s: u32,
    /// How long requests are still taken after SIGTERM, until the front door knows.
    #[arg(long, env = "DRAIN_MS", default_value_t = 2000)]
    pub drain_ms: u64,
    /// The pod that answers.
    #[arg(long, env = "POD_NAME", default_value = "local")]
    pub pod: String,
    /// The node it runs on.
    #[arg(long, env = "NODE_NAME", default_value = "local")]
    pub node: String,
    /// The site it runs at.
    #[arg(long, env = "YUNTING_SITE", default_value = "local")]
    pub site: String,
    /// Of 100 requests, how many fail.
    #[arg(long, env = "FAIL_PERCENT", default_value_t = 0)]
    pub fail_percent: u64,
    /// How long each request waits.
    #[arg(long, env = "DELAY_MS", default_value_t = 0)]
    pub delay_ms: u64,
    /// Health checks fail after so many seconds.
    #[arg(long, env = "FAIL_HEALTH_AFTER_S")]
    pub fail_health_after_s: Option<u64>,
    /// Whether `PUT /faults` is served.
    #[arg(long, env = "ALLOW_FAULTS", default_value_t = false, action = clap::ArgAction::Set)]
    pub allow_faults: bool,
}

impl Settings {
    /// The faults asked for.
    pub fn faults(&self) -> Faults {
        let plan = Plan { fail_percent: self.fail_percent, delay_ms: self.delay_ms, fail_health: false };
        Faults::new(plan, self.fail_health_after_s.map(Duration::from_secs))
    }

    /// The store asked for.
    pub fn store(&self) -> anyhow::Result<Store> {
        let Some(url) = &self.database_url else { return Ok(Store::Memory(Memory::default())) };
        let mut config: tokio_postgres::Config =
            url.parse().context("DATABASE_URL is not a PostgreSQL address")?;
        if let Some(password) = &self.database_password {
            config.password(password);
        }
        config.application_name(&self.pod);
        Ok(Store::Postgres(Postgres::start(config, self.database_password_file.clone())))
    }
}
