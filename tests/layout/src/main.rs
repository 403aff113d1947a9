//! Cuts the power under PostgreSQL in an encrypted volume, and takes snapshots of it in mid-write: does everything open?
#![allow(clippy::print_stdout)] // a command line tool

mod crash;
mod dice;
mod disk;
mod findings;
mod layout;
mod load;
mod log;
mod snapshots;
mod stand;
mod work;

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Parser;

use crate::layout::Layout;

/// Exit code 1 with findings, 2 when it could not run.
#[derive(Parser, Clone)]
struct Arguments {
    /// The layout.
    #[arg(long, value_enum)]
    layout: Layout,
    /// Disks cut at points by chance.
    #[arg(long, default_value_t = 20)]
    images: usize,
    /// Snapshots taken in mid-write.
    #[arg(long, default_value_t = 20)]
    snapshots: usize,
    /// Images of one recording, and snapshots of one stretch of load; more need more of them.
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Seconds that a recording lasts.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Looked at side by side.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Decides every chance; a recording itself is never the same twice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A control that must find lost commits: the disk says it has flushed and has not.
    #[arg(long)]
    lying_disk: bool,
    /// Where disks and copies are kept meanwhile: some gigabytes.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
}

/// Set for the process that is in a mount namespace of its own.
const APART: &str = "YUNTING_LAYOUT_APART";

/// Starts this program anew in a mount namespace of its own. Whoever makes a namespace meanwhile, a lab or a container,
/// would take copies of our mounts along, and no disk could end before theirs.
fn apart() -> anyhow::Error {
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "--"]).args(std::env::args_os()).env(APART, "1");
    anyhow::Error::new(unshare.exec()).context("cannot start unshare")
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ran = if std::env::var_os(APART).is_some() { work::run(&arguments) } else { Err(apart()) };
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            println!("could not run: {error:#}");
            ExitCode::from(2)
        }
    }
}
