//! The rules that safety rests on, one function each. The protocol asks them wherever it decides; [`Sound`] is all that the
//! product has. The model checker gives others, one broken rule at a time, and wants each to be caught (adr 0017).
//!
//! Must never: be implemented by anything but [`Sound`] outside the model's crate; a test of the tree looks for it.

use std::collections::BTreeSet;

use super::holder::{Lower, Mark, Order};
use super::leader::{Leadership, Wait};
use super::point::{self, NotTaken, Stream};
use super::record::{self, Record};
use super::timing::{self, Millis, Timing};
use super::token::{BootId, BootTime, Node, Token};

/// What an implementation may decide; every default is the sound rule.
pub trait Rules {
    /// How long a leader waits for rights under this timing, by its own clock.
    fn wait(timing: &Timing) -> Millis {
        timing::wait(timing)
    }

    /// When a right ends, by the node's clock: counted from when the request was sent, so that no delay of the answer
    /// lengthens it.
    fn right_ends(sent: BootTime, received: BootTime, hold: Millis) -> BootTime {
        let _ = received;
        sent + hold
    }

    /// What the kernel is told when an order is carried out, which may be long after it was computed: the moment itself,
    /// and nothing where that has gone by. `BootTime(u64::MAX)` would be a gate that never closes by itself.
    fn gate_until(order: Order, carried_out: BootTime) -> Option<BootTime> {
        (order.until > carried_out).then_some(order.until)
    }

    /// Whether a right that was stored in one boot is one in another: a clock that began anew says nothing of it.
    fn survives(stored_in: BootId, now_in: BootId) -> bool {
        stored_in == now_in
    }

    /// What was seen stands against what is offered: no other cluster without a higher generation, no lower revision, no
    /// lower token.
    fn high_water(seen: &Mark, offered: &Mark) -> Result<(), Lower> {
        seen.admits(offered)
    }

    /// What a failover writes first: a fencing, in which nobody holds.
    fn takes_away(fencing: Record) -> Record {
        fencing
    }

    /// How long this fencing has to be waited for.
    fn fencing_wait(record: &Record) -> Millis {
        record.longest.max(Self::wait(&record.timing))
    }

    /// The longest wait to remember when the timing changes while somebody holds.
    fn longest(record: &Record, next: &Timing) -> Millis {
        record.longest.max(Self::wait(&record.timing)).max(Self::wait(next))
    }

    /// When a wait is over that a leader begins now, also where it found the fencing made by another.
    fn wait_ends(now: BootTime, found: bool, wait: Millis) -> BootTime {
        let _ = found;
        now + wait
    }

    /// Whether a wait that a process remembers is this leadership's own, for this fencing.
    fn still_counts(wait: &Wait, leadership: Leadership, token: Token) -> bool {
        wait.leadership == leadership && wait.token == token
    }

    /// Which nodes of a site have to acknowledge, of those that have a beat and those whose beat says that they run the group:
    /// a beat says what was when it was sent, and a right may have come with its answer.
    fn must_acknowledge<'a>(beating: &'a BTreeSet<Node>, running: &'a BTreeSet<Node>) -> &'a BTreeSet<Node> {
        let _ = running;
        beating
    }

    /// The record after a restore: a generation of its own, and nobody holds.
    fn restored(old: &Record) -> Record {
        record::restored(old)
    }

    /// What a receiver asks of the record when a stream is whole: the same as when it began.
    fn finalises(record: &Record, stream: &Stream) -> Result<(), NotTaken> {
        point::admits(record, stream)
    }
}

/// The product's rules: the defaults, all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Sound;

impl Rules for Sound {}
