//! Makes the disk as a power cut would leave it, and looks at what is on it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context as _;

use crate::dice::Dice;
use crate::findings::{Findings, Kind};
use crate::log::{Entry, Log};
use yunting_layout::command::{command, run};
use yunting_layout::mounts::{Loop, Mount};

/// Bytes that a disk writes whole or not at all: its sector.
const SECTOR: u64 = 4096;
/// Of the writes that reached the disk after its last flush, this many percent did so in part.
const TORN_PERCENT: u64 = 10;

/// How the disk loses what it was not told to keep.
#[derive(Clone, Copy)]
pub enum Cache {
    /// A volatile write cache that obeys flushes.
    Honest,
    /// One that says it has flushed and has not: it keeps the last this many flushes back. For the control.
    Lying(usize),
}

/// Goes through a log from its begin, and copies the disk at each point asked for.
pub struct Replay<'a> {
    log: &'a Log,
    entries: Vec<Entry>,
    base: PathBuf,
    done: usize,
}

impl<'a> Replay<'a> {
    /// `base` is the disk at position 0; it is written on.
    pub fn new(log: &'a Log, base: &Path) -> Self {
        Self { log, entries: log.entries(), base: base.to_owned(), done: 0 }
    }

    /// `number` points in rising order, by chance.
    pub fn points(&self, number: usize, dice: &mut Dice) -> Vec<usize> {
        let mut points: Vec<_> = (0..number)
            .filter_map(|_| usize::try_from(dice.below(self.entries.len() as u64 + 1)).ok())
            .collect();
        points.sort_unstable();
        points
    }

    /// The disk after a power cut when the log stood at `point`: everything up to the last flush, and of what came
    /// after it what chance lets through. Points must not fall.
    pub fn image(&mut self, point: usize, cache: Cache, to: &Path, dice: &mut Dice) -> anyhow::Result<()> {
        let before = self.entries.get(..point).context("a point after the log's end")?;
        let kept = match cache {
            Cache::Honest => flushed(before, 0),
            Cache::Lying(back) => flushed(before, back),
        };
        let base = File::options().write(true).open(&self.base)?;
        for entry in self.entries.get(self.done..kept).unwrap_or(&[]) {
            self.apply(&base, *entry, None)?;
        }
        self.done = self.done.max(kept);
        let image = File::options().read(true).write(true).create(true).truncate(true).open(to)?;
        rustix::fs::ioctl_ficlone(&image, &File::open(&self.base)?).context("a copy of the disk")?;
        if matches!(cache, Cache::Honest) {
            for entry in before.get(kept..).unwrap_or(&[]) {
                if dice.happens(50) {
                    self.apply(&image, *entry, Some(dice))?;
                }
            }
        }
        Ok(())
    }

    fn apply(&self, disk: &File, entry: Entry, dice: Option<&mut Dice>) -> anyhow::Result<()> {
        let Entry::Write { offset, length, kept } = entry else { return Ok(()) };
        let part = dice.and_then(|dice| dice.happens(TORN_PERCENT).then(|| torn(length, dice)));
        let (from, to) = part.unwrap_or((0, length));
        disk.write_all_at(&self.log.read(kept + from, to - from)?, offset + from)?;
        Ok(())
    }
}

/// The position of the last flush of `entries`, or of the one `back` flushes before it; 0 where there is none.
fn flushed(entries: &[Entry], back: usize) -> usize {
    let mut flushes = entries.iter().enumerate().rev().filter(|(_, entry)| **entry == Entry::Flush);
    flushes.nth(back).map_or(0, |(position, _)| position)
}

/// The part of a write that got through: its begin or its end, in whole sectors.
fn torn(length: u64, dice: &mut Dice) -> (u64, u64) {
    let cut = dice.below(length / SECTOR + 1) * SECTOR;
    if dice.happens(50) { (0, cut) } else { (cut, length) }
}

/// Two disks with one identity are on this machine; btrfs must have forgotten the one before it is shown the other.
static MOUNTING: Mutex<()> = Mutex::new(());

/// Mounts an image at `at` and lets `look` look at it.
pub fn with_disk(image: &Path, at: &Path, look: impl FnOnce(&Path) -> Findings) -> anyhow::Result<Findings> {
    let device = Loop::attach(image, false)?;
    let mounted = {
        let _one = MOUNTING.lock();
        run(&mut command("btrfs", ["device", "scan", "--forget"]))?;
        Mount::new(device.device(), at, "noatime,nodiscard")
    };
    match mounted {
        Ok(_mount) => Ok(look(at)),
        Err(error) => {
            let mut findings = Findings::of_one();
            findings.note(Kind::Disk, format!("{error:#}"));
            Ok(findings)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: Entry = Entry::Write { offset: 0, length: 4096, kept: 0 };

    #[test]
    fn the_last_flush_is_found_and_those_before_it() {
        let entries = [WRITE, Entry::Flush, WRITE, Entry::Flush, WRITE];
        assert_eq!([0, 1, 2].map(|back| flushed(&entries, back)), [3, 1, 0]);
    }

    #[test]
    fn a_torn_write_is_whole_sectors_of_it() {
        let mut dice = Dice::new(3, 0);
        let parts: Vec<_> = (0..100).map(|_| torn(3 * SECTOR, &mut dice)).collect();
        assert!(parts.iter().all(|(from, to)| from % SECTOR == 0 && to % SECTOR == 0 && from <= to));
        assert!(parts.contains(&(0, SECTOR)) && parts.contains(&(SECTOR, 3 * SECTOR)));
    }

    #[test]
    fn what_was_flushed_is_on_the_disk_and_nothing_else_before_chance_has_its_say() {
        // A copy by reference needs a file system that has them; what is tested here needs none.
        let directory = tempfile::tempdir().unwrap();
        let log = Log::create(&directory.path().join("log")).unwrap();
        log.start(|| Ok(())).unwrap();
        log.write(0, &[1; 4096], || Ok(())).unwrap();
        log.flush();
        log.write(4096, &[2; 4096], || Ok(())).unwrap();
        let replay = Replay::new(&log, &directory.path().join("base"));
        let image = directory.path().join("image");
        let disk = File::options().read(true).write(true).create_new(true).open(image).unwrap();
        disk.set_len(8192).unwrap();
        replay.apply(&disk, replay.entries[0], None).unwrap();
        let (mut first, mut second) = ([0; 1], [0; 1]);
        disk.read_exact_at(&mut first, 0).unwrap();
        disk.read_exact_at(&mut second, 4096).unwrap();
        assert_eq!((first, second), ([1], [0]));
        assert_eq!(flushed(&replay.entries, 0), 1);
    }
}
