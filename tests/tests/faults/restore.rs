//! The hub's etcd comes back from an older copy. What the site has and the hub no longer knows is `Orphaned`, and
//! nothing of it is touched; when much was lost at once, the hub is not believed when it says that something is to go.

use anyhow::ensure;
use k8s_openapi::api::events::v1::Event;
use kube::{Api, ResourceExt};
use yunting_crds::conditions::{State, find, state_of};
use yunting_crds::names::{SliceKind, slice};
use yunting_crds::{Site, SiteReport, SliceRecord, VirtualDataCenter};
use yunting_faults::call::Kind;
use yunting_faults::record::Entry;
use yunting_tests::apiserver::wait;

use super::away::ready;
use super::controllers::Controllers;
use super::dump::{Names, difference, dump};
use super::life::Life;
use super::world::{BUREAU, PATIENCE, SITE, World, gone, until};

/// More than may be lost at once.
const MANY: usize = 11;

fn reports(world: &World) -> Api<SiteReport> {
    Api::namespaced(world.hub.client().clone(), &format!("site-{SITE}"))
}

fn deletions(both: &Controllers) -> Vec<String> {
    let entries = both.site.own_end.record().entries();
    let deletes = |e: &&Entry| e.call.kind == Kind::Write && e.call.method == "DELETE";
    entries.iter().filter(deletes).map(Entry::to_string).collect()
}

fn orphaned(report: &SiteReport) -> usize {
    report.status.as_ref().map_or(0, |s| s.orphaned.len())
}

/// Forgets by hand, as an operator does who has decided that what is orphaned is to go.
async fn give_up(world: &World) -> anyhow::Result<()> {
    let records: Api<SliceRecord> = Api::all(world.site.client().clone());
    for record in records.list(&kube::api::ListParams::default()).await? {
        records.delete(&record.name_any(), &kube::api::DeleteParams::default()).await?;
    }
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> =
        Api::all(world.site.client_of("yunting:site-controller", &["yunting:site-controllers"]).await?);
    let ours = kube::api::ListParams::default().labels(yunting_crds::labels::VDC_UID);
    for namespace in namespaces.list(&ours).await? {
        namespaces.delete(&namespace.name_any(), &kube::api::DeleteParams::default()).await?;
    }
    Ok(())
}

/// Gives up the records of all other VDCs and their halls.
async fn forget_all_but(world: &World, vdc: &str) -> anyhow::Result<()> {
    let records: Api<SliceRecord> = Api::all(world.site.client().clone());
    let kept = |r: &SliceRecord| r.spec.vdc.as_ref().is_some_and(|v| v.source.name == vdc);
    for record in records.list(&kube::api::ListParams::default()).await?.iter().filter(|r| !kept(r)) {
        records.delete(&record.name_any(), &kube::api::DeleteParams::default()).await?;
    }
    Ok(())
}

pub fn older_copy(world: &mut World) -> anyhow::Result<()> {
    let runtime = world.runtime.clone();
    let copy = world.directory.path().join("older");
    runtime.block_on(async {
        let both = world.controllers().await?;
        both.hub.process.away();
        world.hub.back_up(&copy).await?;
        both.hub.process.back();
        let names = Names::default();
        let life = Life { world, controllers: &both, names: names.clone(), vdc: "after" };
        life.create().await?;
        let uid = ready(world, "after").await?;
        both.quiet(std::time::Duration::from_secs(3)).await?;
        let at_site = async |world: &World| -> anyhow::Result<_> {
            let mut all = dump(world, &names).await?;
            all.retain(|key, _| key.starts_with("site "));
            Ok(all)
        };
        let before = at_site(world).await?;
        both.hub.process.away();
        world.hub.restore(&copy).await?;
        both.hub.process.back();
        let lost = slice(SliceKind::Vdc, &uid);
        let told = |r: &SiteReport| r.status.as_ref().is_some_and(|s| s.orphaned.contains(&lost));
        until(reports(world), SITE, told).await?;
        let changed = difference(&before, &at_site(world).await?);
        ensure!(changed.is_empty(), "a restored hub changed the site:\n{}", changed.join("\n"));
        ensure!(deletions(&both).is_empty(), "{:?}", deletions(&both));
        // The hub works on, with higher numbers than its copy had.
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "afterwards" };
        life.create_vdc().await?;
        ready(world, "afterwards").await?;
        // A VDC and its hall are more than 5 % here: before anything may go, somebody decides about them.
        forget_all_but(world, "afterwards").await?;
        life.end().await?;
        drop(both);
        give_up(world).await
    })
}

