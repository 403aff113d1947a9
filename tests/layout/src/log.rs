//! Every write and every flush that a disk was asked for, in the order in which it saw them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;

/// What the disk was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `length` bytes at `offset` of the disk, kept at `kept` of the log's file.
    Write {
        /// Bytes from the disk's begin.
        offset: u64,
        /// Bytes.
        length: u64,
        /// Bytes from the begin of the log's file.
        kept: u64,
    },
    /// All writes before this one are on the medium.
    Flush,
}

struct Inner {
    recording: bool,
    entries: Vec<Entry>,
    end: u64,
}

/// The log of one disk. A position is a number of entries.
pub struct Log {
    data: File,
    inner: Mutex<Inner>,
}

impl Log {
    /// An empty log that keeps data in a new file.
    pub fn create(data: &Path) -> anyhow::Result<Self> {
        let data = File::options().read(true).write(true).create(true).truncate(true).open(data);
        let inner = Inner { recording: false, entries: Vec::new(), end: 0 };
        Ok(Self { data: data.context("the log's file")?, inner: Mutex::new(inner) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to record; `before` runs while no write can come, to copy the disk as it is at position 0.
    pub fn start(&self, before: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut inner = self.inner();
        before()?;
        inner.recording = true;
        Ok(())
    }

    /// Ends recording.
    pub fn stop(&self) {
        self.inner().recording = false;
    }

    /// Entries so far.
    pub fn position(&self) -> usize {
        self.inner().entries.len()
    }

    /// All entries.
    pub fn entries(&self) -> Vec<Entry> {
        self.inner().entries.clone()
    }

    /// Records a write and carries it out, as one step.
    pub fn write(
        &self,
        offset: u64,
        data: &[u8],
        carry_out: impl FnOnce() -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let mut inner = self.inner();
        if inner.recording {
            let (kept, length) = (inner.end, data.len() as u64);
            self.data.write_all_at(data, kept)?;
            inner.end += length;
            inner.entries.push(Entry::Write { offset, length, kept });
        }
        carry_out()
    }

    /// Records a flush.
    pub fn flush(&self) {
        let mut inner = self.inner();
        if inner.recording {
            inner.entries.push(Entry::Flush);
        }
    }

    /// The bytes from `kept` on.
    pub fn read(&self, kept: u64, length: u64) -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length)?];
        self.data.read_exact_at(&mut bytes, kept)?;
        Ok(bytes)
    }
}
