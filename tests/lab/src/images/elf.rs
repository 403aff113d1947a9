//! Finds the shared libraries a program needs, by reading its ELF headers.
//!
//! `ldd` would run the program's loader; reading is enough, works on files that lie in a package and gives
//! the same answer on each machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use goblin::elf::Elf;

use super::Error;
use super::rootfs::Rootfs;

/// Debian's name of this machine's library directory.
#[cfg(target_arch = "x86_64")]
pub const TRIPLET: &str = "x86_64-linux-gnu";
/// Debian's name of this machine's library directory.
#[cfg(target_arch = "aarch64")]
pub const TRIPLET: &str = "aarch64-linux-gnu";

/// What one ELF file asks for.
struct Needs {
    interpreter: Option<String>,
    libraries: Vec<String>,
}

/// The libraries found, by the path they get in the image.
pub type Libraries = BTreeMap<String, Vec<u8>>;

/// A place where libraries are looked for.
pub trait Source {
    /// Content of the library called `name`, if this source has it.
    fn library(&self, name: &str) -> Option<Vec<u8>>;
}

/// The machine we run on: right for programs compiled here.
pub struct Host;

impl Source for Host {
    fn library(&self, name: &str) -> Option<Vec<u8>> {
        let directories =
            [format!("/lib/{TRIPLET}"), format!("/usr/lib/{TRIPLET}"), "/lib64".into(), "/usr/lib".into()];
        directories.iter().map(|directory| Path::new(directory).join(name)).find_map(read_file)
    }
}

/// Unpacked packages: right for programs taken from packages.
pub struct Unpacked<'a>(pub &'a Rootfs);

impl Source for Unpacked<'_> {
    fn library(&self, name: &str) -> Option<Vec<u8>> {
        let directories =
            [format!("lib/{TRIPLET}"), format!("usr/lib/{TRIPLET}"), "lib64".into(), "usr/lib".into()];
        directories
            .iter()
            .find_map(|directory| self.0.read(&format!("{directory}/{name}")))
            .map(<[u8]>::to_vec)
    }
}

/// Libraries and loader that `programs` need, and all that those need in turn.
pub fn closure<'a>(
    programs: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    source: &dyn Source,
) -> Result<Libraries, Error> {
    let mut found = Libraries::new();
    let mut seen = BTreeSet::new();
    let mut queue = VecDeque::new();
    for (name, content) in programs {
        let needs = read(name, content)?;
        if let Some(interpreter) = needs.interpreter {
            let file = interpreter.rsplit('/').next().unwrap_or_default().to_owned();
            let content = find(source, name, &file)?;
            seen.insert(file);
            found.insert(interpreter, content);
        }
        queue.extend(needs.libraries.into_iter().map(|library| (name.to_owned(), library)));
    }
    while let Some((by, library)) = queue.pop_front() {
        if !seen.insert(library.clone()) {
            continue;
        }
        let content = find(source, &by, &library)?;
        let needs = read(&library, &content)?;
        queue.extend(needs.libraries.into_iter().map(|next| (library.clone(), next)));
        found.insert(format!("/usr/lib/{TRIPLET}/{library}"), content);
    }
    Ok(found)
}

fn find(source: &dyn Source, by: &str, library: &str) -> Result<Vec<u8>, Error> {
    source
        .library(library)
        .ok_or_else(|| Error::MissingLibrary { library: library.to_owned(), by: by.to_owned() })
}

fn read(name: &str, content: &[u8]) -> Result<Needs, Error> {
    let elf = Elf::parse(content)
        .map_err(|source| Error::NotAProgram { name: name.to_owned(), source: Box::new(source) })?;
    Ok(Needs {
        interpreter: elf.interpreter.map(str::to_owned),
        libraries: elf.libraries.iter().map(|&library| library.to_owned()).collect(),
    })
}

fn read_file(path: PathBuf) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_program_needs_libc_and_its_loader() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let found = closure([("test", program.as_slice())], &Host).unwrap();
        assert!(found.keys().any(|path| path.ends_with("/libc.so.6")), "{:?}", found.keys());
        assert!(found.keys().any(|path| path.starts_with("/lib") && path.contains("ld-linux")));
    }

    #[test]
    fn a_missing_library_is_named_with_who_needs_it() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let error = closure([("test", program.as_slice())], &Unpacked(&Rootfs::new())).unwrap_err();
        assert!(error.to_string().contains("test needs"), "{error}");
    }

    #[test]
    fn text_is_not_a_program() {
        assert!(matches!(closure([("x", b"#!/bin/sh".as_slice())], &Host), Err(Error::NotAProgram { .. })));
    }
}
