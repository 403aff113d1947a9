//! The main job: from custom resources at the hub to running pods in closed, quota-bound namespaces.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use yunting_crds::conditions::find;
use yunting_crds::hall::HallRole;
use yunting_crds::{Hall, VirtualDataCenter, labels};
use yunting_tests::demo::door;

use super::fixture::{PATIENCE, World, namespace_of, namespaces, until};

pub const BUREAU: &str = "provision";

pub fn running(world: &World) -> anyhow::Result<()> {
    world.runtime.block_on(async {
        let bureau = world.bureau(BUREAU).await?;
        world.vdc(&bureau, "cloud", &["qiaocheng", "guoyang"]).await?;
        world.hall(&bureau, "gold", "cloud", "Gold", true).await?;
        world.hall(&bureau, "platinum", "cloud", "Platinum", false).await?;
        let vdc = world.vdc_ready(&bureau, "cloud").await?;
        world.hall_ready(&bureau, "gold").await?;
        let platinum = world.hall_ready(&bureau, "platinum").await?;
        ensure!(namespaces(&vdc).len() == 2, "two namespaces are asked: {:?}", namespaces(&vdc));
        // Nothing is claimed that nothing enforces; isolation and ciphertext only when probes have shown them. The hall's
        // volume is open at one site; at the other there is nothing to look at, which hides nothing.
        let vdcs = Api::namespaced(world.hub.clone(), &bureau);
        let proved = |v: &VirtualDataCenter| {
            let conditions = v.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            let verified = |type_| find(conditions, type_).is_some_and(|c| c.reason == "Verified");
            verified("NetworkIsolated") && verified("VolumesEncrypted")
        };
        let vdc = until(vdcs, "cloud", PATIENCE, proved).await?;
        let conditions = vdc.status.as_ref().map(|s| s.conditions.clone()).unwrap_or_default();
        for (type_, said) in
            [("NetworkIsolated", ("True", "Verified")), ("VolumesEncrypted", ("True", "Verified"))]
        {
            let found = find(&conditions, type_).map(|c| (c.status.as_str(), c.reason.as_str()));
            ensure!(found == Some(said), "{type_}: {found:?}");
        }
        // Its data comes to the other site by itself; that nothing moves it there yet is said.
        let halls = Api::namespaced(world.hub.clone(), &bureau);
        let copied = |h: &Hall| {
            let conditions = h.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            find(conditions, "Replicated").is_some_and(|c| c.status == "True")
        };
        let gold = until(halls, "gold", PATIENCE, copied).await.context("its volume has no replica")?;
        let protected = gold.status.as_ref().and_then(|s| find(&s.conditions, "Protected"));
        let said = protected.map(|c| (c.status.as_str(), c.reason.as_str()));
        ensure!(said == Some(("False", "ProviderMissing")), "Protected: {said:?}");
        roles(&gold, [("guoyang", HallRole::Standby), ("qiaocheng", HallRole::Active)])?;
        roles(&platinum, [("guoyang", HallRole::Active), ("qiaocheng", HallRole::Active)])?;
        // Ready was not said before somebody was answered.
        for hall in [&gold, &platinum] {
            let reachable = hall.status.as_ref().and_then(|s| find(&s.conditions, "Reachable"));
            let said = reachable.map(|c| (c.status.clone(), c.reason.clone()));
            ensure!(said == Some(("True".into(), "Verified".into())), "Reachable: {said:?}");
        }
        for site in ["qiaocheng", "guoyang"] {
            isolated(world, site, &namespace_of(&vdc, "app")).await.with_context(|| format!("at {site}"))?;
            replicas(world, site, &namespace_of(&vdc, "app")).await.with_context(|| format!("at {site}"))?;
        }
        Ok(())
    })
}

fn roles(hall: &yunting_crds::Hall, wanted: [(&str, HallRole); 2]) -> anyhow::Result<()> {
    let roles: BTreeMap<&str, HallRole> =
        hall.status.iter().flat_map(|s| &s.sites).map(|s| (s.site.as_str(), s.role)).collect();
    ensure!(roles == BTreeMap::from(wanted), "{}: {roles:?}", hall.name_any());
    Ok(())
}

async fn isolated(world: &World, site: &str, namespace: &str) -> anyhow::Result<()> {
    let client = world.site(site).await?;
    let ns: Namespace = Api::all(client.clone()).get(namespace).await?;
    ensure!(
        ns.labels().get(labels::ADMISSION).map(String::as_str) == Some(labels::ADMISSION_OPEN),
        "not open: {:?}",
        ns.labels()
    );
    ensure!(
        ns.labels().get("pod-security.kubernetes.io/enforce").map(String::as_str) == Some("restricted"),
        "not restricted"
    );
    let quotas =
        Api::<ResourceQuota>::namespaced(client.clone(), namespace).list(&ListParams::default()).await?;
    ensure!(!quotas.items.is_empty(), "no quota");
    for quota in quotas {
        let (hard, status) = (quota.spec.and_then(|s| s.hard), quota.status.and_then(|s| s.hard));
        ensure!(hard.is_some() && hard == status, "quota is not enforced as written: {hard:?} {status:?}");
    }
    let policies = Api::<NetworkPolicy>::namespaced(client, namespace).list(&ListParams::default()).await?;
    let denies_all = |p: &NetworkPolicy| {
        p.spec.as_ref().is_some_and(|s| {
            s.pod_selector.as_ref().is_none_or(|p| p.match_labels.is_none() && p.match_expressions.is_none())
                && s.policy_types.as_ref().is_some_and(|t| t.len() == 2)
                && s.ingress.is_none()
                && s.egress.is_none()
        })
    };
    ensure!(policies.iter().any(denies_all), "no default deny both ways");
    Ok(())
}

