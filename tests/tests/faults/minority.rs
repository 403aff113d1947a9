//! An API server without a quorum behind it, of the hub or of the site: it takes connections and answers reads, but its
//! watches are silent and its writes hang. The controllers leave it for the next one.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::future::try_join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use serde_json::json;
use yunting_crds::VirtualDataCenter;
use yunting_crds::conditions::FROZEN;
use yunting_faults::call::Kind;
use yunting_faults::proxy::Proxy;
use yunting_tests::apiserver::wait;

use super::away::ready;
use super::controllers::{Controllers, Hub, Site, site_to_hub, site_to_own};
use super::dump::Names;
use super::life::Life;
use super::world::{BUREAU, PATIENCE, World, until};

/// A beat's period and its patience, twice, and time to begin the watches again.
const SOON: Duration = Duration::from_secs(30);

pub fn is_left(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let (hub_two, site_two) = (Hub::way(world, "a").await?, site_to_hub(world).await?);
        let hub = Hub::with(world, "a", &[&hub_two]).await?;
        let site = Site::with(world, &[&site_two], &[]).await?;
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

/// The site's own server. What a silent server might still admit keeps a namespace from being called closed, and keeps
/// nothing else up.
pub fn at_a_site_is_left(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let own_two = site_to_own(world).await?;
        let hub = Hub::start(world, "a").await?;
        let both = Controllers { hub, site: Site::with(world, &[], &[&own_two]).await? };
        world.bureau().await?;
        let life = |vdc| Life { world, controllers: &both, names: Names::default(), vdc };
        let all: Vec<&str> = CLOSING.into_iter().chain(["split"]).collect();
        try_join_all(all.iter().map(async |vdc| {
            life(vdc).create_vdc().await?;
            ready(world, vdc).await
        }))
        .await?;
        let since = Instant::now();
        both.site.own_end.cut(true);
        wait("the site controller at the next server", PATIENCE, async || beats(&own_two)).await?;
        println!("the site controller was at the next server after {:?}", since.elapsed());
        for vdc in CLOSING {
            life(vdc).lifecycle(json!({"state": "Frozen"})).await?;
        }
        for vdc in CLOSING {
            until(vdcs(world), vdc, |v| frozen(v).is_some_and(|f| f.message.contains("did not answer")))
                .await?;
        }
        let since = Instant::now();
        life("split").resize("4").await?;
        ready(world, "split").await?;
        println!(
            "a change arrived after {:?} while {} VDCs waited to be closed",
            since.elapsed(),
            CLOSING.len()
        );
        ensure!(since.elapsed() < SOON, "it took {:?}", since.elapsed());
        for vdc in CLOSING {
            let vdc = vdcs(world).get(vdc).await?;
            ensure!(frozen(&vdc).is_some_and(|f| f.status == "False"), "said to be frozen: {:?}", vdc.status);
        }
        both.site.own_end.cut(false);
        for vdc in CLOSING {
            until(vdcs(world), vdc, |v| frozen(v).is_some_and(|f| f.status == "True")).await?;
        }
        try_join_all(all.iter().map(async |vdc| life(vdc).end().await)).await?;
        Ok(())
    })
}

/// More VDCs than a site works on at once.
const CLOSING: [&str; 10] =
    ["shut-a", "shut-b", "shut-c", "shut-d", "shut-e", "shut-f", "shut-g", "shut-h", "shut-i", "shut-j"];

fn vdcs(world: &World) -> Api<VirtualDataCenter> {
    Api::namespaced(world.hub.client().clone(), BUREAU)
}

/// What is said of a VDC's freeze as it is asked for now.
fn frozen(vdc: &VirtualDataCenter) -> Option<&Condition> {
    let status = vdc.status.as_ref().filter(|s| s.observed_generation == vdc.metadata.generation)?;
    status.conditions.iter().find(|c| c.type_ == FROZEN)
}

fn beats(way: &Proxy) -> Option<()> {
    let good = |e: &yunting_faults::record::Entry| e.call.kind == Kind::Lease && e.code == Some(200);
    way.record().entries().iter().any(good).then_some(())
}
