//! Tokens, and what the parties of the protocol are called.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::timing::Millis;

/// Under which right something is done. The greater one is the newer; who has seen one acts under no lesser.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Token {
    /// Generation of the store: one more with every restore, never anything else.
    pub generation: u64,
    /// Epoch within it: one more with every fencing, abort and new target.
    pub epoch: u64,
}

impl Token {
    /// The next epoch of the same generation.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { generation: self.generation, epoch: self.epoch.saturating_add(1) }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.generation, self.epoch)
    }
}

/// A moment of one machine's `CLOCK_BOOTTIME`, in nanoseconds. Moments of two machines, or of two boots, have nothing to
/// do with each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootTime(pub u64);

impl Add<Millis> for BootTime {
    type Output = Self;

    fn add(self, time: Millis) -> Self {
        Self(self.0.saturating_add(time.nanoseconds()))
    }
}

impl Sub<Millis> for BootTime {
    type Output = Self;

    fn sub(self, time: Millis) -> Self {
        Self(self.0.saturating_sub(time.nanoseconds()))
    }
}

impl BootTime {
    /// Nanoseconds since an earlier moment; none where that one is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A name or uid that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Of a site or node.
    #[error("{0:?} names no site or node; give 1 to 253 characters of a-z, 0-9, '-' and '.'")]
    Name(String),
    /// Of a group.
    #[error("{0:?} is no UUID of a protection group; give it as 8-4-4-4-12 hexadecimal digits")]
    Group(String),
}

fn name(text: &str) -> Result<Arc<str>, NameError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let good = (1..=253).contains(&text.len()) && text.bytes().all(plain);
    if good { Ok(text.into()) } else { Err(NameError::Name(text.chars().take(80).collect())) }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// As text; it has no `/`, so that it is one part of a key.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                name(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}

names! {
    /// A site, by the name of its object `Site`.
    Site;
    /// A node of a site, by its name in that site's API.
    Node;
}

/// Uid of a protection group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Group(pub u128);

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        write!(f, "{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
    }
}

impl TryFrom<String> for Group {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let refused = || NameError::Group(text.chars().take(80).collect());
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let hex = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let group = u128::from_str_radix(&digits, 16).map(Self).map_err(|_| refused())?;
        // One group has one key: what is not written as it is shown is another text for the same.
        if hex && group.to_string() == text { Ok(group) } else { Err(refused()) }
    }
}

impl From<Group> for String {
    fn from(group: Group) -> Self {
        group.to_string()
    }
}

/// Which etcd cluster answered. A restored store is another cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub u64);

/// A revision of the store; comparable within one cluster only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub i64);

/// `/proc/sys/kernel/random/boot_id`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub u128);

/// What ties an answer to its request: drawn at random for each, so that none is used twice, whatever restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(pub u128);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GROUP: &str = "9c444840-9dc0-11d1-b245-5ffdce74fad2";

    #[test]
    fn a_group_has_one_text() {
        let group = Group::try_from(GROUP.to_owned()).unwrap();
        assert_eq!(group.to_string(), GROUP);
        for bad in [
            "",
            "9c4448409dc011d1b2455ffdce74fad2",
            &GROUP.to_uppercase(),
            "9c444840-9dc0-11d1-b245-5ffdce74fadz",
        ] {
            assert!(Group::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_one_part_of_a_key() {
        assert!("guoyang".parse::<Site>().is_ok());
        assert!("node-1.guoyang".parse::<Node>().is_ok());
        for bad in ["", "a/b", "A", "a b", &"a".repeat(254)] {
            assert!(bad.parse::<Node>().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Site>("\"a/b\"").is_err());
    }

    #[test]
    fn time_never_wraps() {
        assert_eq!(BootTime(5) - Millis(1), BootTime(0));
        assert_eq!(BootTime(u64::MAX) + Millis(1), BootTime(u64::MAX));
        assert_eq!(BootTime(7_000_000).since(BootTime(2_000_000)), 5_000_000);
        assert_eq!(BootTime(1).since(BootTime(2)), 0);
    }

    proptest! {
        #[test]
        fn a_generation_outweighs_every_epoch(g in 0_u64..9, e in any::<u64>(), f in any::<u64>()) {
            let of = |generation, epoch| Token { generation, epoch };
            prop_assert!(of(g, e) < of(g + 1, f));
            let token = Token { generation: g, epoch: e.min(u64::MAX - 1) };
            prop_assert!(token < token.next());
        }
    }
}
