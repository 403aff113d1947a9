//! What stands at hub and site, without what differs from run to run: uids, versions, times, counts of writes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::{Api, ResourceExt};
use serde_json::{Map, Value, json};
use yunting_crds::names::{ComponentName, HallName, component_object, secret_copy};
use yunting_faults::call::Call;

use super::Planes;

/// Names of this run and what stands for them in every run.
#[derive(Clone, Default)]
pub struct Names(Arc<Mutex<Vec<(String, String)>>>);

impl Names {
    /// A name and what stands for it.
    pub fn add(&self, name: &str, stands_for: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), stands_for));
    }

    /// A VDC's uid, and what is derived from it.
    pub fn vdc(&self, name: &str, uid: &str, secrets: &[&str]) {
        self.add(uid, format!("<uid-of-{name}>"));
        self.add(uid.split('-').next().unwrap_or(uid), format!("<{name}>"));
        for secret in secrets {
            self.add(&secret_copy(uid, secret), format!("<copy-of-{secret}>"));
        }
    }

    /// A hall's uid, and what is derived from it.
    pub fn hall(&self, name: &str, uid: &str, components: &[&str]) {
        for component in components {
            let (hall, part) = (HallName::new(name).unwrap(), ComponentName::new(component).unwrap());
            self.add(&component_object(uid, &hall, &part), format!("<{name}-{component}>"));
        }
        self.add(uid, format!("<uid-of-{name}>"));
    }

    /// The text as it would be in any run.
    pub fn apply(&self, text: &str) -> String {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().fold(text.to_owned(), |text, (name, stands_for)| text.replace(name, stands_for))
    }

    /// A write as it would be in any run.
    pub fn signature(&self, call: &Call) -> String {
        let manager = call.manager.as_deref().unwrap_or_default();
        self.apply(&format!("{} {} {manager}", call.method, call.path))
    }
}

/// Objects by place and name.
pub type Dump = BTreeMap<String, Value>;

const OURS: [(&str, &str); 10] = [
    ("Site", "sites"),
    ("SiteReport", "sitereports"),
    ("Bureau", "bureaus"),
    ("VdcTemplate", "vdctemplates"),
    ("VirtualDataCenter", "virtualdatacenters"),
    ("Hall", "halls"),
    ("SharedService", "sharedservices"),
    ("AccessGrant", "accessgrants"),
    ("VdcSlice", "vdcslices"),
    ("HallSlice", "hallslices"),
];

fn kinds(part: &str) -> Vec<ApiResource> {
    let kind = |group: &str, version: &str, kind: &str, plural: &str| ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") },
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    let mut all = vec![
        kind("", "v1", "Namespace", "namespaces"),
        kind("", "v1", "Secret", "secrets"),
        kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
        kind("rbac.authorization.k8s.io", "v1", "Role", "roles"),
        kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles"),
        kind("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings"),
    ];
    if part == "hub" {
        all.extend(OURS.map(|(name, plural)| kind("yunting.io", "v1alpha1", name, plural)));
        return all;
    }
    all.extend([
        kind("yunting.io", "v1alpha1", "SliceRecord", "slicerecords"),
        kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
        kind("", "v1", "ResourceQuota", "resourcequotas"),
        kind("", "v1", "LimitRange", "limitranges"),
        kind("", "v1", "ServiceAccount", "serviceaccounts"),
        kind("", "v1", "ConfigMap", "configmaps"),
        kind("", "v1", "Service", "services"),
        kind("apps", "v1", "Deployment", "deployments"),
        kind("apps", "v1", "StatefulSet", "statefulsets"),
        kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
        kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
        kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
        kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
    ]);
    all
}

/// An object as it was listed.
pub struct Found {
    part: &'static str,
    kind: ApiResource,
    pub object: DynamicObject,
}

/// Everything of Yunting at both.
pub async fn dump(world: &Planes, names: &Names) -> anyhow::Result<Dump> {
    named(&everything(world).await?, names)
}

/// Everything of Yunting at both, as it was listed.
pub async fn everything(world: &Planes) -> anyhow::Result<Vec<Found>> {
    let mut all = part(world.hub.client(), "hub").await?;
    all.append(&mut part(world.site.client(), "site").await?);
    Ok(all)
}

async fn part(client: &Client, part: &'static str) -> anyhow::Result<Vec<Found>> {
    let mut all = Vec::new();
    for kind in kinds(part) {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
        let list = match api.list(&kube::api::ListParams::default()).await {
            // Not every site serves every kind.
            Err(kube::Error::Api(status)) if status.code == 404 => continue,
            list => list?,
        };
        let ours = list.into_iter().filter(|object| is_ours(&kind, object));
        all.extend(ours.map(|object| Found { part, kind: kind.clone(), object }));
    }
    Ok(all)
}

/// Objects by names that are the same in every run, without what differs from run to run.
pub fn named<'a>(found: impl IntoIterator<Item = &'a Found>, names: &Names) -> anyhow::Result<Dump> {
    let mut all = Dump::new();
    for Found { part, kind, object } in found {
        let place = object.namespace().unwrap_or_default();
        let key = names.apply(&format!("{part} {} {place}/{}", kind.kind, object.name_any()));
        let (key, text) = (unnamed(&key), unnamed(&names.apply(&plain(kind, object).to_string())));
        all.insert(key, serde_json::from_str(&text)?);
    }
    Ok(all)
}

