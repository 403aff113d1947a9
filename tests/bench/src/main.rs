//! Command line of the bench.
#![allow(clippy::print_stdout)] // a command line tool

use std::path::PathBuf;

use clap::Parser;
use yunting_bench::audit::{self, Mark};
use yunting_bench::city::{City, Layout};
use yunting_bench::{floor, product, record};

/// Measures provisioning against a raw client.
#[derive(Parser)]
struct Arguments {
    /// VDCs.
    #[arg(long, default_value_t = 50)]
    vdcs: usize,
    /// Sites.
    #[arg(long, default_value_t = 1)]
    sites: usize,
    /// VDCs that are asked for, or written by the floor, at once.
    #[arg(long, default_value_t = 16)]
    at_once: usize,
    /// The controllers' program.
    #[arg(long, default_value = "target/release/yunting-controller")]
    program: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let a = Arguments::parse();
    let layout = Layout { sites: a.sites, audit: true, program: a.program.canonicalize()? };
    let mut city = City::start(&layout).await?;
    city.start_controllers().await?;
    city.bureaus(a.vdcs).await?;
    let mark = Mark::now(&city.audit_logs());
    let done = product::run(&city, a.vdcs, a.at_once).await?;
    println!("product {:?}", done.sample);
    println!("{}", audit::print(&mark.counts()?));
    let tenants = record::read(&city).await?;
    println!("{} tenants, {} objects, {} calls each", tenants.len(), tenants[0].objects, tenants[0].calls.len());
    println!("{:?}", city.controllers());
    drop(city);
    let mut city = City::start(&layout).await?;
    city.start_controllers().await?;
    city.bureaus(a.vdcs).await?;
    city.stop_controllers()?;
    let floor = floor::run(&city, &tenants, a.at_once).await?;
    println!("floor {floor:?}");
    println!("ratio {:.2}", done.sample.wall / floor.wall);
    Ok(())
}
