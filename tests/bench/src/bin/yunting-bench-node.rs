//! Command line of the node's bench.
#![allow(clippy::print_stdout)] // a command line tool

use clap::{Parser, ValueEnum};
use yunting_bench::node::{database, many, packets, replication, tunnel};
use yunting_bench::report;

/// Measures what the network boundary, the gate, the tunnel to other sites and encrypted, replicated volumes cost on a node,
/// in network namespaces and on disks of its own (root).
#[derive(Parser)]
struct Arguments {
    /// Turns of packets, of what crosses sites and of the database.
    #[arg(long, default_value_t = 7)]
    turns: usize,
    /// Only these parts.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// VDCs of the large table.
    #[arg(long, default_value_t = 200)]
    vdcs: usize,
    /// Its pods.
    #[arg(long, default_value_t = 1000)]
    pods: usize,
    /// Mebibytes of changes that are replicated in a turn, of three; the disks take ten times as many.
    #[arg(long, default_value_t = 1024)]
    changes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Packets without, with the boundary, and with the gate, too.
    Packets,
    /// What crosses sites, through the tunnel and in the clear.
    Tunnel,
    /// A table of many pods.
    Large,
    /// PostgreSQL in a volume.
    Database,
    /// Points of a volume on their way.
    Replication,
}

/// Turns of replication: each writes and sends everything anew.
const SENT: usize = 3;

fn main() -> anyhow::Result<()> {
    let a = Arguments::parse();
    let say = |text: &str| println!("{text}");
    let wanted = |part: Part| a.only.is_empty() || a.only.contains(&part);
    let mut ratios = Vec::new();
    if wanted(Part::Packets) {
        ratios.extend(packets::measure(a.turns, &say)?);
    }
    if wanted(Part::Tunnel) {
        ratios.extend(tunnel::measure(a.turns, &say)?);
    }
    if wanted(Part::Large) {
        ratios.extend(many::measure(a.vdcs, a.pods, &say)?);
    }
    let runtime = tokio::runtime::Runtime::new()?;
    if wanted(Part::Database) {
        ratios.extend(runtime.block_on(database::measure(a.turns, &say))?);
    }
    if wanted(Part::Replication) {
        ratios.extend(runtime.block_on(replication::measure(SENT, a.changes << 20, &say))?);
    }
    println!("\n{}median (least..greatest)", report::print(&ratios));
    Ok(())
}
