//! Everything that costs quota in the namespaces of VDCs, whoever made it: of each object as much as is needed to
//! judge it, about 300 bytes. What an object costs and when it came is read once, from the watch.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube::ResourceExt;
use yunting_crds::labels;
use yunting_plan::object::{ApiKind, Key, api_kind};
use yunting_plan::quota::charge::{Born, Thing, What, cost};

use crate::children::News;
use crate::wire::Lean;

/// What a kind is counted as.
pub(super) fn what(kind: &ApiKind) -> Option<What> {
    match kind.kind {
        "Pod" => Some(What::Pod),
        "PersistentVolumeClaim" => Some(What::Claim),
        "Service" => Some(What::Service),
        _ => None,
    }
}

/// The kind that is counted so.
pub(super) fn kind(what: What) -> ApiKind {
    match what {
        What::Pod => api_kind::<Pod>(),
        What::Claim => api_kind::<PersistentVolumeClaim>(),
        What::Service => api_kind::<Service>(),
    }
}

/// Key of a thing in a namespace.
pub(super) fn key(namespace: &str, thing: &Thing) -> Key {
    Key { kind: kind(thing.what), namespace: Some(namespace.to_owned()), name: thing.name.to_string() }
}

type Name = (What, Box<str>);

#[derive(Default)]
struct Inner {
    namespaces: HashMap<String, HashMap<Name, Thing>>,
    /// What the LIST that is under way has held so far.
    listed: HashMap<What, HashSet<(String, Box<str>)>>,
}

/// The things of every namespace that a VDC may own.
#[derive(Default)]
pub(super) struct Usage(RwLock<Inner>);

impl Usage {
    /// Takes in what a watch shows. The namespace whose things now cost more, if one's do.
    pub(super) fn seen(&self, kind: &ApiKind, news: News<'_>) -> Option<String> {
        let what = what(kind)?;
        // Nothing panics while it is held, so a poisoned lock still holds a whole index.
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match news {
            News::Begin => {
                inner.listed.insert(what, HashSet::new());
                None
            }
            News::Listed(object) => inner.listed(what, object),
            News::End => {
                inner.end(what);
                None
            }
            News::Came(object) => inner.put(what, object, true),
            News::Went(object) => {
                inner.take(what, object);
                None
            }
        }
    }

    /// The things of a namespace.
    pub(super) fn of(&self, namespace: &str) -> Vec<Thing> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.namespaces.get(namespace).map(|things| things.values().cloned().collect()).unwrap_or_default()
    }

    /// Whether a namespace holds anything that costs.
    pub(super) fn is_empty(&self, namespace: &str) -> bool {
        !self.0.read().unwrap_or_else(PoisonError::into_inner).namespaces.contains_key(namespace)
    }

    /// A thing was removed and is on its way out, which the watch shows by and by.
    pub(super) fn removed(&self, namespace: &str, thing: &Thing) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let things = inner.namespaces.get_mut(namespace);
        let here = things.and_then(|t| t.get_mut(&(thing.what, thing.name.clone())));
        if let Some(here) = here.filter(|here| here.uid == thing.uid) {
            here.leaving = true;
        }
    }
}

impl Inner {
    fn listed(&mut self, what: What, object: &Lean) -> Option<String> {
        if let Some(namespace) = place(object) {
            self.listed.entry(what).or_default().insert((namespace, object.name_any().into()));
        }
        self.put(what, object, false)
    }

    fn end(&mut self, what: What) {
        let listed = self.listed.remove(&what).unwrap_or_default();
        self.namespaces.retain(|namespace, things| {
            things.retain(|(w, name), _| *w != what || listed.contains(&(namespace.clone(), name.clone())));
            !things.is_empty()
        });
    }

    fn put(&mut self, what: What, object: &Lean, by_watch: bool) -> Option<String> {
        let namespace = place(object)?;
        let mut thing = thing(what, object, by_watch);
        let things = self.namespaces.entry(namespace.clone()).or_default();
        let name = (what, thing.name.clone());
        let old = things.get(&name).filter(|old| old.uid == thing.uid);
        let mut more = true;
        if let Some(old) = old {
            thing.born = old.born;
            // News from before our own removal does not bring it back.
            thing.leaving |= old.leaving;
            more = thing.charges.iter().any(|(r, amount)| old.charge(*r) < *amount);
        }
        more &= !thing.leaving;
        things.insert(name, thing);
        more.then_some(namespace)
    }

