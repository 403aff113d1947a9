//! What became of a VDC's keys, site by site, and the chain of certificates that say so. Pure: what was seen comes in, and
//! so does the time.
//!
//! Nothing here calls keys destroyed that a site did not say to have destroyed and read back.

mod verify;

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use kube::ResourceExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use yunting_crds::common::Desired;
use yunting_crds::conditions::{GONE, State, state_of};
use yunting_crds::deletion_certificate::{
    DeletionCertificateSpec, KeysDestroyed, KeysEnd, Outcome, SITES, SiteEnd,
};
use yunting_crds::vdc::{SiteRole, VdcSiteStatus};
use yunting_crds::vdc_slice::VdcSliceSpec;
use yunting_crds::{VdcSlice, vdc::KeyProvider};

use crate::vdc::storage;

pub use verify::{Broken, Checked, verify};

/// Longest list of sites' names; the field's bound.
const NAMES: usize = 512;

/// What no certificate speaks for.
const NOT_COVERED: [&str; 7] = [
    "copies of the sites' key directories that others made: whoever has one opens what its keys had wrapped; whoever made it has to destroy it",
    "copies and snapshots of a Vault's storage that its keeper made: whoever has one and unseals it opens what its keys had wrapped",
    "what a file system or disk keeps of files of the key directories that were overwritten or replaced",
    "backups of etcd of hub and sites: of the volumes' keys they hold what was wrapped with the destroyed keys, which opens no more, and nothing in the clear",
    "keys of volumes that were replicated between sites, as backups of a site's etcd hold them sealed for another site: they open with that site's custody key until it is replaced",
    "memory of a node on which a volume was still open: its key is there until the volume is closed",
    "what was read out of the volumes while the VDC was there, and brought elsewhere",
];

/// Name of the certificate at a place of the chain.
pub fn name(sequence: i64) -> String {
    format!("deletion-{sequence}")
}

/// What a site says of a VDC's keys when nothing of the VDC is left there. `keeps`: it keeps keys at all; `destroyed`: what was
/// destroyed, with proof; `volumes`: wrapped keys of the VDC's volumes that are still known there.
pub fn said(slice: &VdcSliceSpec, keeps: bool, destroyed: Option<KeysDestroyed>, volumes: usize) -> KeysEnd {
    let provider = slice.key_provider;
    let encrypts = storage::keyed(&slice.providers, slice.storage_class.as_deref());
    let (outcome, reason) = match (&destroyed, provider) {
        (Some(d), _) => {
            let (keys, tried) = (d.count, d.tried);
            let text = format!(
                "{keys} keys were destroyed and read back as gone; of {tried} wrapped keys that were tried none opens"
            );
            (Outcome::Destroyed, text)
        }
        (None, _) if volumes > 0 => {
            let text = format!(
                "{volumes} wrapped keys of volumes are known, and the key that they were wrapped with is not at this site: its key directory was replaced, or somebody took the key away"
            );
            (Outcome::NotSeen, text)
        }
        (None, KeyProvider::Vault) if !keeps && encrypts => {
            let text = "volumes of the VDC were to be encrypted with keys in Vault, and the site's controller runs without --vault-address: whether it ran with it before is not known";
            (Outcome::NotSeen, text.to_owned())
        }
        (None, KeyProvider::Vault) if !keeps => {
            (Outcome::NoKeys, "the keys were to be in Vault, and this site has none".to_owned())
        }
        (None, KeyProvider::Vault) => {
            let text = "Vault has no key of the VDC for this site, and no volume says that there was one";
            (Outcome::NoKeys, text.to_owned())
        }
        (None, KeyProvider::Embedded) if !keeps && encrypts => {
            let text = "volumes of the VDC were to be encrypted, and the site's controller runs without --keys: whether it ran with keys before is not known";
            (Outcome::NotSeen, text.to_owned())
        }
        (None, KeyProvider::Embedded) if !keeps => {
            (Outcome::NoKeys, "this site keeps no keys: its controller runs without --keys".to_owned())
        }
        (None, KeyProvider::Embedded) => {
            let text =
                "the site's key directory has no key of the VDC, and no volume says that there was one";
            (Outcome::NoKeys, text.to_owned())
        }
    };
    KeysEnd { outcome, provider, reason, destroyed }
}

