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

/// How the volumes of a class are encrypted, each with a key of its VDC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encrypts {
    /// They are not.
    Not,
    /// By a driver that nothing of ours looks behind.
    Unseen,
    /// By nodes' controllers, which open them, and probe them.
    Probed,
}

/// What the site's providers say of a class.
pub(super) fn encrypts(providers: &Providers, class: Option<&str>) -> Encrypts {
    match providers.storage.iter().find(|s| Some(s.name.as_str()) == class) {
        Some(s) if s.encryption != StorageEncryption::PerVolume => Encrypts::Not,
        Some(s) if s.driver == DRIVER => Encrypts::Probed,
        Some(_) => Encrypts::Unseen,
        None => Encrypts::Not,
    }
}

/// Driver of a class, as the site's providers say; nothing where they do not name the class.
pub(super) fn driver<'a>(providers: &'a Providers, class: Option<&str>) -> &'a str {
    let found = providers.storage.iter().find(|s| Some(s.name.as_str()) == class);
    found.map(|s| s.driver.as_str()).unwrap_or_default()
}

/// Whether the class encrypts each volume with a key of its VDC that ends with it: our driver's alone does.
pub(crate) fn keyed(providers: &Providers, class: Option<&str>) -> bool {
    encrypts(providers, class) == Encrypts::Probed
}

/// Key by which a ResourceQuota limits the space of one class.
pub fn quota_key(class: &str) -> String {
    format!("{class}.storageclass.storage.k8s.io/requests.storage")
}
