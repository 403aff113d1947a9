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
    /// The site has seen what was last written. Until then it may be about to enforce it, so it is not taken back:
    /// what was written before a second word would be known to nobody.
    pub settled: bool,
}

impl Held {
    /// What it may be enforcing on its way to `hard`.
    fn bound(&self, kind: Kind, hard: u64) -> u64 {
        let (written, confirmed) = (self.written.amount(kind), self.confirmed.amount(kind));
        confirmed.max(if self.settled { written.min(hard) } else { written })
    }

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
                let hard = h.bound(kind, share.hard.amount(kind));
                hard.saturating_add(h.reserved.amount(kind).min(share.reserved.amount(kind)))
            }
            None => h.at_most(kind),
        }
    };
    held.iter().map(bound).fold(0, u64::saturating_add)
}

fn one(kind: Kind, target: &Share, held: Option<&Held>, free: &mut u64, share: &mut Share) {
    let none = Held { settled: true, ..Held::default() };
    let held = held.unwrap_or(&none);
    let mut grow = |from: u64, to: u64| {
        let more = to.saturating_sub(from).min(*free);
        *free -= more;
        from.min(to) + more
    };
    let (hard, reserved) = (target.hard.amount(kind), target.reserved.amount(kind));
    // Growing starts from what is bound already, so that nothing is counted twice.
    let next = grow(held.bound(kind, hard), hard);
    share.hard.set(kind, if held.settled { next } else { next.max(held.written.amount(kind)) });
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
        let full = Held { written: cpu(20), confirmed: cpu(20), settled: true, ..Held::default() };
        let first = step(&cpu(20), &targets, &BTreeMap::from([("s0".to_owned(), full)]));
        assert_eq!(first[0].1.hard.amount(Kind::Cpu), 10);
        assert_eq!(first[1].1.hard.amount(Kind::Cpu), 0);
        let shrunk = Held { written: cpu(10), confirmed: cpu(10), settled: true, ..Held::default() };
        let second = step(&cpu(20), &targets, &BTreeMap::from([("s0".to_owned(), shrunk)]));
        assert_eq!(second[1].1.hard.amount(Kind::Cpu), 10);
    }

    #[test]
    fn a_promise_that_the_site_has_not_seen_is_not_taken_back() {
        let targets = names(split(&cpu(20), 2, &Reserve::None));
        let grown = Held { written: cpu(15), confirmed: cpu(10), settled: false, ..Held::default() };
        let other = Held { written: cpu(5), confirmed: cpu(5), settled: true, ..Held::default() };
        let held = BTreeMap::from([("s0".to_owned(), grown.clone()), ("s1".to_owned(), other)]);
        let next = step(&cpu(20), &targets, &held);
        assert_eq!((next[0].1.hard.amount(Kind::Cpu), next[1].1.hard.amount(Kind::Cpu)), (15, 5));
        let seen = Held { confirmed: cpu(15), settled: true, ..grown };
        let next = step(&cpu(20), &targets, &BTreeMap::from([("s0".to_owned(), seen)]));
        assert_eq!((next[0].1.hard.amount(Kind::Cpu), next[1].1.hard.amount(Kind::Cpu)), (10, 5));
    }

    /// A site: what it was last told, what it acts on, what it enforces, what it says it enforces.
    #[derive(Debug, Clone, Default)]
    struct Site {
        told: u64,
        acts: u64,
        enforces: u64,
        said: u64,
        sees: bool,
    }

    impl Site {
        fn held(&self) -> Held {
            Held { written: cpu(self.told), confirmed: cpu(self.said), settled: self.sees, ..Held::default() }
        }
    }

    proptest! {
        /// However the quota is to be divided and in whatever order hub and sites act, the sum of what is enforced
        /// stays within it.
        #[test]
        fn sites_never_enforce_more_than_the_quota(
            moves in proptest::collection::vec((0usize..4, 0usize..3), 1..160),
        ) {
            let mut sites = vec![Site { sees: true, ..Site::default() }; 3];
            for (act, i) in moves {
                match act {
                    // All of it is to go to one site.
                    0 => {
                        let held = sites.iter().enumerate().map(|(i, s)| (format!("s{i}"), s.held())).collect();
                        let share = |s: usize| Share { hard: cpu(if s == i { 30 } else { 0 }), ..Share::default() };
                        let targets = names((0..3).map(share).collect());
                        for (site, (_, share)) in sites.iter_mut().zip(step(&cpu(30), &targets, &held)) {
                            let hard = share.hard.amount(Kind::Cpu);
                            site.sees &= hard == site.told;
                            site.told = hard;
                        }
                    }
                    1 => sites[i].acts = sites[i].told,
                    2 => sites[i].enforces = sites[i].acts,
                    _ => {
                        // What it says is never less than what it enforces or is about to.
                        sites[i].said = sites[i].enforces.max(sites[i].acts);
                        sites[i].sees = sites[i].acts == sites[i].told;
                    }
                }
                let sum: u64 = sites.iter().map(|s| s.enforces).sum();
                prop_assert!(sum <= 30, "{sum}: {sites:?}");
            }
        }

        /// Whatever sites have confirmed, what is written plus what may still be enforced stays within the quota,
        /// provided it did before.
        #[test]
        fn never_above_the_quota(quota in 0u64..1000, sites in 1usize..5, confirmed in proptest::collection::vec(0u64..300, 5), leaving in 0u64..300) {
            let targets = names(split(&cpu(quota), sites, &Reserve::Full));
            let mut held: BTreeMap<String, Held> = (0..sites).map(|i| {
                (format!("s{i}"), Held { written: cpu(confirmed[i]), confirmed: cpu(confirmed[i]), settled: true, ..Held::default() })
            }).collect();
            held.insert("gone".into(), Held { written: cpu(leaving), confirmed: cpu(leaving), settled: true, ..Held::default() });
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
