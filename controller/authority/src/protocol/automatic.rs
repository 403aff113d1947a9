//! Whether a group is moved without a person: everything has to speak for it, and what does not is named.
//!
//! Must never: take what is not known for a yes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::timing::Millis;
use super::token::{Group, Node, Site};

/// A test with packets is good for so long, in seconds.
const TESTED: u64 = 24 * 3600;
/// One move of a group in so long, in seconds.
const BETWEEN: u64 = 600;

/// What the group asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// A person moves it; it stays open when the authority is away.
    Manual,
    /// As `Auto`, but what would be done is only written down.
    ObserveOnly,
    /// The leader moves it.
    Auto,
}

impl Mode {
    /// Whether rights of the group end by time: where nobody moves it by itself, an authority that is away closes nothing.
    pub const fn gated_by_time(self, run_in_progress: bool) -> bool {
        matches!(self, Self::Auto) || run_in_progress
    }
}

/// What a node of the holding site says in its beat of gate and members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// Its gate is armed.
    pub armed: bool,
    /// The group's members as it enforces them; none where it runs none of them.
    pub members: Option<String>,
    /// Age of its last test with packets in seconds.
    pub tested_ago: u64,
    /// It was passed on the kernel and ruleset that the node has now.
    pub tested_as_is: bool,
    /// It may be paused by a hypervisor, and nothing outside fences it.
    pub pausable: bool,
}

/// The last sign of a silent holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LastSign {
    /// A renewal like any other.
    Renewal,
    /// A TLS error: its certificate is the trouble, not the site.
    Tls,
    /// Its clock did not agree.
    Clock,
}

/// What the target has; what nobody knows is `false`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // a list of independent facts
pub struct Target {
    /// Room for the group in its reserve.
    pub room: bool,
    /// Keys of all volumes.
    pub keys: bool,
    /// Images of all members.
    pub images: bool,
    /// Its own nodes beat.
    pub beats: bool,
}

/// What is known of a group when it is asked whether it is to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What the group asks for.
    pub mode: Mode,
    /// Hash of its members.
    pub members: String,
    /// The nodes of the holding site.
    pub nodes: BTreeMap<Node, NodeState>,
    /// A part of it writes past the network: shared storage without a storage fence.
    pub unfenced_storage: bool,
    /// It writes outside its VDC, and that is not declared idempotent.
    pub external_writer: bool,
    /// How far the target's replica is behind; none where nobody knows.
    pub lag: Option<Millis>,
    /// How far it may be.
    pub max_lag: Millis,
    /// The target.
    pub target: Target,
    /// For how long no node that runs it beats; none where nobody knows.
    pub silence: Option<Millis>,
    /// T_detect.
    pub detect: Millis,
    /// Another site has probed the holder and found nobody.
    pub probe_agrees: bool,
    /// The holder's last sign.
    pub last_sign: LastSign,
}

/// What speaks against it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A person moves it.
    #[error("the group's mode is {0:?}")]
    Mode(Mode),
    /// Nothing is known of the holder's nodes.
    #[error("no node of the holding site has said how its gate stands")]
    NoNodes,
    /// A gate that may not close.
    #[error("the gate of node {0} is not armed")]
    GateNotArmed(Node),
    /// Nobody knows whether it closes.
    #[error(
        "the gate of node {0} has not passed its test with packets within 24 h on the kernel and ruleset that it has"
    )]
    NotTested(Node),
    /// It holds others than it should.
    #[error("node {0} enforces other members than the group has")]
    OtherMembers(Node),
    /// It could wake up with an open gate.
    #[error("VMPausePossible: node {0} may be paused by its hypervisor, and nothing outside fences it")]
    VmPausePossible(Node),
    /// The gate does not stop it.
    #[error("a member writes to shared storage past the gate; a storage fence is needed")]
    UnfencedStorage,
    /// Its work may be done twice.
    #[error("a member writes outside its VDC and is not declared idempotent")]
    ExternalWriter,
    /// Too much would be lost.
    #[error("the replica is {lag:?} behind, and {limit:?} are allowed")]
    Lag {
        /// None where nobody knows.
        lag: Option<Millis>,
        /// As the group says.
        limit: Millis,
    },
    /// There is something it could not start with.
    #[error("the target lacks {0}")]
    Target(&'static str),
    /// It is heard, or was until lately.
    #[error("the holder is silent for {silence:?}, and {needed:?} are needed")]
    NotSilent {
        /// None where nobody knows.
        silence: Option<Millis>,
        /// T_detect.
        needed: Millis,
    },
    /// It may be us who are cut off.
    #[error("no other site agrees that the holder is away")]
    NoProbe,
    /// It may live, and only not be believed.
    #[error("the holder's last sign was an error of {0:?}: it may live; mend that, or let a person decide")]
    LastSign(LastSign),
    /// A storm.
    #[error("{0}")]
    Storm(Storm),
}

