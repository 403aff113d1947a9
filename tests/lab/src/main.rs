//! Program `yunting-lab`: real Kubernetes sites on one machine.

use std::process::ExitCode;

use clap::Parser;
use yunting_lab::cli::{Cli, Command};

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| "warn,yunting_lab=info".into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    // Somebody else may have chosen it first, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match run(Cli::parse()) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("yunting-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<i32> {
    // The first process of a site must not have threads that could reap what it waits for.
    if let Command::SiteInit { site } = &cli.command {
        return Ok(yunting_lab::site::init::run(&cli.name, site)?);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    Ok(runtime.block_on(yunting_lab::run::run(cli))?)
}
