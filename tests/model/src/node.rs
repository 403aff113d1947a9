//! What nodes do, and what their kernels, disks and messages do to them. Decisions are the crate's; here is only the world
//! that carries them out, or does not.

use std::collections::VecDeque;

use yunting_authority::protocol::Rules;
use yunting_authority::protocol::endpoint::{self, Committed, Identity};
use yunting_authority::protocol::holder::{Command, Holder};
use yunting_authority::protocol::record::{Acknowledged, Method, Record};
use yunting_authority::protocol::token::{BootId, BootTime, ClusterId, Nonce, Revision};

use crate::codec::{self, GROUP};
use crate::world::{Bounds, Fence, Message, NEVER, Order, Store, Tok, World};

/// Bit of a token in [`World::held`].
pub fn bit(token: Tok) -> u16 {
    1 << ((token.generation - 1) * 8 + token.epoch)
}

fn identity(bounds: &Bounds, n: usize) -> Identity {
    Identity { site: codec::site(bounds.sites[n]), node: codec::node_name(n) }
}

/// Lets a process take a step and carries out what it says, as far as that is done at once.
fn step<R: Rules>(
    bounds: &Bounds,
    world: &mut World,
    n: usize,
    step: impl FnOnce(&mut Holder) -> Vec<Command>,
) {
    let mut process = codec::holder(bounds, n, &world.nodes[n]);
    let commands = step(&mut process);
    carry_out::<R>(bounds, world, n, process, commands);
}

fn carry_out<R: Rules>(
    bounds: &Bounds,
    world: &mut World,
    n: usize,
    mut process: Holder,
    commands: Vec<Command>,
) {
    let slow = bounds.slow_parts[n];
    let now = codec::now();
    let mut queue = VecDeque::from(commands);
    while let Some(command) = queue.pop_front() {
        match command {
            Command::Store(_) if !slow => queue.extend(process.stored(now)),
            Command::Open(group, order) if !slow => {
                let token = codec::tok(order.token);
                write_gate(bounds, world, n, token, order.kernel::<R>(now));
                queue.extend(process.carried_out(now, group));
            }
            Command::Close(_) | Command::CloseAll => world.nodes[n].close(bounds.timings[0].residual),
            Command::ReadBack(group, token) if !slow && world.nodes[n].residual == 0 => {
                queue.extend(process.read_back(group, token, world.nodes[n].gate == 0));
            }
            Command::Acknowledge(_, token) => {
                let token = codec::tok(token);
                acts(world, n, token);
                world.nodes[n].word = Some(token);
            }
            // What takes its time is in the process's own state: the disk, the gate and the reading of it. Pods are not in
            // the model, and who refuses does nothing else.
            Command::Store(_)
            | Command::Open(..)
            | Command::ReadBack(..)
            | Command::Stop(_)
            | Command::Renew(_)
            | Command::Refused(_) => (),
        }
    }
    codec::keep(bounds, &mut world.nodes[n], process);
    if !slow {
        word_arrives(bounds, world, n);
    }
}

fn acts(world: &mut World, n: usize, token: Tok) {
    let acted = &mut world.nodes[n].acted;
    if token < *acted {
        world.broken = world.broken.or(Some("I2"));
    }
    *acted = token.max(*acted);
}

fn write_gate(bounds: &Bounds, world: &mut World, n: usize, token: Tok, until: Option<BootTime>) {
    let Some(until) = until else { return };
    acts(world, n, token);
    let site = usize::from(bounds.sites[n]);
    let node = &mut world.nodes[n];
    node.gate = if until == BootTime(u64::MAX) { NEVER } else { codec::left(until) };
    node.residual = 0;
    let broken = match (node.heard, world.held[site] & bit(token) != 0) {
        (false, _) => Some("I5"),
        (true, false) => Some("I3"),
        (true, true) => None,
    };
    world.broken = world.broken.or(broken);
}

/// Sends a renewal into a slot; what was in it is lost.
pub fn renew<R: Rules>(bounds: &Bounds, world: &mut World, n: usize, slot: usize) {
    let used = |m: &Message, nonce: u8| match m {
        Message::Request { nonce: other, .. } | Message::Answer { nonce: other, .. } => *other == nonce,
    };
    world.messages[n][slot] = None;
    let free = |nonce: &u8| !world.messages[n].iter().flatten().any(|m| used(m, *nonce));
    let nonce = (0..=2).find(free).unwrap();
    let group = world.nodes[n].group;
    let running = bounds.tells_running && group.is_some_and(|g| g.right.is_some());
    step::<R>(bounds, world, n, |process| process.renew(codec::now(), Nonce(nonce.into())));
    world.messages[n][slot] = Some(Message::Request { nonce, running });
    world.messages[n].sort_unstable();
}

