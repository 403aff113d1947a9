//! A btrfs disk of one test's own, and volumes on it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;
use yunting_controller::keys::DataKey;
use yunting_controller::node::volume::cipher;
use yunting_controller::node::volume::error::Error;
use yunting_controller::node::volume::header::Header;
use yunting_controller::node::volume::replica;
use yunting_controller::node::volume::store::Store;
use yunting_crds::volume_key::WrappedKey;
use yunting_lab::packages;
use yunting_lab::progress::Progress;

/// The disk; gone with it, whatever is mounted from it.
pub struct Disk {
    pub store: Arc<Store>,
    root: PathBuf,
    directory: TempDir,
}

/// A data key.
pub fn key(number: u8) -> DataKey {
    DataKey::new(&[number; 32]).unwrap()
}

impl Disk {
    pub fn new(bytes: u64) -> Self {
        static TOOLS: Mutex<()> = Mutex::new(());
        {
            // One of the tests that run at once installs what is missing.
            let _one = TOOLS.lock().unwrap_or_else(PoisonError::into_inner);
            packages::ensure(&Progress::new()).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let (image, root) = (directory.path().join("disk"), directory.path().join("root"));
        File::create(&image).unwrap().set_len(bytes).unwrap();
        fs::create_dir(&root).unwrap();
        run(Command::new("mkfs.btrfs").arg("-q").arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&root));
        let store = Arc::new(Store::open(&root.join("disk")).unwrap());
        Self { store, root, directory }
    }

    /// Where a node is told that its volumes are.
    pub fn directory(&self) -> PathBuf {
        self.root.join("disk")
    }

    /// Points and replicas on it.
    pub fn points(&self) -> replica::disk::Disk {
        replica::disk::Disk::open(&self.root.join("disk")).unwrap()
    }

    /// A place for small files.
    pub fn files(&self) -> &Path {
        self.directory.path()
    }

    /// How often a text is in the clear on what holds the disk itself.
    pub fn found(&self, text: &str) -> usize {
        self.sync();
        let bytes = fs::read(self.directory.path().join("disk")).unwrap();
        memchr::memmem::find_iter(&bytes, text).count()
    }

    /// Where a volume is opened.
    pub fn at(&self, volume: &str) -> PathBuf {
        self.directory.path().join("open").join(volume)
    }

    pub async fn make(&self, volume: &str, size: u64) -> Header {
        let wrapped = WrappedKey { kek: "0".repeat(16), generation: 1, data: "AAAA".to_owned() };
        let (vdc, volume) = ("aaaaaaaa-1111".to_owned(), volume.to_owned());
        let fresh = self.store.begin(&volume).await.unwrap();
        cipher::create(&volume, &fresh.place, size).await.unwrap();
        let header = Header { version: cipher::VERSION, volume, vdc, size, wrapped, source: None };
        self.store.finish(fresh, &header).await.unwrap();
        header
    }

    /// Opens a volume; where what is in it is.
    pub async fn open(&self, volume: &str, number: u8) -> Result<PathBuf, Error> {
        let at = self.at(volume);
        cipher::open(volume, &self.store.place(volume), &key(number), &at).await?;
        Ok(cipher::data(&at))
    }

    /// Closes what [`Disk::open`] opened, as the driver does: whatever another test starts at this moment has the files of
    /// this one until it runs.
    pub async fn close(&self, volume: &str) {
        cipher::close_probed(&self.at(volume)).await.unwrap();
    }

    /// Where volumes are mounted.
    pub fn mounts(&self) -> Vec<PathBuf> {
        mounted(&self.directory.path().join("open"))
    }

    /// Devices that show files of this disk.
    pub fn devices(&self) -> Vec<String> {
        let output =
            Command::new("losetup").args(["--noheadings", "--output", "BACK-FILE"]).output().unwrap();
        let inside = self.root.display().to_string();
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .filter(|l| l.contains(&inside))
            .map(str::to_owned)
            .collect()
    }

    pub fn subvolumes(&self) -> Vec<String> {
        let output =
            Command::new("btrfs").args(["subvolume", "list", "-o"]).arg(&self.root).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|l| l.rsplit_once("disk/").map(|(_, name)| name.to_owned())).collect()
    }

    /// Fills the disk; whether it is full then.
    pub fn fill(&self, file: &Path) -> bool {
        let mut file = File::create(file).unwrap();
        let block = vec![0x5a; 1 << 20];
        for _ in 0..4096 {
            if file.write_all(&block).is_err() || file.sync_data().is_err() {
                self.sync();
                return true;
            }
        }
        false
    }

    pub fn sync(&self) {
        // A full disk may say so here, too.
        let _ = Command::new("btrfs").args(["filesystem", "sync"]).arg(&self.root).output();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for mount in mounted(self.directory.path()).iter().rev() {
            let _ = Command::new("umount").arg(mount).status();
        }
    }
}

fn mounted(below: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let places = text.lines().filter_map(|l| l.split(' ').nth(4)).map(PathBuf::from);
    places.filter(|p| p.starts_with(below)).collect()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
