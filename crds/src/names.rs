//! Typed names. A private field and a checked constructor each: a value of these types is a valid name.
//!
//! Derived names carry a hash of the full identity, so that `a-b`+`c` and `a`+`b-c` never meet.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

/// Why a string is not a name of the asked kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} {value:?} must be 1 to {max} lower-case letters, digits or '-', begin with a letter and end with a letter or digit"
)]
pub struct InvalidName {
    what: &'static str,
    value: String,
    max: usize,
}

fn checked(what: &'static str, value: &str, max: usize) -> Result<String, InvalidName> {
    let refuse = || InvalidName { what, value: value.chars().take(80).collect(), max };
    let mut bytes = value.bytes();
    let first = bytes.next().ok_or_else(refuse)?;
    let body = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !first.is_ascii_lowercase() || !bytes.all(body) || value.ends_with('-') || value.len() > max {
        return Err(refuse());
    }
    Ok(value.to_owned())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);
        impl $type {
            /// Longest allowed name, in bytes.
            pub const MAX: usize = $max;
            /// Checks and takes a name.
            pub fn new(value: &str) -> Result<Self, InvalidName> {
                checked($what, value, $max).map(Self)
            }
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(/// A bureau: the name of its `Bureau` object.
    BureauName, "bureau", 40);
name!(/// A site: the name of its `Site` object.
    SiteName, "site", 40);
name!(/// A virtual data centre within its bureau.
    VdcName, "virtual data centre", 20);
name!(/// A namespace as its bureau calls it within its VDC, not the name at a site.
    NamespaceName, "namespace of a VDC", 20);
name!(/// A hall within its bureau.
    HallName, "hall", 20);
name!(/// A component within its hall.
    ComponentName, "component", 20);

/// Prefix of a bureau's hub namespace.
pub const BUREAU_NAMESPACE_PREFIX: &str = "bureau-";
/// Prefix of a site's hub namespace.
pub const SITE_NAMESPACE_PREFIX: &str = "site-";

impl BureauName {
    /// Hub namespace of the bureau.
    pub fn namespace(&self) -> String {
        format!("{BUREAU_NAMESPACE_PREFIX}{}", self.0)
    }

    /// The bureau whose hub namespace this is.
    pub fn from_namespace(namespace: &str) -> Option<Self> {
        namespace.strip_prefix(BUREAU_NAMESPACE_PREFIX).and_then(|n| Self::new(n).ok())
    }
}

impl SiteName {
    /// Hub namespace of the site: all that its credentials can read.
    pub fn namespace(&self) -> String {
        format!("{SITE_NAMESPACE_PREFIX}{}", self.0)
    }

    /// The site whose hub namespace this is.
    pub fn from_namespace(namespace: &str) -> Option<Self> {
        namespace.strip_prefix(SITE_NAMESPACE_PREFIX).and_then(|n| Self::new(n).ok())
    }
}

/// Name of a VDC's namespace at its sites: `<vdc>-<namespace>-<8 hex of the VDC's uid>`, the same at all of them.
pub fn site_namespace(vdc: &VdcName, namespace: &NamespaceName, vdc_uid: &str) -> String {
    let hex: String = vdc_uid.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    format!("{vdc}-{namespace}-{hex}").to_ascii_lowercase()
}

/// Whether a namespace at a site is named for that VDC. A label can be changed by who gets past the policies; a name
/// cannot, so what takes things away asks for both.
pub fn is_site_namespace_of(namespace: &str, vdc_uid: &str) -> bool {
    let hex: String = vdc_uid.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    hex.len() == 8 && namespace.rsplit_once('-').is_some_and(|(_, end)| end == hex.to_ascii_lowercase())
}

/// Name of the objects of a hall's component: `<hall>-<component>-<6 of base32 sha256 of the identity>`.
/// At most 47 characters, which leaves room for the suffixes that controllers append.
pub fn component_object(hall_uid: &str, hall: &HallName, component: &ComponentName) -> String {
    let identity = format!("{hall_uid}/{hall}/{component}");
    format!("{hall}-{component}-{}", short_hash(identity.as_bytes()))
}

/// Name of the Service by which a component calls what a bureau shares: `<service>-<6 of base32 sha256 of the identity>`. It is the
/// same for every grant, so that one that follows another changes nothing for who calls.
pub fn grant_alias(hall_uid: &str, component: &str, bureau: &str, service: &str) -> String {
    let identity = format!("grant/{hall_uid}/{component}/{bureau}/{service}");
    format!("{service}-{}", short_hash(identity.as_bytes()))
}

/// Name of a slice: `<kind>-<uid>`.
pub fn slice(kind: SliceKind, uid: &str) -> String {
    format!("{}-{uid}", kind.prefix())
}

/// Name of a bureau's Secret as copied into a site's hub namespace.
pub fn secret_copy(vdc_uid: &str, secret: &str) -> String {
    format!("secret-{}", long_hash(format!("{vdc_uid}/{secret}").as_bytes()))
}

/// What a slice is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SliceKind {
    /// `VdcSlice`.
    Vdc,
    /// `HallSlice`.
    Hall,
}

