//! What is mounted where, in the words of the kernel.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount_bind, mount_remount, unmount};

use super::error::Error;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounted {
    /// Where.
    pub(super) at: PathBuf,
    /// Type of its file system.
    pub(super) kind: String,
    /// What is mounted, as its file system says.
    pub(super) source: String,
}

/// The mount that lies on top at that place.
pub(super) fn at(place: &Path) -> Result<Option<Mounted>, Error> {
    Ok(all()?.into_iter().rev().find(|m| m.at == place))
}

/// All of this mount namespace, in the order they were made.
pub(super) fn all() -> Result<Vec<Mounted>, Error> {
    let path = "/proc/self/mountinfo";
    let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
    Ok(text.lines().filter_map(parse).collect())
}

/// A line of proc_pid_mountinfo(5): `36 35 98:0 /root /place options [tags] - type source options`.
fn parse(line: &str) -> Option<Mounted> {
    let (left, right) = line.split_once(" - ")?;
    let at = PathBuf::from(unescape(left.split(' ').nth(4)?));
    let mut right = right.split(' ');
    Some(Mounted { at, kind: right.next()?.to_owned(), source: unescape(right.next()?) })
}

/// The kernel writes blanks and backslashes as `\` and three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let letter = part.get(..3).and_then(|o| u32::from_str_radix(o, 8).ok()).and_then(char::from_u32);
        if let (Some(letter), Some(rest)) = (letter, part.get(3..)) {
            plain.push(letter);
            plain.push_str(rest);
        } else {
            plain.push('\\');
            plain.push_str(part);
        }
    }
    plain
}

/// Shows a directory at another place, once.
pub(super) fn bind(from: &Path, to: &Path, read_only: bool) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(Error::file("make", to))?;
    if at(to)?.is_none() {
        mount_bind(from, to).map_err(|e| Error::file("mount", to)(e.into()))?;
    }
    if read_only {
        let flags = MountFlags::BIND | MountFlags::RDONLY;
        mount_remount(to, flags, c"").map_err(|e| Error::file("make read-only", to)(e.into()))?;
    }
    Ok(())
}

/// Takes away everything that is mounted at that place. What is not mounted is taken away.
pub(super) fn take_away(place: &Path) -> Result<(), Error> {
    while at(place)?.is_some() {
        unmount(place, UnmountFlags::NOFOLLOW).map_err(|e| Error::file("unmount", place)(e.into()))?;
    }
    Ok(())
}

/// Takes the mount and its empty directory away.
pub(super) fn remove(place: &Path) -> Result<(), Error> {
    take_away(place)?;
    match fs::remove_dir(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("remove", place)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let line = r"123 88 0:55 / /run/a\040b rw,nosuid shared:9 - fuse.gocryptfs /disk/v\134x rw,user_id=0";
        let mounted = parse(line).unwrap();
        assert_eq!(mounted.at, Path::new("/run/a b"));
        assert_eq!((mounted.kind.as_str(), mounted.source.as_str()), ("fuse.gocryptfs", r"/disk/v\x"));
        assert_eq!(parse("nothing"), None);
        assert_eq!(unescape(r"a\9"), r"a\9");
    }

    #[test]
    fn this_machine_has_a_root() {
        assert!(all().unwrap().iter().any(|m| m.at == Path::new("/")));
    }
}
