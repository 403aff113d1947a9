//! Which links of this node are held by the gate, and for whom; what is asked of it comes in here, one after another.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use yunting_plan::boundary::Link;
use yunting_plan::gate::{self as plan, Refusal, State};
use yunting_plan::vdc::Uid;

use super::local::{GroupState, LinkState, Told};
use super::{BootTime, Gate, netlink};
use crate::error::chain;

/// Time for which a new pod waits for the gate's first self-test.
const FIRST: Duration = Duration::from_secs(8);

/// What holds a pod's link, as it is kept for the process after this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::node) struct Held {
    /// The link's number, which no other link gets before the next boot.
    pub(in crate::node) number: u32,
    /// Uid of the group.
    pub(in crate::node) group: String,
    /// Whether a route of its own leads to the pod: it goes with a link that is taken down.
    pub(in crate::node) routed: bool,
}

/// A protected pod's link.
pub(super) struct Member {
    pub(super) link: Link,
    pub(super) group: Uid,
    pub(super) address: Ipv4Addr,
    pub(super) routed: bool,
    /// Taken down because the gate did not stand on it.
    pub(super) down: bool,
}

/// How the gate stands, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) struct Shown {
    /// How it is called.
    pub(in crate::node) state: State,
    /// What is missing or wrong.
    pub(in crate::node) detail: String,
    /// When a self-test last passed.
    pub(in crate::node) tested: Option<Timestamp>,
    /// The program's hash.
    pub(in crate::node) program: Option<String>,
    /// When the last self-test that has ended began.
    pub(super) begun: Option<Instant>,
}

impl Shown {
    /// Whether a self-test has ended, or there is nothing to be tested.
    pub(super) fn settled(&self) -> bool {
        self.begun.is_some() || self.state == State::Absent
    }
}

/// The gates of this node's pods.
pub(in crate::node) struct Gates {
    pub(super) inner: Mutex<Inner>,
    /// A pod is held: whoever watches has to look from now on.
    pub(super) first: Condvar,
    pub(super) shown: watch::Sender<Shown>,
    /// Somebody wants a self-test now.
    pub(super) test: Notify,
    pub(super) pins: PathBuf,
}

pub(super) struct Inner {
    /// The kernel's, or why there is none.
    pub(super) gate: Result<Gate, String>,
    pub(super) links: BTreeMap<u32, Member>,
    /// Links that were let go of and may still be there.
    released: BTreeSet<u32>,
    /// What the last self-test has shown to be wrong.
    pub(super) failed: Option<String>,
    /// Whether one has passed since something was last missing or wrong.
    pub(super) tested: bool,
    /// When something was last missing or wrong.
    pub(super) trouble: Instant,
    pub(super) mended: Instant,
}

/// Puts the gate in its place, or says why it cannot.
pub(super) fn start(pins: &Path) -> Result<Gate, String> {
    Gate::prepare(pins).and_then(|()| Gate::start(pins)).map_err(|e| chain(&e))
}

