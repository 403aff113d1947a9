//! The candidates: how a volume is made in a btrfs subvolume, and how it is opened with its key.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use yunting_layout::command::{command, feed, run};
use yunting_layout::mounts::{Loop, Mount, Process};

/// Bytes of an image or a container, where a layout has one.
const SIZE: u64 = 400 << 20;

/// A layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// No encryption: files in the subvolume. What the others are measured against.
    Plain,
    /// A directory of gocryptfs ciphertext.
    Gocryptfs,
    /// An ext4 image with an encrypted directory (fscrypt v2), loop-mounted.
    Fscrypt,
    /// A LUKS1 container served by `qemu-storage-daemon`, ext4 on it loop-mounted.
    Luks,
}

/// A volume's key: 64 bytes.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// A key that `seed` decides; nothing secret is under it.
    pub fn of(seed: u64) -> Self {
        let mut dice = crate::dice::Dice::new(seed, 0);
        Self(
            (0..64)
                .map(|_| char::from(b"0123456789abcdef"[usize::try_from(dice.below(16)).unwrap_or(0)]))
                .collect(),
        )
    }
}

/// An open volume. Fields are dropped in their order, so what lies above goes first.
pub struct Open {
    /// What a pod would see.
    pub root: PathBuf,
    mount: Option<Mount>,
    device: Option<Loop>,
    process: Option<Process>,
}

impl Open {
    /// Closes it.
    pub fn close(self) {
        let Self { root: _, mount, device, process } = self;
        drop(mount);
        drop(device);
        drop(process);
    }
}

impl Layout {
    /// Makes a volume in an empty subvolume.
    pub fn create(self, volume: &Path, key: &Key, at: &Path) -> anyhow::Result<()> {
        match self {
            Self::Plain => Ok(std::fs::create_dir(volume.join("data"))?),
            Self::Gocryptfs => create_gocryptfs(volume, key),
            Self::Fscrypt => create_fscrypt(volume, key, at),
            Self::Luks => create_luks(volume, key, at),
        }
    }

    /// Opens the volume in a subvolume; `at` is a directory of its own for mounts.
    pub fn open(self, volume: &Path, key: &Key, at: &Path) -> anyhow::Result<Open> {
        std::fs::create_dir_all(at)?;
        match self {
            Self::Plain => {
                let root = volume.join("data");
                Ok(Open { root, mount: None, device: None, process: None })
            }
            Self::Gocryptfs => open_gocryptfs(volume, key, at),
            Self::Fscrypt => open_fscrypt(volume, key, at),
            Self::Luks => open_luks(volume, key, at),
        }
    }
}

fn create_gocryptfs(volume: &Path, key: &Key) -> anyhow::Result<()> {
    let cipher = volume.join("cipher");
    std::fs::create_dir(&cipher)?;
    // The key is random, so a costly derivation of it would protect nothing.
    feed(command("gocryptfs", ["-q", "-init", "-scryptn", "10"]).arg(&cipher), key.0.as_bytes()).map(drop)
}

fn open_gocryptfs(volume: &Path, key: &Key, at: &Path) -> anyhow::Result<Open> {
    let root = at.join("clear");
    std::fs::create_dir_all(&root)?;
    let mut gocryptfs = command("gocryptfs", ["-q", "-allow_other"]);
    feed(gocryptfs.arg(volume.join("cipher")).arg(&root), key.0.as_bytes())?;
    Ok(Open { mount: Some(Mount::adopt(&root)), root, device: None, process: None })
}

fn sparse(file: &Path) -> anyhow::Result<()> {
    Ok(std::fs::File::create(file)?.set_len(SIZE)?)
}

fn ext4(device: &Path, features: &str) -> anyhow::Result<()> {
    let extended = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
    let options = ["-q", "-F", "-b", "4096", "-m", "0", "-O", features, "-E", extended];
    run(command("mkfs.ext4", options).arg(device)).map(drop)
}

