//! The protocol with one rule broken. Each has to be caught, or its rule is not worth having.

use std::collections::BTreeSet;
use yunting_authority::protocol::Rules;
use yunting_authority::protocol::Sound;
use yunting_authority::protocol::holder::{Lower, Mark, Order};
use yunting_authority::protocol::leader::{Leadership, Wait};
use yunting_authority::protocol::point::{NotTaken, Stream};
use yunting_authority::protocol::record::{Phase, Record};
use yunting_authority::protocol::timing::{Millis, Timing};
use yunting_authority::protocol::token::{BootId, BootTime, Node, Token};

/// W is one tick short.
pub struct WaitTooShort;

impl Rules for WaitTooShort {
    fn wait(timing: &Timing) -> Millis {
        Millis(Sound::wait(timing).0 - 1)
    }
}

/// A right is counted from when its answer came.
pub struct CountedFromAnswer;

impl Rules for CountedFromAnswer {
    fn right_ends(_: BootTime, received: BootTime, hold: Millis) -> BootTime {
        received + hold
    }
}

/// What was stored of a right is a right after a restart, too.
pub struct SurvivesRestart;

impl Rules for SurvivesRestart {
    fn survives(_: BootId, _: BootId) -> bool {
        true
    }
}

/// A new leader takes a fencing that it finds for one that was waited for.
pub struct NewLeaderWaitsNot;

impl Rules for NewLeaderWaitsNot {
    fn wait_ends(now: BootTime, found: bool, wait: Millis) -> BootTime {
        if found { now } else { now + wait }
    }
}

/// The target holds at once.
pub struct GrantWithoutRevoke;

impl Rules for GrantWithoutRevoke {
    fn takes_away(fencing: Record) -> Record {
        let holder = fencing.to.as_ref().map(|seat| seat.site.clone());
        Record { holder, phase: Phase::Active, from: None, to: None, run: None, ..fencing }
    }
}

/// The kernel is told no end: the process closes when it gets to it.
pub struct ProcessIsTheSwitch;

impl Rules for ProcessIsTheSwitch {
    fn gate_until(order: Order, carried_out: BootTime) -> Option<BootTime> {
        (order.until > carried_out).then_some(BootTime(u64::MAX))
    }
}

/// A restored store goes on as the snapshot was.
pub struct RestoredAsItWas;

impl Rules for RestoredAsItWas {
    fn restored(old: &Record) -> Record {
        old.clone()
    }
}

/// What was seen is not held against what is offered.
pub struct NoHighWater;

impl Rules for NoHighWater {
    fn high_water(_: &Mark, _: &Mark) -> Result<(), Lower> {
        Ok(())
    }
}

/// The kernel is told what was left when the order was computed, from when it is carried out.
pub struct PauseBeforeApplying;

impl Rules for PauseBeforeApplying {
    fn gate_until(order: Order, carried_out: BootTime) -> Option<BootTime> {
        Some(BootTime(carried_out.0.saturating_add(order.until.since(order.computed))))
    }
}

/// Only nodes whose beat said that they run the group have to acknowledge.
pub struct HeldNodesAcknowledge;

impl Rules for HeldNodesAcknowledge {
    fn must_acknowledge<'a>(_: &'a BTreeSet<Node>, running: &'a BTreeSet<Node>) -> &'a BTreeSet<Node> {
        running
    }
}

/// A fencing is waited for as the timing says that stands now.
pub struct ShortenedAndForgotten;

impl Rules for ShortenedAndForgotten {
    fn fencing_wait(record: &Record) -> Millis {
        Self::wait(&record.timing)
    }
}

/// What is left when an order is carried out is told as a timeout, of which zero is none.
pub struct ZeroIsForever;

impl Rules for ZeroIsForever {
    fn gate_until(order: Order, carried_out: BootTime) -> Option<BootTime> {
        Some(if order.until > carried_out { order.until } else { BootTime(u64::MAX) })
    }
}

/// A receiver asks only when a stream begins.
pub struct CheckedAtStartOnly;

impl Rules for CheckedAtStartOnly {
    fn finalises(_: &Record, _: &Stream) -> Result<(), NotTaken> {
        Ok(())
    }
}

/// What a process waited in an earlier leadership counts in the next.
pub struct WaitKept;

impl Rules for WaitKept {
    fn still_counts(wait: &Wait, leadership: Leadership, token: Token) -> bool {
        wait.leadership != leadership || wait.token == token
    }
}

/// No mutant but a lesser rule that is seen to be enough: the token alone tells waits apart.
pub struct WaitOfTheToken;

impl Rules for WaitOfTheToken {
    fn still_counts(wait: &Wait, _: Leadership, token: Token) -> bool {
        wait.token == token
    }
}
