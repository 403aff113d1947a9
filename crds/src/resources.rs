//! Exact arithmetic on amounts: cpu in millicores, memory and storage in bytes, counts. Never floats.
//!
//! A [`Amounts`] is what quota, capacity and use are added up and compared in; the CRDs carry Kubernetes
//! quantities as text.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A resource that quota is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Millicores.
    Cpu,
    /// Bytes of memory.
    Memory,
    /// Bytes of volumes.
    Storage,
    /// Pods.
    Pods,
    /// Services.
    Services,
    /// Services of type LoadBalancer.
    LoadBalancers,
    /// Accelerators.
    Gpu,
}

impl Kind {
    /// Every kind, in the order in which messages name them.
    pub const ALL: [Self; 7] =
        [Self::Cpu, Self::Memory, Self::Storage, Self::Pods, Self::Services, Self::LoadBalancers, Self::Gpu];

    /// Name of the field in our specs.
    pub fn field(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Storage => "storage",
            Self::Pods => "pods",
            Self::Services => "services",
            Self::LoadBalancers => "loadBalancers",
            Self::Gpu => "gpu",
        }
    }

    /// `amount` of this resource as a canonical Kubernetes quantity (as an API server prints it back).
    /// Unlike [`Kind::print`] it writes 1000 pods as `1k`, because the server does.
    pub fn quantity(self, amount: u64) -> Quantity {
        let whole = match self {
            Self::Cpu if !amount.is_multiple_of(1000) => return Quantity(self.print(amount)),
            Self::Cpu => amount / 1000,
            Self::Memory | Self::Storage if amount.trailing_zeros() >= 10 => {
                return Quantity(self.print(amount));
            }
            _ => amount,
        };
        Quantity(print_decimal(whole))
    }

    /// `amount` as text, canonical.
    pub fn print(self, amount: u64) -> String {
        match self {
            Self::Cpu if !amount.is_multiple_of(1000) => format!("{amount}m"),
            Self::Cpu => (amount / 1000).to_string(),
            Self::Memory | Self::Storage => print_bytes(amount),
            Self::Pods | Self::Services | Self::LoadBalancers | Self::Gpu => amount.to_string(),
        }
    }

    /// Reads a quantity, rounding up to this resource's unit.
    pub fn parse(self, text: &str) -> Result<u64, InvalidQuantity> {
        let milli = parse_milli(text)?;
        let units = if self == Self::Cpu { milli } else { milli.div_ceil(1000) };
        u64::try_from(units).map_err(|_| InvalidQuantity(text.to_owned()))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field())
    }
}

/// A text that is no quantity, is negative, or is above what 64 bits hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a quantity; write for example 500m, 2, 512Mi or 10Gi")]
pub struct InvalidQuantity(String);

const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: [(&str, i32); 9] =
    [("n", -9), ("u", -6), ("m", -3), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

fn print_bytes(bytes: u64) -> String {
    let unit = BINARY.iter().rev().find(|(_, shift)| bytes != 0 && bytes.trailing_zeros() >= *shift);
    unit.map_or_else(|| bytes.to_string(), |(suffix, shift)| format!("{}{suffix}", bytes >> shift))
}

fn print_decimal(number: u64) -> String {
    let units = [("E", 18), ("P", 15), ("T", 12), ("G", 9), ("M", 6), ("k", 3)];
    let unit = units.into_iter().find(|(_, power)| number != 0 && number.is_multiple_of(10u64.pow(*power)));
    unit.map_or_else(
        || number.to_string(),
        |(suffix, power)| format!("{}{suffix}", number / 10u64.pow(power)),
    )
}

/// Thousandths of the unit, rounded up.
fn parse_milli(text: &str) -> Result<u128, InvalidQuantity> {
    let bad = || InvalidQuantity(text.chars().take(40).collect());
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 20 {
        return Err(bad());
    }
    let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| bad())?;
    let places = i32::try_from(fraction.len()).map_err(|_| bad())?;
    let scale = |power: i32| -> Option<u128> {
        match u32::try_from(power) {
            Ok(up) => digits.checked_mul(10u128.checked_pow(up)?),
            Err(_) => Some(digits.div_ceil(10u128.checked_pow(power.unsigned_abs())?)),
        }
    };
    let value = if suffix.is_empty() {
        scale(3 - places)
    } else if let Some((_, power)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        scale(3 - places + power)
    } else if let Some((_, shift)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        let divisor = 10u128.checked_pow(places.unsigned_abs()).ok_or_else(bad)?;
        digits.checked_mul(1000).and_then(|d| d.checked_mul(1 << shift)).map(|d| d.div_ceil(divisor))
    } else {
        exponent(suffix).and_then(|power| scale(3 - places + power))
    };
    value.filter(|v| *v <= u128::from(u64::MAX) * 1000).ok_or_else(bad)
}

fn exponent(suffix: &str) -> Option<i32> {
    let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    (-9..=18).contains(&power).then_some(power)
}

/// An amount per resource. A resource that is absent is not limited, not asked or not used, as the place says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amounts(BTreeMap<Kind, u64>);

impl Amounts {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The amount of one resource, if named.
    pub fn get(&self, kind: Kind) -> Option<u64> {
        self.0.get(&kind).copied()
    }

