//! What the product wrote, as calls that write the same once more: the floor's work.

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use yunting_crds::labels::ADMISSION;

use crate::city::City;
use crate::clients::{Call, Who, apply, path};

/// Everything of one VDC: in the order in which it can be written.
#[derive(Debug, Clone, Default)]
pub struct Tenant {
    /// One call per object and one per status.
    pub calls: Vec<Call>,
    /// Objects among them.
    pub objects: usize,
}

struct Kind {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    name: &'static str,
}

const fn kind(group: &'static str, version: &'static str, plural: &'static str, name: &'static str) -> Kind {
    Kind { group, version, plural, name }
}

const YUNTING: &str = "yunting.io";
const VDC: Kind = kind(YUNTING, "v1alpha1", "virtualdatacenters", "VirtualDataCenter");
const SLICE: Kind = kind(YUNTING, "v1alpha1", "vdcslices", "VdcSlice");
/// What a VDC becomes at a site, namespaces first.
const AT_SITE: [Kind; 6] = [
    kind(YUNTING, "v1alpha1", "slicerecords", "SliceRecord"),
    kind("", "v1", "namespaces", "Namespace"),
    kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy"),
    kind("", "v1", "resourcequotas", "ResourceQuota"),
    kind("", "v1", "limitranges", "LimitRange"),
    kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding"),
];
/// Label of everything that belongs to a VDC.
const UID: &str = "/metadata/labels/yunting.io~1vdc-uid";

/// Reads what stands for every VDC.
pub async fn read(city: &City) -> anyhow::Result<Vec<Tenant>> {
    let mut by_uid: std::collections::BTreeMap<String, Tenant> = std::collections::BTreeMap::new();
    for object in list(city, Who::Person, &VDC).await? {
        let uid = text(&object, "/metadata/uid");
        add(by_uid.entry(uid).or_default(), &VDC, Who::Person, &object, Some(Who::Hub));
    }
    for object in list(city, Who::Person, &SLICE).await? {
        let namespace = text(&object, "/metadata/namespace");
        let site = city.sites.iter().position(|s| namespace == format!("site-{}", s.name));
        let site = site.with_context(|| format!("a slice in {namespace}"))?;
        let uid = text(&object, "/spec/source/uid");
        add(by_uid.entry(uid).or_default(), &SLICE, Who::Hub, &object, Some(Who::SiteAtHub(site)));
    }
    for site in 0..city.sites.len() {
        for kind in &AT_SITE {
            for object in list(city, Who::Site(site), kind).await? {
                let uid = if kind.plural == "slicerecords" {
                    text(&object, "/spec/vdc/source/uid")
                } else {
                    text(&object, UID)
                };
                if let Some(tenant) = by_uid.get_mut(&uid) {
                    add(tenant, kind, Who::Site(site), &object, None);
                }
            }
        }
    }
    Ok(by_uid.into_values().collect())
}

async fn list(city: &City, who: Who, kind: &Kind) -> anyhow::Result<Vec<Value>> {
    let path = path(kind.group, kind.version, kind.plural, None, "");
    let request = http::Request::get(&path).body(Vec::new())?;
    let mut list: Value = city.clients.of(who).request(request).await.with_context(|| path.clone())?;
    Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

fn add(tenant: &mut Tenant, kind: &Kind, who: Who, object: &Value, status: Option<Who>) {
    let (name, namespace) = (text(object, "/metadata/name"), text(object, "/metadata/namespace"));
    let namespace = Some(namespace.as_str()).filter(|n| !n.is_empty());
    let path = path(kind.group, kind.version, kind.plural, namespace, &name);
    tenant.calls.push(apply(who, &path, "yunting/floor", &desired(kind, object)));
    tenant.objects += 1;
    if let Some(who) = status {
        let body = json!({
            "apiVersion": api_version(kind), "kind": kind.name, "metadata": {"name": name},
            "status": object["status"],
        });
        tenant.calls.push(apply(who, &format!("{path}/status"), "yunting/floor-status", &body));
    }
}

fn api_version(kind: &Kind) -> String {
    if kind.group.is_empty() { kind.version.to_owned() } else { format!("{}/{}", kind.group, kind.version) }
}

/// The object without what its server made of it.
fn desired(kind: &Kind, object: &Value) -> Value {
    let mut body = object.as_object().cloned().unwrap_or_default();
    body.remove("status");
    let metadata = object.get("metadata").and_then(Value::as_object);
    let mut kept = Map::new();
    for field in ["name", "namespace", "labels", "annotations"] {
        if let Some(value) = metadata.and_then(|m| m.get(field)) {
            kept.insert(field.to_owned(), value.clone());
        }
    }
    // The server's own label and finalizer of a namespace.
    if kind.name == "Namespace" {
        body.remove("spec");
        if let Some(labels) = kept.get_mut("labels").and_then(Value::as_object_mut) {
            labels.remove("kubernetes.io/metadata.name");
            // Policies want it made closed; opening is the one write that the product may have more.
            if labels.contains_key(ADMISSION) {
                labels.insert(ADMISSION.to_owned(), yunting_crds::labels::ADMISSION_CLOSED.into());
            }
        }
    }
    body.insert("metadata".to_owned(), Value::Object(kept));
    body.insert("apiVersion".to_owned(), api_version(kind).into());
    body.insert("kind".to_owned(), kind.name.into());
    Value::Object(body)
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_made_is_not_written_again() {
        let namespace = &AT_SITE[1];
        let seen = json!({"metadata": {"name": "n", "uid": "u", "resourceVersion": "7", "managedFields": [{}],
            "labels": {"a": "b", "kubernetes.io/metadata.name": "n"}}, "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"}});
        let wanted =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": {"a": "b"}}});
        assert_eq!(desired(namespace, &seen), wanted);
    }
}
