//! The proxy itself: plain HTTP on loopback to the process, TLS with the process's own certificate to the server.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::body::{BoxError, Lines, Out, channel, cut_off, stopped, whole};
use crate::call::{Call, Kind, at_revision};
use crate::plan::{Fault, Moment, Plan, Rule, Sweep};
use crate::record::Record;
use crate::watch::{Shuffle, WatchFault};

/// Time for which an answer is on its way to the process before it dies of having got it.
const ARRIVES: Duration = Duration::from_millis(5);
/// Longest time for which a reordered event waits for another one.
const LATE: Duration = Duration::from_millis(200);

/// Kills the process; comes back when it is dead.
pub type Crash = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;
/// Makes writes of different runs comparable, for a sweep.
pub type Signature = Arc<dyn Fn(&Call) -> String + Send + Sync>;

struct State {
    plan: Plan,
    sweep: Option<(Sweep, Signature)>,
}

struct Shared {
    upstream: Client,
    seed: u64,
    state: Mutex<State>,
    record: Record,
    crash: Mutex<Option<Crash>>,
    /// Counts how often held things were let go.
    gate: watch::Sender<u64>,
    /// Newest revision that may be seen.
    frozen: watch::Sender<Option<u64>>,
    /// Watches are silent and writes are not answered.
    cut: watch::Sender<bool>,
    /// Counts how often all watches were told that their revision is gone.
    expired: watch::Sender<u64>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, call: &mut Call) -> (usize, Option<Fault>) {
        let mut state = self.state();
        let mut fault = state.plan.decide(call);
        if fault.is_none()
            && call.kind == Kind::Write
            && let Some((sweep, signature)) = &mut state.sweep
        {
            fault = sweep.decide(&signature(call)).map(Fault::Crash);
        }
        (self.record.came(call.clone(), fault.clone()), fault)
    }

    async fn crash(&self) {
        let crash = self.crash.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(crash) = crash {
            crash().await;
        }
    }
}

/// A running proxy. It ends with its value.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and passes everything on to `upstream`. The seed is for chance in plans
    /// and watches; say it where a person can read it.
    pub async fn start(upstream: Client, seed: u64) -> std::io::Result<Self> {
        Self::listen(upstream, seed, (Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// The same at a given address.
    pub async fn listen(upstream: Client, seed: u64, address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            seed,
            state: Mutex::new(State { plan: Plan::new(seed, Vec::new()), sweep: None }),
            record: Record::default(),
            crash: Mutex::default(),
            gate: watch::Sender::new(0),
            frozen: watch::Sender::new(None),
            cut: watch::Sender::new(false),
            expired: watch::Sender::new(0),
        });
        let task = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { shared, address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A kubeconfig for the process, as JSON: one context per proxy, no credentials.
    pub fn kubeconfig(proxies: &[&Self]) -> serde_json::Value {
        let each = |f: fn(usize, &Self) -> serde_json::Value| -> Vec<serde_json::Value> {
            proxies.iter().enumerate().map(|(index, proxy)| f(index, proxy)).collect()
        };
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "server-0",
            "clusters": each(|i, p| json!({"name": format!("server-{i}"), "cluster": {"server": format!("http://{}", p.address)}})),
            "contexts": each(|i, _| json!({"name": format!("server-{i}"), "context": {"cluster": format!("server-{i}"), "user": "none"}})),
            "users": [{"name": "none", "user": {}}],
        })
    }

    /// What kills the process.
    pub fn on_crash(&self, crash: Crash) {
        *self.shared.crash.lock().unwrap_or_else(PoisonError::into_inner) = Some(crash);
    }

    /// These rules from now on.
    pub fn rules(&self, rules: Vec<Rule>) {
        self.shared.state().plan.replace(rules);
    }

    /// Crashes at writes from now on.
    pub fn sweep(&self, sweep: Sweep, signature: Signature) {
        self.shared.state().sweep = Some((sweep, signature));
    }

    /// Ends the sweep; what it did.
    pub fn end_sweep(&self) -> Option<Sweep> {
        self.shared.state().sweep.take().map(|(sweep, _)| sweep)
    }

    /// Lets go what is held: calls and events.
    pub fn release(&self) {
        self.shared.gate.send_modify(|count| *count += 1);
    }

    /// Nothing newer than this revision is seen any more.
    pub fn freeze(&self, revision: u64) {
        self.shared.frozen.send_replace(Some(revision));
    }

    /// Everything is seen again; what was held back comes now.
    pub fn thaw(&self) {
        self.shared.frozen.send_replace(None);
        self.release();
    }

    /// Like a member without a quorum: connections are taken, reads answered, watches silent, writes never answered.
    pub fn cut(&self, cut: bool) {
        self.shared.cut.send_replace(cut);
        self.release();
    }

    /// Ends every watch with 410: whoever watches has to list again.
    pub fn expire(&self) {
        self.shared.expired.send_modify(|count| *count += 1);
    }

    /// What went through.
    pub fn record(&self) -> &Record {
        &self.shared.record
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Connections end with the task that took them.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => if let Ok((stream, _)) = taken {
                connections.spawn(serve(stream, shared.clone()));
            },
            Some(_) = connections.join_next() => (),
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = shared.clone();
        let answer: BoxFuture<'static, std::io::Result<Response<Out>>> =
            Box::pin(async move { handle(&shared, request).await.map_err(std::io::Error::other) });
        answer
    });
    // A broken connection is what this is for.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// What the process gets.
