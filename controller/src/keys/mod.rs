//! Keys of volumes. Owns: how a volume's data key is encrypted with a key of its VDC ([`Provider`]: [`embedded`] in files of
//! the site, [`vault`] in a Vault, [`chosen`] as the VDC asks) and
//! sealed for the one process that opens the volume ([`sealing`]) and for another site ([`custody`]), and how the keys of
//! a VDC end, with proof ([`ending`]).
//! Must never: let a key into an object, a log, an event or an error.

pub mod chosen;
pub mod custody;
pub mod embedded;
pub mod ending;
mod files;
pub mod sealing;
pub mod vault;

use std::fmt;
use std::future::Future;

use yunting_crds::volume_key::WrappedKey;
use zeroize::Zeroizing;

use crate::error::{Class, Classified};
use ending::Ending;

/// Bytes of a data key and of a key-encryption key.
pub const BYTES: usize = 32;

/// The key that a volume's data is encrypted with. Leaves memory with its owner; prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey(Zeroizing<[u8; BYTES]>);

impl DataKey {
    /// From exactly [`BYTES`] bytes.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        <[u8; BYTES]>::try_from(bytes).ok().map(|key| Self(Zeroizing::new(key)))
    }

    /// The bytes, for the cipher and nothing else.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey")
    }
}

/// Which volume of which VDC a key is for. A wrapped key opens for this and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Uid of the VDC.
    pub vdc: String,
    /// Name of the volume.
    pub volume: String,
}

impl Place {
    /// What a wrapped key is bound to. Neither part contains a zero byte.
    fn binding(&self) -> Vec<u8> {
        [b"yunting volume key v1", self.vdc.as_bytes(), self.volume.as_bytes()].join(&0)
    }
}

/// Keeps key-encryption keys: one per VDC and generation. Nobody else ever sees one.
pub trait Provider: Send + Sync {
    /// Sees to it that the VDC has a key of at least that generation that is not older than `max_age_days`, and says the
    /// newest generation.
    fn ensure(
        &self,
        vdc: &str,
        generation: u32,
        max_age_days: u32,
    ) -> impl Future<Output = Result<u32, KeyError>> + Send;
    /// Encrypts a data key with the VDC's newest key.
    fn wrap(&self, place: &Place, key: &DataKey)
    -> impl Future<Output = Result<WrappedKey, KeyError>> + Send;
    /// Decrypts a data key of any generation that is kept.
    fn unwrap(
        &self,
        place: &Place,
        wrapped: &WrappedKey,
    ) -> impl Future<Output = Result<DataKey, KeyError>> + Send;
    /// Destroys generations older than `oldest`, which nothing is wrapped with any more.
    fn forget(&self, vdc: &str, oldest: u32) -> impl Future<Output = Result<(), KeyError>> + Send;
    /// Notes, on disk and before anything is destroyed, which keys the VDC has, with a canary wrapped with each that opens
    /// now. Nothing where it has no key and none was noted before. What was noted stays noted until [`Self::confirmed`];
    /// keys that have come since are added.
    fn begin(&self, vdc: &str) -> impl Future<Output = Result<Option<Ending>, KeyError>> + Send;
    /// Destroys every key of the VDC and reads back that none is left. What is not there is destroyed.
    fn destroy(&self, vdc: &str) -> impl Future<Output = Result<(), KeyError>> + Send;
    /// Notes that all noted keys were seen to be gone, now, by so many wrapped keys that were tried and did not open.
    fn ended(&self, vdc: &str, tried: u32) -> impl Future<Output = Result<Ending, KeyError>> + Send;
    /// Whoever waits for it knows how the keys ended: what was noted goes.
    fn confirmed(&self, vdc: &str) -> impl Future<Output = Result<(), KeyError>> + Send;
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The store of keys cannot be read or written.
    #[error("the key store cannot {what} the keys of VDC {vdc}")]
    Store {
        /// Read, write or destroy.
        what: &'static str,
        /// Whose.
        vdc: String,
        /// Why.
        source: std::io::Error,
    },
    /// Vault cannot be asked, or says no.
    #[error("cannot {what} the key of VDC {vdc} in Vault")]
    Vault {
        /// Read, make, use or destroy.
        what: &'static str,
        /// Whose.
        vdc: String,
        /// Why, and what to do.
        source: Box<vault::Trouble>,
    },
    /// Vault has a key under the VDC's name that protects nothing.
    #[error(
        "key {key} of VDC {vdc} in Vault is not used: {why}; whoever made or changed it has to say why, and take it away if nothing is wrapped with it"
    )]
    Unfit {
        /// Whose.
        vdc: String,
        /// Its name in the transit engine.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file of keys is not what was written.
    #[error("the keys of VDC {vdc} are damaged: {why}; put the key store's copy back")]
    Damaged {
        /// Whose.
        vdc: String,
        /// In which way, without content.
        why: String,
    },
    /// The VDC has no key of that name.
    #[error(
        "key-encryption key {kek} (generation {generation}) of VDC {vdc} is not at this site: it was destroyed, or never brought here"
    )]
    Unknown {
        /// Whose.
        vdc: String,
        /// Which.
        kek: String,
        /// Its generation.
        generation: u32,
    },
    /// The wrapped key does not belong to this volume of this VDC, or was changed.
    #[error(
        "the wrapped key of volume {volume} of VDC {vdc} does not open: it is another volume's, or was changed"
    )]
    Wrong {
        /// Whose.
        vdc: String,
        /// Of which volume.
        volume: String,
    },
    /// A key that was destroyed opens what it wrapped.
    #[error(
        "key-encryption key {kek} of VDC {vdc} was destroyed and is there still: find who puts files of the key store back; it is tried again"
    )]
    Still {
        /// Whose.
        vdc: String,
        /// Which.
        kek: String,
    },
    /// There are keys, and nothing is known of where they are.
    #[error(
        "volumes of VDC {vdc} have keys, and this site's controller was started without them: start it with {start}, so that they can be destroyed"
    )]
    Closed {
        /// Whose.
        vdc: String,
        /// What it is to be started with.
        start: &'static str,
    },
    /// The custody key of a site cannot be used.
    #[error("the custody key cannot be used: {why}")]
    Custody {
        /// Why.
        why: String,
    },
    /// The recipient is no public key.
    #[error("the recipient is no X25519 public key")]
    Recipient,
    /// What was sealed is for somebody else, or was changed.
    #[error("what was sealed does not open: it is for another process or site, or was changed")]
    Sealed,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes; no key can be made")]
    Random,
    /// A task ended before it answered.
    #[error("the key store was stopped while it worked")]
    Stopped,
}

impl Classified for KeyError {
    fn class(&self) -> Class {
        match self {
            Self::Store { .. } | Self::Vault { .. } | Self::Still { .. } | Self::Random | Self::Stopped => {
                Class::Transient
            }
            _ => Class::Terminal,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Store { .. } => "key-store",
            Self::Vault { .. } => "key-vault",
            Self::Unfit { .. } => "key-unfit",
            Self::Damaged { .. } => "key-damaged",
            Self::Unknown { .. } => "key-unknown",
            Self::Wrong { .. } => "key-wrong",
            Self::Still { .. } => "key-still",
            Self::Closed { .. } => "key-closed",
            Self::Recipient | Self::Sealed => "key-sealed",
            Self::Custody { .. } => "key-custody",
            Self::Random => "random",
            Self::Stopped => "stopped",
        }
    }
}
