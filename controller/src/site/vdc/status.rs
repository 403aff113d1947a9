//! What is said of a VDC at this site. Nothing is `True` that was not seen.

use std::fmt::Write as _;

use yunting_crds::common::Quota;
use yunting_crds::conditions::{
    FROZEN, GONE, NETWORK_ISOLATED, QUOTA_ENFORCED, READY, State, Statement, TRANSPORT_ENCRYPTED,
    VOLUMES_ENCRYPTED, conditions, reason, say,
};
use yunting_crds::deletion_certificate::KeysEnd;
use yunting_crds::site::NetworkKind;
use yunting_crds::vdc::{KeyProvider, LifecycleState, Transport};
use yunting_crds::vdc_slice::SliceNamespaceStatus;
use yunting_crds::{HallSliceSpec, VdcSliceStatus};
use yunting_plan::quota::shrink::{self, Hard};
use yunting_plan::vdc::admission::{Admission, Decision, QuotaSeen, quota_seen};
use yunting_plan::vdc::encryption::Encryption;
use yunting_plan::vdc::isolation::Isolation;
use yunting_plan::vdc::storage::Encrypts;
use yunting_plan::vdc::transport::Crossing;
use yunting_plan::vdc::{Invalid, ValidVdcSlice, quota};
use yunting_plan::volume_key::missing;

use super::apply::Done;
use super::observe::Seen;
use super::teardown::Left;
use super::{Error, limits};
use crate::error::chain;
use crate::site::ensure;
use crate::site::outbox::Status;
use crate::site::world::World;

/// Says how it stands.
pub(super) fn status(
    world: &World,
    seen: &Seen,
    valid: &Result<ValidVdcSlice, Invalid>,
    done: &Result<Done, Error>,
) {
    let (statements, namespaces) = match valid {
        Err(invalid) => {
            // What is enforced goes on being enforced: the hub counts on what is said of it here.
            let stands = world.outbox.namespaces(world, &seen.name);
            (vec![say(READY, State::False, reason::INVALID, invalid.to_string())], stands)
        }
        Ok(slice) => {
            let namespaces = shown(world, slice, done);
            let statements = vec![
                ready(slice, &namespaces, done),
                frozen(world, slice, done),
                enforced(&namespaces, done),
                isolated(world, slice),
                volumes(world, slice),
                transport(world, slice),
            ];
            (statements, namespaces.into_iter().map(|n| n.status).collect())
        }
    };
    put(world, seen, &statements, namespaces, None);
}

/// Says how its removal stands.
pub(super) fn gone(world: &World, seen: &Seen, result: &Result<Left, Error>) {
    let statements = match result {
        Ok(Left::Nothing(_)) => vec![
            say(GONE, State::True, reason::AS_ASKED, "nothing of the VDC is left at this site"),
            say(READY, State::False, reason::DELETING, "gone from this site"),
        ],
        Ok(left) => vec![
            say(GONE, State::False, reason::DELETING, left.text()),
            say(READY, State::False, reason::DELETING, left.text()),
        ],
        Err(error) => vec![
            say(GONE, State::False, reason::APPLY_FAILED, chain(error)),
            say(READY, State::False, reason::APPLY_FAILED, chain(error)),
        ],
    };
    let keys = match result {
        Ok(Left::Nothing(keys)) => Some(keys.as_ref().clone()),
        _ => None,
    };
    put(world, seen, &statements, Vec::new(), keys);
}

fn put(
    world: &World,
    seen: &Seen,
    statements: &[Statement],
    namespaces: Vec<SliceNamespaceStatus>,
    keys: Option<KeysEnd>,
) {
    let before = world.outbox.before(world, &seen.name);
    let generation = Some(seen.generation());
    let status = VdcSliceStatus {
        observed_generation: generation,
        conditions: conditions(&before, statements, generation, &world.context.now()),
        namespaces,
        keys,
    };
    world.outbox.put(world, &seen.name, Status::Vdc(Box::new(status)));
}

