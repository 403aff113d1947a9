//! Small files of the store of keys, each there whole or not at all, and the notes of keys that end. Must never: say in an
//! error what a file holds.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::KeyError;
use super::ending::{Done, Ending};
use crate::context::Context;

/// Makes the directory if it is missing, for its owner alone.
pub(super) fn open(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    fs::set_permissions(directory, Permissions::from_mode(0o700))
}

/// What a file of ours holds; nothing where there is none.
pub(super) fn parse<T: DeserializeOwned>(vdc: &str, file: &Path) -> Result<Option<T>, KeyError> {
    let mut text = Zeroizing::new(Vec::new());
    match File::open(file).and_then(|mut file| file.read_to_end(&mut text)) {
        Ok(_) => (),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(KeyError::Store { what: "read", vdc: vdc.to_owned(), source }),
    }
    // The parser's words could quote the file.
    serde_json::from_slice(&text).map(Some).map_err(|error| KeyError::Damaged {
        vdc: vdc.to_owned(),
        why: format!("line {} column {} is not what was written", error.line(), error.column()),
    })
}

/// Replaces a file whole, by way of one beside it with that extension.
pub(super) fn put<T: Serialize>(vdc: &str, file: &Path, fresh: &str, content: &T) -> Result<(), KeyError> {
    let text = Zeroizing::new(serde_json::to_string(content).unwrap_or_default());
    let put = || {
        let fresh = file.with_extension(fresh);
        let mut options = OpenOptions::new();
        let mut new = options.create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        // What the old one held is what the new one holds, so it need not be overwritten.
        fs::rename(&fresh, file)?;
        sync(file)
    };
    put().map_err(|source| KeyError::Store { what: "write", vdc: vdc.to_owned(), source })
}

/// Brings it to the disk that a file has come or gone.
pub(super) fn sync(file: &Path) -> io::Result<()> {
    File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Where it is noted which keys are, or were, destroyed, by their names: never a key.
pub(super) struct Notes {
    directory: PathBuf,
    extension: &'static str,
}

impl Notes {
    /// In files with that extension, one for each VDC.
    pub(super) fn new(directory: &Path, extension: &'static str) -> Self {
        Self { directory: directory.to_owned(), extension }
    }

    /// A uid has no `/` and no leading dot; the plan has checked it.
    fn file(&self, vdc: &str) -> PathBuf {
        self.directory.join(format!("{vdc}.{}", self.extension))
    }

    fn fresh(&self) -> String {
        format!("{}-new", self.extension)
    }

    pub(super) fn read(&self, vdc: &str) -> Result<Option<Ending>, KeyError> {
        parse(vdc, &self.file(vdc))
    }

    pub(super) fn write(&self, vdc: &str, ending: &Ending) -> Result<(), KeyError> {
        put(vdc, &self.file(vdc), &self.fresh(), ending)
    }

    /// All that is noted was seen to be gone.
    pub(super) fn ended(&self, vdc: &str, tried: u32, context: &Context) -> Result<Ending, KeyError> {
        let mut ending = self.read(vdc)?.unwrap_or_default();
        ending.done = Some(Done { at: context.now().0.to_string(), tried });
        self.write(vdc, &ending)?;
        Ok(ending)
    }

    /// It was heard.
    pub(super) fn remove(&self, vdc: &str) -> Result<(), KeyError> {
        let failed = |source| KeyError::Store { what: "forget", vdc: vdc.to_owned(), source };
        let note = self.file(vdc);
        for file in [note.with_extension(self.fresh()), note.clone()] {
            match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => (),
            }
        }
        sync(&note).map_err(failed)
    }
}
