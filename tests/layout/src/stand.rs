//! A node's disk with one busy volume on it, ready to be cut or copied.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use fuser::BackgroundSession;

use crate::disk;
use crate::layout::{self, Key, Layout, Open};
use crate::log::Log;
use yunting_layout::command::{command, run};
use yunting_layout::mounts::{Loop, Mount};
use yunting_layout::postgres::{Postgres, Server};

/// Bytes of the node's disk.
const DISK: u64 = 3 << 30;
/// Bytes of the file system for copies, which takes only what is written.
const SCRATCH: u64 = 64 << 30;

/// A file system that copies files by reference, in a file of its own.
pub struct Scratch {
    /// Its root; everything of one run is below.
    pub root: PathBuf,
    _mount: Mount,
    _device: Loop,
    _directory: tempfile::TempDir,
}

impl Scratch {
    /// Makes one in `parent`.
    pub fn new(parent: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("yunting-layout").tempdir_in(parent)?;
        let file = directory.path().join("scratch");
        std::fs::File::create(&file)?.set_len(SCRATCH)?;
        let device = Loop::attach(&file, true)?;
        run(command("mkfs.xfs", ["-q", "-f", "-K", "-m", "reflink=1"]).arg(device.device()))?;
        let root = directory.path().join("s");
        let mount = Mount::new(device.device(), &root, "noatime")?;
        open_to_all(directory.path())?;
        Ok(Self { root, _mount: mount, _device: device, _directory: directory })
    }
}

/// PostgreSQL's user must come through to what is below.
fn open_to_all(directory: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))?)
}

/// The disk, the volume and PostgreSQL in it. Fields are dropped in their order, so what lies above goes first.
pub struct Stand {
    server: Server,
    open: Open,
    mount: Mount,
    device: Loop,
    session: BackgroundSession,
    /// Where the node's btrfs is mounted; the volume is `volume` below.
    pub node: PathBuf,
    /// Where PostgreSQL's socket is.
    pub socket: PathBuf,
    /// The file that holds the disk.
    pub backing: PathBuf,
    /// What the disk was asked for.
    pub log: Arc<Log>,
}

impl Stand {
    /// Builds all of it below `root`.
    pub fn new(root: &Path, layout: Layout, key: &Key, postgres: &Postgres) -> anyhow::Result<Self> {
        let at = |name: &str| root.join(name);
        for name in ["fuse", "socket", "node"] {
            std::fs::create_dir_all(at(name))?;
        }
        let (backing, node) = (at("backing"), at("node"));
        std::fs::File::create(&backing)?.set_len(DISK)?;
        let log = Arc::new(Log::create(&at("log"))?);
        let session = disk::serve(&backing, &at("fuse"), log.clone())?;
        let device = Loop::attach(&at("fuse").join(disk::NAME), true)?;
        run(command("mkfs.btrfs", ["-q", "-K", "-f"]).arg(device.device()))?;
        let mount = Mount::new(device.device(), &node, "noatime,nodiscard").context("the node's disk")?;
        let volume = node.join("volume");
        layout::subvolume(&volume)?;
        layout.create(&volume, key, &at("make"))?;
        let open = layout.open(&volume, key, &at("open"))?;
        let server = postgres.create(&open.root, &at("socket"))?;
        // What `initdb` made is not what is tested: it has reached the disk before anything is cut.
        for file_system in [&open.root, &node] {
            run(command("sync", ["--file-system"]).arg(file_system))?;
        }
        Ok(Self { server, open, mount, device, session, node, socket: at("socket"), backing, log })
    }

    /// Takes it down in order; an error if the disk's file system does not end.
    pub fn down(self) -> anyhow::Result<()> {
        let Self { server, open, mount, device, session, .. } = self;
        drop(server);
        open.close();
        drop(mount);
        drop(device);
        session.umount_and_join().context("the disk does not end")
    }
}
