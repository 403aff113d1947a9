//! Points of volumes: which may be promoted, and which stream a receiver takes. Ordered by token and sequence, never by time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::record::{Phase, Record};
use super::rules::Rules;
use super::token::{Node, Site, Token};

/// A point of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Point {
    /// Under which right it was made.
    pub token: Token,
    /// Its number among the volume's points.
    pub sequence: u64,
    /// Uuid of its snapshot.
    pub uuid: String,
}

impl Point {
    /// Its place among the points of a volume.
    pub const fn position(&self) -> (Token, u64) {
        (self.token, self.sequence)
    }
}

/// What is promoted: for each volume the node where it is opened, and the point that it begins with; none where it stays
/// as it is on its node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Manifest(pub BTreeMap<String, (Node, Option<Point>)>);

/// Why a manifest is not promoted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPromoted {
    /// It does not cover the group.
    #[error(
        "volume {0} has no point in the manifest: a group is promoted with all its volumes or not at all"
    )]
    Incomplete(String),
    /// It would lose what was finally written.
    #[error(
        "volume {volume} was finally at {last:?} and would begin with {offered:?}: wait until the final point has arrived, or abort"
    )]
    BehindFinal {
        /// Which.
        volume: String,
        /// Its last point where it was.
        last: Point,
        /// The one that is offered.
        offered: Option<Point>,
    },
}

/// Whether a manifest may be promoted: it has all volumes of the record, and none is behind the final point that the nodes
/// acknowledged, where they did.
pub fn promotable(
    record: &Record,
    manifest: &Manifest,
    finals: &BTreeMap<String, Point>,
) -> Result<(), NotPromoted> {
    if let Some(missing) = record.volumes.keys().find(|name| !manifest.0.contains_key(*name)) {
        return Err(NotPromoted::Incomplete(missing.clone()));
    }
    for (volume, last) in finals {
        let offered = manifest.0.get(volume).and_then(|(_, point)| point.clone());
        if offered.as_ref().is_none_or(|p| p.position() < last.position()) {
            return Err(NotPromoted::BehindFinal { volume: volume.clone(), last: last.clone(), offered });
        }
    }
    Ok(())
}

/// A stream of a volume's point to a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stream {
    /// Whose volume it is.
    pub sender: Site,
    /// Under which right it is sent: the sender's own, or of the fencing that it acknowledges.
    pub token: Token,
    /// The run for which it is the final one, where it is.
    pub final_of: Option<String>,
}

/// Why a stream is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Its right is over.
    #[error(
        "the stream is sent under token {offered}, and the group's is {now}: the sender must not write any more"
    )]
    OtherToken {
        /// Of the stream.
        offered: Token,
        /// Of the record.
        now: Token,
    },
    /// It is not the holder's.
    #[error("{0} does not hold the group: only the holder's points are taken")]
    NotHolder(Site),
    /// Only one stream may pass while nobody holds.
    #[error("the group is Fencing: only the final stream of {from:?} for run {run:?} is taken")]
    NotFinal {
        /// Whose.
        from: Option<Site>,
        /// Of which run.
        run: Option<String>,
    },
}

/// Whether a receiver takes a stream, by a record that was read linearizably at this moment.
pub(super) fn admits(record: &Record, stream: &Stream) -> Result<(), NotTaken> {
    if stream.token != record.token {
        return Err(NotTaken::OtherToken { offered: stream.token, now: record.token });
    }
    match record.phase {
        Phase::Active if record.holder.as_ref() == Some(&stream.sender) => Ok(()),
        Phase::Active => Err(NotTaken::NotHolder(stream.sender.clone())),
        Phase::Fencing => {
            let from = record.from.as_ref().map(|seat| seat.site.clone());
            let last = record.run.is_some() && stream.final_of == record.run;
            if last && from.as_ref() == Some(&stream.sender) {
                Ok(())
            } else {
                Err(NotTaken::NotFinal { from, run: record.run.clone() })
            }
        }
    }
}

/// Whether a receiver begins with a stream.
pub fn begins(record: &Record, stream: &Stream) -> Result<(), NotTaken> {
    admits(record, stream)
}

/// Whether it keeps what has arrived whole; the record is read again for it, after the last byte.
pub fn finalises<R: Rules>(record: &Record, stream: &Stream) -> Result<(), NotTaken> {
    R::finalises(record, stream)
}
