//! Why a volume could not be made, opened or removed.

use std::io;
use std::path::PathBuf;

use crate::keys::KeyError;
use crate::writer;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program failed.
    #[error("cannot {what}: {program}: {said}")]
    Tool {
        /// What it was to do.
        what: String,
        /// Its name.
        program: &'static str,
        /// Its last words, or how it ended.
        said: String,
    },
    /// A file could not be read or written.
    #[error("cannot {what} {path}")]
    File {
        /// What was to be done.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A volume's header is not what was written.
    #[error("the header of volume {volume} is damaged: {why}; put it back from a snapshot or a replica")]
    Header {
        /// Which volume.
        volume: String,
        /// In which way.
        why: String,
    },
    /// What was asked makes no sense; the same again would get the same answer.
    #[error("{0}")]
    Invalid(String),
    /// It is not here.
    #[error("{0}")]
    Missing(String),
    /// It is here, and is another.
    #[error("{0}")]
    Other(String),
    /// It cannot be done now: something has to be done before.
    #[error("{0}")]
    NotNow(String),
    /// The disk has no room left for that.
    #[error("{0}")]
    NoRoom(String),
    /// The key does not open the volume.
    #[error("the key of volume {0} does not open it: its ciphertext is another volume's, or was changed")]
    WrongKey(String),
    /// The site gives no key.
    #[error("volume {volume} gets no key: {why}")]
    NoKey {
        /// Which volume.
        volume: String,
        /// The site's words.
        why: String,
    },
    /// The key that came is none.
    #[error("the key of volume {volume} cannot be used")]
    Key {
        /// Which volume.
        volume: String,
        /// Why.
        source: KeyError,
    },
    /// The question for a key did not arrive.
    #[error("cannot ask the site for a key")]
    Ask(#[from] writer::Error),
}

impl Error {
    /// Of a file.
    pub fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}

impl From<Error> for tonic::Status {
    /// As the interface wants errors told; the text is shown to people in the events of claims and pods.
    fn from(error: Error) -> Self {
        let text = crate::error::chain(&error);
        match error {
            Error::Invalid(_) => Self::invalid_argument(text),
            Error::Missing(_) => Self::not_found(text),
            Error::Other(_) => Self::already_exists(text),
            Error::NotNow(_) => Self::failed_precondition(text),
            Error::NoRoom(_) => Self::resource_exhausted(text),
            Error::NoKey { .. } | Error::Ask(_) => Self::unavailable(text),
            Error::WrongKey(_) | Error::Header { .. } | Error::Key { .. } => Self::data_loss(text),
            Error::Tool { .. } | Error::File { .. } => Self::internal(text),
        }
    }
}
