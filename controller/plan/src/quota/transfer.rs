//! One step from what sites hold now towards what they are to get: givers shrink at once, takers grow only by
//! what is free for certain. The sum never passes the quota, whatever order the sites act in.

use std::collections::BTreeMap;

use yunting_crds::resources::{Amounts, Kind};

use super::split::Share;

/// What a site may be enforcing at this moment: the larger of what was last written for it and what it last
/// confirmed, because a lowered limit holds only once the site has confirmed it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Limit last written for the site.
    pub written: Amounts,
    /// Limit last confirmed by the site.
    pub confirmed: Amounts,
    /// Kept for recovery as last written.
    pub reserved: Amounts,
}

impl Held {
    fn at_most(&self, kind: Kind) -> u64 {
        self.written.amount(kind).max(self.confirmed.amount(kind)).saturating_add(self.reserved.amount(kind))
    }
}

/// What may be written for each site now. `targets` and `held` are by site; a site in `held` alone is leaving
/// and keeps counting until it is gone.
pub fn step(
    quota: &Amounts,
    targets: &[(String, Share)],
    held: &BTreeMap<String, Held>,
) -> Vec<(String, Share)> {
    let mut next: Vec<(String, Share)> =
        targets.iter().map(|(site, _)| (site.clone(), Share::default())).collect();
    for (kind, limit) in quota.iter() {
        let mut free = limit.saturating_sub(taken(kind, targets, held));
        for ((site, target), (_, share)) in targets.iter().zip(&mut next) {
            one(kind, target, held.get(site), &mut free, share);
        }
    }
    next
}

/// What is certainly bound: for each target site the smaller of what it holds and nothing less than it may still
/// be enforcing, for a leaving site all it holds.
fn taken(kind: Kind, targets: &[(String, Share)], held: &BTreeMap<String, Held>) -> u64 {
    let bound = |(site, h): (&String, &Held)| {
        let target = targets.iter().find(|(s, _)| s == site).map(|(_, share)| share);
        match target {
            // The reserve is a number of ours alone: it shrinks the moment we write it.
            Some(share) => {
                let hard = h.confirmed.amount(kind).max(h.written.amount(kind).min(share.hard.amount(kind)));
                hard.saturating_add(h.reserved.amount(kind).min(share.reserved.amount(kind)))
            }
            None => h.at_most(kind),
        }
    };
    held.iter().map(bound).fold(0, u64::saturating_add)
}

fn one(kind: Kind, target: &Share, held: Option<&Held>, free: &mut u64, share: &mut Share) {
    let none = Held::default();
    let held = held.unwrap_or(&none);
    let mut grow = |from: u64, to: u64| {
        let more = to.saturating_sub(from).min(*free);
        *free -= more;
        from.min(to) + more
    };
    let (hard, reserved) = (target.hard.amount(kind), target.reserved.amount(kind));
    // Growing starts from what is bound already, so that nothing is counted twice.
    let bound = held.confirmed.amount(kind).max(held.written.amount(kind).min(hard));
    share.hard.set(kind, grow(bound, hard));
    let kept = grow(held.reserved.amount(kind).min(reserved), reserved);
    if kept > 0 || target.reserved.get(kind).is_some() {
        share.reserved.set(kind, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::split::{Reserve, split};
    use proptest::prelude::*;

    fn cpu(amount: u64) -> Amounts {
        Amounts::new().with(Kind::Cpu, amount)
    }

    fn names(shares: Vec<Share>) -> Vec<(String, Share)> {
        shares.into_iter().enumerate().map(|(i, s)| (format!("s{i}"), s)).collect()
    }

    #[test]
    fn a_new_vdc_gets_its_whole_share_at_once() {
        let targets = names(split(&cpu(30), 2, &Reserve::Full));
        assert_eq!(step(&cpu(30), &targets, &BTreeMap::new()), targets);
    }

    #[test]
    fn a_taker_waits_for_the_giver_to_confirm() {
        let targets = names(split(&cpu(20), 2, &Reserve::None));
        let full = Held { written: cpu(20), confirmed: cpu(20), reserved: Amounts::new() };
        let first = step(&cpu(20), &targets, &BTreeMap::from([("s0".to_owned(), full)]));
        assert_eq!(first[0].1.hard.amount(Kind::Cpu), 10);
        assert_eq!(first[1].1.hard.amount(Kind::Cpu), 0);
        let shrunk = Held { written: cpu(10), confirmed: cpu(10), reserved: Amounts::new() };
        let second = step(&cpu(20), &targets, &BTreeMap::from([("s0".to_owned(), shrunk)]));
        assert_eq!(second[1].1.hard.amount(Kind::Cpu), 10);
    }

    proptest! {
        /// Whatever sites have confirmed, what is written plus what may still be enforced stays within the quota,
        /// provided it did before.
        #[test]
        fn never_above_the_quota(quota in 0u64..1000, sites in 1usize..5, confirmed in proptest::collection::vec(0u64..300, 5), leaving in 0u64..300) {
            let targets = names(split(&cpu(quota), sites, &Reserve::Full));
            let mut held: BTreeMap<String, Held> = (0..sites).map(|i| {
                (format!("s{i}"), Held { written: cpu(confirmed[i]), confirmed: cpu(confirmed[i]), reserved: Amounts::new() })
            }).collect();
            held.insert("gone".into(), Held { written: cpu(leaving), confirmed: cpu(leaving), reserved: Amounts::new() });
            let before: u64 = held.values().map(|h| h.at_most(Kind::Cpu)).sum();
            prop_assume!(before <= quota);
            let next = step(&cpu(quota), &targets, &held);
            let after: u64 = leaving + next.iter().map(|(site, share)| {
                share.hard.amount(Kind::Cpu).max(held[site].confirmed.amount(Kind::Cpu)) + share.reserved.amount(Kind::Cpu)
            }).sum::<u64>();
            prop_assert!(after <= quota, "{after} above {quota}: {next:?}");
        }
    }
}
