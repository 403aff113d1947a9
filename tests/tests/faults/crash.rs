//! A crash at every write: before the server has it, after its commit, after its answer. The end is the same as
//! without, step by step, and nothing is left over.

use anyhow::ensure;
use yunting_faults::call::Kind;
use yunting_faults::dice;
use yunting_faults::plan::{Fault, Match, Moment, Rule, Sweep};

use super::dump::Names;
use super::life::{Course, Life};
use super::world::World;

/// In the short form, one write of so many.
const SAMPLE: u64 = 3;

pub fn at_every_write(world: &mut World) -> anyhow::Result<()> {
    let course = world.course()?;
    let world = &*world;
    world.runtime.clone().block_on(async {
        let controllers = world.controllers().await?;
        let life = |vdc| Life { world, controllers: &controllers, names: Names::default(), vdc };
        if !world.full {
            return swept(&life("cloud"), &course, &ALL, SAMPLE, world.seed % 3).await;
        }
        for who in [&ALL[..], &ALL[..1], &ALL[1..]] {
            for turn in 0..3 {
                swept(&life("cloud"), &course, who, 1, turn).await?;
            }
        }
        for index in 0..SINGLES {
            single(&life("cloud"), &course, index).await?;
        }
        Ok(())
    })
}

/// The ways of hub and site by their places in [`Controllers::ways`].
const ALL: [usize; 3] = [0, 1, 2];
/// In the full form, lives with one crash each: what a process had in its memory is different then.
const SINGLES: u64 = 24;
/// A life has at least so many writes on each of the ways of hub and site's own cluster.
const WRITES: u64 = 60;

/// One crash in a whole life, somewhere.
async fn single(life: &Life<'_>, course: &Course, index: u64) -> anyhow::Result<()> {
    let roll = |about: &str| dice::roll(life.world.seed, about, index);
    let way = life.controllers.ways()[if roll("way").is_multiple_of(2) { 0 } else { 2 }];
    let moment =
        [Moment::Before, Moment::AfterCommit, Moment::AfterAnswer][usize::try_from(roll("moment") % 3)?];
    let skip = roll("write") % WRITES;
    let rule = Rule { skip, ..Rule::new(Match::kind(Kind::Write), Fault::Crash(moment)).times(1) };
    println!("one crash {moment:?} at write {} of {}", skip + 1, way.address());
    way.rules(vec![rule]);
    let ended = life.same(course, |_| ()).await;
    way.rules(Vec::new());
    ended
}

async fn swept(life: &Life<'_>, course: &Course, who: &[usize], every: u64, turn: u64) -> anyhow::Result<()> {
    let (world, controllers) = (life.world, life.controllers);
    let step = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    for way in who.iter().map(|index| controllers.ways()[*index]) {
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
