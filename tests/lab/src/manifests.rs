//! Reading manifests with `${...}` in them and applying them, CRDs first.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{Discovery, Scope};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt};

use crate::error::{Error, Result};

/// The lab's field manager.
const MANAGER: &str = "yunting-lab";
/// How long a new kind may take until the API server serves it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What stands for `${name}` in manifests.
pub type Variables = BTreeMap<String, String>;

/// The objects of every `.yaml` in a directory, in the order of the file names; none when there is no directory.
pub fn read_dir(dir: &Path, variables: &Variables) -> Result<Vec<DynamicObject>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(dir).map_err(Error::io("list", dir))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|ext| ext == "yaml"));
    files.sort();
    let mut objects = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(Error::io("read", &file))?;
        objects.extend(parse(&file.display().to_string(), &text, variables)?);
    }
    Ok(objects)
}

/// The objects in a text of one or more YAML documents.
pub fn parse(name: &str, text: &str, variables: &Variables) -> Result<Vec<DynamicObject>> {
    let rendered = render(name, text, variables)?;
    let documents: Vec<Option<DynamicObject>> =
        serde_yaml::from_multiple(&rendered).map_err(Error::malformed(name))?;
    Ok(documents.into_iter().flatten().collect())
}

/// Puts in what `${name}` stands for. Only names the lab knows are touched: CEL and scripts have their own `${`.
fn render(name: &str, text: &str, variables: &Variables) -> Result<String> {
    let mut rendered = text.to_owned();
    for (variable, value) in variables {
        rendered = rendered.replace(&format!("${{{variable}}}"), value);
    }
    let lost = rendered.lines().find(|line| line.contains("image: ${"));
    match lost {
        Some(line) => Err(Error::malformed(name)(format!("nothing is known for `{}`", line.trim()))),
        None => Ok(rendered),
    }
}

/// How many objects are on their way at once.
const AT_ONCE: usize = 8;

/// Applies objects: first the kinds, then namespaces, then everything else, several at once.
pub async fn apply(client: &Client, objects: &[DynamicObject]) -> Result<()> {
    let kind =
        |object: &DynamicObject| object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default();
    let (crds, rest): (Vec<_>, Vec<_>) = objects.iter().partition(|o| kind(o) == "CustomResourceDefinition");
    let (namespaces, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|o| kind(o) == "Namespace");
    let mut applier = Applier::new(client.clone()).await?;
    applier.all(&crds).await?;
    established(client, &crds).await?;
    applier.all(&namespaces).await?;
    applier.all(&rest).await
}

async fn established(client: &Client, crds: &[&DynamicObject]) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds {
        let name = crd.name_any();
        let wait = await_condition(api.clone(), &name, conditions::is_crd_established());
        let late = |last: String| Error::Timeout {
            what: format!("the kind {name} to be served"),
            after: PATIENCE,
            last,
            next: format!("look at `kubectl get crd {name} -o yaml`"),
        };
        let waited =
            tokio::time::timeout(PATIENCE, wait).await.map_err(|_| late("not Established".into()))?;
        waited.map_err(|e| late(e.to_string()))?;
    }
    Ok(())
}

/// Knows which kinds the API server serves, and asks again when one is missing.
struct Applier {
    client: Client,
    discovery: Discovery,
}

impl Applier {
    async fn new(client: Client) -> Result<Self> {
        let discovery = discover(&client).await?;
        Ok(Self { client, discovery })
    }

    async fn all(&mut self, objects: &[&DynamicObject]) -> Result<()> {
        let mut ready = Vec::new();
        for object in objects {
            ready.push((self.api(object).await?, *object));
        }
        let applied = ready.into_iter().map(|(api, object)| one(api, object));
        futures::stream::iter(applied).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn api(&mut self, object: &DynamicObject) -> Result<Api<DynamicObject>> {
        let types = object.types.clone().unwrap_or_default();
        let what = format!("apply {} {}", types.kind, object.name_any());
        let gvk = GroupVersionKind::try_from(&types).map_err(Error::malformed(&what))?;
        let (resource, scope) = self.resolve(&gvk, &what).await?;
        let namespace = object.namespace().unwrap_or_else(|| "default".into());
        Ok(match scope {
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
            Scope::Namespaced => Api::namespaced_with(self.client.clone(), &namespace, &resource),
        })
    }

    async fn resolve(
        &mut self,
        gvk: &GroupVersionKind,
        what: &str,
    ) -> Result<(kube::core::ApiResource, Scope)> {
        let since = Instant::now();
        loop {
            if let Some((resource, capabilities)) = self.discovery.resolve_gvk(gvk) {
                return Ok((resource, capabilities.scope));
            }
            if since.elapsed() > PATIENCE {
                let last = format!("{}/{} {} is not served", gvk.group, gvk.version, gvk.kind);
                let next = "apply its CustomResourceDefinition first".into();
                return Err(Error::Timeout { what: what.into(), after: PATIENCE, last, next });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.discovery = discover(&self.client).await?;
        }
    }
}

async fn one(api: Api<DynamicObject>, object: &DynamicObject) -> Result<()> {
    let name = object.name_any();
    let kind = object.types.as_ref().map(|types| types.kind.as_str()).unwrap_or_default();
    let parameters = PatchParams::apply(MANAGER).force();
    let applied = api.patch(&name, &parameters, &Patch::Apply(object)).await;
    applied.map(drop).map_err(Error::kube(format!("apply {kind} {name}")))
}

async fn discover(client: &Client) -> Result<Discovery> {
    let discovery = Discovery::new(client.clone());
    discovery.run_aggregated().await.map_err(Error::kube("ask which kinds are served"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_variables_are_put_in_and_unknown_images_are_refused() {
        let variables = Variables::from([("hall".to_owned(), "localhost/hall@sha256:1".to_owned())]);
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {image: \"${hall}\"}\n---\n";
        let objects = parse("test", text, &variables).unwrap();
        assert_eq!(objects.len(), 1);
        assert_eq!(objects[0].data["spec"]["image"], "localhost/hall@sha256:1");
        assert!(parse("test", "image: ${other}", &variables).is_err());
    }

    #[test]
    fn the_cluster_dns_is_well_formed() {
        let variables = [
            ("coredns", "localhost/coredns@sha256:1"),
            ("dns_service", "10.121.0.10"),
            ("corefile", "\".:1053 {}\""),
        ];
        let variables = variables.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let objects = parse("coredns", include_str!("../cluster/coredns.yaml"), &variables).unwrap();
        assert_eq!(objects.len(), 6);
    }
}
