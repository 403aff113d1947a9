//! Replicas of a hall's volumes at one site: which volumes stand here, what is made so that other sites have theirs, and what
//! is kept of other sites' volumes.
//!
//! What a `VolumeReplica` was activated for, and under which right it was, is said by whoever moves a hall: what stands of it
//! is never taken back here, and one that is a volume of its own is never removed.

use std::collections::BTreeMap;

use yunting_crds::common::Desired;
use yunting_crds::conditions::{READY, State, find, reason, state_of};
use yunting_crds::hall_volume::{HallVolume, ReplicaState, WantedCopies, WantedCopy, WantedReplica};
use yunting_crds::replication::{Remote, Token};
use yunting_crds::volume_replica::ReplicaState as Of;
use yunting_crds::{VolumeReplica, VolumeReplicaSpec, VolumeReplication, VolumeReplicationSpec};

use super::ValidHallSlice;
use super::volume::claim_of;

/// Points that a replica keeps.
const KEEP: u32 = 2;
/// Most volumes that are told; the field's bound. Always the same ones: the first by component, volume and number.
const VOLUMES: usize = 256;
/// Longest message; the field's bound.
const LONGEST: usize = 512;

/// A claim of the hall's namespaces that is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of its volume.
    pub volume: String,
    /// Size of its volume in bytes.
    pub bytes: i64,
}

/// Volumes of the hall that are here and that our driver keeps: `node` says where it keeps one.
pub fn volumes(
    hall: &ValidHallSlice,
    claims: impl IntoIterator<Item = Bound>,
    node: impl Fn(&str) -> Option<String>,
) -> Vec<HallVolume> {
    let of = |bound: Bound| {
        let claim = claim_of(hall, &bound.namespace, &bound.name)?;
        let node = node(&bound.volume)?;
        Some(HallVolume { claim, name: bound.volume, node, bytes: bound.bytes })
    };
    let mut all: Vec<HallVolume> = claims.into_iter().filter_map(of).collect();
    all.sort();
    all.truncate(VOLUMES);
    all
}

/// A node that keeps replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its name.
    pub node: String,
    /// Where it takes points.
    pub address: String,
    /// Bytes of its disk that are promised to nobody.
    pub free: i64,
}

/// What becomes of one wanted replica.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    /// It stands.
    Stands,
    /// It is made.
    Make(Box<VolumeReplicaSpec>),
    /// What has its name receives another volume and goes first.
    Replace,
    /// It goes and is not made anew.
    Remove,
    /// Nothing of it is here, and nothing is to be.
    Nothing,
    /// It cannot be: the reason and what to know.
    No(&'static str, String),
}

/// Decides about wanted replicas. `standing` are those of this hall, by name; `taken` says whose another of that name is.
pub fn keep(
    vdc: &str,
    site: &str,
    wanted: &[WantedReplica],
    standing: &BTreeMap<String, VolumeReplica>,
    taken: impl Fn(&str) -> Option<String>,
    mut rooms: Vec<Room>,
) -> Vec<(WantedReplica, Kept)> {
    let mut decide = |w: &WantedReplica| {
        if w.from.site == site {
            return Kept::No(reason::INVALID, format!("volume {} is this site's own", w.from.volume));
        }
        if let Some(there) = standing.get(&w.from.volume) {
            if w.desired == Desired::Absent && there.spec.state == Of::Receiving {
                return Kept::Remove;
            }
            let same = there.spec.from == w.from;
            let gone = there.spec.state == Of::Receiving && !same;
            return if gone { Kept::Replace } else { Kept::Stands };
        }
        // What a person took away of a volume that is gone cannot come again.
        if w.desired == Desired::Absent || w.volume_gone_at.is_some() {
            return Kept::Nothing;
        }
        if let Some(whose) = taken(&w.from.volume) {
            return Kept::No(reason::NAME_COLLISION, whose);
        }
        choose(&mut rooms, w.bytes).map_or_else(
            |why| Kept::No(reason::PROVIDER_MISSING, why),
            |node| Kept::Make(Box::new(replica(vdc, node, &w.from))),
        )
    };
    wanted.iter().map(|w| (w.clone(), decide(w))).collect()
}

fn replica(vdc: &str, node: String, from: &Remote) -> VolumeReplicaSpec {
    VolumeReplicaSpec {
        node,
        vdc: vdc.to_owned(),
        from: from.clone(),
        token: Token::default(),
        keep: KEEP,
        state: Of::Receiving,
    }
}

/// The node with most room, of those that have enough; what it gives is not given again.
fn choose(rooms: &mut [Room], bytes: i64) -> Result<String, String> {
    if rooms.is_empty() {
        let text = "no node of this site says that it takes points of other sites: start node controllers with --volumes and --replicas";
        return Err(text.to_owned());
    }
    let most = rooms.iter_mut().max_by(|a, b| a.free.cmp(&b.free).then_with(|| b.node.cmp(&a.node)));
    match most {
        Some(room) if room.free >= bytes => {
            room.free -= bytes;
            Ok(room.node.clone())
        }
        most => {
            let (node, free) = most.map_or(("-", 0), |r| (r.node.as_str(), r.free));
            Err(format!(
                "no node has room for {bytes} bytes; most has {node}, {free} bytes: give it a larger disk"
            ))
        }
    }
}