    fn take(&mut self, what: What, object: &Lean) {
        let Some(namespace) = place(object) else { return };
        if let Some(things) = self.namespaces.get_mut(&namespace) {
            things.remove(&(what, object.name_any().into()));
            if things.is_empty() {
                self.namespaces.remove(&namespace);
            }
        }
    }
}

/// The object's namespace, if it is named as those of VDCs are: `<vdc>-<namespace>-<8 of the uid>`.
fn place(object: &Lean) -> Option<String> {
    let namespace = object.namespace()?;
    let (_, end) = namespace.rsplit_once('-')?;
    let hex = end.len() == 8 && end.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    hex.then_some(namespace)
}

/// As much of an object as is needed.
fn thing(what: What, object: &Lean, exact: bool) -> Thing {
    let cost = cost(what, &object.body);
    Thing {
        what,
        name: object.name_any().into(),
        uid: object.uid().unwrap_or_default().into(),
        hall: object.labels().get(labels::HALL_UID).map(|uid| uid.as_str().into()),
        born: Born {
            at: created(object),
            seen: object.resource_version().and_then(|v| v.parse().ok()).unwrap_or_default(),
            exact,
        },
        started: cost.started,
        leaving: cost.ended || object.metadata.deletion_timestamp.is_some(),
        charges: cost.charges,
    }
}

/// Creation time of an object in seconds.
pub(super) fn created(object: &impl ResourceExt) -> i64 {
    object.creation_timestamp().map_or(i64::MIN, |t| t.0.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NAMESPACE: &str = "exams-sandbox-0a1b2c3d";

    fn pod(namespace: &str, name: &str, version: u64) -> Lean {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": namespace, "uid": name, "resourceVersion": version.to_string(),
                "creationTimestamp": "2026-11-26T10:00:00Z"},
            "spec": {"containers": [{"resources": {"requests": {"cpu": "100m"}}}]},
        }))
        .unwrap()
    }

    fn see(usage: &Usage, news: News<'_>) -> Option<String> {
        usage.seen(&kind(What::Pod), news)
    }

    #[test]
    fn what_a_watch_shows_as_new_has_its_version_of_birth_and_keeps_it() {
        let usage = Usage::default();
        see(&usage, News::Begin);
        see(&usage, News::Listed(&pod(NAMESPACE, "before", 5)));
        see(&usage, News::End);
        assert_eq!(see(&usage, News::Came(&pod(NAMESPACE, "new", 7))).as_deref(), Some(NAMESPACE));
        // A change that costs no more is nobody's business.
        assert_eq!(see(&usage, News::Came(&pod(NAMESPACE, "new", 9))), None);
        let mut born: Vec<(u64, bool)> =
            usage.of(NAMESPACE).iter().map(|t| (t.born.seen, t.born.exact)).collect();
        born.sort_unstable();
        assert_eq!(born, [(5, false), (7, true)]);
    }

    #[test]
    fn a_list_takes_away_what_it_does_not_hold() {
        let usage = Usage::default();
        see(&usage, News::Came(&pod(NAMESPACE, "gone", 7)));
        see(&usage, News::Begin);
        see(&usage, News::End);
        assert!(usage.is_empty(NAMESPACE));
        see(&usage, News::Came(&pod(NAMESPACE, "short", 8)));
        see(&usage, News::Went(&pod(NAMESPACE, "short", 9)));
        assert!(usage.is_empty(NAMESPACE));
    }

    #[test]
    fn only_namespaces_of_vdcs_are_counted() {
        let usage = Usage::default();
        for namespace in ["kube-system", "default", "exams-sandbox-0A1b2c3d", "a-0a1b2c3"] {
            assert_eq!(see(&usage, News::Came(&pod(namespace, "p", 7))), None);
        }
    }

    #[test]
    fn what_we_removed_stays_removed_until_it_is_another() {
        let usage = Usage::default();
        see(&usage, News::Came(&pod(NAMESPACE, "p", 7)));
        usage.removed(NAMESPACE, &usage.of(NAMESPACE)[0]);
        see(&usage, News::Came(&pod(NAMESPACE, "p", 8)));
        assert!(usage.of(NAMESPACE)[0].leaving);
        let mut again = pod(NAMESPACE, "p", 9);
        again.metadata.uid = Some("other".to_owned());
        assert!(see(&usage, News::Came(&again)).is_some());
        assert!(!usage.of(NAMESPACE)[0].leaving);
    }
}
