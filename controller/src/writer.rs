//! The one module that writes to an API server. It decides nothing: what it is given, it writes.
//!
//! clippy refuses the client's own write methods everywhere else, so each mutating request is counted here.

use std::sync::Arc;

use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Request};
use kube::{Client, Resource};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use yunting_plan::object::{ApiKind, Key, Object};

use crate::crowd;
use crate::error::{Class, Classified, class_of};
use crate::metrics::Metrics;
use crate::wire::Written;

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
            Self::Apply { source, .. }
            | Self::Status { source, .. }
            | Self::Delete { source, .. }
            | Self::Change { source, .. } => class_of(source),
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

    /// Server-side apply of the whole status. With a version it is refused (409) when the object has another by now: what
    /// was concluded from that version may be wrong of the next.
    pub async fn status(
        &self,
        manager: &'static str,
        key: &Key,
        version: Option<&str>,
        status: &Value,
    ) -> Result<Written, Error> {
        let fail = |source| Error::Status { key: Box::new(key.clone()), source };
        let mut body = json!({
            "apiVersion": key.kind.api_version(), "kind": key.kind.kind,
            "metadata": {"name": key.name}, "status": status,
        });
        if let Some(version) = version {
            body["metadata"]["resourceVersion"] = json!(version);
        }
        let request = Request::new(path(key))
            .patch_subresource(
                "status",
                &key.name,
                &PatchParams::apply(manager).force(),
                &Patch::Apply(&body),
            )
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
    pub async fn raw(
        &self,
        key: &Key,
        verb: &'static str,
        request: http::Request<Vec<u8>>,
    ) -> Result<Written, Error> {
        self.send(key, verb, request)
            .await
            .map_err(|source| Error::Change { key: Box::new(key.clone()), source })
    }

    /// Deletes the object of exactly this uid; what is not there is deleted. Dependents go in the background.
    pub async fn delete(&self, key: &Key, uid: &str) -> Result<(), Error> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams::background().preconditions(preconditions);
        let request =
            Request::new(path(key)).delete(&key.name, &params).map_err(|source| build(key, source))?;
        self.metrics.writes.with_label_values(&[key.kind.kind, "delete"]).inc();
        match self.client.request::<IgnoredAny>(request).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(source) => Err(Error::Delete { key: Box::new(key.clone()), source }),
        }
    }

    async fn send(
        &self,
        key: &Key,
        verb: &str,
        request: http::Request<Vec<u8>>,
    ) -> Result<Written, kube::Error> {
        crowd::give_way().await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request as Sent, Response};
    use http_body_util::BodyExt;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::client::Body;
    use kube::core::ObjectMeta;
    use std::convert::Infallible;
    use std::sync::Mutex;

    type Log = Arc<Mutex<Vec<(String, String, String, Value)>>>;

    /// A server that answers everything with `code` and remembers what it was asked.
    fn recording(code: u16) -> (Writer, Log) {
        let log = Log::default();
        let seen = log.clone();
        let service = tower::service_fn(move |request: Sent<Body>| {
            let seen = seen.clone();
            async move {
                let (head, body) = request.into_parts();
                let bytes = body.collect().await.unwrap().to_bytes();
                let content = head
                    .headers
                    .get("content-type")
                    .map(|v| v.to_str().unwrap().to_owned())
                    .unwrap_or_default();
                let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                seen.lock().unwrap().push((head.method.to_string(), head.uri.to_string(), content, body));
                let answer = if code == 200 {
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "resourceVersion": "7"}})
                } else {
                    json!({"kind": "Status", "status": "Failure", "code": code, "reason": "x", "message": "refused"})
                };
                Ok::<_, Infallible>(
                    Response::builder()
                        .status(code)
                        .body(Body::from(answer.to_string().into_bytes()))
                        .unwrap(),
                )
            }
        });
        (Writer::new(Client::new(service, "default"), Arc::new(Metrics::new().unwrap())), log)
    }

    fn map() -> Object {
        Object::new(&ConfigMap {
            metadata: ObjectMeta {
                name: Some("m".into()),
                namespace: Some("n".into()),
                ..ObjectMeta::default()
            },
            data: Some([("k".to_owned(), "v".to_owned())].into()),
            ..ConfigMap::default()
        })
    }

    #[tokio::test]
    async fn an_apply_is_one_forced_server_side_apply_by_its_manager() {
        let (writer, log) = recording(200);
        let written = writer.apply("yunting/test", &map()).await.unwrap();
        assert_eq!(written.metadata.resource_version.as_deref(), Some("7"));
        let log = log.lock().unwrap();
        let (method, uri, content, body) = &log[0];
        assert_eq!((log.len(), method.as_str()), (1, "PATCH"));
        assert_eq!(uri, "/api/v1/namespaces/n/configmaps/m?&force=true&fieldManager=yunting%2Ftest");
        assert_eq!(content, "application/apply-patch+yaml");
        assert_eq!(body["data"], json!({"k": "v"}));
        assert!(body.get("status").is_none() && body["metadata"].get("resourceVersion").is_none());
    }

    #[tokio::test]
    async fn a_deletion_names_the_uid_and_what_is_gone_is_deleted() {
        let (writer, log) = recording(404);
        writer.delete(&map().key, "u-1").await.unwrap();
        let log = log.lock().unwrap();
        assert_eq!((log[0].0.as_str(), log[0].1.as_str()), ("DELETE", "/api/v1/namespaces/n/configmaps/m?"));
        assert_eq!(log[0].3["preconditions"], json!({"uid": "u-1"}));
    }

    #[tokio::test]
    async fn a_status_goes_to_the_subresource_and_nothing_else_with_it() {
        let (writer, log) = recording(200);
        writer.status("yunting/test", &map().key, None, &json!({"ready": true})).await.unwrap();
        let log = log.lock().unwrap();
        assert!(log[0].1.starts_with("/api/v1/namespaces/n/configmaps/m/status?"), "{}", log[0].1);
        assert_eq!(log[0].3["status"], json!({"ready": true}));
        assert!(log[0].3.get("spec").is_none());
    }

    #[tokio::test]
    async fn a_conflict_is_tried_again_soon_and_a_refusal_is_not() {
        for (code, class) in [(409, Class::Conflict), (422, Class::Terminal), (500, Class::Transient)] {
            let (writer, _) = recording(code);
            assert_eq!(writer.apply("yunting/test", &map()).await.unwrap_err().class(), class);
        }
    }
}
