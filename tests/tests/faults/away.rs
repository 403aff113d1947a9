//! A site whose controller does not run while much changes at the hub; it catches up.

use anyhow::ensure;
use kube::{Api, ResourceExt};
use yunting_crds::conditions::{State, state_of};
use yunting_crds::names::{SliceKind, slice};
use yunting_crds::{SliceRecord, VdcSlice, VirtualDataCenter};

use super::dump::Names;
use super::life::Life;
use super::world::{BUREAU, SITE, World, gone, until};

/// VDCs made while the site is away.
const MADE: [&str; 6] = ["away-a", "away-b", "away-c", "away-d", "away-e", "away-f"];

pub fn catches_up(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let both = world.controllers().await?;
        let life = |vdc| Life { world, controllers: &both, names: Names::default(), vdc };
        life("stays").create().await?;
        life("goes").create_vdc().await?;
        for vdc in ["stays", "goes"] {
            ready(world, vdc).await?;
        }
        both.site.process.away();
        for cpu in ["3", "4", "5", "6", "2", "7"] {
            life("stays").resize(cpu).await?;
        }
        life("stays").ask_end_of_hall().await?;
        life("goes").release().await?;
        life("goes").ask_end_of_vdc().await?;
        for vdc in MADE {
            life(vdc).create_vdc().await?;
        }
        life(MADE[0]).release().await?;
        life(MADE[0]).ask_end_of_vdc().await?;
        both.site.process.back();
        let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.client().clone(), BUREAU);
        for vdc in ["goes", MADE[0]] {
            gone(vdcs.clone(), vdc).await?;
        }
        life("stays").hall_gone().await?;
        for vdc in MADE[1..].iter().chain(&["stays"]) {
            let uid = ready(world, vdc).await?;
            recorded(world, &uid).await?;
        }
        for vdc in MADE[1..].iter().chain(&["stays"]) {
            life(vdc).end().await?;
        }
        Ok(())
    })
}

/// Waits until the VDC is ready as it is asked for now; its uid.
pub async fn ready(world: &World, vdc: &str) -> anyhow::Result<String> {
    let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.client().clone(), BUREAU);
    let ready = |v: &VirtualDataCenter| {
        let status = v.status.as_ref();
        status.is_some_and(|s| {
            s.observed_generation == v.metadata.generation && state_of(&s.conditions, "Ready") == State::True
        })
    };
    Ok(until(vdcs, vdc, ready).await?.uid().unwrap_or_default())
}

/// The site's record says what the hub's slice says.
async fn recorded(world: &World, uid: &str) -> anyhow::Result<()> {
    let name = slice(SliceKind::Vdc, uid);
    let slices: Api<VdcSlice> = Api::namespaced(world.hub.client().clone(), &format!("site-{SITE}"));
    let records: Api<SliceRecord> = Api::all(world.site.client().clone());
    let (slice, record) = (slices.get(&name).await?, records.get(&name).await?);
    ensure!(record.spec.vdc.as_ref() == Some(&slice.spec), "the record {name} is not what the hub says");
    Ok(())
}
