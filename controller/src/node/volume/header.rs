//! What a volume says of itself, in a file beside its ciphertext, so that it goes wherever the ciphertext goes. Nothing in it
//! is secret: the wrapped key opens with the VDC's key only.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use yunting_crds::volume_key::WrappedKey;

use super::error::Error;
use super::json;

/// File of the header in the subvolume.
const FILE: &str = "volume.json";

/// The header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// Layout of the subvolume.
    pub version: u32,
    /// Name of the volume.
    pub volume: String,
    /// Uid of its VDC.
    pub vdc: String,
    /// Bytes it may hold.
    pub size: u64,
    /// Its data key, under a key of the VDC.
    pub wrapped: WrappedKey,
    /// Volume or snapshot that it was made from; of a replica that was activated, the uuid of its point at the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Header {
    /// Of the subvolume at that place.
    pub fn read(subvolume: &Path) -> Result<Self, Error> {
        let file = subvolume.join(FILE);
        let text = fs::read_to_string(&file).map_err(Error::file("read", &file))?;
        let header: Self = serde_json::from_str(&text).map_err(|error| Error::Header {
            volume: subvolume.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            why: error.to_string(),
        })?;
        if header.version == super::cipher::VERSION {
            return Ok(header);
        }
        let why = format!("layout {} is not understood, only {}", header.version, super::cipher::VERSION);
        Err(Error::Header { volume: header.volume, why })
    }

    /// Writes it whole or not at all; it is on the disk when this returns.
    pub fn write(&self, subvolume: &Path) -> Result<(), Error> {
        json::write(&subvolume.join(FILE), self)
    }
}
