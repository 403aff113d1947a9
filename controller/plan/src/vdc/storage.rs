//! Which StorageClass a VDC uses, and what that class is known to give.

use yunting_crds::site::{Providers, StorageEncryption};

use super::Invalid;

/// The driver whose volumes nodes' controllers open, and probe.
pub const DRIVER: &str = "volumes.yunting.io";

/// Checks the name of a StorageClass. It becomes a label's value, which bounds it.
pub(super) fn class(name: &str) -> Result<String, Invalid> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let good =
        name.len() <= 63 && name.bytes().all(inner) && edge(name.bytes().next()) && edge(name.bytes().last());
    if good { Ok(name.to_owned()) } else { Err(Invalid::StorageClass(name.chars().take(80).collect())) }
}

/// Whether the class encrypts each volume with a key of its VDC, as the site's providers say.
pub(super) fn encrypted(providers: &Providers, class: Option<&str>) -> bool {
    let provider = providers.storage.iter().find(|s| Some(s.name.as_str()) == class);
    provider.is_some_and(|s| s.encryption == StorageEncryption::PerVolume)
}

/// Whether the class's volumes are opened by nodes' controllers, which probe them.
pub(super) fn probed(providers: &Providers, class: Option<&str>) -> bool {
    providers.storage.iter().any(|s| Some(s.name.as_str()) == class && s.driver == DRIVER)
}

/// Key by which a ResourceQuota limits the space of one class.
pub fn quota_key(class: &str) -> String {
    format!("{class}.storageclass.storage.k8s.io/requests.storage")
}
