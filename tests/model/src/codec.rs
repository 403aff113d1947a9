//! From small numbers to the crate's types and back. Structures are taken apart without `..`, so that a new field has to say
//! here what the model makes of it.

use std::collections::{BTreeMap, BTreeSet};

use yunting_authority::protocol::holder::{
    self, Durable, Fence as HeldFence, Held, Holder, Kept, Order as GateOrder, Outstanding, Right,
};
use yunting_authority::protocol::record::{Phase, Record, Seat};
use yunting_authority::protocol::timing::{Millis, Timing};
use yunting_authority::protocol::token::{
    BootId, BootTime, ClusterId, Group as Uid, Node as NodeName, Nonce, Revision, Site, Token,
};

use crate::world::{Bounds, Disk, Fence, Group, Node, Order, Rec, Tok};

/// The one group.
pub const GROUP: Uid = Uid(1);
/// Now, by every clock, in ticks; a tick is a millisecond.
const NOW: u32 = 1_000;
/// The run of every fencing.
pub const RUN: &str = "run";

thread_local! {
    static SITES: [Site; 2] = ["a", "b"].map(|name| name.parse().unwrap());
    static NODES: [NodeName; 3] = ["n0", "n1", "n2"].map(|name| name.parse().unwrap());
}

pub fn site(site: u8) -> Site {
    SITES.with(|sites| sites[usize::from(site)].clone())
}

pub fn node_name(node: usize) -> NodeName {
    NODES.with(|nodes| nodes[node].clone())
}

fn number(name: &Site) -> u8 {
    u8::from(*name == site(1))
}

/// The present.
pub fn now() -> BootTime {
    BootTime(0) + Millis(NOW)
}

/// So many ticks from now.
pub fn ahead(ticks: u8) -> BootTime {
    now() + Millis(ticks.into())
}

/// Ticks from now; what has gone by is 0.
pub fn left(moment: BootTime) -> u8 {
    u8::try_from(moment.since(now()) / 1_000_000).unwrap()
}

pub fn token(tok: Tok) -> Token {
    Token { generation: tok.generation.into(), epoch: tok.epoch.into() }
}

pub fn tok(token: Token) -> Tok {
    Tok { generation: small(token.generation), epoch: small(token.epoch) }
}

fn small(number: u64) -> u8 {
    u8::try_from(number).unwrap()
}

/// A revision in small numbers.
pub fn revision(revision: Revision) -> u8 {
    u8::try_from(revision.0).unwrap()
}

/// One of the bounds' timings. Ticks are too few for what a real one is validated by.
pub fn timing(bounds: &Bounds, index: u8) -> Timing {
    let times = bounds.timings[usize::from(index)];
    let unused = Millis(1);
    Timing {
        renew: unused,
        hold: Millis(times.hold.into()),
        residual: Millis(times.residual.into()),
        drift: bounds.drift,
        margin: Millis(0),
        guard: Millis(0),
        election: unused,
        request: unused,
    }
}

pub fn record(bounds: &Bounds, rec: &Rec) -> Record {
    let seat = |s: Option<u8>| s.map(|s| Seat { site: site(s), node: None });
    Record {
        token: token(rec.token),
        holder: rec.holder.map(site),
        phase: if rec.fencing { Phase::Fencing } else { Phase::Active },
        from: seat(rec.from),
        to: seat(rec.to),
        run: rec.fencing.then(|| RUN.to_owned()),
        timing: timing(bounds, rec.timing),
        longest: Millis(rec.longest.into()),
        members: String::new(),
        replicas: BTreeSet::new(),
        volumes: BTreeMap::new(),
        moved: None,
    }
}

pub fn rec(bounds: &Bounds, record: &Record) -> Rec {
    let Record {
        token,
        holder,
        phase,
        from,
        to,
        run: _,
        timing,
        longest,
        members: _,
        replicas: _,
        volumes: _,
        moved: _,
    } = record;
    let seat = |s: &Option<Seat>| s.as_ref().map(|s| number(&s.site));
    let same = |t: &crate::world::Times| {
        u32::from(t.hold) == timing.hold.0 && u32::from(t.residual) == timing.residual.0
    };
    Rec {
        token: tok(*token),
        holder: holder.as_ref().map(number),
        fencing: *phase == Phase::Fencing,
        from: seat(from),
        to: seat(to),
        timing: bounds.timings.iter().position(same).map(|at| u8::try_from(at).unwrap()).unwrap(),
        longest: u8::try_from(longest.0).unwrap(),
    }
}