/// Adds the key to the mounted file system; its identifier. `xfs_io` because it reads the key from its standard input
/// and nothing else does on Debian.
fn add_key(at: &Path, key: &Key) -> anyhow::Result<String> {
    let said = feed(command("xfs_io", ["-F", "-c", "add_enckey"]).arg(at), key.0.as_bytes())?;
    let identifier = said.rsplit(' ').next().unwrap_or_default();
    if identifier.len() != 32 {
        bail!("xfs_io add_enckey: {said}");
    }
    Ok(identifier.to_owned())
}

fn create_fscrypt(volume: &Path, key: &Key, at: &Path) -> anyhow::Result<()> {
    let image = volume.join("image");
    sparse(&image)?;
    ext4(&image, "encrypt")?;
    let device = Loop::attach(&image, true)?;
    let root = at.join("ext4");
    let mount = Mount::new(device.device(), &root, "noatime")?;
    let identifier = add_key(&root, key)?;
    let data = root.join("data");
    std::fs::create_dir(&data)?;
    let policy = format!("set_encpolicy -v 2 -c AES-256-XTS -n AES-256-CTS {identifier}");
    run(command("xfs_io", ["-F", "-c", &policy]).arg(&data))?;
    drop(mount);
    Ok(())
}

fn open_fscrypt(volume: &Path, key: &Key, at: &Path) -> anyhow::Result<Open> {
    let device = Loop::attach(&volume.join("image"), true)?;
    let root = at.join("ext4");
    let mount = Mount::new(device.device(), &root, "noatime,errors=remount-ro")?;
    add_key(&root, key)?;
    Ok(Open { root: root.join("data"), mount: Some(mount), device: Some(device), process: None })
}

fn create_luks(volume: &Path, key: &Key, at: &Path) -> anyhow::Result<()> {
    let container = volume.join("container");
    sparse(&container)?;
    let cost =
        ["--type", "luks1", "-q", "--disable-locks", "--pbkdf-force-iterations", "1000", "--key-file", "-"];
    feed(command("cryptsetup", ["luksFormat"]).args(cost).arg(&container), key.0.as_bytes())?;
    std::fs::create_dir_all(at)?;
    let (view, process) = export(&container, key, at)?;
    ext4(&view, "^encrypt")?;
    drop(process);
    Ok(())
}

fn open_luks(volume: &Path, key: &Key, at: &Path) -> anyhow::Result<Open> {
    let (view, process) = export(&volume.join("container"), key, at)?;
    let device = Loop::attach(&view, true)?;
    let root = at.join("ext4");
    let mount = Mount::new(device.device(), &root, "noatime,errors=remount-ro")?;
    let data = root.join("data");
    std::fs::create_dir_all(&data)?;
    Ok(Open { root: data, mount: Some(mount), device: Some(device), process: Some(process) })
}

/// The container's clear view as a file, until the process ends.
fn export(container: &Path, key: &Key, at: &Path) -> anyhow::Result<(PathBuf, Process)> {
    let (view, secret) = (at.join("view"), at.join("secret"));
    std::fs::write(&secret, &key.0)?;
    std::fs::write(&view, "")?;
    let (container, shown) = (container.display(), view.display());
    let mut daemon = command("qemu-storage-daemon", ["--object"]);
    daemon.arg(format!("secret,id=key,file={}", secret.display())).arg("--blockdev");
    daemon.arg(format!("driver=file,filename={container},node-name=file,cache.direct=on")).arg("--blockdev");
    daemon.arg("driver=luks,file=file,key-secret=key,node-name=luks").arg("--export");
    daemon.arg(format!("type=fuse,id=view,node-name=luks,mountpoint={shown},writable=on"));
    let mut process = Process::start(&mut daemon)?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::fs::metadata(&view).map_or(0, |found| found.len()) == 0 {
        if process.has_ended() || Instant::now() > deadline {
            bail!("qemu-storage-daemon shows no view of {container}");
        }
        std::thread::sleep(Duration::from_millis(5)); // between two looks
    }
    Ok((view, process))
}

/// A subvolume.
pub fn subvolume(at: &Path) -> anyhow::Result<()> {
    run(command("btrfs", ["-q", "subvolume", "create"]).arg(at)).map(drop).context("a subvolume")
}