type Answer = BoxFuture<'static, Result<Response<Out>, BoxError>>;

/// A request, read to its end.
struct Asked {
    head: http::request::Parts,
    body: Bytes,
    place: usize,
}

async fn handle(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Response<Out>, BoxError> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let query = head.uri.query().unwrap_or_default();
    let mut call = Call::new(head.method.as_str(), head.uri.path(), query, &body);
    let (place, fault) = shared.admit(&mut call);
    if matches!(call.kind, Kind::Write | Kind::Lease | Kind::DryRun) {
        uncut(shared).await;
    }
    let asked = Asked { head, body, place };
    match fault {
        Some(Fault::Crash(moment)) => crash(shared, asked, moment).await,
        Some(Fault::Stall) => std::future::pending().await,
        Some(Fault::Answer { code, retry_after, committed }) => {
            if committed {
                ask(shared, asked).await?;
            }
            answer(code, retry_after)
        }
        Some(Fault::Hold) => {
            let (shared, mut gate) = (shared.clone(), shared.gate.subscribe());
            // In a task of its own: a call that is on its way arrives, also when its process is dead.
            let kept: Answer = Box::pin(async move {
                let _ = gate.changed().await;
                pass(&shared, asked, None).await
            });
            tokio::spawn(kept).await?
        }
        Some(Fault::Truncate) => ask(shared, asked).await.map(|r| r.map(|bytes| cut_off(&bytes))),
        Some(Fault::StallBody) => ask(shared, asked).await.map(|r| r.map(|bytes| stopped(&bytes))),
        Some(Fault::Watch(fault)) => pass(shared, asked, Some(fault)).await,
        None if call.kind == Kind::Watch => pass(shared, asked, None).await,
        None => ask(shared, asked).await.map(|r| r.map(whole)),
    }
}

/// Waits while the server is to look cut off.
async fn uncut(shared: &Shared) {
    let _ = shared.cut.subscribe().wait_for(|cut| !cut).await;
}

async fn crash(shared: &Arc<Shared>, asked: Asked, moment: Moment) -> Result<Response<Out>, BoxError> {
    if moment == Moment::Before {
        shared.crash().await;
        return Err("the process was killed before its call".into());
    }
    let response = ask(shared, asked).await?;
    if moment == Moment::AfterCommit {
        shared.crash().await;
        return Err("the process was killed before its answer".into());
    }
    let shared = shared.clone();
    tokio::spawn(async move {
        tokio::time::sleep(ARRIVES).await;
        shared.crash().await;
    });
    Ok(response.map(whole))
}

fn answer(code: u16, retry_after: Option<u32>) -> Result<Response<Out>, BoxError> {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": format!("{code} by the fault proxy"), "details": {"retryAfterSeconds": retry_after.unwrap_or_default()},
    });
    let mut response = Response::builder().status(code).header(header::CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    Ok(response.body(whole(Bytes::from(status.to_string())))?)
}

/// The server's whole answer.
async fn ask(shared: &Arc<Shared>, asked: Asked) -> Result<Response<Bytes>, BoxError> {
    let shared = shared.clone();
    // What has been sent arrives, also when the process dies meanwhile.
    let sent = tokio::spawn(async move {
        let place = asked.place;
        let (mut head, body) = send(&shared, asked).await?.into_parts();
        let bytes = body.collect().await?.to_bytes();
        shared.record.answered(place, head.status.as_u16());
        strip(&mut head.headers);
        Ok::<_, BoxError>(Response::from_parts(head, bytes))
    });
    sent.await?
}

