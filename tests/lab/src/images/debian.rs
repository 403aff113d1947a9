//! Debian packages as a source of programs for images: downloaded once into the cache, read, never installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Error;
use super::rootfs::Rootfs;

/// The newest cached file of each package; what is missing is downloaded first.
pub fn packages(directory: &Path, names: &[&str], log: &dyn Fn(&str)) -> Result<Vec<PathBuf>, Error> {
    std::fs::create_dir_all(directory)
        .map_err(|source| Error::WriteCache { path: directory.to_owned(), source })?;
    let missing: Vec<&str> = names.iter().copied().filter(|name| cached(directory, name).is_none()).collect();
    if !missing.is_empty() {
        log(&format!("downloading {} Debian packages for images", missing.len()));
        if !download(directory, &missing)? {
            // A fresh machine has no package lists, or lists that name versions which are gone.
            run_apt(directory, &["update"])?;
            download(directory, &missing)?;
        }
    }
    names
        .iter()
        .map(|name| cached(directory, name).ok_or_else(|| Error::MissingPackage { name: (*name).to_owned() }))
        .collect()
}

/// Adds the files of a package that `wanted` accepts.
pub fn unpack(package: &Path, into: &mut Rootfs, wanted: impl Fn(&str) -> bool) -> Result<(), Error> {
    let mut child = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .map_err(|source| Error::RunTool { tool: "dpkg-deb", source })?;
    if let Some(stream) = child.stdout.take() {
        into.add_tar(stream, wanted)?;
    }
    let status = child.wait().map_err(|source| Error::RunTool { tool: "dpkg-deb", source })?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::ToolFailed { tool: "dpkg-deb", output: status.to_string() })
    }
}

/// The cached file of a package; of several the one with the greatest name, so the choice is stable.
fn cached(directory: &Path, name: &str) -> Option<PathBuf> {
    let prefix = format!("{name}_");
    std::fs::read_dir(directory)
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .filter(|path| {
            path.file_name().and_then(|file| file.to_str()).is_some_and(|file| file.starts_with(&prefix))
        })
        .max()
}

fn download(directory: &Path, names: &[&str]) -> Result<bool, Error> {
    let mut arguments = vec!["download"];
    arguments.extend(names);
    run_apt(directory, &arguments)
}

/// Runs apt-get in `directory`; false when it says no, which a second try after `update` may mend.
fn run_apt(directory: &Path, arguments: &[&str]) -> Result<bool, Error> {
    let output = Command::new("apt-get")
        .args(["-qq", "-o", "APT::Sandbox::User=root"])
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::RunTool { tool: "apt-get", source })?;
    if !output.status.success() {
        tracing::warn!(output = %String::from_utf8_lossy(&output.stderr), "apt-get failed");
    }
    Ok(output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_found_by_its_whole_name() {
        let directory = tempfile::tempdir().unwrap();
        for file in ["libx_1_amd64.deb", "libx-dev_2_amd64.deb", "libx_1_amd64.deb.part"] {
            std::fs::write(directory.path().join(file), "").unwrap();
        }
        let found = cached(directory.path(), "libx").unwrap();
        assert!(found.ends_with("libx_1_amd64.deb"));
        assert!(cached(directory.path(), "lib").is_none());
    }
}
