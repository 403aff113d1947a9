//! Looks all the time whether the gate stands on every protected link, and takes those down on which it does not; mends it,
//! and brings them up again after a self-test that passed, closed.
//!
//! In a thread of its own: however busy the rest of the process is, a look is due in time.

use std::process::Command;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;
use yunting_plan::gate::{Guarded, Seen, State, Verdict, judge};

use super::keeper::{Gates, Inner, Member, Shown, start};
use super::netlink;
use crate::error::chain;

/// Time between two looks where there is a protected pod. A packet that must not pass does so for no more than this and
/// what taking a link down takes. A look at a link is some twenty calls of the kernel.
const LOOK: Duration = Duration::from_millis(40);
/// The same where there is none. The first one that comes ends it: its program may be taken off at once.
const IDLE: Duration = Duration::from_millis(500);
/// Time between two tries to mend what is broken.
const MEND: Duration = Duration::from_secs(1);
/// Time between two tries to have a gate at all.
const AGAIN: Duration = Duration::from_secs(10);

/// Begins to; ends with the process.
pub(in crate::node) fn watch_over(gates: Arc<Gates>) -> anyhow::Result<()> {
    let work = move || {
        loop {
            if gates.look() {
                std::thread::sleep(LOOK);
            } else {
                gates.idle(IDLE);
            }
        }
    };
    std::thread::Builder::new().name("gate".to_owned()).spawn(work).context("no thread for the gate")?;
    Ok(())
}

impl Gates {
    /// One look, and what follows from it. Whether there is a protected pod.
    pub(super) fn look(&self) -> bool {
        let mut inner = self.inner();
        let seen = inner.seen();
        let verdict = judge(&seen);
        let trouble = seen.absent.is_some()
            || !seen.missing.is_empty()
            || seen.links.values().any(|g| !g.missing.is_empty());
        let took = inner.carry_out(&verdict);
        if trouble {
            inner.trouble = Instant::now();
            inner.tested = false;
        }
        self.show(&verdict, took);
        let pause = if seen.absent.is_some() { AGAIN } else { MEND };
        if (trouble || !inner.tested) && inner.mended.elapsed() >= pause {
            if trouble {
                inner.mend(&seen, &self.pins);
            }
            inner.mended = Instant::now();
            self.test.notify_one();
        }
        !inner.links.is_empty()
    }

    /// Waits until there is a protected pod, or that long.
    fn idle(&self, longest: Duration) {
        let none = |inner: &mut Inner| inner.links.is_empty();
        let waited = self.first.wait_timeout_while(self.inner(), longest, none);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn show(&self, verdict: &Verdict, took: Duration) {
        let tell = |shown: &mut Shown| {
            let (state, detail, down) = (verdict.state, &verdict.detail, verdict.down.len());
            if (shown.state, &shown.detail) == (state, detail) && down == 0 {
                return false;
            }
            match state {
                State::Armed => tracing::info!("the gate is armed"),
                _ if shown.settled() || down > 0 => {
                    tracing::error!(?state, detail, down, ?took, "the gate does not stand");
                }
                _ => tracing::info!(?state, detail, "the gate is not armed yet"),
            }
            (shown.state, shown.detail) = (state, detail.clone());
            true
        };
        self.shown.send_if_modified(tell);
    }
}

impl Inner {
    /// What is there.
    fn seen(&mut self) -> Seen {
        let failed = self.failed.clone();
        let gate = match &mut self.gate {
            Ok(gate) => gate,
            Err(why) => {
                let links = self.links.iter().map(|(n, m)| (*n, guarded(m, Vec::new()))).collect();
                return Seen { absent: Some(why.clone()), failed, links, ..Seen::default() };
            }
        };
        let links = self.links.iter().map(|(number, m)| {
            // What cannot be asked counts as missing.
            let missing = gate.missing(*number, &m.group).unwrap_or_else(|error| vec![chain(&error)]);
            (*number, guarded(m, missing))
        });
        let links = links.collect();
        Seen { absent: None, missing: gate.missing_of_all(), failed, tested: self.tested, links }
    }

    /// Takes down first, then closes; brings up only what reads closed. How long the first took.
    fn carry_out(&mut self, verdict: &Verdict) -> Duration {
        let since = Instant::now();
        for number in &verdict.down {
            match netlink::set(*number, false) {
                Ok(()) => {
                    if let Some(member) = self.links.get_mut(number) {
                        member.down = true;
                    }
                }
                Err(error) => {
                    tracing::error!(number, %error, "a link without its gate cannot be taken down");
                }
            }
        }
        let took = since.elapsed();
        let Ok(gate) = &mut self.gate else { return took };
        for group in &verdict.close {
            // Its links are down; nothing comes up before it reads closed.
            if let Err(error) = gate.close(group) {
                tracing::debug!(error = chain(&error), "a group whose links are down cannot be closed");
            }
        }
        for number in &verdict.up {
            let Some(member) = self.links.get_mut(number) else { continue };
            if !matches!(gate.state(&member.group), Ok(None)) {
                let _ = gate.close(&member.group);
                continue;
            }
            match up(*number, member) {
                Ok(()) => {
                    member.down = false;
                    tracing::warn!(link = %member.link, "the gate stands again; the link is up, closed");
                }
                Err(error) => tracing::error!(error = format!("{error:#}"), "a link does not come up"),
            }
        }
        took
    }

    /// Puts the program back where it is missing, and everything where a map is. The links are down meanwhile.
    fn mend(&mut self, seen: &Seen, pins: &std::path::Path) {
        let all = seen.absent.is_some() || !seen.missing.is_empty();
        if all {
            self.gate = start(pins);
        }
        let Ok(gate) = &mut self.gate else { return };
        for (number, member) in self.links.iter().filter(|(_, m)| m.down) {
            let missing = seen.links.get(number).is_some_and(|g| !g.missing.is_empty());
            if !missing && !all {
                continue;
            }
            // A pin whose program was taken off holds nothing any more.
            let mended = gate.guard(&member.link, &member.group).or_else(|_| {
                gate.release(*number)?;
                gate.guard(&member.link, &member.group)
            });
            if let Err(error) = mended {
                tracing::error!(link = %member.link, error = chain(&error), "the gate cannot be put back");
            }
        }
    }
}

fn guarded(member: &Member, missing: Vec<String>) -> Guarded {
    Guarded { group: member.group.clone(), missing, down: member.down }
}

/// A link that went down has lost the route that leads to its pod.
fn up(number: u32, member: &Member) -> anyhow::Result<()> {
    netlink::set(number, true).with_context(|| format!("link {} cannot be brought up", member.link))?;
    if !member.routed {
        return Ok(());
    }
    let (address, link) = (member.address.to_string(), member.link.to_string());
    let words = ["route", "replace", address.as_str(), "dev", link.as_str()];
    let done = Command::new("ip").args(words).output().context("ip cannot be started")?;
    anyhow::ensure!(
        done.status.success(),
        "no route to {address}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}
