//! Small files beside ciphertext: whole or not there.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::Error;

/// Reads one; nothing where it is not there.
pub(super) fn read<T: DeserializeOwned>(file: &Path) -> Result<Option<T>, Error> {
    match fs::read(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", file)(error)),
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| Error::file("understand", file)(std::io::Error::other(error))),
    }
}

/// Writes one whole or not at all; it is on the disk when this returns.
pub(super) fn write<T: Serialize>(file: &Path, value: &T) -> Result<(), Error> {
    let fresh = file.with_added_extension("new");
    let put = || {
        let mut new = File::create(&fresh)?;
        new.write_all(&serde_json::to_vec_pretty(value)?)?;
        new.sync_all()?;
        fs::rename(&fresh, file)?;
        file.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    put().map_err(Error::file("write", file))
}