/// What can be seen of a namespace.
struct Shown {
    status: SliceNamespaceStatus,
    quota: QuotaSeen,
    lowering: Option<String>,
    over: Option<String>,
}

/// Every namespace, those that are kept though no longer asked for too: their limits still count.
fn shown(world: &World, slice: &ValidVdcSlice, done: &Result<Done, Error>) -> Vec<Shown> {
    let asked = slice.namespaces.iter().map(|n| {
        let target = quota::target(slice, n);
        Shown::of(world, n.name.as_str(), &n.at_site, Some(&target))
    });
    let kept = done.iter().flat_map(|d| &d.left_over).map(|at_site| {
        let name = at_site.strip_prefix(&format!("{}-", slice.owner.vdc)).unwrap_or(at_site);
        let name = name.rsplit_once('-').map_or(name, |(name, _)| name);
        Shown::of(world, name, at_site, None)
    });
    asked.chain(kept).take(NAMESPACES).collect()
}

/// Most namespaces in a status; the field's bound.
const NAMESPACES: usize = 8;

impl Shown {
    fn of(world: &World, name: &str, at_site: &str, target: Option<&Hard>) -> Self {
        let key = quota::key(at_site);
        // The watch's own word: what was written and has not come back says nothing of what is enforced.
        let seen = world.children.get(&key).map(|c| c.value());
        let used = seen.as_ref().map(quota::used).unwrap_or_default();
        let hard = quota::amounts(&limits::at_most(world, at_site, target));
        let over = used.first_above(&hard).map(|e| {
            format!("{name}: {} {} used, {} allowed", e.kind, e.kind.print(e.asked), e.kind.print(e.limit))
        });
        let current = world.memory.value(&world.children, &key);
        Self {
            quota: quota_seen(current.as_deref()),
            lowering: current.and_then(|v| world.lowering.why(at_site, &shrink::Shown::read(&v))),
            over,
            status: SliceNamespaceStatus {
                name: name.to_owned(),
                namespace: at_site.to_owned(),
                admission: ensure::admission(world, at_site).as_str().to_owned(),
                hard: Quota::from_amounts(&hard),
                used: Quota::from_amounts(&used),
            },
        }
    }
}

/// True only when nothing can come into any namespace any more and nothing has that was on its way.
fn frozen(world: &World, slice: &ValidVdcSlice, done: &Result<Done, Error>) -> Statement {
    if slice.state == LifecycleState::Active {
        return say(FROZEN, State::False, reason::LIFECYCLE, "");
    }
    let not = |text: String| say(FROZEN, State::False, reason::IN_PROGRESS, text);
    let done = match done {
        Ok(done) => done,
        Err(error) => return not(chain(error)),
    };
    let closing = done.closing.iter().map(|(name, why)| format!("namespace {name} is being closed: {why}"));
    let open = slice.namespaces.iter().map(|n| &n.at_site).filter(|name| {
        !done.closing.contains_key(*name) && ensure::admission(world, name) != Admission::Closed
    });
    let all: Vec<String> =
        closing.chain(open.map(|name| format!("namespace {name} is being closed"))).collect();
    if all.is_empty() {
        return say(FROZEN, State::True, reason::LIFECYCLE, "every API server refuses what is new");
    }
    not(all.join("; "))
}

