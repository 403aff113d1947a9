//! Command line of the node's bench.
#![allow(clippy::print_stdout)] // a command line tool

use clap::Parser;
use yunting_bench::node::{many, packets, tunnel};
use yunting_bench::report;

/// Measures what the network boundary, the gate and the tunnel to other sites cost on a node, in network namespaces of its own (root).
#[derive(Parser)]
struct Arguments {
    /// Turns of packets without, with the boundary, and with the gate, too.
    #[arg(long, default_value_t = 7)]
    turns: usize,
    /// Only what crosses sites.
    #[arg(long)]
    tunnel: bool,
    /// VDCs of the large table.
    #[arg(long, default_value_t = 200)]
    vdcs: usize,
    /// Its pods.
    #[arg(long, default_value_t = 1000)]
    pods: usize,
}

fn main() -> anyhow::Result<()> {
    let a = Arguments::parse();
    let say = |text: &str| println!("{text}");
    let mut ratios = if a.tunnel { Vec::new() } else { packets::measure(a.turns, &say)? };
    ratios.extend(tunnel::measure(a.turns, &say)?);
    if !a.tunnel {
        ratios.extend(many::measure(a.vdcs, a.pods, &say)?);
    }
    println!("\n{}median (least..greatest)", report::print(&ratios));
    Ok(())
}
