//! Every step that the world may take within its bounds.

use std::marker::PhantomData;

use yunting_authority::protocol::Rules;

use crate::codec;
use crate::hub::{self, Op};
use crate::node;
use crate::world::{
    Bounds, Disk, Ended, Fence, LEADERS, Leader, Message, NODES, Node, Rec, SLOTS, Store, Tok, World,
};

pub const OPEN: &str = "the first site is open";
pub const HELD_AFTER_WAIT: &str = "the other site holds after a wait";
pub const HELD_AFTER_WORD: &str = "the other site holds after acknowledgements";
pub const OPEN_AFTER_WAIT: &str = "the other site is open after a wait";
pub const OPEN_AFTER_WORD: &str = "the other site is open after acknowledgements";
pub const OPEN_AFTER_ABORT: &str = "the first site is open again after an abort";
pub const OPEN_AFTER_RESTORE: &str = "a site is open after a restore";
pub const KEPT_STREAM: &str = "a stream is on its way while nobody holds";

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Every clock goes on by one; that of a node may miss it, that of a leader may have two.
    Tick {
        slow: Option<usize>,
        fast: Option<usize>,
    },
    Renew {
        node: usize,
        slot: usize,
    },
    Serve {
        node: usize,
        slot: usize,
    },
    /// By a member of the store from before the restore.
    ServeForgotten {
        node: usize,
        slot: usize,
    },
    Deliver {
        node: usize,
        slot: usize,
    },
    /// The answer may come once more.
    DeliverTwice {
        node: usize,
        slot: usize,
    },
    Stored {
        node: usize,
    },
    GateWritten {
        node: usize,
    },
    GateRead {
        node: usize,
    },
    WordArrives {
        node: usize,
    },
    Stop {
        node: usize,
    },
    GoOn {
        node: usize,
    },
    RestartProcess {
        node: usize,
        written: bool,
    },
    RestartMachine {
        node: usize,
        written: bool,
    },
    Elect {
        leader: usize,
    },
    Deposed {
        leader: usize,
    },
    Crash {
        leader: usize,
    },
    /// Reads the record linearizably.
    Read {
        leader: usize,
    },
    /// Writes, and hears that it was written.
    Write {
        leader: usize,
        op: Op,
    },
    /// Writes, and never hears of it.
    WriteUnknown {
        leader: usize,
        op: Op,
    },
    Send {
        leader: usize,
        op: Op,
    },
    Commit {
        leader: usize,
    },
    Hear {
        leader: usize,
    },
    Snapshot,
    Restore,
    StreamBegins,
    StreamWhole,
}

/// The protocol under rules `R` within bounds.
pub struct Authority<R> {
    pub bounds: Bounds,
    pub reaches: &'static [&'static str],
    rules: PhantomData<fn() -> R>,
}

