//! What is wrong with a volume that was opened again.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::path::Path;

use crate::layout::{Key, Layout};
use yunting_layout::postgres::Postgres;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The node's btrfs cannot be mounted: not the layout's fault.
    Disk,
    /// The volume does not open with its key.
    Open,
    /// A file cannot be read to its end.
    Read,
    /// A file cannot be read to its end even after PostgreSQL has recovered.
    Stuck,
    /// PostgreSQL does not recover, or a table or an index is damaged.
    Recovery,
    /// A commit that a client was told of is gone.
    Lost,
    /// Half of a transaction is there.
    Half,
}

/// Findings of one image or snapshot, or of many.
#[derive(Default)]
pub struct Findings {
    /// Images or snapshots looked at.
    pub seen: usize,
    /// Those with at least one finding.
    pub bad: usize,
    kinds: BTreeMap<Kind, usize>,
    texts: Vec<String>,
}

impl Findings {
    /// Of one that was looked at, nothing found yet.
    pub fn of_one() -> Self {
        Self { seen: 1, ..Self::default() }
    }

    /// Notes one.
    pub fn note(&mut self, kind: Kind, text: impl Display) {
        self.bad = 1;
        *self.kinds.entry(kind).or_default() += 1;
        self.texts.push(format!("{kind:?}: {text}"));
    }

    /// Adds those of another.
    pub fn add(&mut self, other: Self) {
        self.seen += other.seen;
        self.bad += other.bad;
        for (kind, number) in other.kinds {
            *self.kinds.entry(kind).or_default() += number;
        }
        self.texts.extend(other.texts);
    }

    /// Each finding in words.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// One line: how many, bad ones, and of which kind.
    pub fn line(&self) -> String {
        format!("{} looked at, {} bad, findings {:?}", self.seen, self.bad, self.kinds)
    }
}

/// Opens the volume, reads every file, recovers PostgreSQL, and asks for what a client was told.
pub fn examine(
    layout: Layout,
    volume: &Path,
    key: &Key,
    at: &Path,
    postgres: &Postgres,
    told: u64,
) -> Findings {
    let mut findings = Findings::of_one();
    let open = match layout.open(volume, key, at) {
        Ok(open) => open,
        Err(error) => {
            findings.note(Kind::Open, format!("{error:#}"));
            return findings;
        }
    };
    read_all(&open.root, Kind::Read, &mut findings);
    match postgres.recover(&open.root) {
        Err(error) => findings.note(Kind::Recovery, format!("{error:#}")),
        Ok(answer) => {
            if answer.greatest < told {
                findings.note(Kind::Lost, format!("told of {told}, has {}", answer.greatest));
            }
            if answer.numbers != answer.greatest || !answer.sums_agree {
                findings.note(Kind::Half, format!("{answer:?}"));
            }
        }
    }
    if findings.bad > 0 {
        read_all(&open.root, Kind::Stuck, &mut findings);
    }
    open.close();
    findings
}

/// Reads every file below to its end.
fn read_all(directory: &Path, kind: Kind, findings: &mut Findings) {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return findings.note(kind, format!("{}: {error}", directory.display())),
    };
    for entry in entries {
        let looked = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)));
        match looked {
            // A damaged directory says so without end.
            Err(error) => return findings.note(kind, format!("in {}: {error}", directory.display())),
            Ok((path, found)) if found.is_dir() => read_all(&path, kind, findings),
            Ok((path, found)) if found.is_file() => {
                let read =
                    File::open(&path).and_then(|mut file| std::io::copy(&mut file, &mut std::io::sink()));
                if let Err(error) = read {
                    findings.note(kind, format!("{}: {error}", path.display()));
                }
            }
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Findings, Kind};

    #[test]
    fn many_findings_of_one_are_one_bad() {
        let mut one = Findings::of_one();
        one.note(Kind::Read, "a");
        one.note(Kind::Read, "b");
        let mut all = Findings::of_one();
        all.add(one);
        assert_eq!(all.line(), "2 looked at, 1 bad, findings {Read: 2}");
    }
}
