//! What a hub's leader writes, and when a fencing is over. A leadership is one holding of the leader's key; what it waited
//! is worth nothing to the next.
//!
//! Must never: promote without a proof, or believe that something was written whose outcome it does not know.

use std::collections::{BTreeMap, BTreeSet};

use super::point::{self, Manifest, NotPromoted, Point};
use super::record::{self, Acknowledged, Illegal, Phase, Record};
use super::rules::Rules;
use super::token::{BootTime, Group, Node, Revision, Token};

/// Most groups of one transaction: the store takes 128 operations, each group needs a comparison and a write.
pub const BATCH: usize = 60;

/// One holding of the leader's key: the revision at which it was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leadership(pub Revision);

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Known {
    /// What it says.
    pub record: Record,
    /// Revision of its last change.
    pub changed: Revision,
}

/// The wait for one fencing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wait {
    /// By whom it was begun.
    pub leadership: Leadership,
    /// For which fencing.
    pub token: Token,
    /// When it is over, by the process's own clock.
    pub ends: BootTime,
}

/// Why a fencing is over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Every right has had the time to end.
    Waited,
    /// Every node that might have one has let go; with the final points.
    Acknowledged(BTreeMap<String, Point>),
    /// Somebody outside the protocol cut the site off: storage, power, network; by its own word.
    Fenced(String),
    /// Two people say that the site is dead. If they err there are two writers: the run is marked UNSAFE-OVERRIDE.
    Attested([String; 2]),
}

/// What a leader has been told beside the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outside {
    /// A confirmed external fence of the site that held.
    pub fence: Option<String>,
    /// People who attested that it is dead.
    pub attested: BTreeSet<String>,
}

/// What is known of the site that held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// Its nodes that had a beat at the revision of the fencing.
    pub beating: BTreeSet<Node>,
    /// Those of them that said in it that they run the group.
    pub running: BTreeSet<Node>,
    /// Acknowledgements by node.
    pub acknowledged: BTreeMap<Node, Acknowledged>,
}

/// Why a group is not promoted yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotYet {
    /// It does not lead.
    #[error("this process does not lead: only the leader promotes")]
    NotLeading,
    /// Somebody holds.
    #[error("the group is Active under token {0}; nothing waits")]
    Active(Token),
    /// The fencing has not been seen by this leadership.
    #[error("the fencing under token {0} was not read by this leadership yet: read it, the wait begins then")]
    NotSeen(Token),
    /// It goes on.
    #[error("{left_ns} ns of the wait are left, and {silent:?} have not acknowledged")]
    Waiting {
        /// Until the end of the wait.
        left_ns: u64,
        /// Nodes that have to acknowledge and have not.
        silent: Vec<String>,
    },
}

