//! Labels, owners and uids that somebody broke at the site. Whatever they say, no object of another VDC is touched.

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use yunting_crds::names::{SliceKind, slice};
use yunting_crds::{Hall, SliceRecord, VirtualDataCenter, labels};
use yunting_faults::call::Kind;
use yunting_faults::plan::{Fault, Match, Rule};
use yunting_faults::record::Entry;
use yunting_lab::manifests::{self, Variables};
use yunting_tests::apiserver::wait;

use super::away::ready;
use super::controllers::Controllers;
use super::dump::Names;
use super::life::Life;
use super::world::{BUREAU, PATIENCE, World, until};

/// Two VDCs with their halls.
struct Two<'a> {
    world: &'a World,
    both: Controllers,
    own: String,
    other: String,
}

impl<'a> Two<'a> {
    async fn start(world: &'a World) -> anyhow::Result<Self> {
        let both = world.controllers().await?;
        let mut two = Self { world, both, own: String::new(), other: String::new() };
        two.life("own").create().await?;
        two.life("other").create().await?;
        (two.own, two.other) = (ready(world, "own").await?, ready(world, "other").await?);
        for vdc in ["own", "other"] {
            until(two.deployments(vdc), &two.deployment(vdc).await?, |_| true).await?;
        }
        Ok(two)
    }

    fn life(&self, vdc: &'a str) -> Life<'_> {
        Life { world: self.world, controllers: &self.both, names: Names::default(), vdc }
    }

    fn uid(&self, vdc: &str) -> &str {
        if vdc == "own" { &self.own } else { &self.other }
    }

    fn namespace(&self, vdc: &str, name: &str) -> String {
        format!("{vdc}-{name}-{}", &self.uid(vdc)[..8])
    }

    fn deployments(&self, vdc: &str) -> Api<Deployment> {
        Api::namespaced(self.world.site.client().clone(), &self.namespace(vdc, "app"))
    }

    async fn hall_uid(&self, vdc: &str) -> anyhow::Result<String> {
        let halls: Api<Hall> = Api::namespaced(self.world.hub.client().clone(), BUREAU);
        halls.get(&format!("{vdc}-hall")).await?.uid().context("a hall without uid")
    }

    async fn deployment(&self, vdc: &str) -> anyhow::Result<String> {
        use yunting_crds::names::{ComponentName, HallName, component_object};
        let hall = HallName::new(&format!("{vdc}-hall"))?;
        Ok(component_object(&self.hall_uid(vdc).await?, &hall, &ComponentName::new("portal")?))
    }

    /// Deletions that the site controller asked for in the first VDC's namespaces, or of them.
    fn deletions(&self) -> Vec<String> {
        let place = format!("-{}", &self.own[..8]);
        let mine = |e: &Entry| e.call.method == "DELETE" && e.call.path.contains(&place);
        self.both.site.own_end.record().entries().iter().filter(|e| mine(e)).map(Entry::to_string).collect()
    }

    /// Ends both, the second first: what is the first's must outlive it.
    async fn end(self, survives: impl AsyncFnOnce(&Self) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.life("other").end().await?;
        self.both.quiet(std::time::Duration::from_secs(2)).await?;
        let deletions = self.deletions();
        ensure!(deletions.is_empty(), "objects of another VDC were deleted:\n{}", deletions.join("\n"));
        survives(&self).await
    }
}

async fn relabel<K>(api: &Api<K>, name: &str, values: &[(&str, &str)]) -> anyhow::Result<String>
where
    K: Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let labels: serde_json::Map<String, serde_json::Value> =
        values.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
    let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
    api.patch(name, &PatchParams::default(), &patch).await?.uid().context("an object without uid")
}

/// The site controller's identity: the policies let nobody else write there.
async fn controller(world: &World) -> anyhow::Result<Client> {
    world.site.client_of("yunting:site-controller", &["yunting:site-controllers"]).await
}

pub fn hall_label(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let two = Two::start(world).await?;
        let thief = two.hall_uid("other").await?;
        let (client, place) = (controller(world).await?, two.namespace("own", "app"));
        let services: Api<Service> = Api::namespaced(client.clone(), &place);
        let maps: Api<ConfigMap> = Api::namespaced(client, &place);
        let name = two.deployment("own").await?;
        until(services.clone(), &name, |_| true).await?;
        let one = relabel(&services, &name, &[(labels::HALL_UID, &thief)]).await?;
        // With both labels the object says in full that it is the other's.
        let mine =
            ListParams::default().labels(&format!("{}={}", labels::HALL_UID, two.hall_uid("own").await?));
        let map = maps.list(&mine).await?.items.first().map(ResourceExt::name_any).context("no ConfigMap")?;
        let both = relabel(&maps, &map, &[(labels::HALL_UID, &thief), (labels::VDC_UID, &two.other)]).await?;
        two.end(async |two| {
            ensure!(services.get(&name).await?.uid() == Some(one), "the Service was made anew");
            ensure!(maps.get(&map).await?.uid() == Some(both), "the ConfigMap was made anew");
            // Put right by the one that was wronged, so that its owner can end it.
            services.delete(&name, &DeleteParams::default()).await?;
            maps.delete(&map, &DeleteParams::default()).await?;
            two.life("own").end().await
        })
        .await
    })
}

