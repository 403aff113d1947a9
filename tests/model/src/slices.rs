//! The bounds of each search. Every slice is small in most things and large in a few, since all at once does not end.
//!
//! Where a slice has no node at the other site, I4 stands for I1: while somebody else holds, nothing comes out at the first.

use crate::steps::{
    HELD_AFTER_WAIT, HELD_AFTER_WORD, KEPT_STREAM, OPEN, OPEN_AFTER_ABORT, OPEN_AFTER_RESTORE,
    OPEN_AFTER_WAIT, OPEN_AFTER_WORD,
};
use crate::world::{Bounds, PLAIN, Times};

/// Bounds, and what has to be seen on the way, so that nothing holds for want of anything happening.
pub type Slice = (Bounds, &'static [&'static str]);

const BOTH: &[&str] = &[OPEN, OPEN_AFTER_WAIT, OPEN_AFTER_WORD, OPEN_AFTER_ABORT];
const FIRST: &[&str] = &[OPEN, HELD_AFTER_WAIT, HELD_AFTER_WORD, OPEN_AFTER_ABORT];
/// Times that are as short as they can be, where it is not times that matter.
const SHORT: &[Times] = &[Times { hold: 1, residual: 0 }];

/// Two nodes at the holding site, one at the other.
pub const NODES: Slice = (
    Bounds {
        name: "nodes",
        sites: &[0, 0, 1],
        slow_parts: &[false; 3],
        timings: SHORT,
        epochs: 2,
        aborts: false,
        ..PLAIN
    },
    &[OPEN, OPEN_AFTER_WAIT, OPEN_AFTER_WORD],
);

/// Two nodes at the holding site, all parts of one of them slow.
pub const PAIR: Slice = (
    Bounds { name: "pair", sites: &[0, 0], slow_parts: &[true, false], timings: SHORT, epochs: 2, ..PLAIN },
    &[OPEN, HELD_AFTER_WAIT, HELD_AFTER_WORD],
);

/// A node all of whose parts are slow, which restarts, is stopped, and gets answers late, twice and in any order.
pub const GATE: Slice = (
    Bounds {
        name: "gate",
        sites: &[0],
        slow_parts: &[true],
        slots: 2,
        duplicates: true,
        stops: true,
        restarts: 1,
        epochs: 2,
        ..PLAIN
    },
    &[OPEN, HELD_AFTER_WAIT, HELD_AFTER_WORD],
);

/// The same without restarts and stops, and with an abort.
pub const ABORT: Slice =
    (Bounds { name: "abort", sites: &[0], slow_parts: &[true], slots: 2, timings: SHORT, ..PLAIN }, FIRST);

/// Two leaders that are elected, deposed and die while their transactions travel.
pub const LEADERS: Slice = (
    Bounds {
        name: "leaders",
        sites: &[0],
        leaders: 2,
        terms: 2,
        travel: true,
        timings: SHORT,
        epochs: 3,
        ..PLAIN
    },
    FIRST,
);

/// Transactions of which nobody knows whether they were written, and elections of the same process.
pub const UNKNOWN: Slice =
    (Bounds { name: "unknown", sites: &[0], terms: 2, unknown: true, epochs: 4, ..PLAIN }, FIRST);

/// Clocks that are slow at nodes and fast at leaders.
pub const CLOCKS: Slice =
    (Bounds { name: "clocks", sites: &[0], epochs: 4, drift: 250, drifts: true, ..PLAIN }, FIRST);

/// A timing that changes while somebody holds.
pub const TIMING: Slice = (
    Bounds {
        name: "timing",
        sites: &[0],
        timings: &[Times { hold: 3, residual: 1 }, Times { hold: 1, residual: 1 }],
        retimed: 2,
        epochs: 4,
        ..PLAIN
    },
    FIRST,
);

/// A fair course of things opens the target, from every fencing.
pub const LIVELY: Slice = (Bounds { name: "lively", lively: true, ..PLAIN }, BOTH);

/// A store that is restored from an older snapshot, with a node at the first site.
pub const RESTORE: Slice = (
    Bounds {
        name: "restore",
        sites: &[0],
        slow_parts: &[false],
        restore: true,
        terms: 2,
        timings: SHORT,
        ..PLAIN
    },
    FIRST,
);

/// The same with a node at the other site, which may have held meanwhile.
pub const RESTORE_OTHER: Slice = (
    Bounds { name: "restore other", sites: &[1], restore: true, terms: 2, ..PLAIN },
    &[OPEN_AFTER_WAIT, OPEN_AFTER_RESTORE],
);

/// Larger bounds, for hours that nobody waits for.
pub const FULL: &[Slice] = &[
    (Bounds { name: "nodes, full", slow_parts: &[true, false, false], ..NODES.0 }, NODES.1),
    (Bounds { name: "gate, full", epochs: 3, ..GATE.0 }, FIRST),
    (Bounds { name: "leaders, full", terms: 3, epochs: 4, ..LEADERS.0 }, FIRST),
    (Bounds { name: "unknown, full", leaders: 2, terms: 3, ..UNKNOWN.0 }, FIRST),
    (Bounds { name: "clocks, full", sites: &[0, 1], epochs: 3, ..CLOCKS.0 }, BOTH),
    (
        Bounds { name: "restore, full", sites: &[0, 1], slow_parts: &[false; 2], epochs: 2, ..RESTORE.0 },
        &[OPEN, OPEN_AFTER_WAIT, OPEN_AFTER_WORD, OPEN_AFTER_RESTORE],
    ),
];

/// The same, and members of the old store go on answering. Nobody promises that the sites agree then: that old members are
/// stopped is what two people attest. That no node goes back is promised.
pub const FORGOTTEN: Slice = (
    Bounds {
        name: "forgotten",
        sites: &[0],
        slow_parts: &[true],
        timings: SHORT,
        restore: true,
        forgotten: true,
        terms: 2,
        restarts: 1,
        epochs: 2,
        ..PLAIN
    },
    &[OPEN],
);

/// Points that travel from the holder to the other site.
pub const STREAMS: Slice =
    (Bounds { name: "streams", sites: &[0], streams: true, ..PLAIN }, &[OPEN, KEPT_STREAM]);

/// Beats that say what runs.
pub const RUNNING: Slice = (
    Bounds {
        name: "running",
        sites: &[0, 0],
        slow_parts: &[false; 2],
        tells_running: true,
        epochs: 2,
        ..PLAIN
    },
    &[OPEN],
);