async fn replicas(world: &World, site: &str, namespace: &str) -> anyhow::Result<()> {
    let client = world.site(site).await?;
    let deployments =
        Api::<Deployment>::namespaced(client.clone(), namespace).list(&ListParams::default()).await?;
    ensure!(
        deployments.items.len() == 4,
        "two halls of two stateless components: {}",
        deployments.items.len()
    );
    for deployment in deployments {
        let gold = deployment.labels().get(labels::HALL).map(String::as_str) == Some("gold");
        let wanted = i32::from(!(gold && site == "guoyang"));
        let asked = deployment.spec.as_ref().and_then(|s| s.replicas);
        ensure!(asked == Some(wanted), "{}: {asked:?} replicas", deployment.name_any());
    }
    let sets = Api::<StatefulSet>::namespaced(client, namespace).list(&ListParams::default()).await?;
    let asked = sets.items.first().and_then(|s| s.spec.as_ref()).and_then(|s| s.replicas);
    ensure!(asked == Some(i32::from(site == "qiaocheng")), "database: {asked:?} replicas");
    Ok(())
}

/// A controller that starts anew on a world that stands writes nothing.
pub fn quiet(world: &World) -> anyhow::Result<()> {
    let versions = || world.runtime.block_on(versions(world));
    let before = versions()?;
    for (site, process) in [("qiaocheng", "site-controller"), ("qiaocheng", "hub-controller")] {
        world.lab(&["stop", site, process])?;
        world.lab(&["start", site, process])?;
    }
    // The VDC's slice is made to be looked at again by every controller: a new bureau passes through all of them.
    world.runtime.block_on(async {
        let bureau = world.bureau("after-restart").await?;
        world.vdc(&bureau, "fresh", &["qiaocheng"]).await?;
        world.vdc_ready(&bureau, "fresh").await
    })?;
    let after = versions()?;
    if before != after {
        bail!("objects that stood were written again:\n{before:#?}\n{after:#?}");
    }
    Ok(())
}

/// Generations of what the first test made: they move with every change of a spec.
async fn versions(world: &World) -> anyhow::Result<BTreeMap<String, Option<i64>>> {
    let bureau = format!("bureau-{BUREAU}");
    let vdc: yunting_crds::VirtualDataCenter =
        Api::namespaced(world.hub.clone(), &bureau).get("cloud").await?;
    let mut versions = BTreeMap::new();
    for slice in Api::<yunting_crds::VdcSlice>::all(world.hub.clone()).list(&ListParams::default()).await? {
        if slice.spec.source.bureau == BUREAU {
            versions.insert(
                format!("slice {}", slice.namespace().unwrap_or_default()),
                slice.metadata.generation,
            );
        }
    }
    let client = world.site("qiaocheng").await?;
    for deployment in
        Api::<Deployment>::namespaced(client, &namespace_of(&vdc, "app")).list(&ListParams::default()).await?
    {
        versions.insert(deployment.name_any(), deployment.metadata.generation);
    }
    Ok(versions)
}

pub fn front_door(world: &World) -> anyhow::Result<()> {
    for site in ["qiaocheng", "guoyang"] {
        let answer = door::ask(world.gateway(site)?, &format!("platinum.{BUREAU}.example"))?;
        ensure!(answer.code == 200 && answer.pod.is_some(), "at {site}: {answer:?}");
    }
    let unknown = door::ask(world.gateway("qiaocheng")?, "nobody.example")?;
    ensure!(unknown.code == 404 || unknown.code == 503, "a host that nobody claims: {unknown:?}");
    Ok(())
}

/// Events say where a thing was placed, and why one is not carried out.
pub fn told(world: &World) -> anyhow::Result<()> {
    world.runtime.block_on(async {
        let bureau = format!("bureau-{BUREAU}");
        let quota = serde_json::json!({"cpu": "9000", "memory": "1Gi", "pods": 4});
        world.vdc_of(&bureau, "greedy", &["qiaocheng"], quota).await?;
        for (kind, name, reason, word) in [
            ("VirtualDataCenter", "cloud", "Scheduled", "qiaocheng"),
            ("Hall", "gold", "Placed", "guoyang"),
            ("VirtualDataCenter", "greedy", "QuotaExceeded", "9000"),
        ] {
            let events: Api<Event> = Api::namespaced(world.hub.clone(), &bureau);
            let wanted = |e: &Event| {
                let about = e.regarding.as_ref();
                about.is_some_and(|r| r.kind.as_deref() == Some(kind) && r.name.as_deref() == Some(name))
                    && e.reason.as_deref() == Some(reason)
                    && e.note.as_deref().is_some_and(|n| n.contains(word))
            };
            let stream = watcher(events, watcher::Config::default()).applied_objects();
            let mut found = stream.try_filter(|e| std::future::ready(wanted(e))).boxed();
            let told = tokio::time::timeout(PATIENCE, found.try_next()).await;
            told.with_context(|| format!("no event {reason} about {kind} {name} that says {word:?}"))??;
        }
        // What the hub makes itself is nobody's mistake, also while it is not there yet.
        let events: Api<Event> = Api::namespaced(world.hub.clone(), &bureau);
        let all = events.list(&ListParams::default()).await?;
        let blamed = |e: &&Event| e.reason.as_deref() == Some("ReferenceInvalid");
        let blamed: Vec<_> = all.items.iter().filter(blamed).map(|e| e.note.clone()).collect();
        ensure!(blamed.is_empty(), "somebody is blamed for what the hub makes itself: {blamed:?}");
        Ok(())
    })
}
