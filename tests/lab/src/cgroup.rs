//! Control groups of a lab: one per site, with the site's own processes in `system` and its pods beside it.
//!
//! Without them everything would stay in the group of the shell that typed `up`, with that group's limits and end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::daemon;
use crate::error::{Error, Result};

const ROOT: &str = "/sys/fs/cgroup";

/// Makes a group in every hierarchy. `cpuset` starts empty in cgroup v1 and must be filled before use.
pub fn make(name: &str) -> Result<()> {
    for hierarchy in hierarchies() {
        let group = hierarchy.join(name);
        fs::create_dir_all(&group).map_err(Error::io("make the control group", &group))?;
    }
    let cpuset = Path::new(ROOT).join("cpuset");
    let mut group = cpuset.clone();
    for part in name.split('/') {
        group.push(part);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(all) = fs::read_to_string(cpuset.join(file)) {
                fs::write(group.join(file), all.trim()).map_err(Error::io("fill", group.join(file)))?;
            }
        }
    }
    Ok(())
}

/// Moves this process into a group, in every hierarchy, and with it what it will start.
pub fn enter(name: &str) -> Result<()> {
    make(name)?;
    hierarchies()
        .into_iter()
        .map(|hierarchy| hierarchy.join(name).join("cgroup.procs"))
        .try_for_each(|file| fs::write(&file, "0").map_err(Error::io("enter the control group", &file)))
}

/// The groups of that name that exist.
pub fn existing(name: &str) -> Vec<PathBuf> {
    hierarchies().into_iter().map(|hierarchy| hierarchy.join(name)).filter(|group| group.is_dir()).collect()
}

/// Removes a group with everything below it in every hierarchy, cgroup v2's included.
pub fn remove(name: &str) -> Result<()> {
    existing(name).iter().try_for_each(|group| remove_tree(group))
}

/// The memory a group uses without what the kernel could drop at once, in bytes; 0 when it is not known.
pub fn memory(name: &str) -> u64 {
    let stat =
        fs::read_to_string(Path::new(ROOT).join("memory").join(name).join("memory.stat")).unwrap_or_default();
    let value = |key: &str| {
        stat.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok()).unwrap_or_default()
    };
    value("total_rss ") + value("total_shmem ")
}

/// Every hierarchy of cgroup v1, and `unified`; of a pure cgroup v2 the one root.
fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new(ROOT);
    if root.join("cgroup.procs").is_file() {
        return vec![root.to_owned()];
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| !path.is_symlink() && path.join("cgroup.procs").is_file()).collect()
}

/// Control groups are directories that hold no files one could delete: children first.
fn remove_tree(group: &Path) -> Result<()> {
    for child in fs::read_dir(group).into_iter().flatten().flatten() {
        if child.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&child.path())?;
        }
    }
    // The kernel needs a moment to account for the processes that just ended.
    daemon::wait_until("a control group to be empty", Duration::from_secs(10), || {
        match fs::remove_dir(group) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|e| format!("{}: {e}", group.display())),
        }
    })
}