/// An endpoint runs the transaction of a request against a store, and keeps its answer to be sent.
pub fn serve(bounds: &Bounds, world: &mut World, n: usize, slot: usize, forgotten: bool) {
    let Some(Message::Request { nonce, running }) = world.messages[n][slot] else { return };
    let store = if forgotten { world.old.as_mut().unwrap() } else { &mut world.store };
    let who = 1 << n;
    store.beats |= who;
    store.running = if running { store.running | who } else { store.running & !who };
    let Store { cluster, generation, revision, record, .. } = *store;
    // Every site learns of it: who is not told cannot err.
    let told = Record { replicas: [codec::site(bounds.sites[n])].into(), ..codec::record(bounds, &record) };
    let committed = Committed {
        cluster: ClusterId(cluster.into()),
        generation: generation.into(),
        revision: Revision(revision.into()),
        records: vec![(GROUP, told)],
    };
    let answer = endpoint::answer(&identity(bounds, n), Nonce(nonce.into()), committed);
    let grants =
        |view: &yunting_authority::protocol::holder::View| view.record.grants(&codec::site(bounds.sites[n]));
    let again = world.old.is_some_and(|old| record.token <= old.record.token) && !forgotten;
    if again && answer.groups.iter().any(grants) {
        world.broken = world.broken.or(Some("I12"));
    }
    let record = answer.groups.first().map(|view| codec::rec(bounds, &view.record));
    world.messages[n][slot] = Some(Message::Answer { nonce, cluster, generation, revision, record });
    world.messages[n].sort_unstable();
}

/// An answer reaches its node; it may come again.
pub fn deliver<R: Rules>(bounds: &Bounds, world: &mut World, n: usize, slot: usize, again: bool) {
    let Some(Message::Answer { nonce, cluster, generation, revision, record }) = world.messages[n][slot]
    else {
        return;
    };
    if !again {
        world.messages[n][slot] = None;
        world.messages[n].sort_unstable();
    }
    let answer = codec::answer(bounds, nonce, (cluster, generation, revision), record.as_ref());
    let believed = world.nodes[n].asked.is_some_and(|(asked, _)| asked == nonce);
    world.nodes[n].heard |= believed;
    step::<R>(bounds, world, n, |process| process.answered::<R>(codec::now(), &answer));
}

/// The disk confirms.
pub fn stored<R: Rules>(bounds: &Bounds, world: &mut World, n: usize) {
    step::<R>(bounds, world, n, |process| process.stored(codec::now()));
}

/// The executor gets to what it was told of the gate, however long ago.
pub fn gate_written<R: Rules>(bounds: &Bounds, world: &mut World, n: usize, order: Order) {
    write_gate(bounds, world, n, order.token, codec::order(order).kernel::<R>(codec::now()));
    step::<R>(bounds, world, n, |process| process.carried_out(codec::now(), GROUP));
}

/// The gate is read back, when nothing is in a queue any more.
pub fn gate_read<R: Rules>(bounds: &Bounds, world: &mut World, n: usize) {
    let node = world.nodes[n];
    let Some(group) = node.group.filter(|group| group.fence == Some(Fence::Reading)) else { return };
    let closed = node.gate == 0;
    step::<R>(bounds, world, n, |process| process.read_back(GROUP, codec::token(group.token), closed));
}

/// An acknowledgement reaches the store, which takes it only for the fencing that stands.
pub fn word_arrives(bounds: &Bounds, world: &mut World, n: usize) {
    let Some(token) = world.nodes[n].word.take() else { return };
    let said = Acknowledged { token: codec::token(token), method: Method::Gate, finals: [].into() };
    let record = codec::record(bounds, &world.store.record);
    let changed = Revision(world.store.revision.into());
    if endpoint::acknowledgement(&identity(bounds, n), GROUP, (&record, changed), &said).is_ok() {
        world.store.acknowledged[n] = Some(token);
    }
}

/// The clock went on: a process that runs closes what has ended.
pub fn passed<R: Rules>(bounds: &Bounds, world: &mut World, n: usize) {
    let node = &world.nodes[n];
    if !node.stopped && node.group.is_some_and(|group| group.open == Some(0)) {
        step::<R>(bounds, world, n, |process| process.passed(codec::now()));
    }
}

/// The process dies and starts, or the whole machine does. A write that was not confirmed may be on the disk.
pub fn restart<R: Rules>(bounds: &Bounds, world: &mut World, n: usize, machine: bool, written: bool) {
    let node = &mut world.nodes[n];
    node.disk = node.writing.take().filter(|_| written).unwrap_or(node.disk);
    node.stopped = false;
    if machine {
        (node.gate, node.residual, node.heard, node.slow) = (0, 0, false, 0);
        node.disk.this_boot = false;
        // The clock begins anew, so that what was an end seems far away.
        if let Some((_, Some(left))) = &mut node.disk.group {
            *left = bounds.longest_hold();
        }
    }
    let site = codec::site(bounds.sites[n]);
    let (process, commands) = Holder::start::<R>(site, BootId(2), Some(codec::found(node)), codec::now());
    carry_out::<R>(bounds, world, n, process, commands);
}
