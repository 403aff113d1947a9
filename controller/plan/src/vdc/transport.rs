//! Whether what a VDC's halls send to other sites is ciphertext on the wire, from what nodes' probes have shown. A probe sends a
//! marker through the tunnel and listens to the wire; the same marker in the clear has to be seen there, or nothing is shown.

use std::collections::BTreeSet;
use std::time::Duration;

use yunting_crds::tunnel::{TunnelPeer, TunnelReport, TunnelState};

use super::isolation::FRESH;

/// Most peers that a message names.
const NAMED: usize = 3;

/// What a node said last of its end of the tunnel.
#[derive(Debug, Clone, Copy)]
pub struct Word<'a> {
    /// The node.
    pub node: &'a str,
    /// How old it is.
    pub age: Duration,
    /// What it said.
    pub report: &'a TunnelReport,
}

/// How a VDC stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Crossing {
    /// Nothing of it crosses the border of this site.
    Nothing,
    /// No node here has an end of the tunnel: nothing passes.
    Missing,
    /// The tunnel to each node of those sites was proved within 30 s when its node spoke: how many there are, and from how many
    /// nodes.
    Verified(usize, usize),
    /// Something is in the clear: what.
    Clear(String),
    /// Nothing passes, and why.
    Down(String),
    /// Nothing proves it, and why.
    Unproved(String),
}

/// Judges what goes to these other sites. `nodes` are all nodes of the site; one that never spoke of a tunnel has none, and its
/// boundary lets nothing out.
pub fn judge(sites: &BTreeSet<String>, nodes: &BTreeSet<String>, words: &[Word<'_>]) -> Crossing {
    if sites.is_empty() {
        return Crossing::Nothing;
    }
    let own: Vec<&Word<'_>> = words.iter().filter(|w| nodes.contains(w.node)).collect();
    if own.is_empty() {
        return Crossing::Missing;
    }
    let (fresh, silent): (Vec<&Word<'_>>, Vec<&Word<'_>>) = own.into_iter().partition(|w| w.age <= FRESH);
    let of = |w: &Word<'_>| -> Vec<(String, TunnelPeer)> {
        let peers = w.report.peers.iter().filter(|p| sites.contains(&p.site));
        peers.map(|p| (w.node.to_owned(), p.clone())).collect()
    };
    let peers: Vec<(String, TunnelPeer)> = fresh.iter().flat_map(|w| of(w)).collect();
    let those = |state: TunnelState| -> Option<String> {
        let mut all = peers.iter().filter(|(_, p)| p.state == state).peekable();
        all.peek()?;
        Some(all.take(NAMED).map(|(node, p)| text(node, p)).collect::<Vec<_>>().join("; "))
    };
    // What is in the clear is, whatever else is not known.
    if let Some(text) = those(TunnelState::Clear) {
        return Crossing::Clear(text);
    }
    if !silent.is_empty() {
        let names: Vec<&str> = silent.iter().map(|w| w.node).collect();
        return Crossing::Unproved(format!(
            "no fresh word from the controllers of nodes {} about the tunnel",
            names.join(", ")
        ));
    }
    if let Some(text) = those(TunnelState::Down) {
        return Crossing::Down(text);
    }
    if let Some(text) = those(TunnelState::Unproved) {
        return Crossing::Unproved(text);
    }
    let lonely: Vec<&str> =
        sites.iter().filter(|s| !peers.iter().any(|(_, p)| p.site == **s)).map(String::as_str).collect();
    if !lonely.is_empty() {
        return Crossing::Down(format!("no node here knows a node of {}", lonely.join(", ")));
    }
    Crossing::Verified(peers.len(), fresh.len())
}

fn text(node: &str, peer: &TunnelPeer) -> String {
    format!("from node {node} to {} of {}: {}", peer.node, peer.site, peer.why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    fn report(peers: &[(&str, TunnelState)]) -> TunnelReport {
        let peer = |(site, state): &(&str, TunnelState)| TunnelPeer {
            site: (*site).to_owned(),
            node: format!("{site}-1"),
            state: *state,
            proved_at: None,
            why: "seen".to_owned(),
        };
        TunnelReport {
            observed_at: Time(Timestamp::UNIX_EPOCH),
            address: "192.168.77.1:51820".to_owned(),
            networks: vec!["10.11.0.0/16".to_owned()],
            peers: peers.iter().map(peer).collect(),
        }
    }

    fn names(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|s| (*s).to_owned()).collect()
    }

    fn judged(sites: &[&str], words: &[(&str, u64, TunnelReport)]) -> Crossing {
        let words: Vec<Word<'_>> = words
            .iter()
            .map(|(node, age, report)| Word { node, age: Duration::from_secs(*age), report })
            .collect();
        judge(&names(sites), &names(&["n-1", "n-2"]), &words)
    }

    #[test]
    fn it_is_verified_only_while_every_peer_is_proved() {
        use TunnelState::{Clear, Down, Encrypted, Unproved};
        let both = |a, b| [("n-1", 1, report(&[("guoyang", a), ("mengcheng", b)]))];
        assert_eq!(judged(&["guoyang"], &both(Encrypted, Down)), Crossing::Verified(1, 1));
        assert_eq!(judged(&["guoyang", "mengcheng"], &both(Encrypted, Encrypted)), Crossing::Verified(2, 1));
        assert!(matches!(judged(&["guoyang", "mengcheng"], &both(Encrypted, Down)), Crossing::Down(_)));
        assert!(matches!(judged(&["guoyang", "mengcheng"], &both(Clear, Down)), Crossing::Clear(_)));
        assert!(matches!(judged(&["guoyang"], &both(Unproved, Encrypted)), Crossing::Unproved(_)));
        assert!(matches!(judged(&["elsewhere"], &both(Encrypted, Encrypted)), Crossing::Down(_)));
    }

    #[test]
    fn an_old_word_proves_nothing_and_clear_text_is_told_all_the_same() {
        use TunnelState::{Clear, Encrypted};
        let words = |age, other| {
            [("n-1", age, report(&[("guoyang", Encrypted)])), ("n-2", 1, report(&[("guoyang", other)]))]
        };
        let old = FRESH.as_secs() + 1;
        assert!(matches!(judged(&["guoyang"], &words(old, Encrypted)), Crossing::Unproved(_)));
        assert!(matches!(judged(&["guoyang"], &words(old, Clear)), Crossing::Clear(_)));
        assert_eq!(judged(&["guoyang"], &words(1, Encrypted)), Crossing::Verified(2, 2));
    }

    #[test]
    fn where_nothing_crosses_nothing_is_claimed() {
        assert_eq!(judged(&[], &[]), Crossing::Nothing);
        assert_eq!(judged(&["guoyang"], &[]), Crossing::Missing);
        let gone = [("n-9", 1, report(&[("guoyang", TunnelState::Encrypted)]))];
        assert_eq!(judged(&["guoyang"], &gone), Crossing::Missing);
    }
}
