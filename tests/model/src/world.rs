//! A state of the world in small numbers, and the bounds within which it moves. Times are ticks from now, so that two states
//! that differ only in when they are look the same.

/// Most nodes.
pub const NODES: usize = 3;
/// Processes that may lead.
pub const LEADERS: usize = 2;
/// Requests or answers of one node that may be on their way at once.
pub const SLOTS: usize = 2;
/// Of a gate that does not close by itself.
pub const NEVER: u8 = u8::MAX;

/// Generation and epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tok {
    pub generation: u8,
    pub epoch: u8,
}

/// A group's record. Sites are 0, which holds at first, and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rec {
    pub token: Tok,
    pub holder: Option<u8>,
    pub fencing: bool,
    pub from: Option<u8>,
    pub to: Option<u8>,
    /// Which of the bounds' timings.
    pub timing: u8,
    pub longest: u8,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    pub cluster: u8,
    pub generation: u8,
    /// Counts changes of the record only: coarser than etcd's, so that more answers are believed than it would be.
    pub revision: u8,
    pub record: Rec,
    /// Nodes with a beat, and those whose beat said that they run the group.
    pub beats: u8,
    pub running: u8,
    /// The same at the revision of the fencing.
    pub beats_then: u8,
    pub running_then: u8,
    pub acknowledged: [Option<Tok>; NODES],
}

/// What a node keeps on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Disk {
    pub cluster: u8,
    pub generation: u8,
    pub revision: u8,
    /// It was written in this boot.
    pub this_boot: bool,
    pub group: Option<(Tok, Option<u8>)>,
}

/// What a node knows of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    pub token: Tok,
    /// Ticks left, revision.
    pub right: Option<(u8, u8)>,
    pub order: Option<Order>,
    pub open: Option<u8>,
    pub fence: Option<Fence>,
}

/// What the gate is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    pub token: Tok,
    /// Ticks left now.
    pub until: u8,
    /// Ticks that were left when it was computed.
    pub of: u8,
}

/// How far a node is with letting go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fence {
    Storing,
    Reading,
    Told,
}

/// A node: kernel, disk, process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// Ticks until the kernel closes the gate; 0 is closed.
    pub gate: u8,
    /// Ticks for which writes may still come out after it closed.
    pub residual: u8,
    /// Ticks until its clock may miss one again.
    pub slow: u8,
    /// The process does not run, and goes on later.
    pub stopped: bool,
    pub disk: Disk,
    pub writing: Option<Disk>,
    pub cluster: u8,
    pub generation: u8,
    pub revision: u8,
    /// Nonce and age of the request that is on its way.
    pub asked: Option<(u8, u8)>,
    pub group: Option<Group>,
    /// An acknowledgement on its way.
    pub word: Option<Tok>,
    /// The highest token by which it acted, over all restarts.
    pub acted: Tok,
    /// An answer was believed since the last boot.
    pub heard: bool,
}

/// A request, or its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    Request { nonce: u8, running: bool },
    Answer { nonce: u8, cluster: u8, generation: u8, revision: u8, record: Option<Rec> },
}

/// A transaction on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Txn {
    pub term: u8,
    pub follows: u8,
    pub next: Rec,
    pub ended: Ended,
    /// It was written, and the leader has not heard of it.
    pub done: bool,
}

/// A process that may lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Leader {
    pub term: Option<u8>,
    /// Term, token and ticks left.
    pub wait: Option<(u8, Tok, u8)>,
    pub txn: Option<Txn>,
    /// Ticks until its clock may have one too many again.
    pub fast: u8,
}

/// How the last fencing ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ended {
    #[default]
    Not,
    Waited,
    Acknowledged,
    Aborted,
}