impl SliceKind {
    /// First part of the slice's name.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Vdc => "vdc",
            Self::Hall => "hall",
        }
    }
}

/// Six characters of lower-case base32 of SHA-256: 30 bits, for names that a collision check stands behind.
pub fn short_hash(bytes: &[u8]) -> String {
    base32(bytes, 6)
}

/// Sixteen characters (80 bits): for names without a readable part.
pub fn long_hash(bytes: &[u8]) -> String {
    base32(bytes, 16)
}

fn base32(bytes: &[u8], length: usize) -> String {
    let mut text = BASE32_NOPAD.encode(&Sha256::digest(bytes)).to_ascii_lowercase();
    text.truncate(length);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_dns_1035_within_their_length() {
        for good in ["a", "a1", "a-b", "abcdefghijklmnopqrst"] {
            assert_eq!(VdcName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "1a", "-a", "a-", "A", "a_b", "a.b", "考试云", "abcdefghijklmnopqrstu", "a/../b"] {
            assert!(VdcName::new(bad).is_err(), "{bad} was taken");
        }
        assert!(BureauName::new(&"b".repeat(40)).is_ok());
        assert!(BureauName::new(&"b".repeat(41)).is_err());
    }

    #[test]
    fn a_namespace_says_by_its_name_whose_it_is() {
        let (vdc, name) = (VdcName::new("exams").unwrap(), NamespaceName::new("app").unwrap());
        let (uid, other) = ("1b4e28ba-2fa1-11d2-883f-0016d3cca427", "1b4e28bb-2fa1-11d2-883f-0016d3cca427");
        let namespace = site_namespace(&vdc, &name, uid);
        assert!(is_site_namespace_of(&namespace, uid));
        for (namespace, uid) in
            [(namespace.as_str(), other), ("kube-system", uid), ("a-", ""), ("a-1b4e", "1b4e")]
        {
            assert!(!is_site_namespace_of(namespace, uid), "{namespace} {uid}");
        }
    }

    #[test]
    fn adversarial_neighbours_get_names_of_their_own() {
        let uid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
        let object = |h: &str, c: &str| {
            component_object(uid, &HallName::new(h).unwrap(), &ComponentName::new(c).unwrap())
        };
        assert_ne!(object("a-b", "c"), object("a", "b-c"));
        assert_eq!(object("a", "b"), object("a", "b"));
    }

    proptest! {
        #[test]
        fn derived_names_are_dns_labels(v in "[a-z][a-z0-9]{0,19}", n in "[a-z][a-z0-9]{0,19}", uid in "[0-9a-f]{8}-[0-9a-f]{4}") {
            let name = site_namespace(&VdcName::new(&v).unwrap(), &NamespaceName::new(&n).unwrap(), &uid);
            prop_assert!(name.len() <= 63);
            let object = component_object(&uid, &HallName::new(&v).unwrap(), &ComponentName::new(&n).unwrap());
            prop_assert!(object.len() <= 52);
        }
    }
}
