//! Yunting's own kinds as the writer takes them, and the one way finalizers come and go.

use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use yunting_crds::{
    AccessGrant, Bureau, DeletionCertificate, Hall, HallSlice, NodeReport, SharedService, Site, SiteReport,
    SliceRecord, VdcSlice, VirtualDataCenter, VolumeKey, VolumeReplica, VolumeReplication, labels,
};
use yunting_plan::object::{ApiKind, Object};

use crate::wire::Written;
use crate::writer::{Error, Writer, key_of};

/// A kind of ours: where it is in an API server.
pub trait Ours: Resource<DynamicType = ()> {
    /// Name in paths.
    const PLURAL: &'static str;
    /// Kind.
    const KIND: &'static str;
    /// Whether objects live in namespaces.
    const NAMESPACED: bool;
}

macro_rules! ours {
    ($($type:ident $plural:literal $namespaced:literal),* $(,)?) => {$(
        impl Ours for $type {
            const PLURAL: &'static str = $plural;
            const KIND: &'static str = stringify!($type);
            const NAMESPACED: bool = $namespaced;
        }
    )*};
}

ours! {
    Site "sites" false, SiteReport "sitereports" true, Bureau "bureaus" false,
    VirtualDataCenter "virtualdatacenters" true, VdcSlice "vdcslices" true,
    SharedService "sharedservices" true, AccessGrant "accessgrants" true,
    Hall "halls" true, HallSlice "hallslices" true, SliceRecord "slicerecords" false,
    NodeReport "nodereports" false, VolumeKey "volumekeys" false,
    DeletionCertificate "deletioncertificates" true,
    VolumeReplication "volumereplications" false, VolumeReplica "volumereplicas" false,
}

/// The kind as the writer takes it.
pub fn of<K: Ours>() -> ApiKind {
    ApiKind {
        group: yunting_crds::GROUP,
        version: yunting_crds::VERSION,
        kind: K::KIND,
        plural: K::PLURAL,
        namespaced: K::NAMESPACED,
    }
}

/// An object of one of our kinds.
pub fn object<K: Ours>(body: Value) -> Object {
    Object::from_value(of::<K>(), body)
}

/// Puts our finalizer on an object that has none; what was written, if anything.
pub async fn add_finalizer<K: Ours>(
    writer: &Writer,
    kind: &ApiKind,
    object: &K,
    manager: &'static str,
) -> Result<Option<Written>, Error> {
    if object.finalizers().iter().any(|f| f == labels::FINALIZER) {
        return Ok(None);
    }
    let key = key_of(kind, object);
    let body = json!({"metadata": {"name": key.name, "namespace": key.namespace, "finalizers": [labels::FINALIZER], "uid": object.uid()}});
    writer.apply(manager, &Object { body: named(kind, body), hash: String::new(), key }).await.map(Some)
}

fn named(kind: &ApiKind, mut body: Value) -> Value {
    body["apiVersion"] = json!(kind.api_version());
    body["kind"] = json!(kind.kind);
    if !kind.namespaced
        && let Some(metadata) = body["metadata"].as_object_mut()
    {
        metadata.remove("namespace");
    }
    body
}

/// Takes our finalizer off: the object may go. Guarded by resourceVersion, because a merge patch replaces the list.
pub async fn remove_finalizer<K: Ours>(writer: &Writer, kind: &ApiKind, object: &K) -> Result<(), Error> {
    if !object.finalizers().iter().any(|f| f == labels::FINALIZER) {
        return Ok(());
    }
    let rest: Vec<&String> = object.finalizers().iter().filter(|f| *f != labels::FINALIZER).collect();
    let patch = json!({"metadata": {"finalizers": rest, "resourceVersion": object.resource_version()}});
    writer.merge(&key_of(kind, object), &patch).await.map(drop)
}
