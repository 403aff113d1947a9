//! Which nodes of other sites a node has a tunnel to, what goes into it, and what probes show of it.
//!
//! Who the peers are comes from slices, and so from the hub, which is believed little: a peer's networks lie within those that
//! this node was told of by whoever runs it, no network belongs to two peers, and a peer itself has to say, with its machine's
//! certificate, that they are its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use yunting_crds::names::SiteName;
use yunting_crds::tunnel::{TunnelPeer, TunnelState};

use crate::hall::ValidHallSlice;
use crate::hall::elsewhere::End;
use crate::vdc::cidr::Network;

/// Most peers of a node; the field's bound.
const PEERS: usize = 512;
/// Longest text of why; the field's bound.
const WHY: usize = 300;
/// Age at which a proof proves nothing of now.
pub const PROVED: Duration = Duration::from_secs(30);

/// A node of another site that this one is to have a tunnel to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Its site.
    pub site: SiteName,
    /// Where it is, and whose pods are behind it.
    pub end: End,
}

/// What a machine's certificate says of a node.
pub fn uri(site: &str, node: &str) -> String {
    format!("yunting://site/{site}/node/{node}")
}

/// The site that a machine's certificate names.
pub fn site_of(uri: &str) -> Option<&str> {
    uri.strip_prefix("yunting://site/")?.split_once("/node/").map(|(site, _)| site)
}

/// Peers by what their certificates say. Where halls were told different things of one, what most of them were told counts; the
/// hub tells them all the same as soon as it can.
pub fn wanted(own: &str, abroad: &BTreeSet<Network>, halls: &[ValidHallSlice]) -> BTreeMap<String, Wanted> {
    let mut told: BTreeMap<String, BTreeMap<Wanted, usize>> = BTreeMap::new();
    for there in halls.iter().flat_map(|h| &h.elsewhere) {
        if site_of(own) == Some(there.site.as_str()) {
            continue;
        }
        for end in &there.ends {
            let within = |n: &Network| abroad.iter().any(|a| a.contains(n));
            if !end.networks.is_empty() && end.networks.iter().all(within) {
                let one = Wanted { site: there.site.clone(), end: end.clone() };
                let named = told.entry(uri(there.site.as_str(), &end.node)).or_default();
                *named.entry(one).or_default() += 1;
            }
        }
    }
    let most = |of: BTreeMap<Wanted, usize>| of.into_iter().max_by_key(|(_, n)| *n).map(|(wanted, _)| wanted);
    let all: BTreeMap<String, Wanted> =
        told.into_iter().filter_map(|(uri, of)| Some((uri, most(of)?))).collect();
    let alone = |uri: &String, wanted: &Wanted| {
        let others = all.iter().filter(|(other, _)| *other != uri).flat_map(|(_, o)| &o.end.networks);
        let mut others =
            others.filter(|o| wanted.end.networks.iter().any(|n| n.contains(o) || o.contains(n)));
        others.next().is_none()
    };
    let kept = all.iter().filter(|(uri, wanted)| alone(uri, wanted));
    kept.take(PEERS).map(|(uri, wanted)| (uri.clone(), wanted.clone())).collect()
}

/// The networks that go to a peer: what it says itself has to be what is told of it.
pub fn agreed(wanted: &Wanted, said: &[String]) -> Result<BTreeSet<Network>, String> {
    let own: Option<BTreeSet<Network>> = said.iter().map(|n| n.parse().ok()).collect();
    let list = |all: &BTreeSet<Network>| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match own {
        Some(own) if own == wanted.end.networks => Ok(own),
        Some(own) => Err(format!(
            "it says that its pods are in {}, and the hub that they are in {}; nothing goes there until both say the same",
            list(&own),
            list(&wanted.end.networks)
        )),
        None => Err("it says of its pods' networks what is no network".to_owned()),
    }
}

/// What one probe has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// The marker came back through the tunnel.
    pub answered: bool,
    /// Frames on the wire that held it until then.
    pub seen: u64,
    /// Frames that held it after it was sent once in the clear.
    pub control: u64,
}

/// What follows from it.
pub fn read(evidence: Evidence) -> (TunnelState, &'static str) {
    match evidence {
        Evidence { seen: 1.., .. } => {
            (TunnelState::Clear, "what was sent through the tunnel was seen on the wire in the clear")
        }
        Evidence { answered: false, .. } => (TunnelState::Down, "nothing came back through the tunnel"),
        Evidence { control: 0, .. } => (
            TunnelState::Unproved,
            "what was sent in the clear was not seen on the wire: clear text would not be seen",
        ),
        _ => (TunnelState::Encrypted, ""),
    }
}

/// What is known of a peer.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What the last probe showed, and since when; nothing: none was made.
    pub last: Option<(TunnelState, &'static str, Duration)>,
    /// When one last showed ciphertext.
    pub proved_at: Option<Time>,
    /// Why there is no tunnel, where that is known.
    pub why: Option<String>,
}

/// What a node says of a peer.
pub fn shown(wanted: &Wanted, known: &Known) -> TunnelPeer {
    let (state, why) = match (&known.last, &known.why) {
        (Some((state, why, age)), _) if *age <= PROVED && *state != TunnelState::Down => {
            (*state, (*why).to_owned())
        }
        (_, Some(why)) => (TunnelState::Down, why.clone()),
        (Some((TunnelState::Down, why, _)), None) => (TunnelState::Down, (*why).to_owned()),
        (Some(_), None) => (TunnelState::Unproved, "its last probe is too old".to_owned()),
        (None, None) => (TunnelState::Unproved, "it has not been probed yet".to_owned()),
    };
    TunnelPeer {
        site: wanted.site.to_string(),
        node: wanted.end.node.clone(),
        state,
        proved_at: known.proved_at.clone(),
        why: why.chars().take(WHY).collect(),
    }
}

#[cfg(test)]
mod tests;