impl<R: Rules> Authority<R> {
    pub fn new(bounds: Bounds, reaches: &'static [&'static str]) -> Self {
        Self { bounds, reaches, rules: PhantomData }
    }

    fn node_steps(&self, w: &World, n: usize, steps: &mut Vec<Step>) {
        let (b, node) = (&self.bounds, &w.nodes[n]);
        for slot in 0..b.slots {
            match w.messages[n][slots(b, slot)] {
                Some(Message::Request { .. }) => {
                    steps.push(Step::Serve { node: n, slot: slots(b, slot) });
                    if b.forgotten && w.old.is_some() {
                        steps.push(Step::ServeForgotten { node: n, slot: slots(b, slot) });
                    }
                }
                Some(Message::Answer { .. }) if !node.stopped => {
                    steps.push(Step::Deliver { node: n, slot: slots(b, slot) });
                    if b.duplicates {
                        steps.push(Step::DeliverTwice { node: n, slot: slots(b, slot) });
                    }
                }
                _ => (),
            }
        }
        if node.word.is_some() {
            steps.push(Step::WordArrives { node: n });
        }
        if node.stopped {
            steps.push(Step::GoOn { node: n });
            return;
        }
        // Into a free slot, and else instead of any.
        let free = (0..b.slots).map(|s| slots(b, s)).find(|s| w.messages[n][*s].is_none());
        let into = free.map_or(0..b.slots, |s| (s - slots(b, 0))..(s - slots(b, 0) + 1));
        steps.extend(into.map(|slot| Step::Renew { node: n, slot: slots(b, slot) }));
        if b.slow_parts[n] {
            self.slow_steps(w, n, steps);
        } else if node.group.is_some_and(|g| g.fence == Some(Fence::Reading)) && node.residual == 0 {
            steps.push(Step::GateRead { node: n });
        }
    }

    fn slow_steps(&self, w: &World, n: usize, steps: &mut Vec<Step>) {
        let (b, node) = (&self.bounds, &w.nodes[n]);
        if node.writing.is_some() {
            steps.push(Step::Stored { node: n });
        }
        if node.group.is_some_and(|g| g.order.is_some()) {
            steps.push(Step::GateWritten { node: n });
        }
        if node.group.is_some_and(|g| g.fence == Some(Fence::Reading)) && node.residual == 0 {
            steps.push(Step::GateRead { node: n });
        }
        if b.stops {
            steps.push(Step::Stop { node: n });
        }
        if w.restarts < b.restarts {
            for written in [false, true].into_iter().filter(|w| !w || node.writing.is_some()) {
                steps.push(Step::RestartProcess { node: n, written });
                steps.push(Step::RestartMachine { node: n, written });
            }
        }
    }

    fn leader_steps(&self, w: &World, p: usize, steps: &mut Vec<Step>) {
        let (b, leader) = (&self.bounds, &w.leaders[p]);
        if w.terms < b.terms {
            steps.push(Step::Elect { leader: p });
        }
        if leader.txn.is_some_and(|txn| !txn.done) {
            steps.push(Step::Commit { leader: p });
        }
        if leader.term.is_none() {
            return;
        }
        if leader.txn.is_some_and(|txn| txn.done) {
            steps.push(Step::Hear { leader: p });
        }
        if b.terms > 1 {
            steps.push(Step::Crash { leader: p });
            if w.key.map(|(leader, _)| usize::from(leader)) != Some(p) {
                steps.push(Step::Deposed { leader: p });
            }
        }
        // Where it is known already nothing new is read, under whatever rules.
        let record = &w.store.record;
        let known = match leader.wait {
            Some((term, token, _)) => record.fencing && Some(term) == leader.term && token == record.token,
            None => !record.fencing,
        };
        if !known {
            steps.push(Step::Read { leader: p });
        }
        for op in self.ops(w) {
            if b.travel {
                steps.push(Step::Send { leader: p, op });
            } else {
                steps.push(Step::Write { leader: p, op });
                if b.unknown {
                    steps.push(Step::WriteUnknown { leader: p, op });
                }
            }
        }
    }

    fn ops(&self, w: &World) -> Vec<Op> {
        let (b, record) = (&self.bounds, &w.store.record);
        let mut ops = Vec::new();
        if record.fencing {
            if record.to.is_some() {
                ops.push(Op::Promote);
            } else {
                ops.extend([Op::Choose(0), Op::Choose(1)]);
            }
            if b.aborts {
                ops.push(Op::Abort);
            }
        } else {
            ops.push(Op::Fence);
        }
        if w.retimed < b.retimed {
            let others = (0..b.timings.len()).map(|at| u8::try_from(at).unwrap());
            ops.extend(others.filter(|at| *at != record.timing).map(Op::Time));
        }
        ops
    }

    fn ticks(&self, w: &World, steps: &mut Vec<Step>) {
        steps.push(Step::Tick { slow: None, fast: None });
        if !self.bounds.drifts {
            return;
        }
        let slow = |n: &usize| w.nodes[*n].slow == 0 && (w.nodes[*n].live() || w.nodes[*n].asked.is_some());
        let slow = std::iter::once(None).chain((0..self.bounds.sites.len()).filter(slow).map(Some));
        let fast = |p: &usize| w.leaders[*p].fast == 0 && w.leaders[*p].wait.is_some();
        for slow in slow {
            for fast in std::iter::once(None).chain((0..self.bounds.leaders).filter(fast).map(Some)) {
                if slow.is_some() || fast.is_some() {
                    steps.push(Step::Tick { slow, fast });
                }
            }
        }
    }

    fn tick(&self, w: &mut World, slow: Option<usize>, fast: Option<usize>) {
        let b = &self.bounds;
        for n in (0..b.sites.len()).filter(|n| Some(*n) != slow) {
            w.nodes[n].tick(b.timings[0].residual, b.longest_hold());
            node::passed::<R>(b, w, n);
        }
        // One of four ticks at most: the drift that the timing says.
        if let Some(n) = slow {
            w.nodes[n].slow = 3;
        }
        for p in 0..b.leaders {
            let leader = &mut w.leaders[p];
            let ticks = if fast == Some(p) { 2 } else { 1 };
            leader.fast = if fast == Some(p) { 3 } else { leader.fast.saturating_sub(1) };
            if let Some((_, _, left)) = &mut leader.wait {
                *left = left.saturating_sub(ticks);
            }
        }
    }

    fn write(&self, w: &mut World, p: usize, op: Op, heard: bool) {
        let planned = hub::plan::<R>(&self.bounds, w, p, op);
        let Some(txn) = planned.and_then(|planned| hub::transaction(w, p, planned)) else { return };
        if hub::commit(&self.bounds, w, p, &txn) {
            w.retimed += u8::from(matches!(op, Op::Time(_)));
            if heard {
                hub::saw::<R>(&self.bounds, w, p, &txn.next, false);
            }
        }
    }

    fn leader_step(&self, w: &mut World, step: Step) {
        let b = &self.bounds;
        match step {
            Step::Elect { leader } => hub::elect(w, leader),
            Step::Deposed { leader } => hub::deposed(w, leader),
            Step::Crash { leader } => {
                w.leaders[leader] = Leader { txn: w.leaders[leader].txn, ..Leader::default() };
            }
            Step::Read { leader } => {
                let record = w.store.record;
                hub::saw::<R>(b, w, leader, &record, true);
            }
            Step::Write { leader, op } => self.write(w, leader, op, true),
            Step::WriteUnknown { leader, op } => self.write(w, leader, op, false),
            Step::Send { leader, op } => {
                let planned = hub::plan::<R>(b, w, leader, op);
                if let Some(txn) = planned.and_then(|planned| hub::transaction(w, leader, planned)) {
                    w.leaders[leader].txn = Some(txn);
                }
            }
            Step::Commit { leader } => {
                let Some(txn) = w.leaders[leader].txn else { return };
                let done = hub::commit(b, w, leader, &txn);
                w.leaders[leader].txn = done.then_some(crate::world::Txn { done, ..txn });
            }
            Step::Hear { leader } => {
                let Some(txn) = w.leaders[leader].txn.take() else { return };
                if w.leaders[leader].term == Some(txn.term) {
                    hub::saw::<R>(b, w, leader, &txn.next, false);
                }
            }
            _ => (),
        }
    }

    fn node_step(&self, w: &mut World, step: Step) {
        let b = &self.bounds;
        match step {
            Step::Renew { node, slot } => node::renew::<R>(b, w, node, slot),
            Step::Serve { node, slot } => node::serve(b, w, node, slot, false),
            Step::ServeForgotten { node, slot } => node::serve(b, w, node, slot, true),
            Step::Deliver { node, slot } => node::deliver::<R>(b, w, node, slot, false),
            Step::DeliverTwice { node, slot } => node::deliver::<R>(b, w, node, slot, true),
            Step::Stored { node } => node::stored::<R>(b, w, node),
            Step::GateWritten { node } => {
                if let Some(order) = w.nodes[node].group.and_then(|group| group.order) {
                    node::gate_written::<R>(b, w, node, order);
                }
            }
            Step::GateRead { node } => node::gate_read::<R>(b, w, node),
            Step::WordArrives { node } => node::word_arrives(b, w, node),
            Step::Stop { node } => w.nodes[node].stopped = true,
            Step::GoOn { node } => {
                w.nodes[node].stopped = false;
                node::passed::<R>(b, w, node);
            }
            Step::RestartProcess { node, written } | Step::RestartMachine { node, written } => {
                w.restarts += 1;
                let machine = matches!(step, Step::RestartMachine { .. });
                node::restart::<R>(b, w, node, machine, written);
            }
            _ => (),
        }
    }

    /// What may happen now.
    pub fn steps(&self, w: &World, steps: &mut Vec<Step>) {
        self.ticks(w, steps);
        for n in 0..self.bounds.sites.len() {
            self.node_steps(w, n, steps);
        }
        for p in 0..self.bounds.leaders {
            self.leader_steps(w, p, steps);
        }
        if self.bounds.restore && w.old.is_none() {
            steps.push(if w.snapshot.is_none() { Step::Snapshot } else { Step::Restore });
        }
        if self.bounds.streams {
            steps.push(if w.stream.is_none() { Step::StreamBegins } else { Step::StreamWhole });
        }
    }

    /// It happens.
    pub fn take(&self, w: &mut World, step: Step) {
        match step {
            Step::Tick { slow, fast } => self.tick(w, slow, fast),
            Step::Snapshot => w.snapshot = Some(w.store.record),
            Step::Restore => {
                if let Some(snapshot) = w.snapshot.take() {
                    hub::restore::<R>(&self.bounds, w, &snapshot);
                }
            }
            Step::StreamBegins => w.stream = hub::begin(&self.bounds, w),
            Step::StreamWhole => hub::finalise::<R>(&self.bounds, w),
            _ => {
                self.node_step(w, step);
                self.leader_step(w, step);
            }
        }
    }

    /// L1: with a quorum, a leader that stays and the target up, the target is open after the wait. From a fencing with a
    /// target, the leader reads, time goes by, it promotes; then a node of the target renews.
    pub fn opens_in_time(&self, from: &World) -> bool {
        let Some((p, term)) = from.key else { return true };
        let (p, target) = (usize::from(p), from.store.record.to);
        let leads = from.leaders[p].term == Some(term);
        let Some(target) = target.filter(|_| from.store.record.fencing && leads) else { return true };
        let mut w = *from;
        self.take(&mut w, Step::Read { leader: p });
        for _ in 0..w.store.record.longest {
            self.tick(&mut w, None, None);
        }
        self.write(&mut w, p, Op::Promote, true);
        let n = self.bounds.sites.iter().position(|site| *site == target).unwrap();
        let slot = SLOTS - 1;
        w.nodes[n].stopped = false;
        w.messages[n] = [None; SLOTS];
        for step in
            [Step::Renew { node: n, slot }, Step::Serve { node: n, slot }, Step::Deliver { node: n, slot }]
        {
            self.take(&mut w, step);
        }
        for _ in 0..6 {
            for step in [Step::Stored { node: n }, Step::GateWritten { node: n }] {
                self.take(&mut w, step);
            }
        }
        w.store.record.holder == Some(target) && w.nodes[n].gate > 0
    }
}

