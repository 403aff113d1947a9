//! Which pod of this node has which address behind which link: what the CNI plugin has handed over, and
//! for all others the route that leads to the address.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use yunting_plan::boundary::Link;

use super::gate::Held;

/// The routes of the thread's network namespace, as text.
const ROUTES: &str = "/proc/thread-self/net/route";

/// A pod as the CNI plugin names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What the plugin handed over of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// Of the sandbox: one that is taken down late takes nothing from its successor.
    pub container: String,
    /// Uid of the pod: a pod of the same name that came later is another.
    pub uid: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The node's end of its link.
    pub link: Link,
    /// Where its network namespace is.
    pub netns: PathBuf,
    /// What holds its link closed, where the pod is protected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) held: Option<Held>,
}

/// A pod that was attached, as it is kept for the process after this one.
#[derive(Serialize, Deserialize)]
struct Kept {
    pod: PodName,
    attached: Attached,
}

/// Pods that were attached; each is kept in a file until it is taken back, so that a start anew knows them.
pub(super) struct Links {
    all: Mutex<HashMap<PodName, Attached>>,
    files: PathBuf,
}

impl Links {
    /// Those that are kept in this directory, which is made where it is missing.
    pub(super) fn open(files: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(files)?;
        let mut all = HashMap::new();
        for file in std::fs::read_dir(files)? {
            let path = file?.path();
            match std::fs::read(&path).map(|text| serde_json::from_slice::<Kept>(&text)) {
                Ok(Ok(kept)) => {
                    all.insert(kept.pod, kept.attached);
                }
                // Half a file is of a pod whose plugin has had no answer; it asks again.
                why => {
                    let why = why.map(Result::err);
                    tracing::warn!(file = %path.display(), ?why, "a pod's file is not understood");
                }
            }
        }
        Ok(Self { all: Mutex::new(all), files: files.to_owned() })
    }

    fn all(&self) -> MutexGuard<'_, HashMap<PodName, Attached>> {
        // Nothing panics while it is held, so a poisoned lock still holds a whole map.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pod was attached.
    pub(super) fn add(&self, pod: PodName, attached: Attached) -> io::Result<()> {
        let place = self.file(&attached.container)?;
        let kept = Kept { pod, attached };
        std::fs::write(&place, serde_json::to_vec(&kept)?)?;
        self.all().insert(kept.pod, kept.attached);
        Ok(())
    }

    /// A sandbox is taken down; asked for again and again until it is.
    pub(super) fn remove(&self, pod: &PodName, container: &str) -> io::Result<()> {
        match std::fs::remove_file(self.file(container)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        let mut all = self.all();
        if all.get(pod).is_some_and(|a| a.container == container) {
            all.remove(pod);
        }
        Ok(())
    }

    /// What holds a sandbox's link. Its file says so: the pod may have another sandbox by now.
    pub(super) fn held_of(&self, container: &str) -> io::Result<Option<Held>> {
        match std::fs::read(self.file(container)?) {
            Ok(text) => Ok(serde_json::from_slice::<Kept>(&text).ok().and_then(|kept| kept.attached.held)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Links that the gate holds, with their pods' addresses.
    pub(super) fn held(&self) -> Vec<(Held, Link, Ipv4Addr)> {
        let all = self.all();
        all.values().filter_map(|a| Some((a.held.clone()?, a.link.clone(), a.address))).collect()
    }

    /// What was handed over of a pod.
    pub(super) fn of(&self, pod: &PodName, uid: &str) -> Option<Attached> {
        self.all().get(pod).filter(|a| a.uid == uid).cloned()
    }

    /// The network namespace of the pod that has an address.
    pub(super) fn netns(&self, address: Ipv4Addr) -> Option<PathBuf> {
        self.all().values().find(|a| a.address == address).map(|a| a.netns.clone())
    }

    /// A container's name is the runtime's, and no path.
    fn file(&self, container: &str) -> io::Result<PathBuf> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        if container.is_empty() || container.len() > 128 || !container.bytes().all(plain) {
            return Err(io::Error::other(format!("{container:?} is no container's name")));
        }
        Ok(self.files.join(container))
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
        let files = tempfile::tempdir().unwrap();
        let links = Links::open(files.path()).unwrap();
        let pod = PodName { namespace: "n".to_owned(), name: "p".to_owned() };
        let attached = |container: &str| Attached {
            container: container.to_owned(),
            uid: "u".to_owned(),
            address: Ipv4Addr::LOCALHOST,
            link: Link::new("veth0").unwrap(),
            netns: "/run/netns/n".into(),
            held: Some(Held { number: 7, group: container.to_owned(), routed: true }),
        };
        links.add(pod.clone(), attached("old")).unwrap();
        links.add(pod.clone(), attached("new")).unwrap();
        // Whose link is let go of is said by the sandbox, not by the pod.
        assert_eq!(links.held_of("old").unwrap().map(|h| h.group).as_deref(), Some("old"));
        links.remove(&pod, "old").unwrap();
        assert_eq!(links.held_of("old").unwrap(), None);
        assert_eq!(links.of(&pod, "u"), Some(attached("new")));
        assert_eq!(links.of(&pod, "another"), None);
        // A start anew knows it.
        let links = Links::open(files.path()).unwrap();
        assert_eq!(links.of(&pod, "u"), Some(attached("new")));
        assert_eq!(links.netns(Ipv4Addr::LOCALHOST), Some("/run/netns/n".into()));
        assert_eq!(links.held().len(), 1);
        links.remove(&pod, "new").unwrap();
        assert_eq!(links.of(&pod, "u"), None);
        assert_eq!(Links::open(files.path()).unwrap().of(&pod, "u"), None);
        assert!(links.remove(&pod, "../escape").is_err());
    }
}