/// What is said of keys of which something was said before. That keys were missed stands until they are seen to be destroyed:
/// the volumes that said so may be gone since.
pub fn doubtful(before: Option<&KeysEnd>, now: KeysEnd) -> KeysEnd {
    match before {
        Some(before) if before.outcome == Outcome::NotSeen && now.outcome == Outcome::NoKeys => {
            before.clone()
        }
        _ => now,
    }
}

/// How the stay of a VDC at a site ended, once it has: the site says that nothing is left, or it was given up. `site` is its
/// name, `given_up` whether its word is not waited for any more.
pub fn end_of(site: &str, slice: &VdcSlice, given_up: bool) -> Option<SiteEnd> {
    let (spec, status) = (&slice.spec, slice.status.as_ref());
    if spec.desired != Desired::Absent {
        return None;
    }
    let gone = status.is_some_and(|s| {
        s.observed_generation == slice.metadata.generation && state_of(&s.conditions, GONE) == State::True
    });
    let keys = match status.and_then(|s| s.keys.clone()).filter(|_| gone) {
        Some(keys) => keys,
        None if gone => unseen(
            Outcome::NotSeen,
            spec.key_provider,
            "the site said that nothing of the VDC is left, and nothing of its keys: its controller is older than certificates",
        ),
        None if given_up => unseen(
            Outcome::Forgotten,
            spec.key_provider,
            "the site was given up before it said that the VDC is gone: its keys may be there still",
        ),
        None => return None,
    };
    let class = spec.storage_class.as_deref();
    let clear = class.filter(|_| !storage::keyed(&spec.providers, class));
    Some(SiteEnd {
        site: site.to_owned(),
        slice: slice.uid().unwrap_or_default(),
        role: spec.role,
        keys,
        clear_storage: clear.map(str::to_owned),
    })
}

fn unseen(outcome: Outcome, provider: KeyProvider, reason: &str) -> KeysEnd {
    KeysEnd { outcome, provider, reason: reason.to_owned(), destroyed: None }
}

/// What is remembered of sites that the VDC has left: `before`, and what is seen now of slices that stand, by site, with how
/// each ended if it has. A slice that is wanted again has not ended.
pub fn left<'a>(
    before: &[SiteEnd],
    standing: impl IntoIterator<Item = (&'a VdcSlice, Option<SiteEnd>)>,
) -> Vec<SiteEnd> {
    let mut all = before.to_vec();
    for (slice, end) in standing {
        let uid = slice.uid().unwrap_or_default();
        let at = all.iter().position(|e| e.slice == uid);
        match (at, end) {
            (Some(at), Some(end)) => {
                let keys = doubtful(Some(&all[at].keys), end.keys);
                all[at] = SiteEnd { keys, ..end };
            }
            (None, Some(end)) => all.push(end),
            // A status that came late makes nothing undone that is on its way out.
            (Some(at), None) if slice.spec.desired == Desired::Present => drop(all.remove(at)),
            (_, None) => (),
        }
    }
    bound(&mut all);
    all
}

/// At most as many as a list takes: the oldest go first, and what is not proved is never forgotten for what is.
fn bound(all: &mut Vec<SiteEnd>) {
    while all.len() > SITES {
        let first = all.iter().position(is_whole).unwrap_or_default();
        all.remove(first);
    }
}

/// A VDC of which nothing is left.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended<'a> {
    /// Its bureau.
    pub bureau: &'a str,
    /// Its name.
    pub vdc: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// Where its keys were to be.
    pub provider: KeyProvider,
    /// When its deletion was asked for, RFC 3339.
    pub requested_at: String,
    /// Now, RFC 3339.
    pub ended_at: String,
    /// How its stays at sites ended.
    pub left: &'a [SiteEnd],
    /// Sites where it was last seen.
    pub shown: &'a [VdcSiteStatus],
}

