//! What leaders do, and what the store makes of their transactions.

use yunting_authority::protocol::Rules;
use yunting_authority::protocol::leader::{
    self, Change, Known, Leader, Leadership, Outside, Proof, Site, Wait,
};
use yunting_authority::protocol::point::{self, Manifest, Stream};
use yunting_authority::protocol::record::{Acknowledged, Method, Record, Seat};
use yunting_authority::protocol::token::Revision;

use crate::codec::{self, GROUP, RUN};
use crate::node::bit;
use crate::world::{Bounds, Ended, Fence, NODES, Rec, Store, Tok, Txn, World};

/// What a leader may want to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Fence,
    Promote,
    Abort,
    /// After a restore: who is to hold.
    Choose(u8),
    /// Another of the bounds' timings.
    Time(u8),
}

fn process(leader: &crate::world::Leader) -> Leader {
    let wait = |(term, token, left): (u8, _, u8)| {
        let leadership = Leadership(Revision(term.into()));
        (GROUP, Wait { leadership, token: codec::token(token), ends: codec::ahead(left) })
    };
    Leader {
        leadership: leader.term.map(|term| Leadership(Revision(term.into()))),
        waits: leader.wait.map(wait).into_iter().collect(),
    }
}

fn keep(leader: &mut crate::world::Leader, process: &Leader) {
    let Leader { leadership, waits } = process;
    leader.term = leadership.map(|Leadership(term)| codec::revision(term));
    leader.wait = waits.get(&GROUP).map(|Wait { leadership, token, ends }| {
        (codec::revision(leadership.0), codec::tok(*token), codec::left(*ends))
    });
}

fn known(bounds: &Bounds, rec: &Rec, revision: u8) -> Known {
    Known { record: codec::record(bounds, rec), changed: Revision(revision.into()) }
}

/// What is known of the nodes of a site that held.
fn told(bounds: &Bounds, store: &Store) -> Site {
    let of = |bits: u8| {
        let nodes = (0..bounds.sites.len()).filter(|n| bits & (1 << n) != 0);
        nodes.filter(|n| Some(bounds.sites[*n]) == store.record.from).map(codec::node_name).collect()
    };
    let said = |(n, token): (usize, &Option<_>)| {
        let token = codec::token((*token)?);
        Some((codec::node_name(n), Acknowledged { token, method: Method::Gate, finals: [].into() }))
    };
    Site {
        beating: of(store.beats_then),
        running: of(store.running_then),
        acknowledged: store.acknowledged.iter().enumerate().filter_map(said).collect(),
    }
}

/// What a leader would write now, if it may.
pub fn plan<R: Rules>(bounds: &Bounds, world: &World, p: usize, op: Op) -> Option<(Rec, Ended)> {
    let store = &world.store;
    let record = codec::record(bounds, &store.record);
    let seat = |site: u8| Seat { site: codec::site(site), node: None };
    let unchanged = world.ended;
    let (next, ended): (Record, Ended) = match op {
        Op::Fence => {
            let to = seat(1 - store.record.holder?);
            (record.fenced::<R>(None, to, RUN).ok()?, Ended::Not)
        }
        Op::Promote => {
            let (leader, known) = (process(&world.leaders[p]), known(bounds, &store.record, store.revision));
            let site = told(bounds, store);
            let proof = leader.proof::<R>(codec::now(), GROUP, &known, &site, &Outside::default()).ok()?;
            let ended = if proof == Proof::Waited { Ended::Waited } else { Ended::Acknowledged };
            (leader::promote::<R>(&record, &proof, Manifest::default(), 0).ok()?, ended)
        }
        Op::Abort => (record.aborted().ok()?, Ended::Aborted),
        Op::Choose(site) => (record.retargeted(seat(site)).ok()?, Ended::Not),
        Op::Time(timing) => (record.timed::<R>(codec::timing(bounds, timing)), unchanged),
    };
    (next.token.epoch <= bounds.epochs.into()).then(|| (codec::rec(bounds, &next), ended))
}

