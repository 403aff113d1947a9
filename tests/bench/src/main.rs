//! Command line of the bench.
#![allow(clippy::print_stdout)] // a command line tool

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use yunting_bench::city::Layout;
use yunting_bench::plan::{self, Part, Plan};
use yunting_bench::{growth, report};

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
    /// What is measured besides the count of requests.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::all())]
    parts: Vec<Part>,
    /// Instead of everything else: how cost grows from the smallest of these numbers of VDCs to the greatest.
    #[arg(long, value_delimiter = ',')]
    growth: Vec<usize>,
    /// 200 and 1,000 VDCs at one site, 200 at three, five turns, five minutes of quiet; and growth from 100 to 5,000.
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
            "{} is missing: build it with `cargo build --release --workspace --bin yunting-controller`",
            a.program.display()
        )
    })?;
    if !a.growth.is_empty() {
        return grow(&program, &a.growth, &a.keep).await;
    }
    let sizes = if a.full { vec![(200, 1), (1000, 1), (200, 3)] } else { vec![(a.vdcs, a.sites)] };
    for (vdcs, sites) in sizes {
        let plan = Plan {
            layout: Layout { sites, audit: false, program: program.clone() },
            vdcs,
            runs: if a.full { a.runs.max(5) } else { a.runs },
            at_once: a.at_once.clone(),
            quiet: Duration::from_secs(if a.full { a.quiet.max(300) } else { a.quiet }),
            parts: a.parts.iter().copied().collect(),
        };
        println!("== {vdcs} VDCs, each at {sites} sites");
        let (measured, ratios) = plan::run(&plan, &|text| println!("{text}")).await?;
        let kept = plan::keep(&measured, &ratios, &a.keep)?;
        println!("\n{}\nmedian (least..greatest); all numbers: {}", report::print(&ratios), kept.display());
    }
    if a.full { grow(&program, &GROWTH, &a.keep).await } else { Ok(()) }
}

/// Numbers of VDCs that a full run grows by.
const GROWTH: [usize; 3] = [100, 1000, 5000];

async fn grow(program: &Path, sizes: &[usize], keep: &Path) -> anyhow::Result<()> {
    println!("== growth over {sizes:?} VDCs at one site");
    let growth = growth::run(program, sizes, &|text| println!("{text}")).await?;
    let ratios = growth::ratios(&growth);
    let kept = growth::keep(&growth, &ratios, keep)?;
    println!("\n{}\nall numbers: {}", report::print(&ratios), kept.display());
    Ok(())
}