/// The certificate that comes after `head`. None for a VDC that was never at a site: nothing of it was anywhere.
pub fn certificate(
    head: Option<&DeletionCertificateSpec>,
    ended: &Ended<'_>,
) -> Option<DeletionCertificateSpec> {
    let mut sites = ended.left.to_vec();
    sites.extend(lost(ended));
    bound(&mut sites);
    if sites.is_empty() {
        return None;
    }
    let mut spec = DeletionCertificateSpec {
        sequence: head.map_or(0, |h| h.sequence).saturating_add(1),
        previous: head.map(|h| h.hash.clone()),
        bureau: ended.bureau.to_owned(),
        vdc: ended.vdc.to_owned(),
        uid: ended.uid.to_owned(),
        requested_at: ended.requested_at.clone(),
        ended_at: ended.ended_at.clone(),
        site_names: names(&sites),
        whole: sites.iter().all(is_whole),
        not_covered: not_covered(&sites),
        sites,
        hash: String::new(),
    };
    spec.hash = hash(&spec);
    Some(spec)
}

/// Sites where the VDC was seen and whose slice went without a word of it.
fn lost(ended: &Ended<'_>) -> Vec<SiteEnd> {
    let known = |s: &VdcSiteStatus| {
        ended.left.iter().any(|e| e.site == s.site && (s.slice.is_empty() || s.slice == e.slice))
    };
    let end = |s: &VdcSiteStatus| SiteEnd {
        site: s.site.clone(),
        slice: s.slice.clone(),
        role: if s.role == SiteRole::NotChosen { SiteRole::Member } else { s.role },
        keys: unseen(
            Outcome::NotSeen,
            ended.provider,
            "the slice for the site went without the site's word: its keys may be there still",
        ),
        clear_storage: None,
    };
    ended.shown.iter().filter(|s| !known(s)).map(end).collect()
}

/// Whether nothing is unproved about the keys there.
pub(crate) fn is_whole(end: &SiteEnd) -> bool {
    match end.keys.outcome {
        Outcome::NoKeys => true,
        Outcome::Destroyed => {
            end.keys.destroyed.as_ref().is_some_and(|d| d.read_back && d.opened == 0 && d.tried >= d.count)
        }
        Outcome::Forgotten | Outcome::NotSeen => false,
    }
}

fn names(sites: &[SiteEnd]) -> String {
    let names: BTreeSet<&str> = sites.iter().map(|e| e.site.as_str()).collect();
    let text = names.into_iter().collect::<Vec<_>>().join(", ");
    text.chars().take(NAMES).collect()
}

fn not_covered(sites: &[SiteEnd]) -> Vec<String> {
    let clear: BTreeSet<String> = sites
        .iter()
        .filter_map(|e| e.clear_storage.as_ref().map(|class| format!("{class} at {}", e.site)))
        .collect();
    let mut all: Vec<String> = NOT_COVERED.map(str::to_owned).into();
    if !clear.is_empty() {
        let clear = clear.into_iter().collect::<Vec<_>>().join(", ");
        let text =
            format!("volumes of StorageClasses that do not encrypt, or not with keys of the VDC: {clear}");
        all.push(text.chars().take(NAMES).collect());
    }
    if sites.len() == SITES {
        all.push(format!("earlier stays at sites, if there were more than the {SITES} that are listed"));
    }
    all
}

/// Hash of a certificate: SHA-256, in hexadecimal, over its spec without `hash` as JSON with sorted keys and no white space,
/// which is what `jq -cS '.spec | del(.hash)'` prints.
pub fn hash(spec: &DeletionCertificateSpec) -> String {
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("hash");
    }
    HEXLOWER.encode(&Sha256::digest(canonical(&value)))
}

/// JSON with sorted keys, whatever order the map keeps.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let fields: Vec<String> = fields
                .into_iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        simple => simple.to_string(),
    }
}

#[cfg(test)]
mod tests;
