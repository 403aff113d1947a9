//! A BPF file system of a test's own.

use std::path::PathBuf;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Gone with it, and everything that only it held.
pub struct Pins(tempfile::TempDir);

impl Pins {
    /// An empty one.
    pub fn new() -> anyhow::Result<Self> {
        let place = tempfile::tempdir()?;
        mount("bpf", place.path(), "bpf", MountFlags::empty(), None)?;
        Ok(Self(place))
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        if let Err(error) = unmount(self.0.path(), UnmountFlags::DETACH) {
            eprintln!("{error}");
        }
    }
}