fn ready(slice: &ValidVdcSlice, namespaces: &[Shown], done: &Result<Done, Error>) -> Statement {
    let not = |reason, message: String| say(READY, State::False, reason, message);
    let done = match done {
        Ok(done) => done,
        Err(Error::Ensure(crate::site::ensure::Error::Scope(refused))) => {
            return not(reason::NAME_COLLISION, refused.to_string());
        }
        Err(error) => return not(reason::APPLY_FAILED, chain(error)),
    };
    if slice.state != LifecycleState::Active {
        return not(
            reason::LIFECYCLE,
            "the VDC is frozen or released: what runs goes on, nothing new is admitted".to_owned(),
        );
    }
    if let Some(stopped) = &done.stopped {
        return not(reason::APPLY_FAILED, stopped.to_string());
    }
    let closed: Vec<String> = done.decisions.iter().filter_map(|(name, d)| why_closed(name, d)).collect();
    if !closed.is_empty() {
        return not(reason::IN_PROGRESS, closed.join("; "));
    }
    let mut text = format!("{} namespaces are open", namespaces.len());
    if !done.left_over.is_empty() {
        let names: Vec<&str> = done.left_over.iter().map(String::as_str).collect();
        // Writing to a String cannot fail.
        let _ = write!(text, "; no longer asked for, closed and kept: {}", names.join(", "));
    }
    say(READY, State::True, reason::AS_ASKED, text)
}

fn why_closed(name: &str, decision: &Decision) -> Option<String> {
    match decision {
        Decision::Open => None,
        Decision::Closed(reasons) => Some(format!("namespace {name} is closed: {}", reasons.join(", "))),
    }
}

fn enforced(namespaces: &[Shown], done: &Result<Done, Error>) -> Statement {
    let over: Vec<&str> = namespaces.iter().filter_map(|n| n.over.as_deref()).collect();
    if !over.is_empty() {
        let text = format!("{}; nothing is stopped, nothing grows", over.join("; "));
        return say(QUOTA_ENFORCED, State::False, reason::OVER_LIMIT, text);
    }
    let lowering: Vec<&str> = namespaces.iter().filter_map(|n| n.lowering.as_deref()).collect();
    if !lowering.is_empty() {
        return say(QUOTA_ENFORCED, State::False, reason::IN_PROGRESS, lowering.join("; "));
    }
    let holding = done.as_ref().map(|d| d.holding.join(", ")).unwrap_or_default();
    if !holding.is_empty() {
        let text = format!(
            "limits do not grow yet: {holding}, no longer asked for, still hold their room; remove what is in them"
        );
        return say(QUOTA_ENFORCED, State::False, reason::IN_PROGRESS, text);
    }
    let missing: Vec<&str> = namespaces
        .iter()
        .filter(|n| n.quota != QuotaSeen::Confirmed)
        .map(|n| n.status.name.as_str())
        .collect();
    if missing.is_empty() {
        return say(QUOTA_ENFORCED, State::True, reason::AS_ASKED, "the API server enforces every limit");
    }
    say(
        QUOTA_ENFORCED,
        State::False,
        reason::IN_PROGRESS,
        format!("the API server does not enforce the limits of {} yet", missing.join(", ")),
    )
}

fn isolated(world: &World, slice: &ValidVdcSlice) -> Statement {
    match slice.network {
        NetworkKind::None => say(
            NETWORK_ISOLATED,
            State::False,
            reason::PROVIDER_MISSING,
            "nothing at the site enforces network policies; they stand as objects only",
        ),
        NetworkKind::NetworkPolicy => say(
            NETWORK_ISOLATED,
            State::Unknown,
            reason::CONFIGURED,
            "policies stand; no probe has shown their effect",
        ),
        NetworkKind::Node => match world.words.judge(world, slice.owner.uid.as_str()) {
            Isolation::Verified(nodes) => {
                let nodes = nodes.into_iter().collect::<Vec<_>>().join(", ");
                let text = format!("within the last minute probes on {nodes} reached only what was declared");
                say(NETWORK_ISOLATED, State::True, reason::VERIFIED, text)
            }
            Isolation::Broken(who) => say(NETWORK_ISOLATED, State::False, reason::BROKEN, who),
            Isolation::Unproved(why) => say(
                NETWORK_ISOLATED,
                State::Unknown,
                reason::CONFIGURED,
                format!("the nodes' controllers are to enforce it, and no probe shows it: {why}"),
            ),
        },
    }
}

