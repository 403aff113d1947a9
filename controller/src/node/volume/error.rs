//! Why a volume could not be made, opened or removed.

use std::io;
use std::path::PathBuf;

use super::replica::tls::TlsError;
use crate::error::{Class, Classified};
use crate::keys::KeyError;
use crate::writer;
use yunting_plan::replication::Refusal;

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
    /// A point of another site is not taken.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The other end of a replication takes nothing of this volume any more.
    #[error("the other end takes nothing more: {0}")]
    Over(String),
    /// What came is not what was sent.
    #[error("{0}")]
    Damaged(String),
    /// The other end of a replication said no.
    #[error("the other end {0}")]
    Remote(String),
    /// The other end of a replication cannot be reached, or is somebody else.
    #[error("no connection to {to} at {at}")]
    Connect {
        /// Its URI.
        to: String,
        /// Where it should be.
        at: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This machine cannot show who it is.
    #[error("this machine cannot show other nodes who it is")]
    Machine(#[source] Box<TlsError>),
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

    /// Somebody has a file open there.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::ResourceBusy)
    }
}

impl From<tonic::Status> for Error {
    /// What the other end of a replication said, or why it said nothing.
    fn from(status: tonic::Status) -> Self {
        if status.code() == tonic::Code::PermissionDenied {
            return Self::Over(status.message().to_owned());
        }
        let mut cause = std::error::Error::source(&status);
        let Some(mut last) = cause else { return Self::Remote(format!("refused: {}", status.message())) };
        while let Some(error) = cause {
            (last, cause) = (error, error.source());
        }
        Self::Remote(format!("does not answer any more: {last}"))
    }
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            // The site's word is waited for; it wakes us.
            Self::NoKey { .. } => Class::Terminal,
            Self::Ask(error) => error.class(),
            _ => Class::Transient,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Tool { .. } => "tool",
            Self::File { .. } => "file",
            Self::Header { .. } | Self::Damaged(_) => "damaged",
            Self::Invalid(_) | Self::Missing(_) | Self::Other(_) => "reference",
            Self::NotNow(_) => "not-now",
            Self::NoRoom(_) => "no-room",
            Self::WrongKey(_) | Self::NoKey { .. } | Self::Key { .. } => "key",
            Self::Refused(_) | Self::Over(_) | Self::Remote(_) => "refused",
            Self::Connect { .. } | Self::Machine(_) => "connect",
            Self::Ask(error) => error.label(),
        }
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
            Error::Refused(_) => Self::permission_denied(text),
            Error::NotNow(_) => Self::failed_precondition(text),
            Error::NoRoom(_) => Self::resource_exhausted(text),
            Error::NoKey { .. }
            | Error::Ask(_)
            | Error::Over(_)
            | Error::Remote(_)
            | Error::Connect { .. }
            | Error::Machine(_) => Self::unavailable(text),
            Error::WrongKey(_) | Error::Header { .. } | Error::Key { .. } | Error::Damaged(_) => {
                Self::data_loss(text)
            }
            Error::Tool { .. } | Error::File { .. } => Self::internal(text),
        }
    }
}
