//! A crash at every write: before the server has it, after its commit, after its answer. The end is the same as
//! without, step by step, and nothing is left over.

use anyhow::ensure;
use yunting_faults::plan::Sweep;

use super::controllers::Controllers;
use super::dump::Names;
use super::life::{Course, Life};
use super::world::World;

/// In the short form, one write of so many.
const SAMPLE: u64 = 3;

pub fn at_every_write(world: &mut World) -> anyhow::Result<()> {
    let course = world.course()?;
    let world = &*world;
    world.runtime.clone().block_on(async {
        let controllers = Controllers::start(world).await?;
        let life = |vdc| Life { world, controllers: &controllers, names: Names::default(), vdc };
        let every = if world.full { 1 } else { SAMPLE };
        let turns: Vec<u64> = if world.full { (0..3).collect() } else { vec![world.seed % 3] };
        for turn in turns {
            swept(&life("cloud"), &course, every, turn).await?;
        }
        Ok(())
    })
}

async fn swept(life: &Life<'_>, course: &Course, every: u64, turn: u64) -> anyhow::Result<()> {
    let (world, controllers) = (life.world, life.controllers);
    let step = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    for way in controllers.ways() {
        let (names, step) = (life.names.clone(), step.clone());
        let signature = move |call: &yunting_faults::call::Call| {
            let step = step.lock().map(|s| s.clone()).unwrap_or_default();
            format!("{step}: {}", names.signature(call))
        };
        way.sweep(Sweep::new(world.seed, every, turn), std::sync::Arc::new(signature));
    }
    let before = |now: &str| {
        if let Ok(mut step) = step.lock() {
            now.clone_into(&mut step);
        }
    };
    let ended = life.same(course, before).await;
    let mut crashes = 0;
    for (name, way) in ["hub", "site to hub", "site"].into_iter().zip(controllers.ways()) {
        if let Some(sweep) = way.end_sweep() {
            crashes += sweep.crashes();
            println!("{name}: {sweep}");
        }
    }
    let (hub, site) = (&controllers.hub.process, &controllers.site.process);
    println!("{crashes} crashes; hub started {} times, site {}", hub.starts(), site.starts());
    ended?;
    ensure!(crashes > 10, "only {crashes} crashes: the sweep did not do its work");
    Ok(())
}