impl Gates {
    /// Takes over what stands: links that are held, and rights with the deadlines that they have.
    pub(in crate::node) fn start(pins: &Path, kept: &[(Held, Link, Ipv4Addr)]) -> Self {
        let now = Instant::now();
        let mut gate = start(pins);
        let program = gate.as_mut().ok().and_then(|g| g.hash().ok());
        let (state, detail) = match &gate {
            Ok(_) => (State::Broken, "no self-test has passed yet".to_owned()),
            Err(why) => (State::Absent, why.clone()),
        };
        let mut inner = Inner {
            gate,
            links: BTreeMap::new(),
            released: BTreeSet::new(),
            failed: None,
            tested: false,
            trouble: now,
            mended: now,
        };
        for (held, link, address) in kept {
            inner.take_over(held, link, *address);
        }
        inner.sweep();
        let shown = watch::Sender::new(Shown { state, detail, tested: None, program, begun: None });
        Self {
            inner: Mutex::new(inner),
            first: Condvar::new(),
            shown,
            test: Notify::new(),
            pins: pins.to_owned(),
        }
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held, so a poisoned lock still holds what stands.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands, now and later.
    pub(in crate::node) fn follow(&self) -> watch::Receiver<Shown> {
        self.shown.subscribe()
    }

    /// Holds a new pod's link closed if the pod is protected, before anybody may use it.
    pub(in crate::node) async fn at_birth(
        &self,
        label: Option<&str>,
        link: &Link,
        address: Ipv4Addr,
    ) -> Result<Option<Held>, String> {
        let Some(group) = plan::group(label).map_err(|e| chain(&e))? else { return Ok(None) };
        let mut shown = self.follow();
        // Too late is said by the state.
        let _ = tokio::time::timeout(FIRST, shown.wait_for(Shown::settled)).await;
        let Shown { state, detail, .. } = shown.borrow().clone();
        if state != State::Armed {
            return Err(format!(
                "the pod belongs to protection group {}, and the gate of this node is {state:?}: {detail}; without it \
                 the pod has no network",
                group.as_str()
            ));
        }
        self.hold(&group, link, address).map(Some)
    }

    /// Holds a link, closed unless its group has a right that has not ended.
    pub(in crate::node) fn hold(&self, group: &Uid, link: &Link, address: Ipv4Addr) -> Result<Held, String> {
        let routed = crate::node::links::routes().get(&address) == Some(link);
        let mut inner = self.inner();
        let gate = inner.gate.as_mut().map_err(|why| why.clone())?;
        let number = gate.guard(link, group).map_err(|e| chain(&e))?;
        let member = Member { link: link.clone(), group: group.clone(), address, routed, down: false };
        inner.links.insert(number, member);
        self.first.notify_all();
        Ok(Held { number, group: group.as_str().to_owned(), routed })
    }

    /// Whether a link is held, or was and its pod is gone.
    pub(in crate::node) fn holds(&self, link: &Link) -> bool {
        let inner = self.inner();
        let released = || super::index(link).is_ok_and(|number| inner.released.contains(&number));
        inner.links.values().any(|m| m.link == *link) || released()
    }

    /// Lets go of a link whose pod is gone; done again and again it is the same. The link goes down before: in between
    /// nobody would hold it.
    pub(in crate::node) fn release(&self, number: u32) -> Result<(), String> {
        let mut inner = self.inner();
        if super::name(number).map_err(|e| chain(&e))?.is_some() {
            netlink::set(number, false).map_err(|e| format!("link {number} cannot be taken down: {e}"))?;
        }
        inner.links.remove(&number);
        inner.released.insert(number);
        match inner.gate.as_mut() {
            Ok(gate) => gate.release(number).map_err(|e| chain(&e)),
            // The next start finds what is left.
            Err(_) => Ok(()),
        }
    }

    /// Lets a group's packets pass until a moment, in nanoseconds of the kernel's clock.
    pub(super) fn open(&self, group: &str, deadline: u64) -> Result<(), String> {
        let group = known(group)?;
        let mut inner = self.inner();
        let refused = |why: Refusal| Err(chain(&why));
        if !inner.links.values().any(|m| m.group == group) {
            return refused(Refusal::Unknown(group.as_str().to_owned()));
        }
        let Shown { state, detail, .. } = self.shown.borrow().clone();
        if state != State::Armed {
            return refused(Refusal::NotArmed(detail));
        }
        if let Err(why) = plan::may_open(deadline, BootTime::now().nanoseconds()) {
            return refused(why);
        }
        let gate = inner.gate.as_mut().map_err(|why| why.clone())?;
        gate.open(&group, BootTime::from_nanoseconds(deadline)).map_err(|e| chain(&e))
    }

    /// Lets none of them pass from now on. One that nobody here belongs to is closed as it is.
    pub(super) fn close(&self, group: &str) -> Result<(), String> {
        let group = known(group)?;
        let mut inner = self.inner();
        let gate = inner.gate.as_mut().map_err(|why| why.clone())?;
        gate.close(&group).map_err(|e| chain(&e))
    }

    /// What the kernel has of a group, or of all that have pods here.
    pub(super) fn told(&self, group: Option<&str>) -> Result<Told, String> {
        let one = group.map(known).transpose()?;
        let inner = self.inner();
        let here: BTreeSet<Uid> = inner.links.values().map(|m| m.group.clone()).collect();
        let groups = one.map_or(here, |one| BTreeSet::from([one]));
        let groups = groups.iter().map(|g| inner.group(g)).collect::<Result<_, _>>()?;
        let Shown { state, detail, tested, .. } = self.shown.borrow().clone();
        Ok(Told {
            gate: format!("{state:?}"),
            detail,
            tested_at: tested.map(|t| t.to_string()),
            now_boottime_ns: BootTime::now().nanoseconds(),
            groups,
        })
    }
}

fn known(group: &str) -> Result<Uid, String> {
    plan::group(Some(group)).map_err(|e| chain(&e))?.ok_or_else(|| "no group".to_owned())
}

impl Inner {
    /// A link that this node's last process held. What cannot be held is seen by the next look, which takes it down.
    fn take_over(&mut self, held: &Held, link: &Link, address: Ipv4Addr) {
        let there = super::index(link).is_ok_and(|number| number == held.number);
        let group = plan::group(Some(&held.group));
        let (true, Ok(Some(group))) = (there, group) else { return };
        if let Ok(gate) = &mut self.gate
            && let Err(error) = gate.guard(link, &group)
        {
            tracing::error!(link = %link, error = chain(&error), "the gate cannot be taken over on a link");
        }
        // One that is down was taken down by the process before: nobody else does that to a pod's link.
        let down = netlink::is_up(held.number).is_ok_and(|up| !up);
        let member = Member { link: link.clone(), group, address, routed: held.routed, down };
        self.links.insert(held.number, member);
    }

    /// Forgets links that are no more. One that is there and that nobody kept stays held: its pod may be known later.
    pub(super) fn sweep(&mut self) {
        let gone = |number: &u32| matches!(super::name(*number), Ok(None));
        self.links.retain(|number, _| !gone(number));
        self.released.retain(|number| !gone(number));
        let Ok(gate) = &mut self.gate else { return };
        for number in gate.pinned().unwrap_or_default() {
            if matches!(super::name(number), Ok(None))
                && let Err(error) = gate.release(number)
            {
                tracing::warn!(number, error = chain(&error), "a link that is gone cannot be forgotten");
            }
        }
    }

    fn group(&self, group: &Uid) -> Result<GroupState, String> {
        let gate = self.gate.as_ref().map_err(Clone::clone)?;
        let deadline = gate.state(group).map_err(|e| chain(&e))?;
        let of = self.links.iter().filter(|(_, m)| m.group == *group);
        let link = |(number, m): (&u32, &Member)| {
            let counted = gate.counted_on(*number).unwrap_or_default();
            LinkState {
                link: m.link.to_string(),
                address: m.address,
                down: m.down,
                passed: counted.passed,
                dropped: counted.dropped,
            }
        };
        Ok(GroupState {
            group: group.as_str().to_owned(),
            deadline_boottime_ns: deadline.map(BootTime::nanoseconds),
            open: deadline.is_some_and(|until| until > BootTime::now()),
            links: of.map(link).collect(),
        })
    }
}
