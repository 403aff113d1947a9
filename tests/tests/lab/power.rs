//! A site loses power: the hub says so and goes on, the other sites serve; the site comes back by itself.

use anyhow::ensure;
use kube::Api;
use yunting_crds::conditions::find;
use yunting_crds::{Hall, Site};
use yunting_tests::demo::door;

use super::fixture::{PATIENCE, World, ready, until};

const VICTIM: &str = "guoyang";

pub fn lost_and_back(world: &World) -> anyhow::Result<()> {
    let bureau = world.runtime.block_on(world.bureau("darkness"))?;
    world.runtime.block_on(async {
        world.vdc(&bureau, "cloud", &["qiaocheng", VICTIM]).await?;
        world.hall(&bureau, "hall", "cloud", "Platinum", false).await?;
        world.hall_ready(&bureau, "hall").await
    })?;
    world.lab(&["poweroff", VICTIM])?;
    world.runtime.block_on(dark(world, &bureau))?;
    let answer = door::ask(world.gateway("qiaocheng")?, "hall.darkness.example")?;
    ensure!(answer.code == 200, "the other site stopped serving: {answer:?}");
    // The hub goes on with two of three members: something new is made and becomes ready.
    world.runtime.block_on(async {
        world.vdc(&bureau, "meanwhile", &["mengcheng"]).await?;
        world.vdc_ready(&bureau, "meanwhile").await
    })?;
    world.lab(&["poweron", VICTIM])?;
    world.runtime.block_on(async {
        let sites: Api<Site> = Api::all(world.hub.clone());
        until(sites, VICTIM, PATIENCE, |s: &Site| ready(s.status.as_ref().map_or(&[], |s| &s.conditions)))
            .await?;
        world.hall_ready(&bureau, "hall").await?;
        anyhow::Ok(())
    })?;
    // Pods that a power cut took count as ready at their API server until the kubelet has looked, and the hub still
    // has the site's words of before: neither may make the hall Ready. Ready means that the door answers.
    let answer = door::ask(world.gateway(VICTIM)?, "hall.darkness.example")?;
    ensure!(answer.code == 200, "Ready was said before the door answered: {answer:?}");
    Ok(())
}

async fn dark(world: &World, bureau: &str) -> anyhow::Result<()> {
    let halls: Api<Hall> = Api::namespaced(world.hub.clone(), bureau);
    let silent = |h: &Hall| {
        let condition = h.status.as_ref().and_then(|s| find(&s.conditions, "Ready"));
        condition
            .is_some_and(|c| c.status == "Unknown" && c.reason == "SiteSilent" && c.message.contains(VICTIM))
    };
    let hall = until(halls, "hall", PATIENCE, silent).await?;
    let serving = hall.status.and_then(|s| s.site_summary);
    ensure!(serving.as_deref() == Some("qiaocheng"), "serving: {serving:?}");
    Ok(())
}
