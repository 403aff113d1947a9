//! Whether the open volumes of a VDC are ciphertext on the raw disk, from what nodes' probes have read there. A probe writes
//! a text into what pods see and one beside it, outside what is encrypted, and reads both back past every cache from the
//! volume's image: the second has to be found there, or nothing is shown; the first must not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use yunting_crds::node_report::{VdcVolumes, VolumeFinding, VolumesReport, VolumesState};

use super::isolation::FRESH;

/// Age at which a probe of a volume proves nothing of now, once its word has come to the site.
pub const PROVED: Duration = Duration::from_mins(10);
/// The same when its node speaks of it: a word may be [`FRESH`] old before it counts no more.
const HOLDS: Duration = Duration::from_mins(9);
/// Time after which a volume is probed anew that was proved, and one of which nothing was shown.
const RENEW: Duration = Duration::from_mins(4);
const RETRY: Duration = Duration::from_mins(1);
/// Time between two turns of a node.
pub const TURN: Duration = Duration::from_secs(10);
/// Most volumes that are probed in one turn. So of a node with up to 192 open volumes each is probed every 4 minutes, and
/// with up to 432 each while its last proof holds; of more than that some are unproved.
pub const AT_ONCE: usize = 8;
/// Bytes of a block of the file systems, and of the pieces in which AES writes.
const BLOCK: usize = 4096;
const PIECE: usize = 16;
/// Most VDCs of a report, most volumes that are named of one, longest reason: the fields' bounds.
const VDCS: usize = 1024;
const NAMED: usize = 10;
const WHY: usize = 300;

/// What one probe has read.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// What was written into the encrypted directory: whole blocks of one text over and over.
    pub written: &'a [u8],
    /// The same as the mount shows it, read from the disk.
    pub through: &'a [u8],
    /// What stands at its place in the image.
    pub raw: &'a [u8],
    /// What was written beside it, in the clear.
    pub control: &'a [u8],
    /// What stands at that one's place in the image.
    pub control_raw: &'a [u8],
}

/// What a probe shows of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Ciphertext, where the same probe has found clear text.
    Encrypted,
    /// Clear text, or what shows through.
    Plain(String),
    /// Nothing, and why.
    Unproved(String),
}

/// What follows from what was read.
pub fn read(evidence: Evidence<'_>) -> Outcome {
    let Evidence { written, through, raw, control, control_raw } = evidence;
    let unproved = |why: &str| Outcome::Unproved(why.to_owned());
    let pieces: BTreeSet<&[u8]> = written.chunks_exact(PIECE).collect();
    if raw.windows(PIECE).any(|w| pieces.contains(w)) {
        return Outcome::Plain("what is written into it lies in the clear in its image".to_owned());
    }
    if control.is_empty() || control_raw != control {
        return unproved(
            "a text in the clear was not found at its place in the image: clear text would not be seen",
        );
    }
    if through != written {
        return unproved("what was written is not what the mount shows");
    }
    let empty = |block: &[u8]| block.iter().all(|b| *b == 0);
    if written.is_empty() || raw.len() != written.len() || raw.chunks(BLOCK).any(empty) {
        return unproved("nothing stands in the image where it was written");
    }
    let all: BTreeSet<&[u8]> = raw.chunks_exact(PIECE).collect();
    if all.len() < raw.len() / PIECE {
        let why = "what is written into it shows through: its image repeats itself where the text does";
        return Outcome::Plain(why.to_owned());
    }
    Outcome::Encrypted
}

/// An open volume and what is known of it.
#[derive(Debug, Clone)]
pub struct Open<'a> {
    /// Its name.
    pub volume: &'a str,
    /// Uid of its VDC.
    pub vdc: &'a str,
    /// When a probe last showed ciphertext, and how long ago that is.
    pub proved: Option<(Timestamp, Duration)>,
    /// What the last probe showed, and how long ago; nothing: none was made.
    pub last: Option<(&'a Outcome, Duration)>,
}

/// Time after which a volume is probed anew.
fn again(outcome: &Outcome) -> Duration {
    match outcome {
        Outcome::Encrypted => RENEW,
        // Each turn, until it is over.
        Outcome::Plain(_) => Duration::ZERO,
        Outcome::Unproved(_) => RETRY,
    }
}

/// Which are probed now, [`AT_ONCE`] at most: first those that never were, then those whose last probe is the oldest.
pub fn due<'a>(open: &[Open<'a>]) -> Vec<&'a str> {
    let mut due: Vec<(Duration, &str)> = open
        .iter()
        .filter_map(|o| match o.last {
            None => Some((Duration::MAX, o.volume)),
            Some((outcome, age)) => (age >= again(outcome)).then_some((age, o.volume)),
        })
        .collect();
    due.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
    due.into_iter().take(AT_ONCE).map(|(_, volume)| volume).collect()
}

