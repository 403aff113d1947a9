//! How a VDC's quota is divided over its sites and, at a site, over its namespaces. Parts never add up to more
//! than the whole, and equal input gives equal parts.

use yunting_crds::resources::{Amounts, Kind};

/// What one site gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    /// What may be used there.
    pub hard: Amounts,
    /// What is kept there for recovery and cannot be used.
    pub reserved: Amounts,
}

impl Share {
    /// Both together: what the site is promised for.
    pub fn total(&self) -> Amounts {
        self.hard.clone().plus(&self.reserved)
    }
}

/// How much is kept at the standby site.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reserve {
    /// Nothing.
    #[default]
    None,
    /// As much as the active site may use.
    Full,
    /// These amounts.
    Fixed(Amounts),
}

/// Divides `quota` over `sites` sites. The first is the active one, the second the standby, which holds the
/// reserve. With one site there is nowhere to keep a reserve and all of it may be used there.
///
/// `None` gives equal parts. `Full` makes one part more than there are sites and keeps it at the standby, so
/// that what the active site may use always fits there. What does not divide goes to the first sites.
pub fn split(quota: &Amounts, sites: usize, reserve: &Reserve) -> Vec<Share> {
    let mut shares = vec![Share::default(); sites];
    for (kind, amount) in quota.iter() {
        let parts = match (reserve, sites) {
            (_, 0) => return shares,
            (Reserve::None, _) | (_, 1) => (0, even(amount, sites)),
            (Reserve::Full, _) => full(amount, sites),
            (Reserve::Fixed(fixed), _) => {
                let kept = fixed.amount(kind).min(amount);
                (kept, even(amount - kept, sites))
            }
        };
        write(&mut shares, kind, parts);
    }
    shares
}

fn write(shares: &mut [Share], kind: Kind, (kept, hard): (u64, Vec<u64>)) {
    for (share, hard) in shares.iter_mut().zip(hard) {
        share.hard.set(kind, hard);
    }
    if let Some(standby) = shares.get_mut(1).filter(|_| kept > 0) {
        standby.reserved.set(kind, kept);
    }
}

fn full(amount: u64, sites: usize) -> (u64, Vec<u64>) {
    let parts = sites as u64 + 1;
    let (part, rest) = (amount / parts, amount % parts);
    let mut hard = vec![part; sites];
    let mut kept = part;
    // A rest of two or more raises the active site together with what is kept for it.
    let mut left = rest;
    if left >= 2 {
        hard[0] += 1;
        kept += 1;
        left -= 2;
    }
    for slot in hard.iter_mut().skip(1).take(usize::try_from(left).unwrap_or(0)) {
        *slot += 1;
    }
    let given: u64 = hard.iter().sum::<u64>() + kept;
    (kept + (amount - given), hard)
}

fn even(amount: u64, parts: usize) -> Vec<u64> {
    weighted(amount, &vec![1; parts])
}

/// Divides one amount by weights; what does not divide goes to the first parts, one each.
pub fn weighted(amount: u64, weights: &[u32]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|w| u128::from(*w)).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let part = |w: &u32| u64::try_from(u128::from(amount) * u128::from(*w) / sum).unwrap_or(u64::MAX);
    let mut parts: Vec<u64> = weights.iter().map(part).collect();
    let mut rest = amount - parts.iter().sum::<u64>();
    for slot in &mut parts {
        if rest == 0 {
            break;
        }
        *slot += 1;
        rest -= 1;
    }
    parts
}

/// Divides amounts over namespaces by their weights.
pub fn over_namespaces(amounts: &Amounts, weights: &[u32]) -> Vec<Amounts> {
    let mut parts = vec![Amounts::new(); weights.len()];
    for (kind, amount) in amounts.iter() {
        for (part, value) in parts.iter_mut().zip(weighted(amount, weights)) {
            part.set(kind, value);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cpu(amount: u64) -> Amounts {
        Amounts::new().with(Kind::Cpu, amount)
    }

    #[test]
    fn full_keeps_room_for_all_that_the_active_site_may_use() {
        let shares = split(&cpu(40_000), 3, &Reserve::Full);
        let hard: Vec<u64> = shares.iter().map(|s| s.hard.amount(Kind::Cpu)).collect();
        assert_eq!(hard, [10_000, 10_000, 10_000]);
        assert_eq!(shares[1].reserved.amount(Kind::Cpu), 10_000);
        assert!(shares[0].reserved.is_empty() && shares[2].reserved.is_empty());
    }

    #[test]
    fn one_site_has_no_place_for_a_reserve() {
        assert_eq!(split(&cpu(7), 1, &Reserve::Full)[0].hard.amount(Kind::Cpu), 7);
    }

    proptest! {
        #[test]
        fn shares_are_exactly_the_quota(amount in 0u64..1 << 60, sites in 1usize..9, mode in 0u8..3, fixed in 0u64..1 << 61) {
            let reserve = match mode { 0 => Reserve::None, 1 => Reserve::Full, _ => Reserve::Fixed(cpu(fixed)) };
            let shares = split(&cpu(amount), sites, &reserve);
            let sum: u64 = shares.iter().map(|s| s.total().amount(Kind::Cpu)).sum();
            prop_assert_eq!(sum, amount);
            if mode == 1 && sites > 1 {
                prop_assert!(shares[1].reserved.amount(Kind::Cpu) >= shares[0].hard.amount(Kind::Cpu));
            }
        }

        #[test]
        fn namespaces_get_exactly_the_share(amount in any::<u64>(), weights in proptest::collection::vec(1u32..101, 1..9)) {
            let sum: u128 = weighted(amount, &weights).iter().map(|p| u128::from(*p)).sum();
            prop_assert_eq!(sum, u128::from(amount));
        }
    }
}
