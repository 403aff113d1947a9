//! A raw watch: each event with the moment at which it came.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::StreamExt;
use kube::Client;
use kube::core::WatchEvent;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// An event and when it came.
pub struct Event {
    /// When.
    pub at: Instant,
    /// The object as it is now, or as it was when it went.
    pub object: Value,
    /// It went.
    pub gone: bool,
}

/// A running watch; it ends with its value.
pub struct Watch {
    events: mpsc::UnboundedReceiver<Event>,
    task: JoinHandle<()>,
}

#[derive(Deserialize)]
struct List {
    metadata: ListMeta,
    #[serde(default)]
    items: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMeta {
    #[serde(default)]
    resource_version: String,
}

impl Watch {
    /// Lists the collection at `path` (which ends in its query, at least `?`) and watches on from there.
    pub async fn start(client: &Client, path: &str) -> anyhow::Result<(Vec<Value>, Self)> {
        let list: List = client.request(get(path)?).await.with_context(|| format!("cannot list {path}"))?;
        let (sender, events) = mpsc::unbounded_channel();
        let follow = Follow { client: client.clone(), path: path.to_owned(), sender };
        let task = tokio::spawn(follow.run(list.metadata.resource_version));
        Ok((list.items, Self { events, task }))
    }

    /// The next event; an error when the watch has broken.
    pub async fn next(&mut self) -> anyhow::Result<Event> {
        self.events.recv().await.context("a watch of the bench broke")
    }
}

/// What a watch goes on with when its server ends it, which one does that sends faster than we read.
struct Follow {
    client: Client,
    path: String,
    sender: mpsc::UnboundedSender<Event>,
}

impl Follow {
    /// Until nobody listens or the server has forgotten what came last.
    async fn run(self, mut from: String) {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            if self.follow(&mut from).await.is_break() {
                return;
            }
        }
    }

    async fn follow(&self, from: &mut String) -> ControlFlow<()> {
        let uri = format!("{}&watch=1&timeoutSeconds=3600&resourceVersion={from}", self.path);
        let Ok(request) = get(&uri) else { return ControlFlow::Break(()) };
        let Ok(stream) = self.client.request_events::<Value>(request).await else {
            return ControlFlow::Continue(());
        };
        let mut stream = stream.boxed();
        while let Some(Ok(event)) = stream.next().await {
            let (object, gone) = match event {
                WatchEvent::Added(o) | WatchEvent::Modified(o) => (o, false),
                WatchEvent::Deleted(o) => (o, true),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(_) => return ControlFlow::Break(()),
            };
            if let Some(version) = object.pointer("/metadata/resourceVersion").and_then(Value::as_str) {
                version.clone_into(from);
            }
            if self.sender.send(Event { at: Instant::now(), object, gone }).is_err() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn get(path: &str) -> anyhow::Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get(path).body(Vec::new())?)
}
