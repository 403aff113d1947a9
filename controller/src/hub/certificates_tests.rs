//! The chain under leaders that write at once, write twice, and see nothing, against a server that makes a name once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex as Plain;

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::{Api, Client};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use yunting_crds::deletion_certificate::SiteEnd;
use yunting_crds::vdc::KeyProvider;
use yunting_plan::certificate::{Ended, certificate, verify};

use super::*;
use crate::error::{Class, Classified};
use crate::metrics::Metrics;
use crate::wire::Read;

/// What is stored, by name.
type Stored = Arc<Plain<BTreeMap<String, Value>>>;

/// A server of certificates: it lists, makes each name once, and a watch of it never shows anything.
fn server(stored: &Stored) -> Client {
    let stored = stored.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let stored = stored.clone();
        async move {
            let (head, body) = request.into_parts();
            if head.uri.query().is_some_and(|q| q.contains("watch=true")) {
                std::future::pending::<()>().await;
            }
            let body = body.collect().await.unwrap().to_bytes();
            let mut stored = stored.lock().unwrap();
            let (code, answer) = if head.method == Method::POST {
                let mut object: Value = serde_json::from_slice(&body).unwrap();
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                object["metadata"]["resourceVersion"] = "2".into();
                match stored.entry(name) {
                    Entry::Occupied(taken) => {
                        let reason = "AlreadyExists";
                        (
                            409,
                            json!({"kind": "Status", "status": "Failure", "code": 409, "reason": reason, "message": taken.key()}),
                        )
                    }
                    Entry::Vacant(free) => (201, free.insert(object).clone()),
                }
            } else {
                let items: Vec<&Value> = stored.values().collect();
                let meta = json!({"resourceVersion": "1"});
                (
                    200,
                    json!({"apiVersion": "yunting.io/v1alpha1", "kind": "DeletionCertificateList", "metadata": meta, "items": items}),
                )
            };
            let body = Body::from(answer.to_string().into_bytes());
            Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
        }
    });
    Client::new(service, "default")
}

/// A leader that has listed what there is.
async fn leader(stored: &Stored) -> (Certificates, Writer) {
    let (client, metrics) = (server(stored), Arc::new(Metrics::new().unwrap()));
    let api: Api<Read<DeletionCertificate>> = Api::all(client.clone());
    let (config, stop) = (watcher::Config::default(), CancellationToken::new());
    let certificates = Certificates::of(Cache::start(api, config, metrics.clone(), stop, |_| ()));
    certificates.ready().await;
    (certificates, Writer::new(client, metrics))
}

async fn certify((certificates, writer): &(Certificates, Writer), uid: &str) -> Result<(), Error> {
    let keys = json!({"outcome": "NoKeys", "provider": "Embedded", "reason": "none"});
    let end = json!({"site": "guoyang", "slice": uid, "role": "Active", "keys": keys});
    let left: [SiteEnd; 1] = [serde_json::from_value(end).unwrap()];
    let ended = Ended {
        bureau: "education",
        vdc: "exams",
        uid,
        provider: KeyProvider::Embedded,
        requested_at: "2026-11-24T08:00:00Z".to_owned(),
        ended_at: "2026-11-24T08:00:09Z".to_owned(),
        left: &left,
        shown: &[],
    };
    certificates.write(writer, uid, |head| certificate(head, &ended)).await
}

/// What is stored, which has to be a whole chain.
fn chain(stored: &Stored) -> Vec<String> {
    let read = |(name, object): (&String, &Value)| {
        (name.clone(), serde_json::from_value::<DeletionCertificate>(object.clone()).unwrap().spec)
    };
    let mut all: Vec<_> = stored.lock().unwrap().iter().map(read).collect();
    assert_eq!(verify(&all).broken, []);
    all.sort_by_key(|(_, spec)| spec.sequence);
    all.into_iter().map(|(_, spec)| spec.uid).collect()
}

#[tokio::test]
async fn vdcs_that_end_at_once_come_one_after_another() {
    let stored = Stored::default();
    let leader = leader(&stored).await;
    let uids: Vec<String> = (0..8).map(|n| format!("uid-{n}")).collect();
    let all = uids.iter().map(|uid| certify(&leader, uid));
    assert!(futures::future::join_all(all).await.into_iter().all(|done| done.is_ok()));
    assert_eq!(chain(&stored).len(), 8);
    // A crash between the certificate and the end of the VDC: the same process, and the next one.
    certify(&leader, "uid-3").await.unwrap();
    certify(&super::tests::leader(&stored).await, "uid-3").await.unwrap();
    assert_eq!(chain(&stored).len(), 8);
}

#[tokio::test]
async fn two_leaders_do_not_fork_the_chain() {
    let stored = Stored::default();
    let (old, new) = (leader(&stored).await, leader(&stored).await);
    certify(&new, "a").await.unwrap();
    // The deposed one has not seen it: for another VDC or the same, it is refused and tries again.
    for uid in ["b", "a"] {
        let refused = certify(&old, uid).await.unwrap_err();
        assert_eq!(refused.class(), Class::Conflict, "{refused}");
    }
    certify(&new, "b").await.unwrap();
    // With a view that is not of before, it goes on.
    let third = leader(&stored).await;
    certify(&third, "a").await.unwrap();
    certify(&third, "c").await.unwrap();
    assert_eq!(chain(&stored), ["a", "b", "c"]);
}