pub fn vdc_label(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let two = Two::start(world).await?;
        let place = two.namespace("own", "sandbox");
        let namespaces: Api<Namespace> = Api::all(world.site.client().clone());
        let policy = set_aside(world).await?;
        let uid = relabel(&namespaces, &place, &[(labels::VDC_UID, &two.other)]).await?;
        manifests::apply(world.site.client(), &[policy]).await?;
        two.end(async |two| {
            let now = namespaces.get(&place).await?;
            ensure!(now.uid() == Some(uid) && now.metadata.deletion_timestamp.is_none(), "it was made anew");
            let policy = set_aside(world).await?;
            relabel(&namespaces, &place, &[(labels::VDC_UID, &two.own)]).await?;
            manifests::apply(world.site.client(), &[policy]).await?;
            two.life("own").end().await
        })
        .await
    })
}

/// Takes away the binding that keeps these labels as they are: somebody got past it. Gives it back.
async fn set_aside(world: &World) -> anyhow::Result<DynamicObject> {
    const NAME: &str = "yunting-namespace-labels";
    let directory = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../install/site");
    let all = manifests::read_dir(&directory, &Variables::new())?;
    let of_it = |o: &DynamicObject| {
        o.name_any() == NAME && o.types.as_ref().is_some_and(|t| t.kind.ends_with("PolicyBinding"))
    };
    let binding = all.into_iter().find(of_it).context("no such binding")?;
    let resource = ApiResource {
        group: "admissionregistration.k8s.io".into(),
        version: "v1".into(),
        api_version: "admissionregistration.k8s.io/v1".into(),
        kind: "ValidatingAdmissionPolicyBinding".into(),
        plural: "validatingadmissionpolicybindings".into(),
    };
    let bindings: Api<DynamicObject> = Api::all_with(world.site.client().clone(), &resource);
    bindings.delete(NAME, &DeleteParams::default()).await?;
    // It ceases to act about a second later.
    let namespaces: Api<Namespace> = Api::all(world.site.client().clone());
    let probe = Patch::Merge(json!({"metadata": {"labels": {"yunting.io/probe": "x"}}}));
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let ceased = async || namespaces.patch("yunting-system", &dry, &probe).await.ok().map(drop);
    wait("the policy to cease", PATIENCE, ceased).await?;
    Ok(binding)
}

pub fn record(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let two = Two::start(world).await?;
        let records: Api<SliceRecord> = Api::all(controller(world).await?);
        let name = slice(SliceKind::Vdc, &two.other);
        let before = records.get(&name).await?;
        let way = &two.both.site.own_end;
        // It stays as it is until it is let be put right.
        way.rules(vec![Rule::new(Match::kind(Kind::Write).path("/slicerecords/"), Fault::Hold).times(1)]);
        let since = way.record().entries().len();
        // The other's record says that the first is to go.
        let patch = json!({"spec": {"vdc": {"desired": "Absent", "source": {"uid": two.own}}}});
        records.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        let held = async || way.record().entries()[since..].iter().any(|e| e.fault.is_some()).then_some(());
        wait("the record to be put right", PATIENCE, held).await?;
        two.both.quiet(std::time::Duration::from_secs(2)).await?;
        let place = format!("-{}", &two.own[..8]);
        let entries = way.record().entries();
        let touched = |e: &&Entry| e.call.kind == Kind::Write && e.call.path.contains(&place);
        let touched: Vec<String> = entries[since..].iter().filter(touched).map(Entry::to_string).collect();
        ensure!(touched.is_empty(), "a broken record reached another VDC:\n{}", touched.join("\n"));
        way.release();
        until(records.clone(), &name, |r: &SliceRecord| r.spec == before.spec).await?;
        two.end(async |two| {
            let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.client().clone(), BUREAU);
            ensure!(vdcs.get("own").await?.metadata.deletion_timestamp.is_none());
            ready(world, "own").await?;
            two.life("own").end().await
        })
        .await
    })
}

pub fn owner_reference(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let two = Two::start(world).await?;
        let deployments: Api<Deployment> = Api::namespaced(controller(world).await?, &two.namespace("own", "app"));
        let name = two.deployment("own").await?;
        let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": two.deployment("other").await?,
            "uid": "00000000-dead-4000-8000-000000000000"}]);
        let patch = Patch::Merge(json!({"metadata": {"ownerReferences": owner}}));
        let before = deployments.patch(&name, &PatchParams::default(), &patch).await?.uid();
        // Kubernetes takes it away for its owner is not there; the site makes it anew.
        until(deployments.clone(), &name, |d: &Deployment| d.uid() != before && d.owner_references().is_empty()).await?;
        two.end(async |two| two.life("own").end().await).await
    })
}