/// Free slots come first when messages are sorted, so those in use are the last.
fn slots(bounds: &Bounds, slot: usize) -> usize {
    SLOTS - bounds.slots + slot
}

/// Site 0 holds, its nodes have not asked yet.
pub fn first<R: Rules>(bounds: &Bounds) -> World {
    let token = Tok { generation: 1, epoch: 1 };
    let wait = codec::timing(bounds, 0).wait::<R>().0;
    let record = Rec {
        token,
        holder: Some(0),
        fencing: false,
        from: None,
        to: None,
        timing: 0,
        longest: u8::try_from(wait).unwrap(),
    };
    let disk = Disk { cluster: 0, generation: 0, revision: 0, this_boot: true, group: None };
    let node = Node {
        gate: 0,
        residual: 0,
        slow: 0,
        stopped: false,
        disk,
        writing: None,
        cluster: 0,
        generation: 0,
        revision: 0,
        asked: None,
        group: None,
        word: None,
        acted: Tok::default(),
        heard: false,
    };
    let store = Store {
        cluster: 1,
        generation: 1,
        revision: 1,
        record,
        beats: 0,
        running: 0,
        beats_then: 0,
        running_then: 0,
        acknowledged: [None; NODES],
    };
    World {
        store,
        snapshot: None,
        old: None,
        nodes: [node; NODES],
        messages: [[None; SLOTS]; NODES],
        leaders: [Leader::default(); LEADERS],
        key: None,
        terms: 0,
        restarts: 0,
        retimed: 0,
        stream: None,
        ended: Ended::Not,
        held: [node::bit(token), 0],
        broken: None,
    }
}