/// Name of the object that sends points of a volume to a site.
pub fn replication_name(volume: &str, site: &str) -> String {
    format!("{volume}.{site}")
}

/// What is sent to one site, as it is to stand; `Err` for a volume that is not this hall's here.
pub fn send(
    vdc: &str,
    to: &WantedCopies,
    copy: &WantedCopy,
    volumes: &[HallVolume],
    standing: Option<&VolumeReplication>,
) -> Result<VolumeReplicationSpec, String> {
    let own = volumes.iter().find(|v| v.name == copy.name && v.claim == copy.claim);
    let own = own.ok_or_else(|| format!("volume {} is not that of {} here", copy.name, copy.claim))?;
    Ok(VolumeReplicationSpec {
        node: own.node.clone(),
        vdc: vdc.to_owned(),
        volume: own.name.clone(),
        to: Remote { site: to.site.clone(), node: copy.node.clone(), volume: own.name.clone() },
        address: copy.address.clone(),
        custody: to.custody.clone(),
        // Who moves a hall raises it.
        token: standing.map(|s| s.spec.token).unwrap_or_default(),
        rpo_seconds: to.rpo_seconds,
        mode: standing.map(|s| s.spec.mode).unwrap_or_default(),
    })
}

/// Whether what stands cannot become what is wanted: it goes first.
pub fn other_way(standing: &VolumeReplicationSpec, wanted: &VolumeReplicationSpec) -> bool {
    (&standing.node, &standing.vdc, &standing.volume, &standing.to)
        != (&wanted.node, &wanted.vdc, &wanted.volume, &wanted.to)
}

/// How a replica that is kept here stands.
pub fn kept_state(
    wanted: &WantedReplica,
    how: Result<Option<&VolumeReplica>, (&str, &str)>,
    rooms: &[Room],
) -> ReplicaState {
    let there = how.as_ref().ok().copied().flatten();
    let node = there.map(|r| r.spec.node.clone());
    let address = node.as_ref().and_then(|n| rooms.iter().find(|r| r.node == *n)).map(|r| r.address.clone());
    let said = there.and_then(|r| r.status.as_ref()).map(|s| s.conditions.as_slice()).unwrap_or_default();
    let (state, reason, message) = match how {
        Err((reason, why)) => (State::False, reason.to_owned(), why.to_owned()),
        Ok(None) => (State::False, reason::IN_PROGRESS.to_owned(), "it is being made".to_owned()),
        Ok(Some(r)) if r.spec.state == Of::Active => {
            let text = "the replica was activated: it is a volume of its own and receives nothing";
            (State::False, reason::DIVERGENT.to_owned(), text.to_owned())
        }
        Ok(Some(r)) if wanted.volume_gone_at.is_some() || wanted.desired == Desired::Absent => {
            (State::False, reason::VOLUME_GONE.to_owned(), gone(wanted, r))
        }
        Ok(Some(r)) if address.is_none() => {
            let text = format!("node {} has not said lately where it takes points", r.spec.node);
            (State::False, reason::PROVIDER_MISSING.to_owned(), text)
        }
        Ok(Some(_)) => told(said),
    };
    ReplicaState {
        claim: wanted.claim.clone(),
        name: wanted.from.volume.clone(),
        site: wanted.from.site.clone(),
        node,
        address,
        ready: state.as_str().to_owned(),
        reason,
        message: message.chars().take(LONGEST).collect(),
    }
}

/// What to know of a replica whose volume is gone.
fn gone(wanted: &WantedReplica, there: &VolumeReplica) -> String {
    let from = &wanted.from.site;
    let Some(since) = wanted.volume_gone_at.as_ref().filter(|_| wanted.desired == Desired::Present) else {
        return format!("{} is not asked for any more: it goes", wanted.claim);
    };
    let newest = there.status.as_ref().and_then(|s| s.newest.as_ref());
    let point = newest
        .map_or_else(|| "no whole point".to_owned(), |p| format!("point {} of {}", p.sequence, p.begun_at.0));
    format!(
        "since {} {from} has no such volume; {point} is kept for 30 days: activate it if it is needed, delete it if not",
        since.0
    )
}

/// How the sending of a volume's points stands.
pub fn sent_state(
    site: &str,
    copy: &WantedCopy,
    how: Result<Option<&VolumeReplication>, &str>,
) -> ReplicaState {
    let (state, reason, message) = match how {
        Err(why) => (State::False, reason::REFERENCE.to_owned(), why.to_owned()),
        Ok(None) => (State::False, reason::IN_PROGRESS.to_owned(), "it is being made".to_owned()),
        Ok(Some(r)) => told(r.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default()),
    };
    ReplicaState {
        claim: copy.claim.clone(),
        name: copy.name.clone(),
        site: site.to_owned(),
        node: None,
        address: None,
        ready: state.as_str().to_owned(),
        reason,
        message: message.chars().take(LONGEST).collect(),
    }
}

/// What the object's node says. Words of what is well would only be written again and again.
fn told(said: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]) -> (State, String, String) {
    let Some(ready) = find(said, READY) else {
        let text = "its node has said nothing yet: see whether its controller runs";
        return (State::False, reason::IN_PROGRESS.to_owned(), text.to_owned());
    };
    let state = state_of(said, READY);
    let message = if state == State::True { String::new() } else { ready.message.clone() };
    (state, ready.reason.clone(), message)
}

#[cfg(test)]
mod tests;
