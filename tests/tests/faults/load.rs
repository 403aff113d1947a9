//! A component whose replicas follow its load: it begins with `replicas`, and from then on nothing of ours says how many
//! there are.

use anyhow::ensure;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use yunting_crds::Hall;

use super::away::ready;
use super::dump::Names;
use super::life::{Life, hall_spec};
use super::world::{BUREAU, World, apply, until};

/// With this the component begins.
const START: i32 = 4;
/// To this its load brings it.
const GROWN: i32 = 5;
/// So many it has while its load decides nothing.
const FIXED: i32 = 3;

fn spec(scaled: bool, digit: char) -> Value {
    let mut spec = hall_spec("load", "load-hall");
    let approval = &mut spec["components"][1];
    approval["image"] = json!(format!("localhost/yunting-hall@sha256:{}", digit.to_string().repeat(64)));
    approval["resources"] = json!({"cpu": "5m", "memory": "8Mi"});
    approval["replicas"] = json!(if scaled { START } else { FIXED });
    if scaled {
        approval["autoscaling"] = json!({"minReplicas": 2, "maxReplicas": 6});
    }
    spec
}

async fn hall(world: &World, spec: Value) -> anyhow::Result<()> {
    apply::<Hall>(world.hub.client(), Some(BUREAU), "load-hall", spec).await.map(drop)
}

fn replicas(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.replicas
}

fn runs(deployment: &Deployment, digit: char) -> bool {
    let pod = deployment.spec.as_ref().and_then(|s| s.template.spec.as_ref());
    let image = pod.and_then(|p| p.containers.first()?.image.clone()).unwrap_or_default();
    image.ends_with(digit)
}

pub fn begins_as_asked(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let both = world.controllers().await?;
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "load" };
        let uid = life.create_vdc().await?;
        ready(world, "load").await?;
        hall(world, spec(true, 'a')).await?;
        let all: Api<Deployment> =
            Api::namespaced(world.site.client().clone(), &format!("load-app-{}", &uid[..8]));
        let name = until_there(&all).await?;
        let first = all.get(&name).await?;
        ensure!(replicas(&first) == Some(START), "it begins with {:?}", replicas(&first));
        scale(world, &first, GROWN).await?;
        hall(world, spec(true, 'b')).await?;
        let changed = until(all.clone(), &name, |d: &Deployment| runs(d, 'b')).await?;
        ensure!(replicas(&changed) == Some(GROWN), "a new image makes {:?} of them", replicas(&changed));
        hall(world, spec(false, 'b')).await?;
        until(all.clone(), &name, |d: &Deployment| replicas(d) == Some(FIXED)).await?;
        // What runs already is not thrown back when load is to decide from now on.
        hall(world, spec(true, 'a')).await?;
        let again = until(all.clone(), &name, |d: &Deployment| runs(d, 'a')).await?;
        ensure!(replicas(&again) == Some(FIXED), "it has {:?}", replicas(&again));
        life.end().await
    })
}

/// As the autoscaler of Kubernetes does it, which nothing measures here.
async fn scale(world: &World, deployment: &Deployment, replicas: i32) -> anyhow::Result<()> {
    let who = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";
    let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system"];
    let client = world.site.client_of(who, &groups).await?;
    let all: Api<Deployment> = Api::namespaced(client, &deployment.namespace().unwrap_or_default());
    let mut scale = all.get_scale(&deployment.name_any()).await?;
    // The controller of Deployments writes, too, while pods are made.
    scale.metadata.resource_version = None;
    scale.spec.get_or_insert_default().replicas = Some(replicas);
    all.replace_scale(&deployment.name_any(), &PostParams::default(), &scale).await?;
    Ok(())
}

/// The name of the component's workload, once it is there.
async fn until_there(all: &Api<Deployment>) -> anyhow::Result<String> {
    let found = async || {
        let list = all.list(&kube::api::ListParams::default()).await.ok()?;
        list.iter().map(ResourceExt::name_any).find(|name| name.contains("approval"))
    };
    yunting_tests::apiserver::wait("the Deployment", super::world::PATIENCE, found).await
}
