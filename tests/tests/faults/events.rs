//! Watches that double and reorder events, lose them until the next LIST, keep them back, and show an old view.

use yunting_faults::call::Kind;
use yunting_faults::plan::{Fault, Match, Rule};
use yunting_faults::watch::WatchFault;

use super::controllers::Controllers;
use super::dump::Names;
use super::life::{Course, Life};
use super::world::World;

pub fn disturbed(world: &mut World) -> anyhow::Result<()> {
    let course = world.course()?;
    let world = &*world;
    world.runtime.clone().block_on(async {
        let both = world.controllers().await?;
        for (index, fault) in [WatchFault::Duplicate(40), WatchFault::Reorder(40)].into_iter().enumerate() {
            every_watch(&both, Some(fault));
            // One turn is enough for a fault that a seed chooses; the other is for the next seed.
            if world.full || u64::try_from(index).is_ok_and(|i| world.seed % 2 == i) {
                life(world, &both).same(&course, |_| ()).await?;
            }
        }
        every_watch(&both, None);
        stale(&life(world, &both), &course).await?;
        lost(&life(world, &both), &course).await
    })
}

fn life<'a>(world: &'a World, controllers: &'a Controllers) -> Life<'a> {
    Life { world, controllers, names: Names::default(), vdc: "cloud" }
}

/// Watches begin again with that fault, or without any.
fn every_watch(both: &Controllers, fault: Option<WatchFault>) {
    for way in both.ways() {
        let rule = |fault| Rule::new(Match::kind(Kind::Watch), Fault::Watch(fault));
        way.rules(fault.map(rule).into_iter().collect());
        way.expire();
    }
}

/// Much is asked for while all views stand still; then they go on.
async fn stale(life: &Life<'_>, course: &Course) -> anyhow::Result<()> {
    let revision = async |client: &kube::Client| -> anyhow::Result<u64> {
        let request = http::Request::get("/api/v1/namespaces?limit=1").body(Vec::new())?;
        let list: serde_json::Value = client.request(request).await?;
        Ok(list["metadata"]["resourceVersion"].as_str().unwrap_or_default().parse()?)
    };
    for (way, server) in
        life.controllers.ways().into_iter().zip([&life.world.hub, &life.world.hub, &life.world.site])
    {
        way.freeze(revision(server.client()).await?);
    }
    life.create().await?;
    life.resize("3").await?;
    life.controllers.ways().iter().for_each(|way| way.thaw());
    life.stands(&course["resize"]).await?;
    life.end().await?;
    life.stands(&course["rest"]).await
}

/// A third of all events never come; a LIST puts it right.
async fn lost(life: &Life<'_>, course: &Course) -> anyhow::Result<()> {
    every_watch(life.controllers, Some(WatchFault::Drop(33)));
    life.create().await?;
    every_watch(life.controllers, None);
    life.stands(&course["create"]).await?;
    life.end().await?;
    life.stands(&course["rest"]).await
}
