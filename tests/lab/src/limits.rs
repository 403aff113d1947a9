//! Kernel limits that three kubelets on one machine run into. Raised by `up`, put back by the last lab's `down`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::pki::write_secret;
use crate::progress::Progress;
use crate::spec::Lab;

/// Each kubelet, containerd and API server watches dozens of files; the usual 128 instances end with the third site.
const WANTED: [(&str, u64); 2] = [("max_user_instances", 8192), ("max_user_watches", 524_288)];
const PLACE: &str = "/proc/sys/fs/inotify";

/// Raises what is lower, and notes what it was.
pub fn raise(lab: &Lab, progress: &Progress) -> Result<()> {
    let mut before: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, wanted) in WANTED {
        let file = Path::new(PLACE).join(name);
        let text = fs::read_to_string(&file).map_err(Error::io("read the limit", &file))?;
        let now: u64 = text.trim().parse().map_err(Error::malformed(file.display().to_string()))?;
        if now < wanted {
            progress.say(
                "lab",
                &format!("raises fs.inotify.{name} from {now} to {wanted} until the last lab is down"),
            );
            fs::write(&file, wanted.to_string()).map_err(Error::io("raise the limit", &file))?;
            before.insert(name, now);
        }
    }
    if before.is_empty() {
        return Ok(());
    }
    let text = serde_json::to_string(&before).map_err(Error::malformed("the kernel's limits"))?;
    write_secret(&note(lab), &text)
}

/// Puts the limits back unless another lab is there.
pub fn restore(lab: &Lab) -> Result<()> {
    let note = note(lab);
    let others = note.parent().and_then(|base| fs::read_dir(base).ok()).into_iter().flatten().flatten();
    let other_lab = others.filter(|entry| entry.path() != lab.dir).any(|entry| entry.path().is_dir());
    let Ok(text) = fs::read_to_string(&note) else { return Ok(()) };
    if other_lab {
        return Ok(());
    }
    let before: BTreeMap<String, u64> =
        serde_json::from_str(&text).map_err(Error::malformed(note.display().to_string()))?;
    for (name, value) in before.iter().filter(|(name, _)| WANTED.iter().any(|(wanted, _)| wanted == name)) {
        let file = Path::new(PLACE).join(name);
        fs::write(&file, value.to_string()).map_err(Error::io("put back the limit", &file))?;
    }
    fs::remove_file(&note).map_err(Error::io("remove", &note))
}

/// Beside the labs' states: the limits belong to the machine.
fn note(lab: &Lab) -> PathBuf {
    lab.dir.with_file_name("limits.json")
}
