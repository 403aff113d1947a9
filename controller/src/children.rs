//! Watched copies of the objects that Yunting made in a cluster, kept as compact text: about one and a half
//! kilobytes each, parsed only when an object is worked on.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use futures::{StreamExt, TryStreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use yunting_crds::labels;
use yunting_crds::names::is_site_namespace_of;
use yunting_plan::object::{ApiKind, Key};

use crate::metrics::Metrics;
use crate::watchdog::{self, WATCH_SECONDS};
use crate::wire::Lean;
use crate::writer::resource;

/// One object as it was last seen.
#[derive(Debug)]
pub struct Child {
    /// What and where.
    pub key: Key,
    /// Its uid.
    pub uid: String,
    /// The VDC it is labelled for, if it also lies in a namespace that is named for that VDC, or is one.
    pub vdc_uid: Option<String>,
    /// The hall it is labelled for.
    pub hall_uid: Option<String>,
    /// Its resourceVersion, which API servers of one cluster let compare.
    pub version: u64,
    /// Somebody has asked for its deletion.
    pub deleting: bool,
    /// How many replicas it has was said by us last, not by an autoscaler.
    pub says_replicas: bool,
    /// It is not there any more: this is what it was, and `version` is that of its end.
    pub gone: bool,
    json: Box<str>,
}

impl Child {
    /// The object, without managed fields.
    pub fn value(&self) -> Value {
        // What was written by serde is read by serde.
        serde_json::from_str(&self.json).unwrap_or(Value::Null)
    }

    pub(crate) fn end(&self, version: u64) -> Self {
        Self {
            key: self.key.clone(),
            uid: self.uid.clone(),
            vdc_uid: self.vdc_uid.clone(),
            hall_uid: self.hall_uid.clone(),
            version,
            deleting: self.deleting,
            says_replicas: self.says_replicas,
            gone: true,
            json: self.json.clone(),
        }
    }

    pub(crate) fn of(kind: &ApiKind, mut object: Lean) -> Self {
        // The items of a LIST do not say what they are.
        object.body["apiVersion"] = kind.api_version().into();
        object.body["kind"] = kind.kind.into();
        let label = |name: &str| object.labels().get(name).cloned();
        let place = object.namespace().unwrap_or_else(|| object.name_any());
        // Kubernetes' own endpoints carry the labels of their Service.
        let ours = kind.kind != "EndpointSlice"
            || label(labels::ENDPOINTS_KEPT_BY).as_deref() == Some(labels::MANAGER);
        let vdc_uid = label(labels::VDC_UID).filter(|uid| ours && is_site_namespace_of(&place, uid));
        let hall_uid = label(labels::HALL_UID).filter(|_| ours);
        Self {
            key: Key { kind: kind.clone(), namespace: object.namespace(), name: object.name_any() },
            uid: object.uid().unwrap_or_default(),
            version: object.resource_version().and_then(|v| v.parse().ok()).unwrap_or_default(),
            deleting: object.metadata.deletion_timestamp.is_some(),
            says_replicas: object.says_replicas,
            gone: false,
            vdc_uid,
            hall_uid,
            json: object.body.to_string().into_boxed_str(),
        }
    }
}

/// Which objects of a kind are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// Those that carry Yunting's label.
    Ours,
    /// All, because a name that somebody else has must be seen.
    All,
    /// All, because each costs quota; those that carry Yunting's label are kept, the others only shown as [`News`].
    Counted,
}