/// A Secret of a hall at a site is named after its content, which is made by chance: `-s-` and 16 characters.
fn unnamed(text: &str) -> String {
    let mut parts = text.split("-s-");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let hash =
            part.bytes().take(16).filter(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(b)).count();
        out.push_str("-s-");
        out.push_str(if hash == 16 { &part[16..] } else { part });
    }
    out
}

/// What Yunting made, wherever it is, and what anybody has in its namespaces.
fn is_ours(kind: &ApiResource, object: &DynamicObject) -> bool {
    let labels = object.labels();
    kind.group == "yunting.io"
        || labels.keys().any(|k| k.starts_with("yunting.io/"))
        || labels.get("app.kubernetes.io/managed-by").is_some_and(|m| m == "yunting")
            && object.namespace().is_none_or(|n| n.starts_with("bureau-") || n.starts_with("site-"))
}

fn plain(kind: &ApiResource, object: &DynamicObject) -> Value {
    let metadata = &object.metadata;
    let mut annotations: Map<String, Value> = Map::new();
    for (key, value) in object.annotations().iter().filter(|(k, _)| k.starts_with("yunting.io/")) {
        annotations.insert(key.clone(), json!(value));
    }
    let owners: Vec<&str> = object.owner_references().iter().map(|o| o.kind.as_str()).collect();
    let mut data = object.data.clone();
    if kind.group != "yunting.io"
        && let Some(all) = data.as_object_mut()
    {
        all.remove("status");
    }
    if kind.kind == "Secret" {
        let keys: Vec<&String> = data["data"].as_object().into_iter().flat_map(Map::keys).collect();
        data = json!({"keys": keys});
    }
    if kind.kind == "SliceRecord" {
        forget(&mut data["spec"], &["uid", "generation"]);
    }
    // Why a site was chosen is said once and remembered in the status alone; after a crash in between it is `Kept`.
    for choice in data.pointer_mut("/status/placement").and_then(Value::as_array_mut).into_iter().flatten() {
        forget(choice, &["reason"]);
    }
    let mut plain = json!({
        "labels": metadata.labels, "annotations": annotations, "finalizers": metadata.finalizers, "owners": owners,
        "going": metadata.deletion_timestamp.is_some(), "data": data,
    });
    scrub(&mut plain);
    plain
}

/// What differs from run to run.
const FLEETING: [&str; 13] = [
    "slice",
    "lastTransitionTime",
    "observedGeneration",
    "message",
    "releasedAt",
    "term",
    "hash",
    "clusterIP",
    "clusterIPs",
    "yunting.io/retry",
    "yunting.io/desired-hash",
    "yunting.io/secret-hash",
    "yunting.io/config-hash",
];

fn forget(value: &mut Value, keys: &[&str]) {
    if let Some(map) = value.as_object_mut() {
        for key in keys {
            map.remove(*key);
        }
    }
}

fn scrub(value: &mut Value) {
    forget(value, &FLEETING);
    match value {
        Value::Object(map) => map.values_mut().for_each(scrub),
        Value::Array(list) => list.iter_mut().for_each(scrub),
        _ => (),
    }
}

/// One place at which two dumps differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The object.
    pub key: String,
    /// Where in it; empty when one side lacks the object.
    pub place: String,
    /// For people.
    pub text: String,
}

/// What is in one and not in the other, or differs, place by place.
pub fn lines(wanted: &Dump, found: &Dump) -> Vec<Line> {
    let whole = |what: &str, key: &String| Line {
        key: key.clone(),
        place: String::new(),
        text: format!("{what}: {key}"),
    };
    let missing = wanted.keys().filter(|k| !found.contains_key(*k)).map(|k| whole("missing", k));
    let more = found.keys().filter(|k| !wanted.contains_key(*k)).map(|k| whole("too much", k));
    let other = wanted.iter().flat_map(|(key, value)| {
        let mut places = Vec::new();
        if let Some(found) = found.get(key) {
            compare(value, found, "", &mut places);
        }
        let line = |(place, text)| Line {
            text: format!("differs: {key}\n    {place}: {text}"),
            key: key.clone(),
            place,
        };
        places.into_iter().map(line).collect::<Vec<_>>()
    });
    missing.chain(more).chain(other).collect()
}

/// What is in one and not in the other, or differs.
pub fn difference(wanted: &Dump, found: &Dump) -> Vec<String> {
    lines(wanted, found).into_iter().map(|line| line.text).collect()
}

/// The places at which two values differ.
fn compare(wanted: &Value, found: &Value, place: &str, places: &mut Vec<(String, String)>) {
    match (wanted, found) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
                let (a, b) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                compare(a, b, &format!("{place}/{key}"), places);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(a, b, &format!("{place}/{index}"), places);
            }
        }
        _ if wanted == found => (),
        _ => places.push((place.to_owned(), format!("wanted {wanted}, found {found}"))),
    }
}