/// Why the storm guard holds a group back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Storm {
    /// It is more likely that we are cut off than that they are all gone.
    #[error("{silent} of {sites} sites look dead: nothing moves by itself until a person has looked")]
    Frozen {
        /// Sites without a beat.
        silent: usize,
        /// All sites.
        sites: usize,
    },
    /// Enough has happened for one day.
    #[error(
        "{0} sites were left within the time of the budget, and that is all: a person decides about the next"
    )]
    Budget(usize),
    /// It moved a moment ago.
    #[error("the group moved {0} s ago, and 600 s have to lie between")]
    Moved(u64),
}

/// What the storm guard counts, from the store: it is compared again in the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// All sites.
    pub sites: BTreeSet<Site>,
    /// Those without a beat.
    pub silent: BTreeSet<Site>,
    /// Those that groups left by themselves within the time of the budget: the causes.
    pub causes: BTreeSet<Site>,
    /// Most causes within that time.
    pub budget: usize,
    /// When each group last moved, in seconds since 1970.
    pub moved: BTreeMap<Group, u64>,
}

impl Guard {
    /// Whether a group may leave a site now.
    pub fn allows(&self, group: Group, from: &Site, now: u64) -> Result<(), Storm> {
        if self.silent.len() * 2 > self.sites.len() {
            return Err(Storm::Frozen { silent: self.silent.len(), sites: self.sites.len() });
        }
        // Groups of a site that is counted already cost nothing: the cause is the site.
        if !self.causes.contains(from) && self.causes.len() >= self.budget {
            return Err(Storm::Budget(self.causes.len()));
        }
        match self.moved.get(&group).map(|at| now.saturating_sub(*at)) {
            Some(ago) if ago < BETWEEN => Err(Storm::Moved(ago)),
            _ => Ok(()),
        }
    }
}

/// What is missing for a group to be `armed`: that it would be moved if its holder died now.
pub fn armed(known: &Known) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if known.mode == Mode::Manual {
        reasons.push(Reason::Mode(known.mode));
    }
    if known.nodes.is_empty() {
        reasons.push(Reason::NoNodes);
    }
    for (name, node) in &known.nodes {
        reasons.extend(of_node(name, node, &known.members));
    }
    let lags = known.lag.is_none_or(|lag| lag > known.max_lag);
    let lacks = |has: bool, what| (!has).then_some(Reason::Target(what));
    reasons.extend(known.unfenced_storage.then_some(Reason::UnfencedStorage));
    reasons.extend(known.external_writer.then_some(Reason::ExternalWriter));
    reasons.extend(lags.then_some(Reason::Lag { lag: known.lag, limit: known.max_lag }));
    let target = known.target;
    let needed =
        [(target.room, "room"), (target.keys, "keys"), (target.images, "images"), (target.beats, "beats")];
    reasons.extend(needed.into_iter().filter_map(|(has, what)| lacks(has, what)));
    reasons
}

fn of_node(name: &Node, node: &NodeState, members: &str) -> Vec<Reason> {
    let other = node.members.as_ref().is_some_and(|enforced| enforced != members);
    let tested = node.tested_ago <= TESTED && node.tested_as_is;
    let against = [
        (!node.armed, Reason::GateNotArmed(name.clone())),
        (!tested, Reason::NotTested(name.clone())),
        (other, Reason::OtherMembers(name.clone())),
        (node.pausable, Reason::VmPausePossible(name.clone())),
    ];
    against.into_iter().filter(|(bad, _)| *bad).map(|(_, reason)| reason).collect()
}

