//! What a lab leaves on the machine, and removing it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::cgroup;
use crate::error::{Error, Result};
use crate::spec::Lab;

/// Everything on the machine that belongs to the lab of that name: processes, mounts, namespaces, loop devices,
/// control groups, state. Empty after `down`.
pub fn leftovers(name: &str) -> Vec<String> {
    let Ok(lab) = Lab::new(name, crate::spec::SITES.len()) else { return Vec::new() };
    let mut found = Vec::new();
    let names: Vec<String> = lab.sites.iter().map(|s| lab.site_netns(s)).chain([lab.wan_netns()]).collect();
    for netns in &names {
        found.extend(processes_in(netns));
        if Lab::netns_file(netns).exists() {
            found.push(format!("network namespace {netns}"));
        }
    }
    found.extend(processes_naming(&lab.dir));
    let dir = lab.dir.to_string_lossy();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let below = format!("{dir}/");
    found.extend(mounts.lines().filter(|line| line.contains(&below)).map(|line| format!("mount {line}")));
    let files = loop_files();
    found.extend(
        files.iter().filter(|file| file.starts_with(&below)).map(|file| format!("loop device on {file}")),
    );
    let groups = lab.sites.iter().map(|site| lab.cgroup(site)).chain([lab.name.clone()]);
    for group in groups.flat_map(|name| cgroup::existing(&name)) {
        found.push(format!("control group {}", group.display()));
    }
    if lab.dir.exists() {
        found.push(format!("state {dir}"));
    }
    found
}

/// The processes inside a network namespace, as `pid name`.
pub fn processes_in(netns: &str) -> Vec<String> {
    let Ok(wanted) = fs::metadata(Lab::netns_file(netns)) else { return Vec::new() };
    let inside = |pid: &str| {
        fs::metadata(format!("/proc/{pid}/ns/net"))
            .is_ok_and(|own| own.ino() == wanted.ino() && own.dev() == wanted.dev())
    };
    pids().into_iter().filter(|pid| inside(pid)).map(|pid| named(&pid)).collect()
}

/// The processes that have the lab's state in their command line, besides this one.
fn processes_naming(dir: &Path) -> Vec<String> {
    let (dir, own) = (format!("{}/", dir.display()), std::process::id().to_string());
    let names = |pid: &str| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let first = words.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(first).starts_with(&dir)
    };
    pids().into_iter().filter(|pid| *pid != own && names(pid)).map(|pid| named(&pid)).collect()
}

/// The files behind all loop devices in use.
pub fn loop_files() -> Vec<String> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let file = |device: fs::DirEntry| fs::read_to_string(device.path().join("loop/backing_file")).ok();
    devices.filter_map(file).map(|file| file.trim().to_owned()).collect()
}

/// Removes the lab's state.
pub fn remove_state(lab: &Lab) -> Result<()> {
    match fs::remove_dir_all(&lab.dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &lab.dir)(e)),
        _ => Ok(()),
    }
}

fn pids() -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.bytes().all(|b| b.is_ascii_digit())).collect()
}

fn named(pid: &str) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("process {pid} {}", name.trim())
}
