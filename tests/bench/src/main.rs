//! Command line of the bench.
#![allow(clippy::print_stdout)] // a command line tool

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use yunting_bench::city::Layout;
use yunting_bench::plan::{self, Plan};
use yunting_bench::report;

/// Measures provisioning against a raw client that writes the same objects, on real API servers of a hub and sites.
#[derive(Parser)]
struct Arguments {
    /// VDCs.
    #[arg(long, default_value_t = 200)]
    vdcs: usize,
    /// Sites at each of which every VDC lives, one to three.
    #[arg(long, default_value_t = 1)]
    sites: usize,
    /// Turns that product and floor take; 5 with --full.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// VDCs at once that the floor is tried with; the fastest is taken.
    #[arg(long, value_delimiter = ',', default_value = "8,16,32,64")]
    at_once: Vec<usize>,
    /// Seconds in which nothing may be written; 300 with --full.
    #[arg(long, default_value_t = 60)]
    quiet: u64,
    /// Only the pairs of product and floor, and the count of requests.
    #[arg(long)]
    pairs_only: bool,
    /// 200 and 1,000 VDCs at one site, 200 at three, five turns, five minutes of quiet.
    #[arg(long)]
    full: bool,
    /// The controllers' program.
    #[arg(long, default_value = "target/release/yunting-controller")]
    program: PathBuf,
    /// Where what was measured is kept.
    #[arg(long, default_value = "target/bench")]
    keep: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let a = Arguments::parse();
    let program = a.program.canonicalize().with_context(|| {
        format!(
            "{} is missing: build it with `cargo build --release -p yunting-controller`",
            a.program.display()
        )
    })?;
    let sizes = if a.full { vec![(200, 1), (1000, 1), (200, 3)] } else { vec![(a.vdcs, a.sites)] };
    for (vdcs, sites) in sizes {
        let plan = Plan {
            layout: Layout { sites, audit: false, program: program.clone() },
            vdcs,
            runs: if a.full { a.runs.max(5) } else { a.runs },
            at_once: a.at_once.clone(),
            quiet: Duration::from_secs(if a.full { a.quiet.max(300) } else { a.quiet }),
            rest: !a.pairs_only,
        };
        println!("== {vdcs} VDCs, each at {sites} sites");
        let (measured, ratios) = plan::run(&plan, &|text| println!("{text}")).await?;
        let kept = plan::keep(&measured, &ratios, &a.keep)?;
        println!("\n{}\nmedian (least..greatest); all numbers: {}", report::print(&ratios), kept.display());
    }
    Ok(())
}
