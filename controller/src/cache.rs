//! Watched copies of what an API server holds. One LIST at start, then a watch; nobody reads from the server
//! what a cache has.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use futures::{StreamExt, TryStreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::watchdog::{self, WATCH_SECONDS};
use crate::wire::Read;

/// A kind that can be cached.
pub trait Cached:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}
impl<K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static> Cached for K {}

/// Words by which objects of a kind are found without looking at all of them.
pub type Tags<K> = fn(&K) -> Vec<String>;

/// Namespace and name, in the order in which objects are given out.
type Place = (Option<String>, String);

/// Objects by tag. As long as it is empty for a kind without tags, it costs nothing.
struct Tagged<K> {
    tags: Tags<K>,
    by_tag: HashMap<String, BTreeMap<Place, Arc<K>>>,
    /// Tags under which an object stands, which may not be those it has now.
    standing: HashMap<Place, Vec<String>>,
}

impl<K: Cached> Tagged<K> {
    fn new(tags: Tags<K>) -> Self {
        Self { tags, by_tag: HashMap::new(), standing: HashMap::new() }
    }

    fn put(&mut self, object: &Arc<K>) {
        let place = (object.namespace(), object.name_any());
        self.take(&place);
        let tags = (self.tags)(object);
        if tags.is_empty() {
            return;
        }
        for tag in &tags {
            self.by_tag.entry(tag.clone()).or_default().insert(place.clone(), object.clone());
        }
        self.standing.insert(place, tags);
    }

    fn take(&mut self, place: &Place) {
        for tag in self.standing.remove(place).into_iter().flatten() {
            if let Some(objects) = self.by_tag.get_mut(&tag) {
                objects.remove(place);
                if objects.is_empty() {
                    self.by_tag.remove(&tag);
                }
            }
        }
    }
}

/// Watched copy of one kind.
#[derive(Clone)]
pub struct Cache<K: Cached> {
    store: Store<K>,
    tagged: Arc<RwLock<Tagged<K>>>,
    listed: Arc<AtomicBool>,
}

impl<K: Cached> Cache<K> {
    /// Starts the watch. `touched` is called with each object that came, changed or went, also when that
    /// happened while the watch was broken.
    pub fn start(
        api: Api<Read<K>>,
        config: watcher::Config,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
        touched: impl Fn(&K) + Send + 'static,
    ) -> Self {
        Self::start_tagged(api, config, metrics, stop, |_| Vec::new(), touched)
    }

    /// The same, with tags by which [`Cache::tagged`] finds objects.
    pub fn start_tagged(
        api: Api<Read<K>>,
        config: watcher::Config,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
        tags: Tags<K>,
        touched: impl Fn(&K) + Send + 'static,
    ) -> Self {
        let writer = Writer::<K>::default();
        let store = writer.as_reader();
        let listed = Arc::new(AtomicBool::new(false));
        let config = config.timeout(WATCH_SECONDS);
        let tagged = Arc::new(RwLock::new(Tagged::new(tags)));
        let copy = Following { writer, tagged: tagged.clone(), listed: listed.clone() };
        let follow = follow(api, config, metrics, copy, touched);
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => (),
                () = follow => (),
            }
        });
        Self { store, tagged, listed }
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

    /// Objects with a tag, sorted by namespace and name.
    pub fn tagged(&self, tag: &str) -> Vec<Arc<K>> {
        let tagged = self.tagged.read().unwrap_or_else(PoisonError::into_inner);
        tagged.by_tag.get(tag).map(|objects| objects.values().cloned().collect()).unwrap_or_default()
    }

    /// What a predicate selects, sorted by namespace and name. It looks at every object: not for what is done per
    /// object.
    pub fn select(&self, predicate: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let mut some = self.store.state_filter(predicate);
        some.sort_by_cached_key(|o| (o.namespace(), o.name_any()));
        some
    }
}

/// What a watch writes into.
struct Following<K: Cached> {
    writer: Writer<K>,
    tagged: Arc<RwLock<Tagged<K>>>,
    listed: Arc<AtomicBool>,
}

impl<K: Cached> Following<K> {
    /// Takes an event into store and tags, before anybody is told of it.
    fn apply(&mut self, event: &Event<K>) {
        self.writer.apply_watcher_event(event);
        let reader = self.writer.as_reader();
        let mut tagged = self.tagged.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Apply(object) => {
                if let Some(object) = reader.get(&ObjectRef::from_obj(object)) {
                    tagged.put(&object);
                }
            }
            Event::Delete(object) => tagged.take(&(object.namespace(), object.name_any())),
            Event::InitDone => {
                let mut fresh = Tagged::new(tagged.tags);
                reader.state().iter().for_each(|object| fresh.put(object));
                *tagged = fresh;
            }
            Event::Init | Event::InitApply(_) => (),
        }
    }
}

async fn follow<K: Cached>(
    api: Api<Read<K>>,
    config: watcher::Config,
    metrics: Arc<Metrics>,
    mut copy: Following<K>,
    touched: impl Fn(&K),
) {
    let kind = K::kind(&()).into_owned();
    let reader = copy.writer.as_reader();
    let mut before: HashMap<ObjectRef<K>, Arc<K>> = HashMap::new();
    let mut stream = watcher(api, config).backoff(watchdog::again()).boxed();
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
        copy.apply(&event);
        match &event {
            Event::Apply(object) | Event::Delete(object) => touched(object),
            Event::InitApply(object) => {
                before.remove(&ObjectRef::from_obj(object));
            }
            Event::Init => (),
            Event::InitDone => {
                copy.listed.store(true, Ordering::Release);
                reader.state().iter().for_each(|o| touched(o));
                for (_, gone) in before.drain() {
                    touched(&gone);
                }
            }
        }
    }
}

/// A broken object is one tenant's trouble: it is left out, the others go on.
fn understood<K: Cached>(event: Event<Read<K>>) -> Option<Event<K>> {
    let open = |read: Read<K>| match read.0 {
        Ok(object) => Some(object),
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

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn map(name: &str, label: &str) -> Arc<ConfigMap> {
        let mut map = ConfigMap::default();
        map.metadata.name = Some(name.to_owned());
        map.metadata.labels = Some([("l".to_owned(), label.to_owned())].into());
        Arc::new(map)
    }

    #[test]
    fn an_object_is_found_by_the_tag_it_has_now() {
        let mut tagged = Tagged::<ConfigMap>::new(|m| m.labels().get("l").cloned().into_iter().collect());
        tagged.put(&map("a", "one"));
        tagged.put(&map("b", "one"));
        tagged.put(&map("a", "two"));
        let names = |tag: &str| -> Vec<String> {
            tagged.by_tag.get(tag).into_iter().flat_map(|o| o.values()).map(|o| o.name_any()).collect()
        };
        assert_eq!((names("one"), names("two")), (vec!["b".to_owned()], vec!["a".to_owned()]));
        tagged.take(&(None, "b".to_owned()));
        assert!(!tagged.by_tag.contains_key("one"));
    }
}