fn believed(site: &Site) -> State {
    state_of(&site.status.clone().unwrap_or_default().conditions, "HubBelieved")
}

/// Both turns of it are Events that `kubectl describe site` shows.
async fn told(world: &World) -> anyhow::Result<()> {
    let events: Api<Event> = Api::namespaced(world.hub.client().clone(), "default");
    for reason in ["HubLostRecords", "HubBelieved"] {
        let told = async || {
            let all = events.list(&kube::api::ListParams::default()).await.ok()?;
            let about = |e: &Event| e.regarding.as_ref().and_then(|r| r.name.as_deref()) == Some(SITE);
            all.iter().any(|e| about(e) && e.reason.as_deref() == Some(reason)).then_some(())
        };
        wait(&format!("Event {reason}"), PATIENCE, told).await?;
    }
    Ok(())
}

pub fn lost_much(world: &mut World) -> anyhow::Result<()> {
    let runtime = world.runtime.clone();
    let copy = world.directory.path().join("oldest");
    runtime.block_on(async {
        let both = world.controllers().await?;
        let old = Life { world, controllers: &both, names: Names::default(), vdc: "old" };
        old.create_vdc().await?;
        let uid = ready(world, "old").await?;
        both.hub.process.away();
        world.hub.back_up(&copy).await?;
        both.hub.process.back();
        let many: Vec<String> = (0..MANY).map(|i| format!("many-{i}")).collect();
        for vdc in &many {
            Life { world, controllers: &both, names: Names::default(), vdc }.create_vdc().await?;
        }
        for vdc in &many {
            ready(world, vdc).await?;
        }
        world.hub.restore(&copy).await?;
        let alarmed = |r: &SiteReport| {
            let status = r.status.clone().unwrap_or_default();
            orphaned(r) == MANY && state_of(&status.conditions, "Ready") == State::False
        };
        let report = until(reports(world), SITE, alarmed).await?;
        let sites: Api<Site> = Api::all(world.hub.client().clone());
        until(sites, SITE, |site| believed(site) == State::False).await?;
        println!(
            "alarm: {:?}",
            find(&report.status.unwrap_or_default().conditions, "Ready").map(|c| &c.message)
        );
        let old = Life { world, controllers: &both, names: Names::default(), vdc: "old" };
        ready(world, "old").await?;
        old.release().await?;
        old.ask_end_of_vdc().await?;
        let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.client().clone(), BUREAU);
        let says = |v: &VirtualDataCenter| {
            v.status
                .as_ref()
                .and_then(|s| find(&s.conditions, "Ready"))
                .is_some_and(|c| c.message.contains("waiting"))
        };
        until(vdcs.clone(), "old", says).await?;
        both.quiet(std::time::Duration::from_secs(2)).await?;
        ensure!(deletions(&both).is_empty(), "a hub that lost much was believed: {:?}", deletions(&both));
        let records: Api<SliceRecord> = Api::all(world.site.client().clone());
        let record = records.get(&slice(SliceKind::Vdc, &uid)).await?;
        ensure!(record.spec.vdc.is_some_and(|v| v.desired == yunting_crds::common::Desired::Present));
        // Somebody decides: the lost ones are given up by hand, and what waited goes on.
        forget_all_but(world, "old").await?;
        gone(vdcs, "old").await?;
        let sites: Api<Site> = Api::all(world.hub.client().clone());
        until(sites, SITE, |site| believed(site) == State::True).await?;
        told(world).await?;
        drop(both);
        give_up(world).await
    })
}
