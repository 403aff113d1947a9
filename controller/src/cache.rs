//! Watched copies of what an API server holds. One LIST at start, then a watch; nobody reads from the server
//! what a cache has.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt, TryStreamExt};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::watchdog::WATCH_SECONDS;

/// A kind that can be cached.
pub trait Cached:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}
impl<K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static> Cached for K {}

/// Watched copy of one kind.
#[derive(Clone)]
pub struct Cache<K: Cached> {
    store: Store<K>,
    listed: Arc<AtomicBool>,
}

impl<K: Cached> Cache<K> {
    /// Starts the watch. `touched` is called with each object that came, changed or went, also when that
    /// happened while the watch was broken.
    pub fn start(
        api: Api<DeserializeGuard<K>>,
        config: watcher::Config,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
        touched: impl Fn(&K) + Send + 'static,
    ) -> Self {
        let writer = Writer::<K>::default();
        let store = writer.as_reader();
        let listed = Arc::new(AtomicBool::new(false));
        let config = config.timeout(WATCH_SECONDS);
        let follow = follow(api, config, metrics, writer, listed.clone(), touched);
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => (),
                () = follow => (),
            }
        });
        Self { store, listed }
    }

    /// Waits for the first complete LIST.
    pub async fn ready(&self) {
        // An error says that the watch has ended, which only the stop token does: then nobody asks any more.
        let _ = self.store.wait_until_ready().await;
    }

    /// Whether the first complete LIST has come.
    pub fn is_ready(&self) -> bool {
        self.listed.load(Ordering::Acquire)
    }

    /// The object of that name, in a namespace.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.store.get(&ObjectRef::new(name).within(namespace))
    }

    /// The object of that name, of a cluster-scoped kind.
    pub fn get_cluster(&self, name: &str) -> Option<Arc<K>> {
        self.store.get(&ObjectRef::new(name))
    }

    /// Everything, sorted by namespace and name.
    pub fn all(&self) -> Vec<Arc<K>> {
        let mut all = self.store.state();
        all.sort_by_cached_key(|o| (o.namespace(), o.name_any()));
        all
    }

    /// What a predicate selects, sorted by namespace and name.
    pub fn select(&self, predicate: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let mut some = self.store.state_filter(predicate);
        some.sort_by_cached_key(|o| (o.namespace(), o.name_any()));
        some
    }
}

async fn follow<K: Cached>(
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
    metrics: Arc<Metrics>,
    mut writer: Writer<K>,
    listed: Arc<AtomicBool>,
    touched: impl Fn(&K),
) {
    let kind = K::kind(&()).into_owned();
    let reader = writer.as_reader();
    let mut before: HashMap<ObjectRef<K>, Arc<K>> = HashMap::new();
    let mut stream = watcher(api, config).default_backoff().boxed();
    loop {
        let event = match stream.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(error) => {
                metrics.watch_errors.with_label_values(&[kind.as_str()]).inc();
                tracing::debug!(kind, %error, "watch broke; it is begun again");
                continue;
            }
        };
        let Some(event) = understood(event) else { continue };
        if matches!(event, Event::Init) {
            before = reader.state().into_iter().map(|o| (ObjectRef::from_obj(o.as_ref()), o)).collect();
        }
        writer.apply_watcher_event(&event);
        match &event {
            Event::Apply(object) | Event::Delete(object) => touched(object),
            Event::InitApply(object) => {
                before.remove(&ObjectRef::from_obj(object));
            }
            Event::Init => (),
            Event::InitDone => {
                listed.store(true, Ordering::Release);
                reader.state().iter().for_each(|o| touched(o));
                for (_, gone) in before.drain() {
                    touched(&gone);
                }
            }
        }
    }
}

/// A broken object is one tenant's trouble: it is left out, the others go on.
fn understood<K: Cached>(event: Event<DeserializeGuard<K>>) -> Option<Event<K>> {
    let open = |guard: DeserializeGuard<K>| match guard.0 {
        Ok(mut object) => {
            object.managed_fields_mut().clear();
            Some(object)
        }
        Err(error) => {
            let name = format!(
                "{}/{}",
                error.metadata.namespace.unwrap_or_default(),
                error.metadata.name.unwrap_or_default()
            );
            tracing::error!(kind = %K::kind(&()), name, error = error.error, "object cannot be read; it is left as it is");
            None
        }
    };
    match event {
        Event::Apply(o) => open(o).map(Event::Apply),
        Event::Delete(o) => open(o).map(Event::Delete),
        Event::InitApply(o) => open(o).map(Event::InitApply),
        Event::Init => Some(Event::Init),
        Event::InitDone => Some(Event::InitDone),
    }
}