fn volumes(world: &World, slice: &ValidVdcSlice) -> Statement {
    let class = slice.storage_class.as_deref().unwrap_or("none");
    let unknown = |reason, why: &str| {
        say(
            VOLUMES_ENCRYPTED,
            State::Unknown,
            reason,
            format!("StorageClass {class} encrypts each volume; {why}"),
        )
    };
    if slice.encrypts == Encrypts::Not {
        let text = format!("StorageClass {class} does not encrypt");
        return say(VOLUMES_ENCRYPTED, State::False, reason::PROVIDER_MISSING, text);
    }
    let keys = match slice.keys {
        KeyProvider::Embedded => "with keys of this site",
        KeyProvider::Vault => "with keys in Vault",
    };
    // What is in the clear is told, whatever class the VDC has by now.
    match world.words.judge_volumes(world, slice.owner.uid.as_str()) {
        Encryption::Plain(text) => say(VOLUMES_ENCRYPTED, State::False, reason::BROKEN, text),
        _ if slice.encrypts == Encrypts::Unseen => {
            let why = format!("its driver is not Yunting's, and no probe shows it: {}", slice.encrypts_how);
            unknown(reason::CONFIGURED, &why)
        }
        // Whoever has no key opens nothing: what is open was opened before.
        _ if world.ends.keys.of(slice.keys).is_none() => {
            say(VOLUMES_ENCRYPTED, State::False, reason::PROVIDER_MISSING, missing(slice.keys))
        }
        Encryption::Verified(open, nodes) => {
            let nodes = nodes.into_iter().collect::<Vec<_>>().join(", ");
            let text = format!(
                "within the last 10 minutes probes wrote into each of the {open} volumes open on {nodes} and found only ciphertext on the disk; they are encrypted {keys}"
            );
            say(VOLUMES_ENCRYPTED, State::True, reason::VERIFIED, text)
        }
        Encryption::Unproved(why) => {
            unknown(reason::CONFIGURED, &format!("{keys}; no probe shows it: {why}"))
        }
        Encryption::Nothing => {
            let why = format!("{keys}; no volume is open here that a probe could look at");
            unknown(reason::NOTHING_OPEN, &why)
        }
    }
}

fn transport(world: &World, slice: &ValidVdcSlice) -> Statement {
    let halls = world.halls_of(slice.owner.uid.as_str());
    let of = |hall: &HallSliceSpec| hall.elsewhere.iter().map(|e| e.site.clone()).collect::<Vec<_>>();
    let sites = halls.iter().filter_map(|r| r.spec.hall.as_ref()).flat_map(of).collect();
    let no = |reason, text: String| say(TRANSPORT_ENCRYPTED, State::False, reason, text);
    let unknown = |reason, text: String| say(TRANSPORT_ENCRYPTED, State::Unknown, reason, text);
    match world.words.judge_tunnel(world, &sites) {
        Crossing::Nothing => {
            let text = "nothing of the VDC crosses the border of this site, so there is nothing to encrypt";
            unknown(reason::NOTHING_CROSSES, text.to_owned())
        }
        Crossing::Missing => {
            let text = match slice.transport {
                Transport::Required => {
                    "no node here has an end of the tunnel: calls to other sites are refused, as spec.encryption.transport asks"
                }
                Transport::Preferred => {
                    "no node here has an end of the tunnel: calls to other sites do not pass, and nothing goes in the clear"
                }
            };
            no(reason::TUNNEL_MISSING, text.to_owned())
        }
        Crossing::Verified(peers, nodes) => {
            let text = format!(
                "within the last minute probes from {nodes} nodes here to {peers} of other sites came back through the tunnel and were ciphertext on the wire"
            );
            say(TRANSPORT_ENCRYPTED, State::True, reason::VERIFIED, text)
        }
        Crossing::Clear(text) => no(reason::BROKEN, text),
        Crossing::Down(text) => {
            no(reason::TUNNEL_MISSING, format!("calls to other sites do not pass: {text}"))
        }
        Crossing::Unproved(why) => unknown(reason::CONFIGURED, format!("no probe shows it: {why}")),
    }
}
