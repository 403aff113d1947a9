//! What stands in the authority's store of a group, where, and what may follow on it.
//!
//! Must never: make a holder of somebody without a fencing before it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::point::{Manifest, Point};
use super::rules::Rules;
use super::timing::{Millis, Timing};
use super::token::{BootId, Group, Node, Site, Token};

/// Under it stand the groups' records.
pub const RECORDS: &str = "/yunting/v1/auth/";
/// Under it stand the nodes' beats.
pub const BEATS: &str = "/yunting/v1/beat/";
/// Under it stand the nodes' acknowledgements.
pub const ACKNOWLEDGEMENTS: &str = "/yunting/v1/fenced/";
/// Held by who leads.
pub const LEADER: &str = "/yunting/v1/leader";
/// The store's generation, a number.
pub const GENERATION: &str = "/yunting/v1/generation";

/// Where a group's record stands.
pub fn key(group: Group) -> String {
    format!("{RECORDS}{group}")
}

/// Where a node's beat stands. It leaves only when the node is forgotten.
pub fn beat_key(site: &Site, node: &Node) -> String {
    format!("{BEATS}{site}/{node}")
}

/// Under it stand a site's beats.
pub fn beats_of(site: &Site) -> String {
    format!("{BEATS}{site}/")
}

/// Where a node acknowledges that it let go of a group.
pub fn acknowledgement_key(group: Group, site: &Site, node: &Node) -> String {
    format!("{ACKNOWLEDGEMENTS}{group}/{site}/{node}")
}

/// Whether anybody holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// The holder does.
    Active,
    /// Nobody does: who held has to let go, or to have had the time for it.
    Fencing,
}

/// A place for a right: a site, and the node where a stateful member moves within one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seat {
    /// The site.
    pub site: Site,
    /// The node; none where the whole group moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Node>,
}

/// A volume of a stateful member.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    /// The one node that may open it.
    pub node: Node,
    /// The point that it began with where it is; none where it has never moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted: Option<Point>,
}

/// Where a group stood last, and when it left. By the leader's wall clock: it slows storms down, and nothing more rests on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Move {
    /// From where; none after a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Seat>,
    /// To where.
    pub to: Seat,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// A group's record: the only place where a right comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// Of the right that is held or waited for; it never goes down.
    pub token: Token,
    /// Active: the site that holds. Fencing: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Site>,
    /// Whether anybody holds.
    pub phase: Phase,
    /// Fencing: who held. None after a restore, when nobody knows; then only time, a fence or people may end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Seat>,
    /// Fencing: who is to hold; none after a restore until somebody is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Seat>,
    /// The run that moves it, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Comes with each grant.
    pub timing: Timing,
    /// The longest wait that any timing asks for which was valid since the holder last changed. An abort is no change: who
    /// got a right before it may have it still.
    pub longest: Millis,
    /// Hash of the members; a node that enforces others says so in its beat.
    pub members: String,
    /// Sites that keep replicas, and so learn what becomes of the group.
    #[serde(default)]
    pub replicas: BTreeSet<Site>,
    /// Its stateful volumes by name.
    #[serde(default)]
    pub volumes: BTreeMap<String, Volume>,
    /// Its last move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Move>,
}

/// What a node says with each renewal; it is put in the same transaction that reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Beat {
    /// One more with every beat of a boot.
    pub sequence: u64,
    /// Its boot.
    pub boot: BootId,
    /// Hash of the members that it enforces, by group that has pods there.
    pub members: BTreeMap<Group, String>,
    /// Whether its gate was `Armed` when it said so.
    pub armed: bool,
    /// Hash of kernel and ruleset under which the gate last passed its test with packets.
    pub tested_as: String,
    /// Age of that test in seconds.
    pub tested_ago: u64,
}

/// How a node let go of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Method {
    /// Its gate was closed and read back.
    Gate,
    /// It had no pod of the group.
    NothingHere,
}

/// A node's acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Acknowledged {
    /// Of the fencing that it answers, exactly.
    pub token: Token,
    /// How.
    pub method: Method,
    /// The last point of each of the group's volumes there.
    #[serde(default)]
    pub finals: BTreeMap<String, Point>,
}

/// What cannot follow on a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// Somebody holds, and it is asked for what only a fencing may become.
    #[error("the group is Active under token {0}: nothing may follow but a fencing or another timing")]
    Active(Token),
    /// Nobody holds, and it is asked for what only a holder may become.
    #[error("the group is Fencing under token {0}: end that first, by promotion or abort")]
    Fencing(Token),
    /// It is where it is to go.
    #[error("the group is to move to where it is; name another site or node")]
    NoMove,
    /// There is nobody to give it back to.
    #[error(
        "nobody is known to have held the group under token {0}, so none can have it back: choose a target"
    )]
    NobodyBefore(Token),
    /// There is nobody to give it to.
    #[error("no target was chosen under token {0}: choose one")]
    NoTarget(Token),
}

