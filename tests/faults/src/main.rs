//! The proxy as a program: between any process and any API server, with rules from a file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rustix::process::{Pid, Signal, kill_process};
use yunting_faults::plan::Rule;
use yunting_faults::proxy::Proxy;

/// Stands between a process and an API server, records every call and makes chosen ones go wrong.
#[derive(Parser)]
#[command(name = "yunting-faults", version)]
struct Arguments {
    /// Kubeconfig of the process it stands in for: its server and its certificate.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Context of it; the current one if none is named.
    #[arg(long)]
    context: Option<String>,
    /// Where to listen: plain HTTP, so keep to loopback.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Kubeconfig to write for the process.
    #[arg(long)]
    write_kubeconfig: PathBuf,
    /// Rules, a JSON array; see `yunting_faults::plan::Rule`.
    #[arg(long)]
    rules: Option<PathBuf>,
    /// Seed of chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Process that a crash kills.
    #[arg(long)]
    pid: Option<i32>,
    /// File for the record of all calls, one JSON object per line, written at the end (Ctrl-C).
    #[arg(long)]
    record: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(&arguments.kubeconfig)?;
    let options = KubeConfigOptions { context: arguments.context.clone(), ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    // What the server says is passed on, not tried again.
    config.default_retry = false;
    let proxy = Proxy::listen(Client::try_from(config)?, arguments.seed, arguments.listen).await?;
    if let Some(file) = &arguments.rules {
        let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let rules: Vec<Rule> = serde_json::from_slice(&text)
            .with_context(|| format!("{} is no list of rules", file.display()))?;
        proxy.rules(rules);
    }
    if let Some(pid) = arguments.pid.and_then(Pid::from_raw) {
        proxy.on_crash(Arc::new(move || {
            // A process that has ended already is dead, too.
            let _ = kill_process(pid, Signal::KILL);
            Box::pin(async {})
        }));
    }
    std::fs::write(&arguments.write_kubeconfig, Proxy::kubeconfig(&[&proxy]).to_string())?;
    eprintln!("seed {}, listening on {}", arguments.seed, proxy.address());
    tokio::signal::ctrl_c().await?;
    write_record(&proxy, arguments.record)
}

fn write_record(proxy: &Proxy, file: Option<PathBuf>) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let lines: Result<Vec<String>, _> = proxy.record().entries().iter().map(serde_json::to_string).collect();
    Ok(std::fs::write(file, lines?.join("\n") + "\n")?)
}
