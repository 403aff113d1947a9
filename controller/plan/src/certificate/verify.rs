//! Whether a list of certificates is one whole chain, as an auditor asks.

use std::collections::BTreeMap;

use yunting_crds::deletion_certificate::DeletionCertificateSpec;

use super::{hash, is_whole, name};

/// What is wrong with a certificate or its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The name of the object is not that of its place.
    #[error("{name} says to be number {sequence} of the chain: its name or its number was changed")]
    Name {
        /// Name of the object.
        name: String,
        /// What it says.
        sequence: i64,
    },
    /// Two say to be the same.
    #[error("number {0} of the chain is there twice")]
    Twice(i64),
    /// There is none where one has to be.
    #[error("number {0} of the chain is missing: it was removed, or is not in the list")]
    Missing(i64),
    /// The content is not what the hash was made of.
    #[error("{0} is not what was written: its hash is that of other words")]
    Changed(String),
    /// It does not follow the one before.
    #[error("{0} does not follow the certificate before it: spec.previous is not that one's hash")]
    Link(String),
    /// A VDC has two.
    #[error("{0} and {1} are about the same VDC")]
    SameVdc(String, String),
    /// It claims more than it shows.
    #[error("{0} says spec.whole, and what it says of its sites does not bear that out")]
    Whole(String),
}

/// What a look at the chain has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many certificates there are.
    pub count: usize,
    /// Hash of the last one: who keeps it sees later whether the end of the chain was cut off.
    pub head: Option<String>,
    /// Names of those that do not say that all keys were destroyed.
    pub not_whole: Vec<String>,
    /// What is wrong. Empty: the chain is whole.
    pub broken: Vec<Broken>,
}

/// Looks at all certificates, by the names of their objects, in any order. That the last ones were removed shows only to who
/// knows a hash that is not there any more.
pub fn verify(all: &[(String, DeletionCertificateSpec)]) -> Checked {
    let mut found = Checked { count: all.len(), ..Checked::default() };
    let mut chain: BTreeMap<i64, &(String, DeletionCertificateSpec)> = BTreeMap::new();
    let mut vdcs: BTreeMap<&str, &str> = BTreeMap::new();
    for one in all {
        if chain.insert(one.1.sequence, one).is_some() {
            found.broken.push(Broken::Twice(one.1.sequence));
        }
        if let Some(other) = vdcs.insert(&one.1.uid, &one.0) {
            found.broken.push(Broken::SameVdc(other.to_owned(), one.0.clone()));
        }
        alone(&one.0, &one.1, &mut found);
    }
    let mut before: Option<&DeletionCertificateSpec> = None;
    for (title, spec) in chain.values() {
        let next = before.map_or(0, |b| b.sequence).saturating_add(1);
        if spec.sequence != next {
            found.broken.push(Broken::Missing(next));
        } else if spec.previous.as_deref() != before.map(|b| b.hash.as_str()) {
            found.broken.push(Broken::Link(title.clone()));
        }
        before = Some(spec);
    }
    found.head = before.map(|b| b.hash.clone());
    found
}

/// What can be seen of one alone.
fn alone(title: &str, spec: &DeletionCertificateSpec, found: &mut Checked) {
    if title != name(spec.sequence) {
        found.broken.push(Broken::Name { name: title.to_owned(), sequence: spec.sequence });
    }
    if spec.hash != hash(spec) {
        found.broken.push(Broken::Changed(title.to_owned()));
    }
    if spec.whole && !spec.sites.iter().all(is_whole) {
        found.broken.push(Broken::Whole(title.to_owned()));
    }
    if !spec.whole {
        found.not_whole.push(title.to_owned());
    }
}
