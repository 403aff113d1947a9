//! A site's disk: an ext4 loop file that can lose power, and on it a btrfs loop file for volumes.
//!
//! Both are mounted inside the site's own mount namespace only, with loop devices that free themselves, so the end
//! of the site's process tree takes them along.

use std::fs::{self, File};
use std::path::Path;

use crate::cmd;
use crate::error::{Error, Result};
use crate::spec::SiteDir;

/// Sparse sizes: what is written counts, not these.
const DISK_BYTES: u64 = 96 << 30;
const VOLUMES_BYTES: u64 = 64 << 30;

/// Makes the loop file with its file system, from the host, before the site starts for the first time.
pub fn ensure(dir: &SiteDir) -> Result<()> {
    for place in [dir.disk(), dir.volumes()] {
        fs::create_dir_all(&place).map_err(Error::io("make", &place))?;
    }
    let image = dir.disk_image();
    if image.is_file() {
        return Ok(());
    }
    let fresh = image.with_extension("new");
    sparse(&fresh, DISK_BYTES)?;
    let options = ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1"];
    cmd::run("make the site's disk", "mkfs.ext4", options.iter().map(Path::new).chain([fresh.as_path()]))?;
    fs::rename(&fresh, &image).map_err(Error::io("keep", &image))
}

/// Mounts both, from inside the site's mount namespace.
pub fn mount(dir: &SiteDir) -> Result<()> {
    mount_loop(&dir.disk_image(), &dir.disk(), "ext4")?;
    let image = dir.disk().join("volumes.btrfs");
    if !image.is_file() {
        let fresh = image.with_extension("new");
        sparse(&fresh, VOLUMES_BYTES)?;
        cmd::run("make the volumes' file system", "mkfs.btrfs", [Path::new("-q"), Path::new("-f"), &fresh])?;
        fs::rename(&fresh, &image).map_err(Error::io("keep", &image))?;
    }
    mount_loop(&image, &dir.volumes(), "btrfs")
}

/// Cuts the power of a site's disk: what was not synced is gone. `pid` is any process of the site.
///
/// `xfs_io`'s `shutdown` is `EXT4_IOC_SHUTDOWN` with `NOLOGFLUSH`; the call itself would need unsafe code here.
pub fn power_off(dir: &SiteDir, pid: u32) -> Result<()> {
    let mount = format!("--mount=/proc/{pid}/ns/mnt");
    let disk = dir.disk();
    let words = [mount.as_ref(), "xfs_io".as_ref(), "-x".as_ref(), "-c".as_ref(), "shutdown".as_ref()];
    cmd::run("cut the power of the site's disk", "nsenter", words.into_iter().chain([disk.as_os_str()]))
        .map(drop)
}

fn mount_loop(image: &Path, place: &Path, kind: &str) -> Result<()> {
    let words = ["-t".as_ref(), kind.as_ref(), "-o".as_ref(), "loop,noatime".as_ref(), image.as_os_str()];
    cmd::run(&format!("mount {}", place.display()), "mount", words.into_iter().chain([place.as_os_str()]))
        .map(drop)
}

fn sparse(path: &Path, bytes: u64) -> Result<()> {
    let file = File::create(path).map_err(Error::io("make", path))?;
    file.set_len(bytes).map_err(Error::io("size", path))
}
