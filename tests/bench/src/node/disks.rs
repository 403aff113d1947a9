//! Disks of volumes: a btrfs file system in a file each, with volumes as the driver makes and opens them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, ensure};
use tempfile::TempDir;
use yunting_controller::keys::DataKey;
use yunting_controller::node::volume::cipher;
use yunting_controller::node::volume::header::Header;
use yunting_controller::node::volume::replica;
use yunting_controller::node::volume::store::Store;
use yunting_crds::volume_key::WrappedKey;
use yunting_lab::packages;
use yunting_lab::progress::Progress;

/// VDC of the volumes.
pub const VDC: &str = "aaaaaaaa-1111";

/// A disk; gone with it, whatever is mounted from it.
pub struct Disk {
    /// Its volumes.
    pub store: Arc<Store>,
    root: PathBuf,
    directory: TempDir,
}

impl Disk {
    /// Makes one of so many bytes. The file has holes: what is not written takes no room.
    pub fn new(bytes: u64) -> anyhow::Result<Self> {
        packages::ensure(&Progress::new())?;
        let directory = tempfile::tempdir()?;
        let (image, root) = (directory.path().join("disk"), directory.path().join("root"));
        File::create(&image)?.set_len(bytes)?;
        std::fs::create_dir(&root)?;
        run(Command::new("mkfs.btrfs").arg("-q").arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&root))?;
        let store = Arc::new(Store::open(&root.join("disk"))?);
        Ok(Self { store, root, directory })
    }

    /// A plain directory on it.
    pub fn plain(&self, name: &str) -> anyhow::Result<PathBuf> {
        let at = self.root.join(name);
        std::fs::create_dir_all(&at)?;
        Ok(at)
    }

    /// A place for small files, elsewhere.
    pub fn files(&self) -> &Path {
        self.directory.path()
    }

    /// Points and replicas on it.
    pub fn points(&self) -> anyhow::Result<replica::disk::Disk> {
        Ok(replica::disk::Disk::open(&self.root.join("disk"))?)
    }

    /// Makes a volume and opens it; where what is in it is.
    pub async fn volume(&self, name: &str, size: u64) -> anyhow::Result<PathBuf> {
        let wrapped = WrappedKey { kek: "0".repeat(16), generation: 1, data: "AAAA".to_owned() };
        let fresh = self.store.begin(name).await?;
        cipher::create(name, &fresh.place, size).await?;
        let (vdc, volume) = (VDC.to_owned(), name.to_owned());
        let header = Header { version: cipher::VERSION, volume, vdc, size, wrapped, source: None };
        self.store.finish(fresh, &header).await?;
        let key = DataKey::new(&[7; 32]).context("a key has 32 bytes")?;
        let at = self.directory.path().join("open").join(name);
        cipher::open(name, &self.store.place(name), &key, &at).await?;
        Ok(cipher::data(&at))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let places = mounts.lines().filter_map(|l| l.split(' ').nth(4)).map(PathBuf::from);
        let own: Vec<PathBuf> = places.filter(|p| p.starts_with(self.directory.path())).collect();
        for mount in own.iter().rev() {
            // Nobody to tell: what stays mounted is seen in the list of mounts.
            let _ = Command::new("umount").arg(mount).status();
        }
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