/// Whether a group is moved now: go, or everything that speaks against it. With `ObserveOnly` a go is written down only.
pub fn decide(known: &Known, guard: &Guard, group: Group, from: &Site, now: u64) -> Result<(), Vec<Reason>> {
    let mut reasons = armed(known);
    if known.silence.is_none_or(|silence| silence < known.detect) {
        reasons.push(Reason::NotSilent { silence: known.silence, needed: known.detect });
    }
    if !known.probe_agrees {
        reasons.push(Reason::NoProbe);
    }
    if known.last_sign != LastSign::Renewal {
        reasons.push(Reason::LastSign(known.last_sign));
    }
    reasons.extend(guard.allows(group, from, now).err().map(Reason::Storm));
    if reasons.is_empty() { Ok(()) } else { Err(reasons) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: Group = Group(1);

    fn site(name: &str) -> Site {
        name.parse().unwrap()
    }

    fn node() -> NodeState {
        NodeState {
            armed: true,
            members: Some("h".to_owned()),
            tested_ago: 60,
            tested_as_is: true,
            pausable: false,
        }
    }

    fn known() -> Known {
        Known {
            mode: Mode::Auto,
            members: "h".to_owned(),
            nodes: BTreeMap::from([("n0".parse().unwrap(), node())]),
            unfenced_storage: false,
            external_writer: false,
            lag: Some(Millis(900)),
            max_lag: Millis(30_000),
            target: Target { room: true, keys: true, images: true, beats: true },
            silence: Some(Millis(4_000)),
            detect: Millis(4_000),
            probe_agrees: true,
            last_sign: LastSign::Renewal,
        }
    }

    fn guard() -> Guard {
        Guard {
            sites: ["a", "b", "c"].map(site).into(),
            silent: [site("a")].into(),
            causes: BTreeSet::new(),
            budget: 1,
            moved: BTreeMap::new(),
        }
    }

    fn reasons(known: &Known) -> Vec<String> {
        let decided = decide(known, &guard(), GROUP, &site("a"), 1_000_000);
        decided.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_has_to_speak_for_it() {
        assert_eq!(reasons(&known()), [""; 0]);
        let of = |node: NodeState| BTreeMap::from([("n0".parse().unwrap(), node)]);
        let cases: [(&str, Known); 15] = [
            ("mode is Manual", Known { mode: Mode::Manual, ..known() }),
            ("no node", Known { nodes: BTreeMap::new(), ..known() }),
            ("not armed", Known { nodes: of(NodeState { armed: false, ..node() }), ..known() }),
            ("not passed", Known { nodes: of(NodeState { tested_ago: 86_401, ..node() }), ..known() }),
            ("not passed", Known { nodes: of(NodeState { tested_as_is: false, ..node() }), ..known() }),
            (
                "other members",
                Known { nodes: of(NodeState { members: Some("x".into()), ..node() }), ..known() },
            ),
            ("VMPausePossible", Known { nodes: of(NodeState { pausable: true, ..node() }), ..known() }),
            ("shared storage", Known { unfenced_storage: true, ..known() }),
            ("idempotent", Known { external_writer: true, ..known() }),
            ("behind", Known { lag: None, ..known() }),
            ("behind", Known { lag: Some(Millis(30_001)), ..known() }),
            ("keys", Known { target: Target { keys: false, ..known().target }, ..known() }),
            ("silent", Known { silence: None, ..known() }),
            ("no other site", Known { probe_agrees: false, ..known() }),
            ("last sign", Known { last_sign: LastSign::Tls, ..known() }),
        ];
        for (part, known) in cases {
            let said = reasons(&known);
            assert!(matches!(&said[..], [one] if one.contains(part)), "{part}: {said:?}");
        }
    }

    #[test]
    fn nothing_known_is_all_reasons() {
        let nothing = Known {
            nodes: BTreeMap::new(),
            lag: None,
            target: Target::default(),
            silence: None,
            probe_agrees: false,
            ..known()
        };
        assert_eq!(reasons(&nothing).len(), 8);
        assert_eq!(reasons(&Known { mode: Mode::ObserveOnly, ..known() }), [""; 0], "the same code observes");
    }

    #[test]
    fn a_storm_is_held_back_by_its_causes() {
        let allows = |guard: &Guard, from: &str| guard.allows(GROUP, &site(from), 1_000);
        assert_eq!(allows(&guard(), "a"), Ok(()));
        let spent = Guard { causes: [site("a")].into(), ..guard() };
        assert_eq!(allows(&spent, "a"), Ok(()), "two hundred groups of one site are one cause");
        assert_eq!(allows(&spent, "b"), Err(Storm::Budget(1)));
        let two = Guard { silent: [site("a"), site("b")].into(), ..guard() };
        assert_eq!(allows(&two, "a"), Err(Storm::Frozen { silent: 2, sites: 3 }));
        let moved = |at| Guard { moved: [(GROUP, at)].into(), ..guard() };
        assert_eq!(allows(&moved(401), "a"), Err(Storm::Moved(599)));
        assert_eq!(allows(&moved(400), "a"), Ok(()));
        assert_eq!(
            allows(&moved(2_000), "a"),
            Err(Storm::Moved(0)),
            "a clock that jumped back moves nothing"
        );
    }

    #[test]
    fn only_groups_that_move_by_themselves_are_closed_with_the_authority() {
        assert!(Mode::Auto.gated_by_time(false));
        assert!(!Mode::Manual.gated_by_time(false) && !Mode::ObserveOnly.gated_by_time(false));
        assert!(Mode::Manual.gated_by_time(true));
    }
}
