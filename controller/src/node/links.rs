//! Which pod of this node has which address behind which link: what the CNI plugin has handed over since this process
//! began, and for all others the route that leads to the address.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use yunting_plan::boundary::Link;

/// The routes of the thread's network namespace, as text.
const ROUTES: &str = "/proc/thread-self/net/route";

/// A pod as the CNI plugin names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What the plugin handed over of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Of the sandbox: one that is taken down late takes nothing from its successor.
    pub container: String,
    /// Uid of the pod: a pod of the same name that came later is another.
    pub uid: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The node's end of its link.
    pub link: Link,
}

/// Pods that were attached.
#[derive(Default)]
pub(super) struct Links(Mutex<HashMap<PodName, Attached>>);

impl Links {
    fn all(&self) -> MutexGuard<'_, HashMap<PodName, Attached>> {
        // Nothing panics while it is held, so a poisoned lock still holds a whole map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pod was attached.
    pub(super) fn add(&self, pod: PodName, attached: Attached) {
        self.all().insert(pod, attached);
    }

    /// A sandbox is taken down; asked for again and again until it is.
    pub(super) fn remove(&self, pod: &PodName, container: &str) {
        let mut all = self.all();
        if all.get(pod).is_some_and(|a| a.container == container) {
            all.remove(pod);
        }
    }

    /// What was handed over of a pod.
    pub(super) fn of(&self, pod: &PodName, uid: &str) -> Option<Attached> {
        self.all().get(pod).filter(|a| a.uid == uid).cloned()
    }
}

/// The links to which a route of one address leads.
pub fn routes() -> HashMap<Ipv4Addr, Link> {
    let text = std::fs::read_to_string(ROUTES).unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot read the routes; pods that were there before this process have no network");
        String::new()
    });
    text.lines().filter_map(host_route).collect()
}

/// Interface, destination and mask are the first, second and eighth word; numbers are as they lie in memory.
fn host_route(text: &str) -> Option<(Ipv4Addr, Link)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (link, destination, mask) = (words.first()?, words.get(1)?, words.get(7)?);
    if *mask != "FFFFFFFF" {
        return None;
    }
    let address = Ipv4Addr::from(u32::from_str_radix(destination, 16).ok()?.to_ne_bytes());
    Some((address, Link::new(link).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_routes_of_one_address_are_read() {
        let text = "veth1a2b\t0500000A\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0";
        let link = Link::new("veth1a2b").unwrap();
        assert_eq!(host_route(text), Some((Ipv4Addr::new(10, 0, 0, 5), link)));
        assert_eq!(host_route(&text.replace("FFFFFFFF", "00FFFFFF")), None);
        assert_eq!(host_route("Iface\tDestination\tGateway"), None);
    }

    #[test]
    fn a_sandbox_that_is_taken_down_late_takes_nothing_from_its_successor() {
        let links = Links::default();
        let pod = PodName { namespace: "n".to_owned(), name: "p".to_owned() };
        let attached = |container: &str| Attached {
            container: container.to_owned(),
            uid: "u".to_owned(),
            address: Ipv4Addr::LOCALHOST,
            link: Link::new("veth0").unwrap(),
        };
        links.add(pod.clone(), attached("new"));
        links.remove(&pod, "old");
        assert_eq!(links.of(&pod, "u"), Some(attached("new")));
        assert_eq!(links.of(&pod, "another"), None);
        links.remove(&pod, "new");
        assert_eq!(links.of(&pod, "u"), None);
    }
}
