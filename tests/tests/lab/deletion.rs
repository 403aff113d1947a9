//! What is taken away goes backwards and leaves nothing, at the hub and at the sites.

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use yunting_crds::conditions::{State, state_of};
use yunting_crds::{
    Bureau, Hall, HallSlice, SliceRecord, VdcSlice, VirtualDataCenter, VolumeReplica, VolumeReplication,
    labels,
};

use super::fixture::{PATIENCE, World, gone, until};

const SITES: [&str; 2] = ["guoyang", "mengcheng"];

pub fn backwards(world: &World) -> anyhow::Result<()> {
    world.runtime.block_on(async {
        let bureau = world.bureau("leaving").await?;
        world.vdc(&bureau, "cloud", &SITES).await?;
        world.hall(&bureau, "hall", "cloud", "Platinum", true).await?;
        let vdc = world.vdc_ready(&bureau, "cloud").await?;
        world.hall_ready(&bureau, "hall").await?;
        let halls: Api<Hall> = Api::namespaced(world.hub.clone(), &bureau);
        let copied = |h: &Hall| {
            let conditions = h.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            state_of(conditions, "Replicated") == State::True
        };
        until(halls.clone(), "hall", PATIENCE, copied).await.context("its volume has no replica")?;
        refused_while_in_use(world, &bureau).await?;
        halls.delete("hall", &DeleteParams::default()).await?;
        gone(halls, "hall", PATIENCE).await?;
        world.end_vdc(&bureau, "cloud").await?;
        nothing_left(world, &vdc.uid().unwrap_or_default()).await?;
        let bureaus: Api<Bureau> = Api::all(world.hub.clone());
        until(bureaus.clone(), "leaving", PATIENCE, |b: &Bureau| {
            state_of(&b.status.clone().unwrap_or_default().conditions, "Deletable") == State::True
        })
        .await?;
        bureaus.delete("leaving", &DeleteParams::default()).await?;
        gone(bureaus, "leaving", PATIENCE).await
    })
}

async fn refused_while_in_use(world: &World, bureau: &str) -> anyhow::Result<()> {
    let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.clone(), bureau);
    match vdcs.delete("cloud", &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.message.contains("Released") => Ok(()),
        other => anyhow::bail!("deleting a VDC in use must be refused with a remedy: {other:?}"),
    }
}

async fn nothing_left(world: &World, uid: &str) -> anyhow::Result<()> {
    let all = ListParams::default();
    let vdc_slices = Api::<VdcSlice>::all(world.hub.clone()).list(&all).await?;
    let hall_slices = Api::<HallSlice>::all(world.hub.clone()).list(&all).await?;
    ensure!(!vdc_slices.iter().any(|s| s.spec.source.uid == uid), "a VDC slice is left");
    ensure!(!hall_slices.iter().any(|s| s.spec.vdc.uid == uid), "a hall slice is left");
    let of_vdc = ListParams::default().labels(&format!("{}={uid}", labels::VDC_UID));
    for site in SITES {
        let client = world.site(site).await?;
        let namespaces = Api::<Namespace>::all(client.clone()).list(&of_vdc).await?;
        ensure!(namespaces.items.is_empty(), "namespaces are left at {site}: {:?}", namespaces.items);
        let sent = Api::<VolumeReplication>::all(client.clone()).list(&all).await?;
        let kept = Api::<VolumeReplica>::all(client.clone()).list(&all).await?;
        ensure!(!sent.iter().any(|r| r.spec.vdc == uid), "volumes are still sent from {site}");
        ensure!(!kept.iter().any(|r| r.spec.vdc == uid), "replicas are left at {site}");
        let records: Api<SliceRecord> = Api::all(client);
        gone(records, &format!("vdc-{uid}"), PATIENCE).await?;
    }
    Ok(())
}
