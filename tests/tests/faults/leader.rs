//! A leader that is stopped in the middle of a write, replaced, and goes on: its late writes do no harm.

use anyhow::{Context, ensure};
use kube::{Api, ResourceExt};
use yunting_crds::names::{SliceKind, slice};
use yunting_crds::{VdcSlice, VirtualDataCenter};
use yunting_faults::call::Kind;
use yunting_faults::plan::{Fault, Match, Rule};
use yunting_faults::proxy::Proxy;
use yunting_faults::record::Entry;
use yunting_tests::apiserver::wait;

use super::controllers::{Hub, Site};
use super::dump::Names;
use super::life::{Life, vdc_spec};
use super::world::{BUREAU, PATIENCE, SITE, World, apply, until};

fn slices(world: &World) -> Api<VdcSlice> {
    Api::namespaced(world.hub.client().clone(), &format!("site-{SITE}"))
}

/// The first leader keeps its next write of a VDC's slice on its way.
fn hold(end: &Proxy) {
    let writes = Match::kind(Kind::Write).path("/vdcslices/");
    end.rules(vec![Rule::new(writes, Fault::Hold).times(1)]);
}

fn held(end: &Proxy) -> Option<Entry> {
    end.record().entries().into_iter().rev().find(|e| e.fault == Some(Fault::Hold))
}

async fn on_its_way(end: &Proxy) -> anyhow::Result<()> {
    wait("a write of a slice on its way", PATIENCE, async || held(end).map(drop)).await
}

/// Lets the write go on; what the server said to it.
async fn arrives(end: &Proxy) -> anyhow::Result<u16> {
    end.release();
    wait("the late write to be answered", PATIENCE, async || held(end)?.code).await
}

fn refused(code: u16) -> anyhow::Result<()> {
    println!("the late write was answered {code}");
    ensure!(matches!(code, 403 | 422), "a late write of a deposed leader was answered {code}");
    Ok(())
}

/// The stopped leader goes on, sees that it lost the lead, and ends.
async fn gives_up(first: &Hub) -> anyhow::Result<()> {
    let starts = first.process.starts();
    first.process.go_on()?;
    wait("the deposed leader to end", PATIENCE, async || (first.process.starts() > starts).then_some(()))
        .await?;
    ensure!(
        first.process.said("the lead was lost"),
        "it ended for another reason:\n{}",
        first.process.tail(5)
    );
    Ok(())
}

pub fn late_update(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let both = world.controllers().await?;
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "late" };
        let uid = life.create_vdc().await?;
        let name = slice(SliceKind::Vdc, &uid);
        let before = until(slices(world), &name, |s: &VdcSlice| s.status.is_some()).await?;
        hold(&both.hub.end);
        life.resize("3").await?;
        on_its_way(&both.hub.end).await?;
        both.hub.process.freeze()?;
        let next = Hub::start(world, "b").await?;
        life.resize("4").await?;
        let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.client().clone(), BUREAU);
        let wanted = vdcs.get("late").await?.metadata.generation;
        let written =
            |s: &VdcSlice| Some(s.spec.source.generation) == wanted && s.spec.term > before.spec.term;
        let new = until(slices(world), &name, written).await?;
        refused(arrives(&both.hub.end).await?)?;
        ensure!(slices(world).get(&name).await?.spec == new.spec, "the late write changed the slice");
        gives_up(&both.hub).await?;
        life.end().await?;
        drop(next);
        Ok(())
    })
}

pub fn late_create(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let both = world.controllers().await?;
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "ghost" };
        hold(&both.hub.end);
        let made =
            apply::<VirtualDataCenter>(world.hub.client(), Some(BUREAU), "ghost", vdc_spec("2")).await?;
        let name = slice(SliceKind::Vdc, &made.uid().context("an object without uid")?);
        on_its_way(&both.hub.end).await?;
        both.hub.process.freeze()?;
        let next = Hub::start(world, "b").await?;
        until(slices(world), &name, |s: &VdcSlice| s.status.is_some()).await?;
        life.end().await?;
        ensure!(slices(world).get_opt(&name).await?.is_none(), "the VDC went before its slice");
        let code = arrives(&both.hub.end).await?;
        let left = slices(world).get_opt(&name).await?;
        ensure!(left.is_none(), "the late write made a slice of a VDC that is gone (answer {code})");
        refused(code)?;
        gives_up(&both.hub).await?;
        drop(next);
        Ok(())
    })
}

/// What a deposed leader concluded of a VDC takes back nothing of what the next one says.
pub fn late_status(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let both = world.controllers().await?;
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "spoken" };
        life.create_vdc().await?;
        super::away::ready(world, "spoken").await?;
        let writes = Match::kind(Kind::Write).path("/virtualdatacenters/spoken/status");
        both.hub.end.rules(vec![Rule::new(writes, Fault::Hold).times(1)]);
        life.resize("3").await?;
        on_its_way(&both.hub.end).await?;
        both.hub.process.freeze()?;
        let next = Hub::start(world, "b").await?;
        life.resize("4").await?;
        let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.client().clone(), BUREAU);
        let wanted = vdcs.get("spoken").await?.metadata.generation;
        let told = |v: &VirtualDataCenter| v.status.as_ref().is_some_and(|s| s.observed_generation == wanted);
        until(vdcs.clone(), "spoken", told).await?;
        super::away::ready(world, "spoken").await?;
        let code = arrives(&both.hub.end).await?;
        ensure!(code == 409, "the late status of a deposed leader was answered {code}");
        let now = vdcs.get("spoken").await?;
        ensure!(told(&now), "the late status stands: {:?}", now.status);
        gives_up(&both.hub).await?;
        life.end().await?;
        drop(next);
        Ok(())
    })
}

/// What a site controller that was replaced says late takes back nothing of what its successor says.
pub fn late_status_of_a_site(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let both = world.controllers().await?;
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "echoed" };
        let name = slice(SliceKind::Vdc, &life.create_vdc().await?);
        super::away::ready(world, "echoed").await?;
        let says = Match::kind(Kind::Write).path(&format!("/vdcslices/{name}/status"));
        both.site.hub_end.rules(vec![Rule::new(says, Fault::Hold).times(1)]);
        life.resize("3").await?;
        on_its_way(&both.site.hub_end).await?;
        both.site.process.freeze()?;
        let next = Site::start(world).await?;
        life.resize("4").await?;
        super::away::ready(world, "echoed").await?;
        let told = slices(world).get(&name).await?.status;
        let code = arrives(&both.site.hub_end).await?;
        ensure!(code == 409, "the late status of a replaced site controller was answered {code}");
        let now = slices(world).get(&name).await?.status;
        ensure!(now == told, "the late status stands: {now:?}");
        let starts = both.site.process.starts();
        both.site.process.go_on()?;
        let ended = async || (both.site.process.starts() > starts).then_some(());
        wait("the replaced site controller to end", PATIENCE, ended).await?;
        // It goes by the same name as its successor, and would take the lead back.
        both.site.process.away();
        life.end().await?;
        drop(next);
        Ok(())
    })
}
