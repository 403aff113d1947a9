//! Refusals, errors, cut-off and stalled answers on every way at once: all comes to the same end, and what fails is
//! tried again later and later.

use anyhow::ensure;
use yunting_faults::call::Kind;
use yunting_faults::plan::{Fault, Match, Rule};
use yunting_faults::proxy::Proxy;
use yunting_tests::apiserver::wait;

use super::controllers::Controllers;
use super::dump::Names;
use super::life::Life;
use super::world::{PATIENCE, World};

fn answer(code: u16, retry_after: Option<u32>, committed: bool) -> Fault {
    Fault::Answer { code, retry_after, committed }
}

/// Something of everything, and what costs a time-out.
fn mixture() -> Vec<Rule> {
    let mut all = vec![
        Rule::new(Match::kind(Kind::Write), Fault::StallBody).times(1),
        Rule::new(Match::kind(Kind::Write), Fault::Stall).times(1),
        Rule::new(Match::kind(Kind::Read), Fault::StallBody).times(1),
    ];
    all.append(&mut quick());
    all
}

/// What is answered at once, a tenth of the writes each.
fn quick() -> Vec<Rule> {
    let tenth = |kind, fault| Rule { percent: 10, times: Some(12), ..Rule::new(Match::kind(kind), fault) };
    vec![
        tenth(Kind::Write, answer(409, None, false)),
        tenth(Kind::Write, answer(429, Some(1), false)),
        tenth(Kind::Write, answer(500, None, false)),
        tenth(Kind::Write, answer(500, None, true)),
        tenth(Kind::Write, Fault::Truncate),
        tenth(Kind::Read, answer(500, None, false)),
        Rule::new(Match::kind(Kind::Read), Fault::Truncate).times(2),
        Rule::new(Match::kind(Kind::Watch), answer(410, None, false)).times(4),
        Rule::new(Match::kind(Kind::Watch), answer(429, Some(1), false)).times(2),
        Rule::new(Match::kind(Kind::Watch), answer(500, None, false)).times(2),
    ]
}

pub fn recovers(world: &mut World) -> anyhow::Result<()> {
    let course = world.course()?;
    let world = &*world;
    world.runtime.clone().block_on(async {
        let both = world.controllers().await?;
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "cloud" };
        let ways = both.ways();
        let crashes = [both.hub.process.crash(), both.site.process.crash()];
        everywhere(&both, mixture);
        // Started anew, so that their lists meet it, too.
        for crash in crashes {
            crash().await;
        }
        let rules = |step: &str| if step == "create" { mixture } else { quick };
        life.same(&course, |step| everywhere(&both, rules(step))).await?;
        let hit: usize =
            ways.iter().map(|w| w.record().entries().iter().filter(|e| e.fault.is_some()).count()).sum();
        println!("{hit} calls went wrong");
        ensure!(hit > 50, "only {hit} calls went wrong");
        everywhere(&both, Vec::new);
        not_too_often(&life, &both).await
    })
}

fn everywhere(both: &Controllers, rules: fn() -> Vec<Rule>) {
    for way in both.ways() {
        way.rules(rules());
    }
}

/// Each try comes later than the one before.
async fn not_too_often(life: &Life<'_>, both: &Controllers) -> anyhow::Result<()> {
    for (code, least) in [(500, 5_000), (409, 2_000)] {
        let before = both.hub.end.record().entries().len();
        let slices = Match::kind(Kind::Write).path("/vdcslices/");
        both.hub.end.rules(vec![Rule::new(slices, answer(code, None, false)).times(6)]);
        life.create_vdc().await?;
        let times = tries(&both.hub.end, before).await?;
        let took = times[5] - times[0];
        println!("six tries against {code} took {took} ms");
        ensure!(took >= least, "six tries against {code} within {took} ms: {times:?}");
        life.end().await?;
    }
    Ok(())
}

async fn tries(end: &Proxy, before: usize) -> anyhow::Result<Vec<u128>> {
    let six = async || {
        let entries = end.record().entries();
        let times: Vec<u128> = entries[before..].iter().filter(|e| e.fault.is_some()).map(|e| e.at).collect();
        (times.len() >= 6).then_some(times)
    };
    wait("six tries", PATIENCE, six).await
}
