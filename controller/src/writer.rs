//! The one module that writes to an API server. It decides nothing: what it is given, it writes.
//!
//! clippy refuses the client's own write methods everywhere else, so each mutating request is counted here.

use std::sync::Arc;

use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta, Request};
use kube::{Client, Resource};
use serde_json::{Value, json};
use yunting_plan::object::{ApiKind, Key, Object};

use crate::error::{Class, Classified, class_of};
use crate::metrics::Metrics;

/// Writes to one cluster.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    metrics: Arc<Metrics>,
}

/// A write that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An apply was refused or did not arrive.
    #[error("cannot apply {key}")]
    Apply {
        /// What.
        key: Box<Key>,
        /// Why.
        source: kube::Error,
    },
    /// A status could not be written.
    #[error("cannot write the status of {key}")]
    Status {
        /// Of what.
        key: Box<Key>,
        /// Why.
        source: kube::Error,
    },
    /// A deletion was refused or did not arrive.
    #[error("cannot delete {key}")]
    Delete {
        /// What.
        key: Box<Key>,
        /// Why.
        source: kube::Error,
    },
    /// A change of metadata or a subresource failed.
    #[error("cannot change {key}")]
    Change {
        /// What.
        key: Box<Key>,
        /// Why.
        source: kube::Error,
    },
    /// A request could not be built: a name or version that no path can carry.
    #[error("cannot build the request for {key}")]
    Build {
        /// For what.
        key: Box<Key>,
        /// Why.
        source: kube::core::request::Error,
    },
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Apply { source, .. } | Self::Status { source, .. } | Self::Delete { source, .. } | Self::Change { source, .. } => {
                class_of(source)
            }
            Self::Build { .. } => Class::Terminal,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Apply { .. } => "apply",
            Self::Status { .. } => "status",
            Self::Delete { .. } => "delete",
            Self::Change { .. } => "change",
            Self::Build { .. } => "build",
        }
    }
}

/// Name and version of an object after a write.
pub type Written = PartialObjectMeta<DynamicObject>;

impl Writer {
    /// Writes through this client.
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self { client, metrics }
    }

    /// Server-side apply of exactly these fields, by force: they are ours.
    pub async fn apply(&self, manager: &'static str, object: &Object) -> Result<Written, Error> {
        let fail = |source| Error::Apply { key: Box::new(object.key.clone()), source };
        let params = PatchParams::apply(manager).force();
        let request = Request::new(path(&object.key))
            .patch(&object.key.name, &params, &Patch::Apply(&object.body))
            .map_err(|source| build(&object.key, source))?;
        self.send(&object.key, "apply", request).await.map_err(fail)
    }

    /// Creates an object that must not exist yet.
    pub async fn create(&self, object: &Object) -> Result<Written, Error> {
        let fail = |source| Error::Apply { key: Box::new(object.key.clone()), source };
        let body = object.body.to_string().into_bytes();
        let request = Request::new(path(&object.key))
            .create(&PostParams::default(), body)
            .map_err(|source| build(&object.key, source))?;
        self.send(&object.key, "create", request).await.map_err(fail)
    }

    /// Server-side apply of the whole status.
    pub async fn status(&self, manager: &'static str, key: &Key, status: &Value) -> Result<Written, Error> {
        let fail = |source| Error::Status { key: Box::new(key.clone()), source };
        let body = json!({
            "apiVersion": key.kind.api_version(), "kind": key.kind.kind,
            "metadata": {"name": key.name}, "status": status,
        });
        let request = Request::new(path(key))
            .patch_subresource("status", &key.name, &PatchParams::apply(manager).force(), &Patch::Apply(&body))
            .map_err(|source| build(key, source))?;
        self.send(key, "status", request).await.map_err(fail)
    }

    /// Merge patch, for fields that an apply cannot say (finalizers taken off, a resourceVersion demanded).
    pub async fn merge(&self, key: &Key, patch: &Value) -> Result<Written, Error> {
        let fail = |source| Error::Change { key: Box::new(key.clone()), source };
        let request = Request::new(path(key))
            .patch(&key.name, &PatchParams::default(), &Patch::Merge(patch))
            .map_err(|source| build(key, source))?;
        self.send(key, "merge", request).await.map_err(fail)
    }

    /// Sends any other request about an object through the one place that counts writes.
    pub async fn raw(&self, key: &Key, verb: &'static str, request: http::Request<Vec<u8>>) -> Result<Written, Error> {
        self.send(key, verb, request).await.map_err(|source| Error::Change { key: Box::new(key.clone()), source })
    }

    /// Deletes the object of exactly this uid; what is not there is deleted. Dependents go in the background.
    pub async fn delete(&self, key: &Key, uid: &str) -> Result<(), Error> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams::background().preconditions(preconditions);
        let request = Request::new(path(key)).delete(&key.name, &params).map_err(|source| build(key, source))?;
        self.metrics.writes.with_label_values(&[key.kind.kind, "delete"]).inc();
        match self.client.request_status::<DynamicObject>(request).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(source) => Err(Error::Delete { key: Box::new(key.clone()), source }),
        }
    }

    async fn send(&self, key: &Key, verb: &str, request: http::Request<Vec<u8>>) -> Result<Written, kube::Error> {
        self.metrics.writes.with_label_values(&[key.kind.kind, verb]).inc();
        self.client.request(request).await
    }
}

fn build(key: &Key, source: kube::core::request::Error) -> Error {
    Error::Build { key: Box::new(key.clone()), source }
}

/// The kind as kube's dynamic API takes it.
pub fn resource(kind: &ApiKind) -> ApiResource {
    let gvk = GroupVersionKind::gvk(kind.group, kind.version, kind.kind);
    ApiResource::from_gvk_with_plural(&gvk, kind.plural)
}

/// Path of the collection that a key's object lives in.
pub fn path(key: &Key) -> String {
    DynamicObject::url_path(&resource(&key.kind), key.namespace.as_deref())
}

/// Key of an object of one of our kinds.
pub fn key_of<K: Resource<DynamicType = ()>>(kind: &ApiKind, object: &K) -> Key {
    Key {
        kind: kind.clone(),
        namespace: object.meta().namespace.clone(),
        name: object.meta().name.clone().unwrap_or_default(),
    }
}
