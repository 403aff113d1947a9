//! What is measured, in which order.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum as _;
use serde::Serialize;
use serde_json::{Value, json};

use crate::audit::{self, Counts, Line, Mark};
use crate::city::{City, Layout, Usage};
use crate::floor::{self, Sample};
use crate::latency::{self, Changes, Turns};
use crate::process::Memory;
use crate::product::{self, Provisioned};
use crate::record::{self, Tenant};
use crate::report::Ratio;
use crate::restart::{self, Restart};
use crate::stats::percentile;

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is started.
    pub layout: Layout,
    /// VDCs.
    pub vdcs: usize,
    /// Turns that product and floor take.
    pub runs: usize,
    /// VDCs at once that the floor is tried with.
    pub at_once: Vec<usize>,
    /// Time in which nothing may be written.
    pub quiet: Duration,
    /// What is measured besides the count of requests.
    pub parts: BTreeSet<Part>,
}

/// One thing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Part {
    /// Turns of product and floor.
    Pairs,
    /// What is asked while nothing is to be done.
    Quiet,
    /// From a change at the hub to the sites.
    Changes,
    /// From drift to its end.
    Drift,
    /// New beginnings of the controllers.
    Restart,
    /// A single VDC beside another bureau's many.
    Fairness,
}

impl Part {
    /// Each of them.
    pub fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }
}

/// What the first run showed: counted requests, and single things.
#[derive(Debug, Clone, Serialize)]
pub struct Counted {
    /// Objects that stand, VDCs and their slices among them.
    pub objects: usize,
    /// Requests while VDCs were provisioned.
    pub provisioning: Vec<(String, String, String, usize)>,
    /// Requests while nothing was asked.
    pub quiet: Vec<(String, String, String, usize)>,
    /// Processor time of the controllers meanwhile, in seconds.
    pub quiet_cpu: Usage,
    /// Memory and processor time of each controller.
    pub controllers: Vec<(String, f64, Memory)>,
    /// From the hub to the sites.
    pub changes: Changes,
    /// Milliseconds until drift was undone.
    pub drifts: Vec<f64>,
    /// Single VDCs, alone and beside many.
    pub turns: Turns,
    /// New beginnings.
    pub restarts: Vec<Restart>,
}

/// A turn of each.
#[derive(Debug, Clone, Serialize)]
pub struct Pair {
    /// The product's.
    pub product: Provisioned,
    /// The floor's.
    pub floor: Sample,
}

/// Everything measured.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Measured {
    /// VDCs.
    pub vdcs: usize,
    /// Sites.
    pub sites: usize,
    /// Objects per second of the floor, by VDCs at once.
    pub knee: Vec<(usize, f64)>,
    /// What the first run showed.
    pub counted: Option<Counted>,
    /// Turns.
    pub pairs: Vec<Pair>,
}

/// Measures everything and keeps what was measured.
pub async fn run(plan: &Plan, say: &dyn Fn(&str)) -> anyhow::Result<(Measured, Vec<Ratio>)> {
    let mut measured = Measured { vdcs: plan.vdcs, sites: plan.layout.sites, ..Measured::default() };
    let (tenants, counted, counts) = first(plan, say).await?;
    let mut ratios = counted_ratios(plan, &counted, &counts);
    measured.counted = Some(counted);
    if !plan.parts.contains(&Part::Pairs) {
        return Ok((measured, ratios));
    }
    measured.knee = knee(plan, &tenants, say).await?;
    let best = measured.knee.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(16, |(at_once, _)| *at_once);
    say(&format!("the floor is fastest with {best} VDCs at once"));
    for turn in 0..plan.runs {
        // Who goes first changes, so that what the machine does over time falls on both.
        let pair = if turn % 2 == 0 {
            let floor = floor_run(plan, &tenants, best).await?;
            Pair { product: product_run(plan, best).await?, floor }
        } else {
            let product = product_run(plan, best).await?;
            Pair { floor: floor_run(plan, &tenants, best).await?, product }
        };
        let (product, floor) = (&pair.product.sample, &pair.floor);
        say(&format!(
            "turn {}: product {:.2} s, {:.2} s of cpu ({:.2} controllers); floor {:.2} s, {:.2} s of cpu, {:.0} objects/s",
            turn + 1,
            product.wall,
            product.cpu.total(),
            product.cpu.controllers,
            floor.wall,
            floor.cpu.total(),
            count(floor.objects) / floor.wall,
        ));
        measured.pairs.push(pair);
    }
    ratios.splice(0..0, pair_ratios(plan, &measured.pairs));
    Ok((measured, ratios))
}

async fn product_run(plan: &Plan, at_once: usize) -> anyhow::Result<Provisioned> {
    let mut city = City::start(&Layout { audit: false, ..plan.layout.clone() }).await?;
    city.start_controllers().await?;
    city.bureaus(plan.vdcs).await?;
    product::run(&city, plan.vdcs, at_once).await
}

