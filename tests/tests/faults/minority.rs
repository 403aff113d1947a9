//! A hub API server without a quorum behind it: it takes connections and answers reads, but its watches are silent
//! and its writes hang. Both controllers leave it for the next one.

use std::time::{Duration, Instant};

use anyhow::ensure;
use yunting_faults::call::Kind;
use yunting_faults::proxy::Proxy;
use yunting_tests::apiserver::wait;

use super::away::ready;
use super::controllers::{Controllers, Hub, Site, site_to_hub};
use super::dump::Names;
use super::life::Life;
use super::world::{PATIENCE, World};

/// A beat's period and its patience, twice, and time to begin the watches again.
const SOON: Duration = Duration::from_secs(30);

pub fn is_left(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let (hub_two, site_two) = (Hub::way(world, "a").await?, site_to_hub(world).await?);
        let hub = Hub::with(world, "a", &[&hub_two]).await?;
        let site = Site::with(world, site_to_hub(world).await?, &[&site_two]).await?;
        let both = Controllers { hub, site };
        world.bureau().await?;
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "minority" };
        life.create_vdc().await?;
        ready(world, "minority").await?;
        let since = Instant::now();
        both.hub.end.cut(true);
        both.site.hub_end.cut(true);
        for (who, way) in [("hub", &hub_two), ("site", &site_two)] {
            wait(&format!("the {who} controller at the next server"), PATIENCE, async || beats(way)).await?;
            println!("the {who} controller was at the next server after {:?}", since.elapsed());
        }
        life.resize("4").await?;
        ready(world, "minority").await?;
        println!("a change arrived {:?} after the cut", since.elapsed());
        ensure!(since.elapsed() < SOON, "it took {:?}", since.elapsed());
        life.end().await?;
        both.hub.end.cut(false);
        both.site.hub_end.cut(false);
        Ok(())
    })
}

fn beats(way: &Proxy) -> Option<()> {
    let good = |e: &yunting_faults::record::Entry| e.call.kind == Kind::Lease && e.code == Some(200);
    way.record().entries().iter().any(good).then_some(())
}
