//! An API server with Yunting's CRDs and nothing else, and the few requests this suite sends to it.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, Request};
use serde_json::{Value, json};
use yunting_crds::generate;
use yunting_tests::apiserver::{ApiServer, Beside, wait};

/// Namespaces the samples lie in.
const NAMESPACES: [&str; 8] = [
    "bureau-education",
    "bureau-government-affairs-service",
    "bureau-public-security",
    "bureau-market-regulation",
    "bureau-data-resources",
    "site-guoyang",
    "site-qiaocheng",
    "yunting-system",
];
/// How long CRDs may take to be served.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where objects of a kind are.
struct Place {
    plural: String,
    namespaced: bool,
}

/// The server of one test.
pub struct Server {
    server: ApiServer,
    places: BTreeMap<String, Place>,
}

impl Server {
    /// Starts it with every CRD and the samples' namespaces.
    pub async fn start() -> Self {
        let server = ApiServer::start(Beside::Nothing).await.unwrap();
        let mut new = Self { server, places: BTreeMap::new() };
        for (_, crd) in generate::all() {
            let names = &crd.spec.names;
            let place = Place { plural: names.plural.clone(), namespaced: crd.spec.scope == "Namespaced" };
            new.places.insert(names.kind.clone(), place);
            let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
            let crd = serde_json::to_value(&crd).unwrap();
            new.send(Method::POST, path, Some(&crd))
                .await
                .unwrap_or_else(|said| panic!("{}: {said}", names_of(&crd)));
        }
        for name in NAMESPACES {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            new.send(Method::POST, "/api/v1/namespaces", Some(&namespace)).await.unwrap();
        }
        new.served().await;
        new
    }

    async fn served(&self) {
        for place in self.places.values() {
            let path = format!("/apis/yunting.io/v1alpha1/{}", place.plural);
            let look = async || self.send(Method::GET, &path, None).await.ok();
            wait(&place.plural, PATIENCE, look).await.unwrap();
        }
    }

    /// Whether the object would be accepted; nothing is stored.
    pub async fn could_create(&self, object: &Value) -> Result<(), String> {
        let path = format!("{}?dryRun=All&fieldValidation=Strict", self.collection(object));
        self.send(Method::POST, &path, Some(object)).await.map(drop)
    }

    /// Stores the object and gives it back as stored.
    pub async fn create(&self, object: &Value) -> Result<Value, String> {
        let path = format!("{}?fieldValidation=Strict", self.collection(object));
        self.send(Method::POST, &path, Some(object)).await
    }

    /// Whether what is stored could become the new object; nothing is stored.
    pub async fn could_become(&self, stored: &Value, new: &Value) -> Result<(), String> {
        let mut new = new.clone();
        new["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
        let path = format!("{}?dryRun=All&fieldValidation=Strict", self.object(stored));
        self.send(Method::PUT, &path, Some(&new)).await.map(drop)
    }

    /// Removes what is stored.
    pub async fn delete(&self, stored: &Value) {
        self.send(Method::DELETE, &self.object(stored), None).await.unwrap();
    }

    fn collection(&self, object: &Value) -> String {
        let place = &self.places[object["kind"].as_str().unwrap()];
        let namespace = object["metadata"]["namespace"].as_str().filter(|_| place.namespaced);
        let namespace = namespace.map_or_else(String::new, |name| format!("namespaces/{name}/"));
        format!("/apis/yunting.io/v1alpha1/{namespace}{}", place.plural)
    }

    fn object(&self, object: &Value) -> String {
        format!("{}/{}", self.collection(object), object["metadata"]["name"].as_str().unwrap())
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let request = Request::builder().method(method).uri(path).header("Content-Type", "application/json");
        let answer = self.server.client().request::<Value>(request.body(body).unwrap()).await;
        answer.map_err(|error| match error {
            kube::Error::Api(status) => status.message.clone(),
            // Not the server's verdict: nothing can be compared.
            other => panic!("{path}: {other}\n{}", self.server.logs()),
        })
    }
}

fn names_of(crd: &Value) -> String {
    crd["metadata"]["name"].to_string()
}
