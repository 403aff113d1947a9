//! Changes of the site itself: everybody at it is concerned, so they are made one after another. A tenant that was
//! there has to stand as one that comes now; set back, both as before.

use std::time::Instant;

use yunting_tests::mutations::Mutation;

use super::judge;
use super::run::Wrong;
use super::stage::{Plan, Stage, View};
use super::tenant::Tenant;

/// Changes on one pair of control planes; each leaves a tenant behind.
const ROUNDS: usize = 12;
/// Looks at what differs.
const LOOKS: usize = 3;

/// Makes them.
pub fn run(plan: Plan, stage: &mut Stage, all: &[Mutation], wrong: &mut Wrong) -> anyhow::Result<()> {
    for (index, some) in all.chunks(ROUNDS).enumerate() {
        if index > 0 {
            *stage = Stage::start(plan)?;
        }
        let began = Instant::now();
        stage.runtime.block_on(round(stage, some, wrong))?;
        println!("{} changes of the site took {:?}", some.len(), began.elapsed());
    }
    Ok(())
}

async fn round(stage: &Stage, some: &[Mutation], wrong: &mut Wrong) -> anyhow::Result<()> {
    let one = stage.one().await?;
    stage.settled().await?;
    let base = stage.views(&[&one]).await?.remove(0);
    for mutation in some {
        let mut found = Vec::new();
        if let Err(refusal) = one.put(&stage.planes, "Site", &mutation.spec).await? {
            found.push(format!("is refused: {}", refusal.0));
        }
        let fresh = stage.one().await?;
        let differ = |views: &[View]| {
            let all = judge::changed(mutation, &base.dump, &views[0].dump, &views[1].dump);
            all.into_iter().map(|l| l.text).chain(views[0].silent.iter().cloned()).collect()
        };
        found.extend(look(stage, &[&one, &fresh], differ).await?);
        if let Err(refusal) = one.put(&stage.planes, "Site", &one.spec("Site")).await? {
            found.push(format!("cannot be set back: {}", refusal.0));
        }
        let differ = |views: &[View]| {
            let all = views.iter().flat_map(|v| judge::back(mutation, &base.dump, &v.dump));
            all.map(|l| format!("set back: {}", l.text)).collect()
        };
        found.extend(look(stage, &[&one, &fresh], differ).await?);
        if !found.is_empty() {
            println!("{}:\n  {}", mutation.what, found.join("\n  "));
            wrong.entry("Site").or_default().push(format!("{}:\n  {}", mutation.what, found.join("\n  ")));
        }
    }
    Ok(())
}

/// What differs when all is quiet, and stays so.
async fn look(
    stage: &Stage,
    tenants: &[&Tenant],
    differ: impl Fn(&[View]) -> Vec<String>,
) -> anyhow::Result<Vec<String>> {
    let mut last = Vec::new();
    for _ in 0..LOOKS {
        stage.settled().await?;
        last = differ(&stage.views(tenants).await?);
        if last.is_empty() {
            break;
        }
    }
    Ok(last)
}