/// Why a promotion is not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The fencing is not over.
    #[error("the fencing is not over")]
    NotYet(#[from] NotYet),
    /// The manifest does not do.
    #[error("the manifest cannot be promoted")]
    Manifest(#[from] NotPromoted),
    /// The record is another.
    #[error("the record does not allow it")]
    Illegal(#[from] Illegal),
}

/// A process that may lead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Leader {
    /// Its leadership, where it has one.
    pub leadership: Option<Leadership>,
    /// Waits by group.
    pub waits: BTreeMap<Group, Wait>,
}

impl Leader {
    /// It holds the leader's key from now on. Waits of an earlier leadership of the same process are told apart by it.
    pub fn elected(&mut self, leadership: Leadership) {
        self.leadership = Some(leadership);
    }

    /// It does not any more, or does not know.
    pub fn deposed(&mut self) {
        self.leadership = None;
    }

    /// A record was read linearizably, or written with a confirmed outcome, by this leadership. What was written and not
    /// confirmed is not seen: it has to be read. `found` says that it was read, not confirmed.
    pub fn saw<R: Rules>(&mut self, now: BootTime, group: Group, known: &Known, found: bool) {
        let Some(leadership) = self.leadership else { return };
        let Record { token, phase, .. } = known.record;
        if phase == Phase::Active {
            self.waits.remove(&group);
            return;
        }
        let counts = |wait: &&mut Wait| R::still_counts(wait, leadership, token);
        if self.waits.get_mut(&group).as_ref().is_some_and(counts) {
            return;
        }
        let ends = R::wait_ends(now, found, known.record.wait::<R>());
        self.waits.insert(group, Wait { leadership, token, ends });
    }

    /// Whether a fencing is over, and why.
    pub fn proof<R: Rules>(
        &self,
        now: BootTime,
        group: Group,
        known: &Known,
        site: &Site,
        outside: &Outside,
    ) -> Result<Proof, NotYet> {
        let leadership = self.leadership.ok_or(NotYet::NotLeading)?;
        let record = &known.record;
        if record.phase == Phase::Active {
            return Err(NotYet::Active(record.token));
        }
        let silent = match silent::<R>(record, site) {
            Ok(finals) => return Ok(Proof::Acknowledged(finals)),
            Err(silent) => silent,
        };
        if let Some(fence) = &outside.fence {
            return Ok(Proof::Fenced(fence.clone()));
        }
        if let [one, other, ..] = outside.attested.iter().collect::<Vec<_>>()[..] {
            return Ok(Proof::Attested([one.clone(), other.clone()]));
        }
        let counts = |wait: &&Wait| R::still_counts(wait, leadership, record.token);
        let wait = self.waits.get(&group).filter(counts).ok_or(NotYet::NotSeen(record.token))?;
        match wait.ends.since(now) {
            0 => Ok(Proof::Waited),
            left_ns => Err(NotYet::Waiting { left_ns, silent }),
        }
    }
}

/// The final points if all who have to have acknowledged this very fencing; otherwise who has not.
fn silent<R: Rules>(record: &Record, site: &Site) -> Result<BTreeMap<String, Point>, Vec<String>> {
    // After a restore nobody knows who held, so nobody's word is enough. Nor is that of a site which no node speaks for.
    let must = R::must_acknowledge(&site.beating, &site.running);
    if record.from.is_none() || must.is_empty() {
        return Err(Vec::new());
    }
    let said = |node: &&Node| site.acknowledged.get(*node).is_some_and(|a| a.token == record.token);
    let silent: Vec<_> = must.iter().filter(|node| !said(node)).map(ToString::to_string).collect();
    if !silent.is_empty() {
        return Err(silent);
    }
    let finals = must.iter().filter_map(|node| site.acknowledged.get(node)).flat_map(|a| a.finals.clone());
    Ok(finals.collect())
}

/// The record of a promotion.
pub fn promote<R: Rules>(
    record: &Record,
    proof: &Proof,
    points: Manifest,
    at: u64,
) -> Result<Record, Refused> {
    let none = BTreeMap::new();
    let finals = if let Proof::Acknowledged(finals) = proof { finals } else { &none };
    point::promotable(record, &points, finals)?;
    let proved = !matches!(proof, Proof::Attested(_));
    Ok(record.promoted::<R>(points, at, proved)?)
}

/// One group's part of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    /// Which.
    pub group: Group,
    /// Revision of the last change of what it follows on.
    pub follows: Revision,
    /// What is to stand.
    pub next: Record,
}

/// A transaction of the leader: all is written if all is as it was read and the leader is still the leader, else nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// The leader's key was created at this revision.
    pub leader: (&'static str, Leadership),
    /// Keys with the revisions of their last changes.
    pub unchanged: Vec<(String, Revision)>,
    /// What is written where.
    pub writes: Vec<(String, Record)>,
}

/// Transactions for changes, at most [`BATCH`] groups in each.
pub fn transactions(leadership: Leadership, changes: &[Change]) -> Vec<Transaction> {
    let of = |changes: &[Change]| Transaction {
        leader: (record::LEADER, leadership),
        unchanged: changes.iter().map(|c| (record::key(c.group), c.follows)).collect(),
        writes: changes.iter().map(|c| (record::key(c.group), c.next.clone())).collect(),
    };
    changes.chunks(BATCH).map(of).collect()
}

#[cfg(test)]
mod tests;