    /// The amount of one resource, zero if not named.
    pub fn amount(&self, kind: Kind) -> u64 {
        self.get(kind).unwrap_or(0)
    }

    /// Names an amount.
    pub fn set(&mut self, kind: Kind, amount: u64) {
        self.0.insert(kind, amount);
    }

    /// Builder form of [`Amounts::set`].
    #[must_use]
    pub fn with(mut self, kind: Kind, amount: u64) -> Self {
        self.set(kind, amount);
        self
    }

    /// The named resources with their amounts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        self.0.iter().map(|(k, v)| (*k, *v))
    }

    /// No resource is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the other's amounts; saturates at the largest number, which no capacity ever fits.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for (kind, amount) in other.iter() {
            let slot = self.0.entry(kind).or_default();
            *slot = slot.saturating_add(amount);
        }
        self
    }

    /// What is left of these after taking the other's; never below zero; resources not named here stay so.
    #[must_use]
    pub fn minus(mut self, other: &Self) -> Self {
        for (kind, slot) in &mut self.0 {
            *slot = slot.saturating_sub(other.amount(*kind));
        }
        self
    }

    /// Each amount × numerator ÷ denominator, rounded down. A denominator of zero gives zero.
    #[must_use]
    pub fn scaled(&self, numerator: u64, denominator: u64) -> Self {
        let part = |v: u64| {
            let scaled = u128::from(v) * u128::from(numerator);
            scaled.checked_div(u128::from(denominator)).map_or(0, |v| u64::try_from(v).unwrap_or(u64::MAX))
        };
        Self(self.0.iter().map(|(k, v)| (*k, part(*v))).collect())
    }

    /// The first resource of which `self` asks more than `limit` allows; resources without a limit are free.
    pub fn first_above(&self, limit: &Self) -> Option<Excess> {
        self.iter().find_map(|(kind, asked)| {
            let limit = limit.get(kind)?;
            (asked > limit).then_some(Excess { kind, asked, limit })
        })
    }
}

impl FromIterator<(Kind, u64)> for Amounts {
    fn from_iter<T: IntoIterator<Item = (Kind, u64)>>(iter: T) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl fmt::Display for Amounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (kind, amount)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{kind} {}", kind.print(amount))?;
        }
        Ok(())
    }
}

/// More was asked than a limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// Of what.
    pub kind: Kind,
    /// How much was asked.
    pub asked: u64,
    /// How much there is.
    pub limit: u64,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (asked, limit) = (self.kind.print(self.asked), self.kind.print(self.limit));
        write!(f, "{} {asked} asked, {limit} allowed", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_kubernetes_writes() {
        let table = [
            (Kind::Cpu, "250m", 250),
            (Kind::Cpu, "2", 2000),
            (Kind::Cpu, "0.5", 500),
            (Kind::Cpu, "1.0005", 1001),
            (Kind::Cpu, "1e3", 1_000_000),
            (Kind::Memory, "1Ki", 1024),
            (Kind::Memory, "1.5Gi", 1_610_612_736),
            (Kind::Memory, "1M", 1_000_000),
            (Kind::Memory, "128974848", 128_974_848),
            (Kind::Memory, "1m", 1),
            (Kind::Storage, "20Ti", 20 << 40),
            (Kind::Pods, "1k", 1000),
        ];
        for (kind, text, amount) in table {
            assert_eq!(kind.parse(text), Ok(amount), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_quantity() {
        for text in
            ["", "-1", "1.2.3", ".", "Gi", "1GiB", "1 Gi", "0x10", "1e99", "99999999999999999999", "一"]
        {
            assert!(Kind::Memory.parse(text).is_err(), "{text} was read");
        }
    }

    #[test]
    fn quantities_are_as_an_api_server_prints_them() {
        let table = [
            (Kind::Cpu, 1500, "1500m"),
            (Kind::Cpu, 40_000, "40"),
            (Kind::Cpu, 2_000_000, "2k"),
            (Kind::Memory, 3 << 30, "3Gi"),
            (Kind::Memory, 1_000_000, "1M"),
            (Kind::Memory, 1_024_000, "1000Ki"),
            (Kind::Memory, 1_000_001, "1000001"),
            (Kind::Pods, 1000, "1k"),
            (Kind::Pods, 400, "400"),
            (Kind::Gpu, 0, "0"),
        ];
        for (kind, amount, text) in table {
            assert_eq!(kind.quantity(amount).0, text);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(amount in 0..=u64::MAX / 2048) {
            for kind in Kind::ALL {
                prop_assert_eq!(kind.parse(&kind.print(amount)), Ok(amount));
                prop_assert_eq!(kind.parse(&kind.quantity(amount).0), Ok(amount));
            }
        }

        #[test]
        fn parts_are_never_more_than_the_whole(whole in any::<u64>(), parts in 1u64..100) {
            let amounts = Amounts::new().with(Kind::Cpu, whole);
            let part = amounts.scaled(1, parts).amount(Kind::Cpu);
            prop_assert!(u128::from(part) * u128::from(parts) <= u128::from(whole));
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,24}") {
            let _ = Kind::Cpu.parse(&text);
        }
    }
}