/// The whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub store: Store,
    /// What a snapshot was taken of, and what stood before a restore.
    pub snapshot: Option<Rec>,
    pub old: Option<Store>,
    pub nodes: [Node; NODES],
    pub messages: [[Option<Message>; SLOTS]; NODES],
    pub leaders: [Leader; LEADERS],
    /// Who holds the leader's key, in which term.
    pub key: Option<(u8, u8)>,
    /// Terms, restarts and changes of timing that were had.
    pub terms: u8,
    pub restarts: u8,
    pub retimed: u8,
    /// Token of a stream that has begun to arrive at site 1, and whether it is a final one.
    pub stream: Option<(Tok, bool)>,
    pub ended: Ended,
    /// Tokens that each site ever held, as bits.
    pub held: [u16; 2],
    /// The first rule that was seen broken in a step.
    pub broken: Option<&'static str>,
}

/// D and F in ticks.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub hold: u8,
    pub residual: u8,
}

/// What may happen, and how often.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)] // a list of independent switches of the environment
pub struct Bounds {
    pub name: &'static str,
    /// Site of each node.
    pub sites: &'static [u8],
    /// Of each node: its disk, gate and acknowledgements take their time.
    pub slow_parts: &'static [bool],
    pub timings: &'static [Times],
    /// Thousandths.
    pub drift: u32,
    /// Clocks drift by it; otherwise they run true.
    pub drifts: bool,
    pub epochs: u8,
    pub slots: usize,
    pub duplicates: bool,
    /// A process may be stopped and go on.
    pub stops: bool,
    /// Restarts of processes and machines of site 0, together.
    pub restarts: u8,
    pub leaders: usize,
    pub terms: u8,
    /// Transactions travel; otherwise they are written at once.
    pub travel: bool,
    /// A transaction may be written without its leader hearing of it.
    pub unknown: bool,
    pub aborts: bool,
    pub retimed: u8,
    pub restore: bool,
    /// After a restore members of the old store go on answering.
    pub forgotten: bool,
    /// Points of site 0 go to site 1.
    pub streams: bool,
    /// From every fencing a fair course of things has to open the target.
    pub lively: bool,
    /// Beats say what runs.
    pub tells_running: bool,
}

/// Two sites with a node each, everything at once, nothing goes wrong but delays: what every slice begins with.
pub const PLAIN: Bounds = Bounds {
    name: "plain",
    sites: &[0, 1],
    slow_parts: &[false, false],
    timings: &[Times { hold: 2, residual: 1 }],
    drift: 0,
    drifts: false,
    epochs: 3,
    slots: 1,
    duplicates: false,
    stops: false,
    restarts: 0,
    leaders: 1,
    terms: 1,
    travel: false,
    unknown: false,
    aborts: true,
    retimed: 0,
    restore: false,
    forgotten: false,
    streams: false,
    lively: false,
    tells_running: false,
};

impl Bounds {
    /// Of the slice.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Longest right of any timing.
    pub fn longest_hold(&self) -> u8 {
        self.timings.iter().map(|t| t.hold).max().unwrap_or_default()
    }
}

impl Node {
    /// Writes of it may come out.
    pub fn live(&self) -> bool {
        self.gate > 0 || self.residual > 0
    }

    /// Closes the gate; what was let through goes on for the residual time.
    pub fn close(&mut self, residual: u8) {
        if self.gate > 0 {
            (self.gate, self.residual) = (0, residual);
        }
    }

    /// One tick of its clock.
    pub fn tick(&mut self, residual: u8, longest: u8) {
        match self.gate {
            0 => self.residual = self.residual.saturating_sub(1),
            NEVER => (),
            1 => self.close(residual),
            _ => self.gate -= 1,
        }
        let less = |left: &mut u8| *left = left.saturating_sub(1);
        if let Some((_, age)) = &mut self.asked {
            *age = (*age + 1).min(longest);
        }
        if let Some(group) = &mut self.group {
            group.right = group.right.map(|(left, at)| (left - 1, at)).filter(|(left, _)| *left > 0);
            group.order.iter_mut().for_each(|order| less(&mut order.until));
            group.open.iter_mut().for_each(less);
        }
        for disk in [Some(&mut self.disk), self.writing.as_mut()].into_iter().flatten() {
            if let Some((_, until)) = &mut disk.group {
                *until = until.map(|left| left - 1).filter(|left| *left > 0);
            }
        }
        less(&mut self.slow);
    }
}