/// A city in which bureaus and sites stand and nobody works.
async fn empty(plan: &Plan) -> anyhow::Result<City> {
    let mut city = City::start(&Layout { audit: false, ..plan.layout.clone() }).await?;
    city.start_controllers().await?;
    city.bureaus(plan.vdcs).await?;
    city.stop_controllers()?;
    Ok(city)
}

async fn floor_run(plan: &Plan, tenants: &[Tenant], at_once: usize) -> anyhow::Result<Sample> {
    floor::run(&empty(plan).await?, tenants, at_once).await
}

/// A part of the VDCs with each number at once.
async fn knee(plan: &Plan, tenants: &[Tenant], say: &dyn Fn(&str)) -> anyhow::Result<Vec<(usize, f64)>> {
    if plan.at_once.len() < 2 || plan.runs == 0 {
        return Ok(plan.at_once.iter().map(|n| (*n, 0.0)).collect());
    }
    let city = empty(plan).await?;
    let mut knee = Vec::new();
    for (at_once, part) in plan.at_once.iter().zip(tenants.chunks(tenants.len().div_ceil(plan.at_once.len())))
    {
        let sample = floor::run(&city, part, *at_once).await?;
        let rate = count(sample.objects) / sample.wall;
        say(&format!("floor with {at_once} VDCs at once: {rate:.0} objects/s"));
        knee.push((*at_once, rate));
    }
    Ok(knee)
}

async fn first(plan: &Plan, say: &dyn Fn(&str)) -> anyhow::Result<(Vec<Tenant>, Counted, Counts)> {
    let mut city = City::start(&Layout { audit: true, ..plan.layout.clone() }).await?;
    city.start_controllers().await?;
    city.bureaus(plan.vdcs).await?;
    let logs = city.audit_logs();
    let mark = Mark::now(&logs);
    let provisioned = product::run(&city, plan.vdcs, 16).await?;
    let counts = mark.counts()?;
    say(&format!(
        "{} VDCs in {:.2} s with an audit log:\n{}",
        plan.vdcs,
        provisioned.sample.wall,
        audit::print(&counts)
    ));
    let tenants = record::read(&city).await?;
    let mut counted = Counted {
        objects: tenants.iter().map(|t| t.objects).sum(),
        provisioning: audit::rows(&counts),
        quiet: Vec::new(),
        quiet_cpu: Usage::default(),
        controllers: city.controllers(),
        changes: Changes::default(),
        drifts: Vec::new(),
        turns: Turns::default(),
        restarts: Vec::new(),
    };
    rest(plan, &mut city, &mut counted, say).await?;
    Ok((tenants, counted, counts))
}