/// What a leader's own transaction would be.
pub fn transaction(world: &World, p: usize, (next, ended): (Rec, Ended)) -> Option<Txn> {
    let term = world.leaders[p].term?;
    Some(Txn { term, follows: world.store.revision, next, ended, done: false })
}

/// The store compares, and writes or does not.
pub fn commit(bounds: &Bounds, world: &mut World, p: usize, txn: &Txn) -> bool {
    let follows = Revision(txn.follows.into());
    let change = Change { group: GROUP, follows, next: codec::record(bounds, &txn.next) };
    let leadership = Leadership(Revision(txn.term.into()));
    let store = &mut world.store;
    for asked in leader::transactions(leadership, &[change]) {
        let leads = world.key.is_some_and(|(_, term)| Leadership(Revision(term.into())) == asked.leader.1);
        let same = |(_, at): &(String, Revision)| *at == Revision(store.revision.into());
        if !leads || !asked.unchanged.iter().all(same) {
            return false;
        }
        for (_, next) in asked.writes {
            let next = codec::rec(bounds, &next);
            if next.fencing && next.token != store.record.token {
                (store.beats_then, store.running_then) = (store.beats, store.running);
            }
            store.record = next;
            store.revision += 1;
        }
    }
    if let Some(holder) = store.record.holder {
        world.held[usize::from(holder)] |= bit(store.record.token);
    }
    if world.key.is_none_or(|(leader, term)| (leader, term) != (u8::try_from(p).unwrap(), txn.term)) {
        world.broken = world.broken.or(Some("I11"));
    }
    world.ended = txn.ended;
    true
}

/// A leader hears what it wrote, or reads what stands.
pub fn saw<R: Rules>(bounds: &Bounds, world: &mut World, p: usize, rec: &Rec, found: bool) {
    let known = known(bounds, rec, world.store.revision);
    let mut process = process(&world.leaders[p]);
    process.saw::<R>(codec::now(), GROUP, &known, found);
    keep(&mut world.leaders[p], &process);
}

/// A process gets the leader's key; who had it does not hear of it.
pub fn elect(world: &mut World, p: usize) {
    world.terms += 1;
    world.key = Some((u8::try_from(p).unwrap(), world.terms));
    let mut process = process(&world.leaders[p]);
    process.elected(Leadership(Revision(world.terms.into())));
    keep(&mut world.leaders[p], &process);
}

/// A process hears that it leads no more.
pub fn deposed(world: &mut World, p: usize) {
    let mut process = process(&world.leaders[p]);
    process.deposed();
    keep(&mut world.leaders[p], &process);
}

/// The store is made anew from the snapshot. The leader's key and acknowledgements are not taken over.
pub fn restore<R: Rules>(bounds: &Bounds, world: &mut World, snapshot: &Rec) {
    world.old = Some(world.store);
    let record = codec::rec(bounds, &codec::record(bounds, snapshot).restored::<R>());
    world.store = Store {
        cluster: 2,
        generation: record.token.generation,
        revision: 0,
        record,
        beats: 0,
        running: 0,
        beats_then: 0,
        running_then: 0,
        acknowledged: [None; NODES],
    };
    world.key = None;
}

/// A stream of site 0: its token, and whether it is the final one of the run.
fn stream((token, last): (Tok, bool)) -> Stream {
    Stream { sender: codec::site(0), token: codec::token(token), final_of: last.then(|| RUN.to_owned()) }
}

/// Site 1 begins to take a point of site 0, which sends under what it knows.
pub fn begin(bounds: &Bounds, world: &World) -> Option<(Tok, bool)> {
    let group = world.nodes[0].group?;
    let sends = (group.token, group.fence == Some(Fence::Told));
    let record = codec::record(bounds, &world.store.record);
    point::begins(&record, &stream(sends)).ok().map(|()| sends)
}

/// It has arrived whole, and is kept or not.
pub fn finalise<R: Rules>(bounds: &Bounds, world: &mut World) {
    let Some(begun) = world.stream.take() else { return };
    let record = codec::record(bounds, &world.store.record);
    let kept = point::finalises::<R>(&record, &stream(begun)).is_ok();
    if kept && begun.0 < world.store.record.token {
        world.broken = world.broken.or(Some("I4, at the receiver"));
    }
}