async fn send(shared: &Shared, asked: Asked) -> Result<Response<Body>, BoxError> {
    let Asked { mut head, body, .. } = asked;
    let frozen = *shared.frozen.borrow();
    let path = head.uri.path().to_owned();
    let query = head.uri.query().unwrap_or_default();
    let stale = frozen.filter(|_| head.method == http::Method::GET && is_list(&path, query));
    let query = stale.map_or_else(|| query.to_owned(), |revision| at_revision(query, revision));
    head.uri = if query.is_empty() { path.parse()? } else { format!("{path}?{query}").parse()? };
    strip(&mut head.headers);
    head.headers.remove(header::HOST);
    head.version = http::Version::HTTP_11;
    let mut request = Request::new(Body::from(body.to_vec()));
    *request.method_mut() = head.method;
    *request.uri_mut() = head.uri;
    *request.headers_mut() = head.headers;
    Ok(shared.upstream.send(request).await?)
}

/// Whether a path is a collection: kinds in the plural stand at every second place from the end of the API's prefix.
fn is_list(path: &str, query: &str) -> bool {
    let rest = path
        .strip_prefix("/api/v1/")
        .or_else(|| path.strip_prefix("/apis/").and_then(|p| p.splitn(3, '/').nth(2)));
    let Some(rest) = rest else { return false };
    let rest = match rest.strip_prefix("namespaces/") {
        Some(inner) if inner.contains('/') => inner.split_once('/').map_or("", |(_, r)| r),
        _ => rest,
    };
    !rest.is_empty() && !rest.contains('/') && crate::call::parameter(query, "watch").is_none()
}

/// Headers that are between two neighbours only.
fn strip(headers: &mut HeaderMap) {
    for name in
        [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::ACCEPT_ENCODING]
    {
        headers.remove(name);
    }
}

/// Passes a call on and its answer back as it comes; events of a watch go through the shuffle.
async fn pass(
    shared: &Arc<Shared>,
    asked: Asked,
    fault: Option<WatchFault>,
) -> Result<Response<Out>, BoxError> {
    let about = asked.head.uri.path().to_owned();
    let watches = crate::call::parameter(asked.head.uri.query().unwrap_or_default(), "watch").is_some();
    if !watches {
        return ask(shared, asked).await.map(|r| r.map(whole));
    }
    let place = asked.place;
    let (mut head, body) = send(shared, asked).await?.into_parts();
    shared.record.answered(place, head.status.as_u16());
    strip(&mut head.headers);
    if head.status != StatusCode::OK {
        return Ok(Response::from_parts(head, whole(body.collect().await?.to_bytes())));
    }
    let (sender, receiver) = mpsc::channel(64);
    let shuffle = Shuffle::new(fault, shared.seed, &about);
    tokio::spawn(events(shared.clone(), body, shuffle, sender));
    Ok(Response::from_parts(head, channel(receiver)))
}

async fn events(
    shared: Arc<Shared>,
    body: Body,
    mut shuffle: Shuffle,
    sender: mpsc::Sender<std::io::Result<Bytes>>,
) {
    let mut parts = body.into_data_stream();
    let mut lines = Lines::default();
    let (mut gate, mut cut) = (shared.gate.subscribe(), shared.cut.subscribe());
    let mut expired = shared.expired.subscribe();
    let mut over = false;
    loop {
        let out = tokio::select! {
            () = sender.closed() => return,
            _ = expired.changed() => shuffle.expire(),
            _ = gate.changed() => shuffle.release(),
            () = tokio::time::sleep(LATE), if shuffle.waits() => shuffle.settle().into_iter().collect(),
            part = parts.next(), if !over => match part {
                Some(Ok(part)) => {
                    let frozen = *shared.frozen.borrow();
                    lines.push(&part).into_iter().flat_map(|line| shuffle.push(line, frozen)).collect()
                }
                Some(Err(error)) => {
                    let _ = sender.send(Err(std::io::Error::other(error))).await;
                    return;
                }
                None => {
                    over = true;
                    Vec::new()
                }
            },
        };
        if cut.wait_for(|cut| !cut).await.is_err() {
            return;
        }
        for line in out {
            if sender.send(Ok(Bytes::from(line + "\n"))).await.is_err() {
                return;
            }
        }
        if shuffle.ended() || over && !shuffle.holds() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
