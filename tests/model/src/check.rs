//! What must hold in every state, what has to be seen in some, and the search.

use std::fmt::Write as _;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Property};
use yunting_authority::protocol::{Rules, Sound};

use crate::slices::Slice;
use crate::steps::{
    Authority, HELD_AFTER_WAIT, HELD_AFTER_WORD, KEPT_STREAM, OPEN, OPEN_AFTER_ABORT, OPEN_AFTER_RESTORE,
    OPEN_AFTER_WAIT, OPEN_AFTER_WORD, Step, first,
};
use crate::world::{Bounds, Ended, Node, World};

/// What is asked of a state.
type Asks<M> = fn(&M, &World) -> bool;

impl<R: Rules + 'static> Model for Authority<R> {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![first::<R>(&self.bounds)]
    }

    fn actions(&self, w: &World, steps: &mut Vec<Step>) {
        self.steps(w, steps);
    }

    fn next_state(&self, last: &World, step: Step) -> Option<World> {
        let mut next = *last;
        self.take(&mut next, step);
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always: [(&'static str, Asks<Self>); 9] = [
            ("I1", |m, w| m.bounds.forgotten || one_site(&m.bounds, w)),
            ("I2", |_, w| w.broken != Some("I2")),
            ("I3", |_, w| w.broken != Some("I3")),
            ("I4", |m, w| m.bounds.forgotten || only_the_holder(&m.bounds, w)),
            ("I4, at the receiver", |_, w| w.broken != Some("I4, at the receiver")),
            ("I5", |_, w| w.broken != Some("I5")),
            ("I10", |_, w| w.store.record.fencing == w.store.record.holder.is_none()),
            ("I11", |_, w| w.broken != Some("I11")),
            ("I12", |_, w| w.broken != Some("I12")),
        ];
        let sometimes: [(&'static str, Asks<Self>); 8] = [
            (OPEN, |m, w| open_at(&m.bounds, w, 0)),
            (HELD_AFTER_WAIT, |_, w| w.ended == Ended::Waited && w.store.record.holder == Some(1)),
            (HELD_AFTER_WORD, |_, w| w.ended == Ended::Acknowledged && w.store.record.holder == Some(1)),
            (OPEN_AFTER_WAIT, |m, w| w.ended == Ended::Waited && open_at(&m.bounds, w, 1)),
            (OPEN_AFTER_WORD, |m, w| w.ended == Ended::Acknowledged && open_at(&m.bounds, w, 1)),
            (OPEN_AFTER_ABORT, |m, w| w.ended == Ended::Aborted && open_at(&m.bounds, w, 0)),
            (OPEN_AFTER_RESTORE, |m, w| {
                w.old.is_some() && w.ended == Ended::Waited && open_at(&m.bounds, w, 1)
            }),
            (KEPT_STREAM, |m, w| m.bounds.streams && w.stream.is_some() && w.store.record.fencing),
        ];
        let mut all: Vec<_> = always.into_iter().map(|(name, holds)| Property::always(name, holds)).collect();
        if self.bounds.lively {
            all.push(Property::always("L1", |m: &Self, w: &World| m.opens_in_time(w)));
        }
        let reached = sometimes.into_iter().filter(|(name, _)| self.reaches.contains(name));
        all.extend(reached.map(|(name, holds)| Property::sometimes(name, holds)));
        all
    }
}

fn open_at(bounds: &Bounds, w: &World, site: u8) -> bool {
    bounds.sites.iter().zip(&w.nodes).any(|(at, node)| *at == site && node.gate > 0)
}

fn one_site(bounds: &Bounds, w: &World) -> bool {
    let live = |site: u8| bounds.sites.iter().zip(&w.nodes).any(|(at, node)| *at == site && node.live());
    !(live(0) && live(1))
}

/// While somebody holds, nobody else's writes come out: also where the holder has not opened yet.
fn only_the_holder(bounds: &Bounds, w: &World) -> bool {
    let other = |(at, node): (&u8, &Node)| Some(*at) != w.store.record.holder && node.live();
    w.store.record.fencing || !bounds.sites.iter().zip(&w.nodes).any(other)
}

/// Steps after which a search gives up, which is a failure: half of the states show little.
const MOST: usize = 9_000_000;
/// The same for [`holds_in_full`]: some 15 GB of states.
const MOST_IN_FULL: usize = 200_000_000;

/// What a search found.
#[derive(Debug)]
pub struct Found {
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    pub depth: usize,
    pub seconds: f64,
    /// The rule that is broken, and the steps to it.
    pub broken: Option<(&'static str, Vec<String>)>,
    /// What should have been seen and was not.
    pub unseen: Vec<&'static str>,
}

/// Visits every state, or stops at the first that breaks a rule, by a shortest way.
fn search<R: Rules + 'static>(bounds: Bounds, reaches: &'static [&'static str], most: usize) -> Found {
    let began = Instant::now();
    // One thread: the first way that is found is then a shortest one, and two searches share two cores better.
    let search = Authority::<R>::new(bounds, reaches).checker().threads(1);
    let search = search.finish_when(HasDiscoveries::AnyFailures);
    let search = search.target_state_count(most).spawn_bfs().join();
    let found = search.discoveries();
    let broken = found.iter().find(|(name, _)| !reaches.contains(name));
    Found {
        states: search.unique_state_count(),
        steps: search.state_count(),
        depth: search.max_depth(),
        seconds: began.elapsed().as_secs_f64(),
        broken: broken.map(|(name, path)| {
            (*name, path.clone().into_actions().iter().map(|step| format!("{step:?}")).collect())
        }),
        unseen: reaches.iter().copied().filter(|name| !found.contains_key(name)).collect(),
    }
}

/// The sound rules within bounds: every state, or the first bad one.
pub fn holds((bounds, reaches): Slice) -> Result<String, String> {
    all::<Sound>(bounds, reaches, MOST)
}

/// Other rules that are enough within these bounds.
pub fn holds_under<R: Rules + 'static>((bounds, reaches): Slice) -> Result<String, String> {
    all::<R>(bounds, reaches, MOST)
}

/// The same within larger bounds.
pub fn holds_in_full((bounds, reaches): Slice) -> Result<String, String> {
    all::<Sound>(bounds, reaches, MOST_IN_FULL)
}

fn all<R: Rules + 'static>(
    bounds: Bounds,
    reaches: &'static [&'static str],
    most: usize,
) -> Result<String, String> {
    let found = search::<R>(bounds, reaches, most);
    let Found { states, steps, depth, seconds, .. } = found;
    // A broken rule ends the search early, and is told as such.
    if steps >= most && found.broken.is_none() {
        return Err(format!(
            "{}: {states} states in {seconds:.1} s are not all: make its bounds smaller",
            bounds.name
        ));
    }
    let said = format!(
        "{}: all {states} states, {steps} steps between them, {depth} deep, {seconds:.1} s",
        bounds.name
    );
    match found.broken {
        Some((name, steps)) => Err(format!("{said}\n{}", told(name, &steps))),
        None if found.unseen.is_empty() => Ok(said),
        None => Err(format!("{said}; never seen: {:?}", found.unseen)),
    }
}

/// A broken rule within bounds: it has to break one of these properties.
pub fn caught<R: Rules + 'static>((bounds, _): Slice, by: &[&str]) -> Result<String, String> {
    let Found { states, seconds, broken, .. } = search::<R>(bounds, &[], MOST);
    let said = format!("{}: {states} states, {seconds:.1} s", bounds.name);
    match broken {
        Some((name, steps)) if by.contains(&name) => Ok(format!("{said}\n{}", told(name, &steps))),
        Some((name, steps)) => Err(format!("{said}; by {name}, not by {by:?}\n{}", told(name, &steps))),
        None => Err(format!("{said}: nothing is seen of it")),
    }
}

fn told(name: &str, steps: &[String]) -> String {
    let mut text = format!("{name} is broken after {} steps:", steps.len());
    for step in steps {
        let _ = write!(text, "\n   {step}");
    }
    text
}
