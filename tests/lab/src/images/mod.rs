//! Container images without a registry: the demo workload and its helpers, built into OCI archives.
//!
//! Each image is a function of its inputs (a binary, Debian packages, a script); the archive lies in the
//! cache under a key of those inputs and is made once. Nothing here starts containerd: [`load`] only says
//! which commands bring the images into a running one.

mod debian;
mod elf;
mod oci;
mod recipes;
mod rootfs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use oci::{Image, Start};
pub use recipes::from_binary;
pub use rootfs::{Node, Rootfs};

/// Why an image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program for an image is not there.
    #[error("could not read the program {}", path.display())]
    ReadProgram {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A Debian package could not be read.
    #[error("could not read a Debian package")]
    ReadPackage(#[source] std::io::Error),
    /// A Debian package could not be had.
    #[error("Debian package {name} is not in the cache and apt-get could not download it")]
    MissingPackage {
        /// The package's name.
        name: String,
    },
    /// A library that a program names is not where it was looked for.
    #[error("{by} needs {library}, which was not found")]
    MissingLibrary {
        /// The library's file name.
        library: String,
        /// Who needs it.
        by: String,
    },
    /// A file is not a program.
    #[error("{name} is not an ELF file")]
    NotAProgram {
        /// The file's name.
        name: String,
        /// What the reader said.
        source: Box<goblin::error::Error>,
    },
    /// The layer could not be laid out.
    #[error("could not lay out an image's layer")]
    WriteLayer(#[source] std::io::Error),
    /// The cache could not be written.
    #[error("could not write {}", path.display())]
    WriteCache {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The lock file could not be put into words.
    #[error("could not write the lock file's text")]
    WriteLock(#[source] serde_json::Error),
    /// A tool is not there.
    #[error("could not run {tool}")]
    RunTool {
        /// The tool's name.
        tool: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A tool failed.
    #[error("{tool} failed: {output}")]
    ToolFailed {
        /// The tool's name.
        tool: &'static str,
        /// What it said.
        output: String,
    },
}

/// What a build made: where the archives are and how pods name the images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// OCI archives by short name (`hall`, `postgres`, `pause`, `busybox`).
    pub archives: BTreeMap<String, PathBuf>,
    /// References by short name, `localhost/yunting-hall@sha256:…`; the content of `images.lock.json`.
    pub refs: BTreeMap<String, String>,
}

impl Lock {
    /// The text of `images.lock.json`.
    pub fn json(&self) -> Result<String, Error> {
        serde_json::to_string_pretty(&self.refs).map(|text| text + "\n").map_err(Error::WriteLock)
    }
}

/// Changes when a recipe does, so that an old cache is not taken for a new one.
const RECIPES: u32 = 1;

/// An image still to be made: its inputs decide the key, its content is made only on a miss.
struct Recipe<'a> {
    short: &'static str,
    key: String,
    make: Box<dyn FnOnce() -> Result<Image, Error> + 'a>,
}

/// Builds all images into `<cache>/images/` and writes `<cache>/images/images.lock.json`.
pub fn build(cache: &Path, hall_binary: &Path, log: &dyn Fn(&str)) -> Result<Lock, Error> {
    let directory = cache.join("images");
    std::fs::create_dir_all(&directory)
        .map_err(|source| Error::WriteCache { path: directory.clone(), source })?;
    let mut lock = Lock::default();
    for recipe in recipes::all(&directory.join("packages"), hall_binary, log)? {
        let short = recipe.short.to_owned();
        let (archive, reference) = make(&directory, recipe, log)?;
        lock.archives.insert(short.clone(), archive);
        lock.refs.insert(short, reference);
    }
    write(&directory.join("images.lock.json"), lock.json()?.as_bytes())?;
    Ok(lock)
}

/// The archive and reference of one image, from the cache when its inputs are the same.
fn make(directory: &Path, recipe: Recipe<'_>, log: &dyn Fn(&str)) -> Result<(PathBuf, String), Error> {
    let key = oci::digest(format!("{RECIPES} {}", recipe.key).as_bytes());
    let stem = format!("{}-{}", recipe.short, key.get(7..23).unwrap_or_default());
    let archive = directory.join(format!("{stem}.tar"));
    let note = directory.join(format!("{stem}.ref"));
    if let (true, Ok(reference)) = (archive.exists(), std::fs::read_to_string(&note)) {
        return Ok((archive, reference));
    }
    log(&format!("building image {}", recipe.short));
    let packed = (recipe.make)()?.pack()?;
    packed.write(&archive)?;
    write(&note, packed.reference().as_bytes())?;
    Ok((archive, packed.reference()))
}

/// The commands that bring all images into a running containerd, in order, after `ctr`'s own words (for
/// example `["ctr", "--address", "…/containerd.sock"]`). They can be run again.
///
/// An archive names its image by tag and by digest. containerd 1.6 records both on import, and its CRI part
/// then finds `name@sha256:…` without pulling.
pub fn load(lock: &Lock, ctr: &[String]) -> Vec<Vec<String>> {
    lock.archives
        .values()
        .map(|archive| {
            let words = ["--namespace", "k8s.io", "images", "import"].map(str::to_owned);
            let path = archive.display().to_string();
            ctr.iter().cloned().chain(words).chain([path]).collect()
        })
        .collect()
}

/// Writes a file so that a reader sees the old or the new content and nothing else.
fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("partial");
    std::fs::write(&temporary, content)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|source| Error::WriteCache { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loading_names_each_archive_once() {
        let lock = Lock {
            archives: BTreeMap::from([
                ("hall".into(), PathBuf::from("/c/hall.tar")),
                ("pause".into(), PathBuf::from("/c/pause.tar")),
            ]),
            refs: BTreeMap::new(),
        };
        let commands = load(&lock, &["ctr".into(), "--address".into(), "/s".into()]);
        assert_eq!(commands[0].join(" "), "ctr --address /s --namespace k8s.io images import /c/hall.tar");
        assert_eq!(commands.len(), 2);
    }

    #[test]
    fn an_image_is_made_once_for_the_same_inputs() {
        let directory = tempfile::tempdir().unwrap();
        let recipe = |make: Box<dyn FnOnce() -> Result<Image, Error>>| Recipe {
            short: "x",
            key: "inputs".into(),
            make,
        };
        let image = || Image { name: "localhost/x".into(), rootfs: Rootfs::new(), start: Start::default() };
        let first = make(directory.path(), recipe(Box::new(move || Ok(image()))), &|_| ()).unwrap();
        let never = Box::new(|| Err(Error::MissingPackage { name: "made again".into() }));
        assert_eq!(make(directory.path(), recipe(never), &|_| ()).unwrap(), first);
    }
}