async fn rest(plan: &Plan, city: &mut City, counted: &mut Counted, say: &dyn Fn(&str)) -> anyhow::Result<()> {
    let parts = |part| plan.parts.contains(&part);
    if parts(Part::Quiet) {
        let (mark, before) = (Mark::now(&city.audit_logs()), city.usage());
        tokio::time::sleep(plan.quiet).await;
        let quiet = mark.counts()?;
        counted.quiet_cpu = city.usage().since(&before);
        counted.quiet = audit::rows(&quiet);
        say(&format!("while nothing is asked for {:?}:\n{}", plan.quiet, audit::print(&quiet)));
    }
    if parts(Part::Changes) {
        counted.changes = latency::changes(city, plan.vdcs, 100).await?;
        say("changes are measured");
    }
    if parts(Part::Drift) {
        counted.drifts = latency::drifts(city, 12).await?;
        say("drift is measured");
    }
    if parts(Part::Restart) {
        counted.restarts = vec![restart::hub(city).await?, restart::site(city).await?];
        say(&format!("{:?}", counted.restarts));
    }
    if parts(Part::Fairness) {
        counted.turns = latency::turns(city, 8, 100).await?;
        say(&format!("{:?}", counted.turns));
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // small counts
fn count(n: usize) -> f64 {
    n as f64
}

fn pair_ratios(plan: &Plan, pairs: &[Pair]) -> Vec<Ratio> {
    let over = |of: fn(&Pair) -> f64| pairs.iter().map(of).collect::<Vec<f64>>();
    let wall = if plan.layout.sites == 1 { 1.5 } else { 1.6 };
    let scale = 1000.0 / count(plan.vdcs);
    let cpu = pairs.iter().map(|p| p.product.sample.cpu.controllers * scale).collect();
    vec![
        Ratio::new("time to provision / floor", over(|p| p.product.sample.wall / p.floor.wall), wall),
        Ratio::new(
            "cpu of controllers, API servers, etcd / floor",
            over(|p| p.product.sample.cpu.total() / p.floor.cpu.total()),
            1.5,
        ),
        Ratio::new("cpu seconds of controllers per 1,000 VDCs", cpu, 8.0),
    ]
}

fn counted_ratios(plan: &Plan, counted: &Counted, counts: &Counts) -> Vec<Ratio> {
    let (vdcs, sites) = (count(plan.vdcs), count(plan.layout.sites));
    let of_vdcs = |l: &Line| {
        !["bureaus", "sites", "sitereports"].contains(&l.resource.split('/').next().unwrap_or_default())
    };
    let writes = audit::sum(counts, |l| l.writes() && !l.writes_status() && !l.is_beat() && of_vdcs(l));
    let opened = plan.vdcs * plan.layout.sites;
    let statuses = audit::sum(counts, |l| l.writes_status() && of_vdcs(l));
    let sums = audit::sum(counts, |l| l.writes() && !of_vdcs(l));
    // An Event is an object that is written once, like any other.
    let events = audit::sum(counts, |l| l.resource == "events" && l.verb == "create");
    let reads = audit::sum(counts, |l| ["get", "list"].contains(&l.verb.as_str()));
    let mut ratios = vec![
        Ratio::new(
            "writes per object or Event, one per namespace not counted",
            vec![count(writes - opened.min(writes)) / count(counted.objects + events)],
            1.0,
        ),
        Ratio::new("status writes per VDC and site", vec![count(statuses) / vdcs / sites], 3.0),
        Ratio::shown("writes of bureaus' and sites' sums, in all", vec![count(sums)]),
        Ratio::new("GET and LIST after the start", vec![count(reads)], 0.0),
    ];
    for (name, _, memory) in &counted.controllers {
        let allowed = 60.0 + vdcs * 40.0 / 1024.0;
        ratios.push(Ratio::new(
            format!("memory of controller {name} / (60 MiB + 40 KiB per VDC)"),
            vec![memory.high / allowed],
            1.0,
        ));
    }
    ratios.extend(rest_ratios(plan, counted));
    ratios
}

fn rest_ratios(plan: &Plan, counted: &Counted) -> Vec<Ratio> {
    let at = |numbers: &[f64], percent: f64| percentile(numbers, percent).into_iter().collect::<Vec<f64>>();
    let other = counted.quiet.iter().filter(|(_, verb, resource, _)| resource != "leases" && verb != "watch");
    let quiet = |value: f64| plan.parts.contains(&Part::Quiet).then_some(value).into_iter().collect();
    let idle = at(&counted.turns.idle, 50.0);
    let turns = |percent: f64| -> Vec<f64> {
        at(&counted.turns.crowded, percent).iter().zip(&idle).map(|(c, i)| c / i).collect()
    };
    let mut ratios = vec![
        Ratio::new(
            "requests while idle, Leases and watches not counted",
            quiet(other.map(|(.., n)| count(*n)).sum()),
            0.0,
        ),
        Ratio::new(
            "cpu of controllers while idle, % of a core",
            quiet(counted.quiet_cpu.controllers / plan.quiet.as_secs_f64() * 100.0),
            0.5,
        ),
        Ratio::new(
            "change at the hub -> record at every site, p50 ms",
            at(&counted.changes.record, 50.0),
            100.0,
        ),
        Ratio::new(
            "change at the hub -> record at every site, p99 ms",
            at(&counted.changes.record, 99.0),
            300.0,
        ),
        Ratio::shown("change at the hub -> slice, p50 ms", at(&counted.changes.slice, 50.0)),
        Ratio::new("drift undone at 10/s, p99 ms", at(&counted.drifts, 99.0), 1000.0),
        Ratio::shown("drift undone at 10/s, p50 ms", at(&counted.drifts, 50.0)),
        Ratio::new("single VDC beside 100 of another bureau / alone, worst", turns(100.0), 2.0),
        Ratio::shown("single VDC beside 100 of another bureau / alone, p50", turns(50.0)),
        Ratio::shown("single VDC alone, seconds", idle.clone()),
    ];
    for (restart, name) in counted.restarts.iter().zip(["hub", "site"]) {
        ratios.push(Ratio::new(
            format!("restart of controller {name} / raw list"),
            vec![restart.ready / restart.list],
            1.5,
        ));
        ratios.push(Ratio::new(
            format!("writes after restart of controller {name}"),
            vec![count(restart.writes)],
            0.0,
        ));
    }
    ratios
}

/// Keeps what was measured as JSON.
pub fn keep(measured: &Measured, ratios: &[Ratio], directory: &Path) -> anyhow::Result<std::path::PathBuf> {
    std::fs::create_dir_all(directory)?;
    let at = directory.join(format!("provision-{}-vdcs-{}-sites.json", measured.vdcs, measured.sites));
    let all: Value = json!({"measured": measured, "ratios": ratios});
    std::fs::write(&at, serde_json::to_string_pretty(&all)?)?;
    Ok(at)
}
