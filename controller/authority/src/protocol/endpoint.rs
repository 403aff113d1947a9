//! What stands between nodes and the store, at every hub site; it needs no leader. What a node may touch, what a renewal asks
//! of the store, and what may be answered from its committed result.
//!
//! Must never: answer from anything but the result of the transaction that put the beat.

use super::holder::{Answer, View};
use super::record::{self, Acknowledged, Beat, Record};
use super::token::{ClusterId, Group, Node, Nonce, Revision, Site, Token};

/// Who asks, as its certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its site.
    pub site: Site,
    /// Its node.
    pub node: Node,
}

/// Why nothing is written or answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// A certificate is good for one node.
    #[error(
        "the certificate is of node {own} at {own_site}, and the request is of {asked} at {asked_site}: a node touches its own keys only"
    )]
    Other {
        /// Of the certificate.
        own_site: Site,
        /// Of the certificate.
        own: Node,
        /// Of the request.
        asked_site: Site,
        /// Of the request.
        asked: Node,
    },
    /// Nobody asked for it.
    #[error(
        "node {node} at {site} acknowledges group {group} under {token}, and no fencing of that token waits for its site: renew, and acknowledge what is read"
    )]
    NotAsked {
        /// Who.
        site: Site,
        /// Who.
        node: Node,
        /// Which group.
        group: Group,
        /// Which token.
        token: Token,
    },
    /// It does not fit into JSON.
    #[error("what is to be written cannot be written as JSON: {0}")]
    Json(String),
}

/// Whether who asks is who it says it is, to the letter.
pub fn permits(identity: &Identity, asked: &Identity) -> Result<(), Forbidden> {
    if identity == asked {
        return Ok(());
    }
    Err(Forbidden::Other {
        own_site: identity.site.clone(),
        own: identity.node.clone(),
        asked_site: asked.site.clone(),
        asked: asked.node.clone(),
    })
}

/// One linearizable transaction without a condition: a beat is put, and all records are read at the same revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// What is put where.
    pub put: (String, String),
    /// The one key that is read.
    pub generation: &'static str,
    /// The prefix that is read.
    pub records: &'static str,
}

/// What a renewal asks of the store.
pub fn renewal(identity: &Identity, beat: &Beat) -> Result<Renewal, Forbidden> {
    let value = serde_json::to_string(beat).map_err(|e| Forbidden::Json(e.to_string()))?;
    Ok(Renewal {
        put: (record::beat_key(&identity.site, &identity.node), value),
        generation: record::GENERATION,
        records: record::RECORDS,
    })
}

/// The committed result of a renewal. It is built from the store's answer to that transaction only: never from a watch, a
/// cache or a serializable read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Which store.
    pub cluster: ClusterId,
    /// Its generation.
    pub generation: u64,
    /// Revision of the transaction.
    pub revision: Revision,
    /// The records.
    pub records: Vec<(Group, Record)>,
}

/// What a node is answered: every record that concerns its site. A refusal is a record; a record that is missing says nothing.
pub fn answer(identity: &Identity, nonce: Nonce, committed: Committed) -> Answer {
    let Committed { cluster, generation, revision, records } = committed;
    let of = records.into_iter().filter(|(_, record)| record.concerns(&identity.site));
    let groups = of.map(|(group, record)| View { group, record }).collect();
    Answer { nonce, cluster, generation, revision, groups }
}

/// An acknowledgement to be written, if the record is still as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The record's key and the revision of its last change, to be compared.
    pub unchanged: (String, Revision),
    /// What is put where.
    pub put: (String, String),
}

/// What an acknowledgement writes: under the node's own key, and for the fencing that stands.
pub fn acknowledgement(
    identity: &Identity,
    group: Group,
    (record, changed): (&Record, Revision),
    said: &Acknowledged,
) -> Result<Acknowledgement, Forbidden> {
    if !record.fences(&identity.site) || record.token != said.token {
        let Identity { site, node } = identity.clone();
        return Err(Forbidden::NotAsked { site, node, group, token: said.token });
    }
    let value = serde_json::to_string(said).map_err(|e| Forbidden::Json(e.to_string()))?;
    let own = record::acknowledgement_key(group, &identity.site, &identity.node);
    Ok(Acknowledgement { unchanged: (record::key(group), changed), put: (own, value) })
}

#[cfg(test)]
mod tests;
