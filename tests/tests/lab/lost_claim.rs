//! A claim that is deleted by mistake comes back empty, and its empty volume is replicated within seconds. What the old one
//! held is still at the other site, until a person takes it away.

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use yunting_crds::Hall;
use yunting_crds::conditions::find;

use super::fixture::{PATIENCE, World, gone, seen, until};
use super::provision::BUREAU;
use super::replicas::Replica;
use super::volumes::{Database, HALL, SITE};

pub fn kept(world: &World) -> anyhow::Result<()> {
    let database = world.runtime.block_on(Database::find(world, BUREAU, HALL, SITE))?;
    let old = world.runtime.block_on(Replica::find(world, &database))?;
    world.runtime.block_on(async {
        old.both_ready().await.context("before")?;
        deleted(world, &database).await.context("the claim comes back")?;
        let database = Database::find(world, BUREAU, HALL, SITE).await?;
        let new = Replica::find(world, &database).await?;
        ensure!(new.name != old.name, "{} is still its volume", old.name);
        new.both_ready().await.context("the new volume")?;
        hall_names(&new, &old.name, true).await.context("it is told")?;
        let kept = old.kept().get(&old.name).await.context("the last copy went")?;
        ensure!(kept.metadata.deletion_timestamp.is_none(), "it is going");
        let point = kept.status.and_then(|s| s.newest).context("its points are gone")?;
        println!("point {} of {} is kept", point.sequence, old.name);
        // A person who does not need it.
        old.kept().delete(&old.name, &DeleteParams::default()).await?;
        gone(old.kept(), &old.name, PATIENCE).await?;
        hall_names(&new, &old.name, false).await.context("it is over")?;
        ensure!(old.kept().get_opt(&old.name).await?.is_none(), "it was made anew out of nothing");
        new.hall_says("True", "AsAsked").await
    })
}

/// Deletes the claim, and the pod that it waits for; both come again.
async fn deleted(world: &World, database: &Database) -> anyhow::Result<()> {
    let site = world.as_site_controller(SITE).await?;
    let pods: Api<Pod> = Api::namespaced(site.clone(), database.namespace());
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(site, database.namespace());
    let volumes = database.pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    let mut names = volumes.filter_map(|v| v.persistent_volume_claim.as_ref()).map(|c| c.claim_name.clone());
    let claim = names.next().context("no claim")?;
    let before = claims.get(&claim).await?.uid();
    claims.delete(&claim, &DeleteParams::default()).await?;
    pods.delete(&database.pod.name_any(), &DeleteParams::default()).await?;
    seen(claims, PATIENCE, |c: &PersistentVolumeClaim| c.name_any() == claim && c.uid() != before).await?;
    let fresh = |p: &Pod| p.name_any() == database.pod.name_any() && p.uid() != database.pod.uid();
    seen(pods, PATIENCE, fresh).await.map(drop)
}

/// Waits until the hall's `Replicated` names a volume that is gone, or does no more.
async fn hall_names(replica: &Replica, volume: &str, named: bool) -> anyhow::Result<()> {
    let said = |h: &Hall| {
        let conditions = h.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
        find(conditions, "Replicated")
            .is_some_and(|c| c.status == "True" && c.message.contains(volume) == named)
    };
    until(replica.halls.clone(), HALL, PATIENCE, said).await.map(drop)
}
