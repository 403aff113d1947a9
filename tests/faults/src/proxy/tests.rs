use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use kube::Config;

use super::*;
use crate::plan::Match;

/// A server that answers every call with its path, and counts.
fn server() -> (Client, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let service = service(move |request: Request<Body>| {
        counted.fetch_add(1, Ordering::SeqCst);
        let text = format!("{{\"path\":\"{}\"}}", request.uri());
        async move { Ok::<_, Infallible>(Response::new(Body::from(text.into_bytes()))) }
    });
    (service, count)
}

fn service<F, R>(answer: F) -> Client
where
    F: FnMut(Request<Body>) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    Client::new(tower::service_fn(answer), "default")
}

fn client(proxy: &Proxy) -> Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut config = Config::new(format!("http://{}", proxy.address()).parse().unwrap());
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

async fn write(client: &Client) -> Result<String, kube::Error> {
    client.request_text(Request::put("/api/v1/namespaces/a/configmaps/b").body(b"{}".to_vec()).unwrap()).await
}

fn all(fault: Fault) -> Vec<Rule> {
    vec![Rule::new(Match::kind(Kind::Write), fault).times(1)]
}

#[tokio::test]
async fn what_no_rule_hits_passes_and_is_recorded() {
    let (upstream, _) = server();
    let proxy = Proxy::start(upstream, 1).await.unwrap();
    assert_eq!(write(&client(&proxy)).await.unwrap(), "{\"path\":\"/api/v1/namespaces/a/configmaps/b\"}");
    let entries = proxy.record().entries();
    assert_eq!((entries.len(), entries[0].code, entries[0].call.number), (1, Some(200), 1));
}

#[tokio::test]
async fn a_crash_is_before_after_commit_or_after_the_answer() {
    for (moment, reaches, answered) in
        [(Moment::Before, 0, false), (Moment::AfterCommit, 1, false), (Moment::AfterAnswer, 1, true)]
    {
        let (upstream, count) = server();
        let proxy = Proxy::start(upstream, 1).await.unwrap();
        let (dead, mut died) = watch::channel(false);
        proxy.on_crash(Arc::new(move || {
            dead.send_replace(true);
            Box::pin(async {})
        }));
        proxy.rules(all(Fault::Crash(moment)));
        assert_eq!(write(&client(&proxy)).await.is_ok(), answered, "{moment:?}");
        died.wait_for(|dead| *dead).await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), reaches, "{moment:?}");
    }
}

#[tokio::test]
async fn answers_are_made_up_and_cut_off() {
    let (upstream, count) = server();
    let proxy = Proxy::start(upstream, 1).await.unwrap();
    let client = client(&proxy);
    for (code, committed) in [(409, false), (429, false), (500, true)] {
        count.store(0, Ordering::SeqCst);
        proxy.rules(all(Fault::Answer { code, retry_after: Some(1), committed }));
        let Err(kube::Error::Api(status)) = write(&client).await else { panic!("{code} was no error") };
        assert_eq!((status.code, count.load(Ordering::SeqCst)), (code, usize::from(committed)));
    }
    proxy.rules(all(Fault::Truncate));
    assert!(write(&client).await.is_err());
    assert!(write(&client).await.is_ok(), "once only");
}

#[tokio::test]
async fn a_held_call_goes_on_when_it_is_let_go_also_without_its_process() {
    let (upstream, count) = server();
    let proxy = Proxy::start(upstream, 1).await.unwrap();
    proxy.rules(all(Fault::Hold));
    let client = client(&proxy);
    let asks = tokio::spawn(async move { write(&client).await });
    while proxy.record().entries().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
    asks.abort();
    let _ = asks.await;
    proxy.release();
    while count.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_cut_off_server_answers_reads_only() {
    let (upstream, count) = server();
    let proxy = Proxy::start(upstream, 1).await.unwrap();
    proxy.cut(true);
    let client = client(&proxy);
    assert!(client.request_text(Request::get("/version").body(Vec::new()).unwrap()).await.is_ok());
    let asks = tokio::spawn({
        let client = client.clone();
        async move { write(&client).await }
    });
    while proxy.record().entries().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    proxy.cut(false);
    assert!(asks.await.unwrap().is_ok());
}

#[test]
fn collections_are_told_from_objects() {
    for (path, query, list) in [
        ("/api/v1/namespaces", "", true),
        ("/api/v1/namespaces/a", "", false),
        ("/api/v1/namespaces/a/configmaps", "limit=5", true),
        ("/api/v1/namespaces/a/configmaps/b", "", false),
        ("/apis/yunting.io/v1alpha1/slicerecords", "", true),
        ("/apis/yunting.io/v1alpha1/slicerecords", "watch=true", false),
        ("/apis/yunting.io/v1alpha1/namespaces/a/halls/b/status", "", false),
        ("/apis/apps/v1", "", false),
        ("/version", "", false),
    ] {
        assert_eq!(is_list(path, query), list, "{path}?{query}");
    }
}
