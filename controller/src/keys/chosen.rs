//! The provider that a VDC asks for, as one type. Owns nothing but the choice.

use yunting_crds::volume_key::WrappedKey;

use super::embedded::Embedded;
use super::ending::Ending;
use super::vault::Vault;
use super::{DataKey, KeyError, Place, Provider};

/// One of the providers.
#[derive(Clone)]
pub enum Chosen {
    /// Keys in files of the site.
    Embedded(Embedded),
    /// Keys in a Vault.
    Vault(Vault),
}

/// The same of whichever it is.
macro_rules! of {
    ($self:ident, $provider:ident => $call:expr) => {
        match $self {
            Self::Embedded($provider) => $call.await,
            Self::Vault($provider) => $call.await,
        }
    };
}

impl Provider for Chosen {
    async fn ensure(&self, vdc: &str, generation: u32, max_age_days: u32) -> Result<u32, KeyError> {
        of!(self, provider => provider.ensure(vdc, generation, max_age_days))
    }

    async fn wrap(&self, place: &Place, key: &DataKey) -> Result<WrappedKey, KeyError> {
        of!(self, provider => provider.wrap(place, key))
    }

    async fn unwrap(&self, place: &Place, wrapped: &WrappedKey) -> Result<DataKey, KeyError> {
        of!(self, provider => provider.unwrap(place, wrapped))
    }

    async fn forget(&self, vdc: &str, oldest: u32) -> Result<(), KeyError> {
        of!(self, provider => provider.forget(vdc, oldest))
    }

    async fn begin(&self, vdc: &str) -> Result<Option<Ending>, KeyError> {
        of!(self, provider => provider.begin(vdc))
    }

    async fn destroy(&self, vdc: &str) -> Result<(), KeyError> {
        of!(self, provider => provider.destroy(vdc))
    }

    async fn ended(&self, vdc: &str, tried: u32) -> Result<Ending, KeyError> {
        of!(self, provider => provider.ended(vdc, tried))
    }

    async fn confirmed(&self, vdc: &str) -> Result<(), KeyError> {
        of!(self, provider => provider.confirmed(vdc))
    }
}
