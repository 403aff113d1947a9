//! IPv4 networks: read once, compared as numbers.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 network; host bits are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    base: u32,
    prefix: u8,
}

/// A text that is no IPv4 network, or one that may never be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// Not a network.
    #[error("{0:?} is no IPv4 network; write for example 203.0.113.0/24")]
    Syntax(String),
    /// Never to be opened.
    #[error(
        "{0} may never be opened: it is everything, or the metadata address; name the networks that are needed"
    )]
    Never(String),
}

impl Network {
    /// Where clouds hand out credentials to whoever asks.
    pub const METADATA: Self = Self { base: 0xA9FE_A9FE, prefix: 32 };

    /// One address.
    pub fn host(address: Ipv4Addr) -> Self {
        Self { base: address.to_bits(), prefix: 32 }
    }

    /// Its first address.
    pub fn base(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base)
    }

    /// Length of the prefix.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether the other network lies in this one.
    pub fn contains(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && other.base & mask(self.prefix) == self.base
    }

    /// Those of `others` that lie strictly within: a hole as large as the network itself is no hole.
    pub fn holes<'a>(&self, others: impl IntoIterator<Item = &'a Self>) -> Vec<Self> {
        let mut holes: Vec<Self> =
            others.into_iter().filter(|o| o.prefix > self.prefix && self.contains(o)).copied().collect();
        holes.sort();
        holes.dedup();
        holes
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let bad = || InvalidNetwork::Syntax(text.chars().take(40).collect());
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().ok().filter(|p| *p <= 32).ok_or_else(bad)?;
        Ok(Self { base: address.to_bits() & mask(prefix), prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.base), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_and_normalised() {
        assert_eq!(net("10.1.2.3/8").to_string(), "10.0.0.0/8");
        assert_eq!(net("169.254.169.254/32"), Network::METADATA);
        assert_eq!(net("0.0.0.0/0").prefix(), 0);
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/0", "a/8", "10.0.0.0/-1"] {
            assert!(bad.parse::<Network>().is_err(), "{bad} was read");
        }
    }

    #[test]
    fn a_hole_is_strictly_within() {
        let wide = net("169.254.0.0/16");
        assert_eq!(wide.holes([&Network::METADATA, &net("10.0.0.0/8")]), [Network::METADATA]);
        assert!(Network::METADATA.holes([&Network::METADATA]).is_empty());
        assert!(net("0.0.0.0/0").contains(&wide) && !wide.contains(&net("0.0.0.0/0")));
    }
}