impl Record {
    /// Whether a node may have a right from it: only by what this one record says, as it was read.
    pub fn grants(&self, site: &Site) -> bool {
        self.phase == Phase::Active && self.holder.as_ref() == Some(site)
    }

    /// Whether a site learns of it: who is not concerned gets no answer, which is no information.
    pub fn concerns(&self, site: &Site) -> bool {
        let at = |seat: &Option<Seat>| seat.as_ref().is_some_and(|s| s.site == *site);
        self.holder.as_ref() == Some(site) || at(&self.from) || at(&self.to) || self.replicas.contains(site)
    }

    /// Whether a node of this site has to let go before the fencing may end early.
    pub fn fences(&self, site: &Site) -> bool {
        self.phase == Phase::Fencing && self.from.as_ref().is_some_and(|s| s.site == *site)
    }

    /// How long a leader waits in this fencing.
    pub fn wait<R: Rules>(&self) -> Millis {
        R::fencing_wait(self)
    }

    /// Active → Fencing, e + 1: from here on nobody holds.
    pub fn fenced<R: Rules>(&self, from: Option<Node>, to: Seat, run: &str) -> Result<Self, Illegal> {
        let (Phase::Active, Some(site)) = (self.phase, &self.holder) else {
            return Err(Illegal::Fencing(self.token));
        };
        let from = Seat { site: site.clone(), node: from };
        if from == to || (from.site == to.site && to.node.is_none()) {
            return Err(Illegal::NoMove);
        }
        let next = Self {
            token: self.token.next(),
            holder: None,
            phase: Phase::Fencing,
            from: Some(from),
            to: Some(to),
            run: Some(run.to_owned()),
            ..self.clone()
        };
        Ok(R::takes_away(next))
    }

    /// Fencing → Active at its target, same token. Only `leader` asks for it, with a proof that the fencing is over.
    /// Where nobody proved it, rights under earlier timings are remembered on.
    pub(super) fn promoted<R: Rules>(
        &self,
        points: Manifest,
        at: u64,
        proved: bool,
    ) -> Result<Self, Illegal> {
        let to = match (self.phase, &self.to) {
            (Phase::Active, _) => return Err(Illegal::Active(self.token)),
            (Phase::Fencing, None) => return Err(Illegal::NoTarget(self.token)),
            (Phase::Fencing, Some(to)) => to.clone(),
        };
        let mut next = Self {
            holder: Some(to.site.clone()),
            phase: Phase::Active,
            from: None,
            to: None,
            run: None,
            moved: Some(Move { from: self.from.clone(), to, at }),
            longest: if proved { self.timing.wait::<R>() } else { self.longest },
            ..self.clone()
        };
        for (name, (node, point)) in points.0 {
            next.volumes.insert(name, Volume { node, promoted: point });
        }
        Ok(next)
    }

    /// Fencing → Active where it was, e + 2.
    pub fn aborted(&self) -> Result<Self, Illegal> {
        if self.phase == Phase::Active {
            return Err(Illegal::Active(self.token));
        }
        let from = self.from.as_ref().ok_or(Illegal::NobodyBefore(self.token))?;
        Ok(Self {
            token: self.token.next(),
            holder: Some(from.site.clone()),
            phase: Phase::Active,
            from: None,
            to: None,
            run: None,
            ..self.clone()
        })
    }

    /// Fencing → Fencing with another target, e + 1: the same who held, and the wait begins anew.
    pub fn retargeted(&self, to: Seat) -> Result<Self, Illegal> {
        if self.phase == Phase::Active {
            return Err(Illegal::Active(self.token));
        }
        if self.from.as_ref() == Some(&to) {
            return Err(Illegal::NoMove);
        }
        Ok(Self { token: self.token.next(), to: Some(to), ..self.clone() })
    }

    /// Another timing, at any moment; rights under the earlier ones are remembered.
    #[must_use]
    pub fn timed<R: Rules>(&self, timing: Timing) -> Self {
        let longest = R::longest(self, &timing);
        Self { timing, longest, ..self.clone() }
    }

    /// The record after a restore from a snapshot: nobody holds, and nobody knows who did.
    #[must_use]
    pub fn restored<R: Rules>(&self) -> Self {
        R::restored(self)
    }
}

/// What [`Rules::restored`] does where it is sound.
pub(super) fn restored(old: &Record) -> Record {
    Record {
        token: Token { generation: old.token.generation.saturating_add(1), epoch: old.token.epoch },
        holder: None,
        phase: Phase::Fencing,
        from: None,
        to: None,
        run: None,
        ..old.clone()
    }
}

#[cfg(test)]
pub(super) mod tests;
