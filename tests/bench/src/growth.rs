//! How cost grows with the number of VDCs: a new city for each number, filled from nothing; and new beginnings of the
//! controllers where there are most.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::json;

use crate::city::{City, Layout};
use crate::process::Memory;
use crate::product;
use crate::report::Ratio;
use crate::restart::{self, Restart};

/// VDCs that are asked for at once.
const AT_ONCE: usize = 32;
/// Greatest exponent: hardly more than in proportion.
const EXPONENT: f64 = 1.1;
/// Greatest time of a new beginning, as a ratio to a raw paginated list of the same objects.
const RESTART: f64 = 1.5;

/// What one number of VDCs cost.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// VDCs.
    pub vdcs: usize,
    /// Seconds until all were ready.
    pub wall: f64,
    /// Processor seconds of the controllers.
    pub controllers: f64,
    /// Processor seconds of controllers, API servers and etcds.
    pub total: f64,
    /// Memory of each controller.
    pub memory: Vec<(String, Memory)>,
}

/// Everything measured.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Growth {
    /// By number of VDCs, ascending.
    pub points: Vec<Point>,
    /// Of hub and site, with most VDCs.
    pub restarts: Vec<Restart>,
}

/// Measures each of the sizes at one site.
pub async fn run(program: &Path, sizes: &[usize], say: &dyn Fn(&str)) -> anyhow::Result<Growth> {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    let layout = Layout { sites: 1, audit: true, program: program.to_owned() };
    let mut growth = Growth::default();
    for vdcs in &sizes {
        let mut city = City::start(&layout).await?;
        let point = point(&mut city, *vdcs).await?;
        say(&format!(
            "{vdcs} VDCs: {:.1} s, {:.1} s of the controllers' cpu, {:.1} s in all",
            point.wall, point.controllers, point.total
        ));
        growth.points.push(point);
        if Some(vdcs) == sizes.last() {
            growth.restarts = vec![restart::hub(&mut city).await?, restart::site(&mut city).await?];
        }
    }
    Ok(growth)
}

async fn point(city: &mut City, vdcs: usize) -> anyhow::Result<Point> {
    city.start_controllers().await?;
    city.bureaus(vdcs).await?;
    let sample = product::run(city, vdcs, AT_ONCE).await?.sample;
    let memory = city.controllers().into_iter().map(|(name, _, memory)| (name, memory)).collect();
    Ok(Point {
        vdcs,
        wall: sample.wall,
        controllers: sample.cpu.controllers,
        total: sample.cpu.total(),
        memory,
    })
}

/// Exponent of a cost: 1 is in proportion to the number of VDCs, 2 in proportion to its square.
fn exponent(points: &[Point], cost: fn(&Point) -> f64) -> Option<f64> {
    let (first, last) = (points.first()?, points.last()?);
    #[allow(clippy::cast_precision_loss)] // thousands
    let more = last.vdcs as f64 / first.vdcs as f64;
    (more > 1.0).then(|| (cost(last) / cost(first)).ln() / more.ln())
}

/// What it says against the bars.
pub fn ratios(growth: &Growth) -> Vec<Ratio> {
    let of =
        |what: &str, cost| Ratio::new(what, exponent(&growth.points, cost).into_iter().collect(), EXPONENT);
    let mut ratios = vec![
        of("exponent of time to provision", |p| p.wall),
        of("exponent of the controllers' cpu", |p| p.controllers),
        of("exponent of cpu in all", |p| p.total),
    ];
    let most = growth.points.last().map(|p| p.vdcs).unwrap_or_default();
    for (name, memory) in growth.points.last().iter().flat_map(|p| &p.memory) {
        ratios.push(Ratio::shown(
            format!("memory of controller {name} with {most} VDCs, MiB"),
            vec![memory.high],
        ));
    }
    for (name, restart) in ["hub", "site"].iter().zip(&growth.restarts) {
        let cpu = format!("processor time until controller {name} is ready with {most} VDCs");
        ratios.push(Ratio::shown(format!("{cpu}, s"), vec![restart.controllers]));
        ratios.push(Ratio::shown(format!("{cpu}, of its servers, s"), vec![restart.servers]));
        let what = format!("restart of controller {name} with {most} VDCs / raw list");
        ratios.push(Ratio::new(what, vec![restart.ready / restart.list], RESTART));
        #[allow(clippy::cast_precision_loss)] // a count
        let writes = restart.writes as f64;
        ratios.push(Ratio::new(format!("writes after restart of controller {name}"), vec![writes], 0.0));
    }
    ratios
}

/// Keeps what was measured as JSON.
pub fn keep(growth: &Growth, ratios: &[Ratio], directory: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let at = directory.join("growth.json");
    let all = json!({"measured": growth, "ratios": ratios});
    std::fs::write(&at, serde_json::to_string_pretty(&all)?).with_context(|| at.display().to_string())?;
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_vdcs_at_four_times_the_cost_is_exponent_two() {
        let point = |vdcs, wall| Point { vdcs, wall, controllers: 1.0, total: 1.0, memory: Vec::new() };
        let points = [point(100, 1.0), point(200, 4.0)];
        assert!((exponent(&points, |p| p.wall).unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(exponent(&points[..1], |p| p.wall), None);
    }
}