/// This boot is 2, the one before it 1; only whether they are the same is ever asked.
fn durable(disk: Disk) -> Durable {
    let kept = |(tok, until): (Tok, Option<u8>)| {
        (GROUP, Kept { token: token(tok), until: until.map(ahead), running: None })
    };
    Durable {
        cluster: ClusterId(disk.cluster.into()),
        generation: disk.generation.into(),
        revision: Revision(disk.revision.into()),
        boot: BootId(if disk.this_boot { 2 } else { 1 }),
        groups: disk.group.map(kept).into_iter().collect(),
    }
}

fn disk(durable: &Durable) -> Disk {
    let Durable { cluster, generation, revision: at, boot, groups } = durable;
    let kept = |Kept { token, until, running }: &Kept| {
        assert_eq!(*running, None, "pods are not in the model");
        (tok(*token), until.map(left).filter(|left| *left > 0))
    };
    Disk {
        cluster: small(cluster.0),
        generation: small(*generation),
        revision: revision(*at),
        this_boot: boot.0 == 2,
        group: groups.get(&GROUP).map(kept),
    }
}

/// A node's process as the crate has it.
pub fn holder(bounds: &Bounds, number: usize, node: &Node) -> Holder {
    let held = |group: Group| Held {
        token: token(group.token),
        right: group.right.map(|(left, at)| Right { until: ahead(left), revision: Revision(at.into()) }),
        order: group.order.map(order),
        open: group.open.map(ahead),
        fence: group.fence.map(|fence| match fence {
            Fence::Storing => HeldFence::Storing,
            Fence::Reading => HeldFence::Reading,
            Fence::Told => HeldFence::Told,
        }),
        running: None,
        stop: None,
    };
    Holder {
        site: site(bounds.sites[number]),
        boot: BootId(2),
        cluster: ClusterId(node.cluster.into()),
        generation: node.generation.into(),
        revision: Revision(node.revision.into()),
        disk: Some(durable(node.disk)),
        writing: node.writing.map(durable),
        outstanding: node
            .asked
            .map(|(nonce, age)| Outstanding { nonce: Nonce(nonce.into()), sent: now() - Millis(age.into()) }),
        groups: node.group.map(|group| (GROUP, held(group))).into_iter().collect(),
    }
}

pub fn order(order: Order) -> GateOrder {
    let until = ahead(order.until);
    GateOrder { token: token(order.token), until, computed: until - Millis(order.of.into()) }
}

/// Puts a process back into its node. What has ended is as if it had never been: nothing reads more of it than that.
pub fn keep(bounds: &Bounds, node: &mut Node, process: Holder) {
    let Holder {
        site: _,
        boot: _,
        cluster,
        generation,
        revision: at,
        disk: on_disk,
        writing,
        outstanding,
        groups,
    } = process;
    let ended = |moment: BootTime| Some(left(moment)).filter(|left| *left > 0);
    let group = |held: &Held| {
        let Held { token, right, order, open, fence, running, stop: _ } = *held;
        assert_eq!(running, None, "pods are not in the model");
        Group {
            token: tok(token),
            right: right.and_then(|right| Some((ended(right.until)?, revision(right.revision)))),
            order: order.map(|GateOrder { token, until, computed }| Order {
                token: tok(token),
                until: left(until),
                of: u8::try_from(until.since(computed) / 1_000_000).unwrap(),
            }),
            open: open.and_then(ended),
            fence: fence.map(|fence| match fence {
                HeldFence::Storing => Fence::Storing,
                HeldFence::Reading => Fence::Reading,
                HeldFence::Told => Fence::Told,
            }),
        }
    };
    node.cluster = small(cluster.0);
    node.generation = small(generation);
    node.revision = revision(at);
    node.disk = on_disk.as_ref().map(disk).unwrap();
    node.writing = writing.as_ref().map(disk);
    node.asked = outstanding.map(|Outstanding { nonce, sent }| {
        let age = u8::try_from(now().since(sent) / 1_000_000).unwrap();
        (u8::try_from(nonce.0).unwrap(), age.min(bounds.longest_hold()))
    });
    node.group = groups.get(&GROUP).map(group);
}

/// What a process finds when it starts.
pub fn found(node: &Node) -> Durable {
    durable(node.disk)
}

/// What an answer is as the crate has it.
pub fn answer(
    bounds: &Bounds,
    nonce: u8,
    (cluster, generation, at): (u8, u8, u8),
    record_: Option<&Rec>,
) -> holder::Answer {
    let view = |rec: &Rec| holder::View { group: GROUP, record: record(bounds, rec) };
    holder::Answer {
        nonce: Nonce(nonce.into()),
        cluster: ClusterId(cluster.into()),
        generation: generation.into(),
        revision: Revision(at.into()),
        groups: record_.map(view).into_iter().collect(),
    }
}