/// What a watch of a counted kind shows, whoever made the object.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// A LIST begins.
    Begin,
    /// The LIST holds this object.
    Listed(&'a Lean),
    /// The LIST has ended: what it did not hold is gone.
    End,
    /// An object came or changed.
    Came(&'a Lean),
    /// An object went.
    Went(&'a Lean),
}

/// Takes the news of counted kinds.
pub type Tally = Arc<dyn Fn(&ApiKind, News<'_>) + Send + Sync>;

#[derive(Default)]
struct Index {
    objects: HashMap<Key, Arc<Child>>,
    vdcs: HashMap<String, BTreeSet<Key>>,
    /// By the uids of VDC and hall: what says that it is a hall's but lies in another VDC is nobody's.
    halls: HashMap<(String, String), BTreeSet<Key>>,
}

fn hall_of(child: &Child) -> Option<(String, String)> {
    child.vdc_uid.clone().zip(child.hall_uid.clone())
}

impl Index {
    fn put(&mut self, child: Arc<Child>) -> Option<Arc<Child>> {
        let old = self.take(&child.key);
        if let Some(vdc) = &child.vdc_uid {
            self.vdcs.entry(vdc.clone()).or_default().insert(child.key.clone());
        }
        if let Some(hall) = hall_of(&child) {
            self.halls.entry(hall).or_default().insert(child.key.clone());
        }
        self.objects.insert(child.key.clone(), child);
        old
    }

    fn take(&mut self, key: &Key) -> Option<Arc<Child>> {
        let old = self.objects.remove(key)?;
        if let Some(vdc) = &old.vdc_uid {
            forget(&mut self.vdcs, vdc, key);
        }
        if let Some(hall) = hall_of(&old) {
            forget(&mut self.halls, &hall, key);
        }
        Some(old)
    }
}

fn forget<K: Eq + std::hash::Hash>(index: &mut HashMap<K, BTreeSet<Key>>, owner: &K, key: &Key) {
    if let Some(keys) = index.get_mut(owner) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(owner);
        }
    }
}

/// The objects of several kinds.
#[derive(Clone)]
pub struct Children {
    index: Arc<RwLock<Index>>,
    waiting: watch::Receiver<usize>,
}

impl Children {
    /// Starts one watch per kind. `touched` is called with each object that came, changed or went, and with what
    /// it was before if it changed hands; `tally` with every object of a counted kind, before `touched`.
    pub fn start(
        client: &Client,
        kinds: &[(ApiKind, Watched)],
        metrics: &Arc<Metrics>,
        stop: &CancellationToken,
        tally: &Tally,
        touched: impl Fn(&Child) + Clone + Send + 'static,
    ) -> Self {
        let (sender, waiting) = watch::channel(kinds.len());
        let sender = Arc::new(sender);
        let index = Arc::new(RwLock::new(Index::default()));
        for (kind, watched) in kinds {
            let follower = Follower {
                kind: kind.clone(),
                index: index.clone(),
                metrics: metrics.clone(),
                waiting: sender.clone(),
                tally: (*watched == Watched::Counted).then(|| tally.clone()),
                touched: touched.clone(),
            };
            let api: Api<Lean> = Api::all_with(client.clone(), &resource(kind));
            let config = match watched {
                Watched::Ours => {
                    watcher::Config::default().labels(&format!("{}={}", labels::MANAGED_BY, labels::MANAGER))
                }
                Watched::All | Watched::Counted => watcher::Config::default(),
            };
            let config = config.timeout(WATCH_SECONDS);
            let stop = stop.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => (),
                    () = follower.follow(api, config) => (),
                }
            });
        }
        Self { index, waiting }
    }

    /// A store without watches.
    #[cfg(test)]
    pub(crate) fn fixed() -> Self {
        let (_, waiting) = watch::channel(0);
        Self { index: Arc::default(), waiting }
    }

    /// Puts an object into a store without watches.
    #[cfg(test)]
    pub(crate) fn show(&self, child: Child) {
        self.index.write().unwrap_or_else(PoisonError::into_inner).put(Arc::new(child));
    }

    /// Waits until every kind has been listed once.
    pub async fn ready(&self) {
        // An error says that the watches ended, which only the stop token does: then nobody asks any more.
        let _ = self.waiting.clone().wait_for(|left| *left == 0).await;
    }

    /// The object of that key.
    pub fn get(&self, key: &Key) -> Option<Arc<Child>> {
        self.read(|index| index.objects.get(key).cloned())
    }

    /// Names of all objects of a kind, sorted.
    pub fn names(&self, kind: &ApiKind) -> Vec<String> {
        let mut names: Vec<String> = self
            .read(|index| index.objects.keys().filter(|k| k.kind == *kind).map(|k| k.name.clone()).collect());
        names.sort();
        names
    }

    /// Every object labelled for a VDC, halls' objects included, sorted by key.
    pub fn of_vdc(&self, uid: &str) -> Vec<Arc<Child>> {
        self.read(|index| collect(index, index.vdcs.get(uid)))
    }

    /// Every object labelled for a hall in its VDC, sorted by key.
    pub fn of_hall(&self, vdc_uid: &str, hall_uid: &str) -> Vec<Arc<Child>> {
        self.read(|index| collect(index, index.halls.get(&(vdc_uid.to_owned(), hall_uid.to_owned()))))
    }

    /// Every object of one kind that a predicate selects, sorted by key.
    pub fn select(&self, kind: &ApiKind, predicate: impl Fn(&Child) -> bool) -> Vec<Arc<Child>> {
        let mut some: Vec<_> = self
            .read(|i| i.objects.values().filter(|c| c.key.kind == *kind && predicate(c)).cloned().collect());
        some.sort_by(|a, b| a.key.cmp(&b.key));
        some
    }

    fn read<T>(&self, f: impl FnOnce(&Index) -> T) -> T {
        f(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn collect(index: &Index, keys: Option<&BTreeSet<Key>>) -> Vec<Arc<Child>> {
    keys.into_iter().flatten().filter_map(|k| index.objects.get(k).cloned()).collect()
}

struct Follower<F> {
    kind: ApiKind,
    index: Arc<RwLock<Index>>,
    metrics: Arc<Metrics>,
    waiting: Arc<watch::Sender<usize>>,
    tally: Option<Tally>,
    touched: F,
}

impl<F: Fn(&Child)> Follower<F> {
    async fn follow(self, api: Api<Lean>, config: watcher::Config) {
        let mut stream = watcher(api, config).backoff(watchdog::again()).boxed();
        let mut listed: HashSet<Key> = HashSet::new();
        let mut first = true;
        loop {
            match stream.try_next().await {
                Ok(Some(Event::Init)) => {
                    self.tell(News::Begin);
                    listed.clear();
                }
                Ok(Some(Event::InitApply(object))) => {
                    self.tell(News::Listed(&object));
                    listed.extend(self.put(object));
                }
                Ok(Some(Event::InitDone)) => {
                    self.tell(News::End);
                    self.drop_unlisted(&listed);
                    listed = HashSet::new();
                    if std::mem::take(&mut first) {
                        self.waiting.send_modify(|left| *left = left.saturating_sub(1));
                    }
                }
                Ok(Some(Event::Apply(object))) => {
                    self.tell(News::Came(&object));
                    self.put(object);
                }
                Ok(Some(Event::Delete(object))) => {
                    self.tell(News::Went(&object));
                    let last = Child::of(&self.kind, object);
                    self.remove(&last.key, last.version);
                }
                Ok(None) => return,
                Err(error) => {
                    self.metrics.watch_errors.with_label_values(&[self.kind.kind]).inc();
                    tracing::debug!(kind = self.kind.kind, %error, "watch broke; it is begun again");
                }
            }
        }
    }

    fn tell(&self, news: News<'_>) {
        if let Some(tally) = &self.tally {
            tally(&self.kind, news);
        }
    }

    /// Keeps an object that is to be kept; its key, if it was.
    fn put(&self, object: Lean) -> Option<Key> {
        let ours = object.labels().get(labels::MANAGED_BY).is_some_and(|by| by == labels::MANAGER);
        if self.tally.is_some() && !ours {
            // It may have been ours until its label was taken.
            let version = object.resource_version().and_then(|v| v.parse().ok()).unwrap_or_default();
            let key = Key { kind: self.kind.clone(), namespace: object.namespace(), name: object.name_any() };
            self.remove(&key, version);
            return None;
        }
        let child = Child::of(&self.kind, object);
        let key = child.key.clone();
        self.keep(child);
        Some(key)
    }

    fn keep(&self, child: Child) {
        let child = Arc::new(child);
        let old = self.write(|index| index.put(child.clone()));
        // A changed label wakes the one it was taken from, too.
        if let Some(old) = old.filter(|o| (&o.vdc_uid, &o.hall_uid) != (&child.vdc_uid, &child.hall_uid)) {
            (self.touched)(&old);
        }
        (self.touched)(&child);
    }

    fn remove(&self, key: &Key, version: u64) {
        if let Some(old) = self.write(|index| index.take(key)) {
            (self.touched)(&old.end(version));
        }
    }

    fn drop_unlisted(&self, listed: &HashSet<Key>) {
        let gone: Vec<Key> = self.write(|index| {
            index.objects.keys().filter(|k| k.kind == self.kind && !listed.contains(*k)).cloned().collect()
        });
        for key in &gone {
            self.remove(key, u64::MAX);
        }
    }

    fn write<T>(&self, f: impl FnOnce(&mut Index) -> T) -> T {
        f(&mut self.index.write().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use yunting_plan::object::{Object, api_kind};

    const ONE: &str = "11111111-2fa1-11d2-883f-0016d3cca427";
    const TWO: &str = "22222222-2fa1-11d2-883f-0016d3cca427";

    fn child(name: &str, vdc: &str) -> Arc<Child> {
        labelled(name, "v-app-11111111", vdc, None)
    }

    fn labelled(name: &str, namespace: &str, vdc: &str, hall: Option<&str>) -> Arc<Child> {
        let kind = api_kind::<k8s_openapi::api::core::v1::ConfigMap>();
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": name, "namespace": namespace, "uid": name, "labels": {labels::VDC_UID: vdc, labels::HALL_UID: hall.unwrap_or_default()}}});
        Arc::new(Child::of(&kind, serde_json::from_value(object).unwrap()))
    }

    #[test]
    fn an_item_of_a_list_stands_as_one_of_a_watch_does() {
        let kind = api_kind::<k8s_openapi::api::core::v1::ConfigMap>();
        let desired = Object::from_value(
            kind.clone(),
            json!({"metadata": {"name": "m", "namespace": "n"}, "data": {"k": "v"}}),
        );
        let mut item = desired.body.clone();
        item.as_object_mut().unwrap().retain(|k, _| k != "apiVersion" && k != "kind");
        let child = Child::of(&kind, serde_json::from_value(item).unwrap());
        assert!(desired.stands_in(&child.value()));
    }

    #[test]
    fn an_object_is_found_by_the_vdc_it_is_labelled_for_now() {
        let mut index = Index::default();
        index.put(child("a", ONE));
        index.put(child("b", ONE));
        index.put(child("a", ""));
        assert_eq!(collect(&index, index.vdcs.get(ONE)).len(), 1);
        index.put(child("a", ONE));
        assert_eq!(collect(&index, index.vdcs.get(ONE))[0].uid, "a");
        index.take(&child("a", ONE).key);
        index.take(&child("b", ONE).key);
        assert!(!index.vdcs.contains_key(ONE));
    }

    #[test]
    fn a_label_alone_makes_no_object_another_vdcs_or_another_halls() {
        let mut index = Index::default();
        index.put(labelled("stolen", "v-app-11111111", TWO, Some("hall-of-two")));
        index.put(labelled("half", "v-app-11111111", ONE, Some("hall-of-two")));
        assert!(!index.vdcs.contains_key(TWO));
        assert!(!index.halls.contains_key(&(TWO.to_owned(), "hall-of-two".to_owned())));
    }
}