/// What a node says of its open volumes, one entry for each VDC.
pub fn shown(open: &[Open<'_>]) -> Vec<VdcVolumes> {
    let mut by_vdc: BTreeMap<&str, Vec<&Open<'_>>> = BTreeMap::new();
    for one in open {
        by_vdc.entry(one.vdc).or_default().push(one);
    }
    by_vdc.into_iter().take(VDCS).map(|(vdc, open)| of_vdc(vdc, &open)).collect()
}

fn of_vdc(vdc: &str, open: &[&Open<'_>]) -> VdcVolumes {
    let (mut plain, mut unproved, mut proofs) = (Vec::new(), Vec::new(), Vec::new());
    for one in open {
        let finding =
            |why: &str| VolumeFinding { volume: one.volume.to_owned(), why: why.chars().take(WHY).collect() };
        // A proof holds for its time, whatever a later probe could not do.
        match (one.last, one.proved.filter(|(_, age)| *age <= HOLDS)) {
            (Some((Outcome::Plain(why), _)), _) => plain.push(finding(why)),
            (_, Some((at, _))) => proofs.push(at),
            (Some((Outcome::Unproved(why), _)), None) => unproved.push(finding(why)),
            (Some((Outcome::Encrypted, _)), None) => unproved.push(finding("its last probe is too old")),
            (None, None) => unproved.push(finding("it has not been probed yet")),
        }
    }
    let state = match (plain.is_empty(), unproved.is_empty()) {
        (false, _) => VolumesState::Plain,
        (true, false) => VolumesState::Unproved,
        (true, true) => VolumesState::Encrypted,
    };
    let mut findings = if plain.is_empty() { unproved } else { plain };
    findings.truncate(NAMED);
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    VdcVolumes {
        vdc: vdc.to_owned(),
        state,
        open: number(open.len()),
        encrypted: number(proofs.len()),
        oldest_proof: proofs.into_iter().min().map(Time),
        findings,
    }
}

/// What a node said last of its volumes.
#[derive(Debug, Clone, Copy)]
pub struct Word<'a> {
    /// The node.
    pub node: &'a str,
    /// How old it is.
    pub age: Duration,
    /// What it said.
    pub report: &'a VolumesReport,
}

/// How a VDC stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// Every open volume was proved within [`PROVED`]: how many, on which nodes.
    Verified(u64, BTreeSet<String>),
    /// There is clear text: where.
    Plain(String),
    /// Nothing proves it, and why.
    Unproved(String),
    /// No volume is open, so there is nothing to look at.
    Nothing,
}

/// Judges. `nodes` are all nodes of the site; one that never spoke of volumes has none: only its controller opens them.
pub fn judge(vdc: &str, nodes: &BTreeSet<String>, words: &[Word<'_>]) -> Encryption {
    let own: Vec<&Word<'_>> = words.iter().filter(|w| nodes.contains(w.node)).collect();
    let (fresh, silent): (Vec<&Word<'_>>, Vec<&Word<'_>>) = own.into_iter().partition(|w| w.age <= FRESH);
    let of = |w: &Word<'_>| w.report.vdcs.iter().find(|v| v.vdc == vdc).cloned();
    let found: Vec<(&Word<'_>, VdcVolumes)> = fresh.into_iter().filter_map(|w| Some((w, of(w)?))).collect();
    let those_of = |state: VolumesState| -> Vec<String> {
        let those = found.iter().filter(|(_, v)| v.state == state);
        those.map(|(w, v)| text(w.node, v)).collect()
    };
    // What is in the clear is, whatever else is not known.
    let plain = those_of(VolumesState::Plain);
    if !plain.is_empty() {
        return Encryption::Plain(plain.join("; "));
    }
    if !silent.is_empty() {
        let names: Vec<&str> = silent.iter().map(|w| w.node).collect();
        return Encryption::Unproved(format!(
            "no fresh word from the controllers of nodes {} about volumes",
            names.join(", ")
        ));
    }
    let unproved = those_of(VolumesState::Unproved);
    if !unproved.is_empty() {
        return Encryption::Unproved(unproved.join("; "));
    }
    let old: Vec<&str> = found.iter().filter(|(w, v)| too_old(w, v)).map(|(w, _)| w.node).collect();
    if !old.is_empty() {
        return Encryption::Unproved(format!("the probes on nodes {} are too old", old.join(", ")));
    }
    if found.is_empty() {
        return Encryption::Nothing;
    }
    let open = found.iter().map(|(_, v)| u64::from(v.open)).sum();
    Encryption::Verified(open, found.iter().map(|(w, _)| w.node.to_owned()).collect())
}

/// The node's clock says both times, so it decides nothing but their distance.
fn too_old(word: &Word<'_>, volumes: &VdcVolumes) -> bool {
    let Some(proof) = &volumes.oldest_proof else { return true };
    let then = Duration::try_from(word.report.observed_at.0.duration_since(proof.0)).unwrap_or_default();
    then + word.age > PROVED
}

fn text(node: &str, volumes: &VdcVolumes) -> String {
    let all: Vec<String> = volumes.findings.iter().map(|f| format!("{}: {}", f.volume, f.why)).collect();
    format!("on node {node} volume {}", all.join(", volume "))
}

#[cfg(test)]
mod tests;
