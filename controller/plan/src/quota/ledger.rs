//! Who has been promised what, as far as it can still be in force. Built from the slices alone, so a new leader
//! has it before its first decision; changed only together with a decision, under the caller's lock.
//!
//! Sums over a site and over a bureau are kept, not added up anew: a question costs the same however many VDCs there are.

use std::collections::{BTreeMap, BTreeSet};

use yunting_crds::resources::{Amounts, Kind};

use super::split::Share;

/// Promise to one VDC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// Bureau of the VDC.
    pub bureau: String,
    /// Its whole quota as promised.
    pub quota: Amounts,
    /// What each site is promised for, sites that it is leaving included.
    pub sites: BTreeMap<String, Share>,
}

impl Grant {
    /// Whether others may have more once this is in its place: less is promised of anything, in all or at a site.
    pub fn gives_back(&self, next: &Self) -> bool {
        let less = |before: &Amounts, after: &Amounts| {
            before.iter().any(|(kind, amount)| amount > after.amount(kind))
        };
        let at_site = |(name, share): (&String, &Share)| {
            let after = next.sites.get(name).cloned().unwrap_or_default();
            less(&share.hard, &after.hard) || less(&share.total(), &after.total())
        };
        less(&self.quota, &next.quota) || self.sites.iter().any(at_site)
    }
}

/// A sum that can also be taken from. Wider than any amount, so that what is taken leaves exactly the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sum(BTreeMap<Kind, Part>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Part {
    amount: u128,
    /// How many name the resource: one that nobody names is not in the sum.
    named: usize,
}

impl Sum {
    fn add(&mut self, amounts: &Amounts) {
        for (kind, amount) in amounts.iter() {
            let part = self.0.entry(kind).or_default();
            part.amount = part.amount.saturating_add(u128::from(amount));
            part.named += 1;
        }
    }

    fn take(&mut self, amounts: &Amounts) {
        for (kind, amount) in amounts.iter() {
            let Some(part) = self.0.get_mut(&kind) else { continue };
            part.amount = part.amount.saturating_sub(u128::from(amount));
            part.named = part.named.saturating_sub(1);
            if part.named == 0 {
                self.0.remove(&kind);
            }
        }
    }

    /// Saturates at the largest number, which no capacity ever fits.
    fn amounts(&self) -> Amounts {
        self.0.iter().map(|(kind, part)| (*kind, u64::try_from(part.amount).unwrap_or(u64::MAX))).collect()
    }

    fn without(&self, amounts: Option<&Amounts>) -> Amounts {
        let Some(amounts) = amounts else { return self.amounts() };
        let mut rest = self.clone();
        rest.take(amounts);
        rest.amounts()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct OfSite {
    hard: Sum,
    reserved: Sum,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct OfBureau {
    vdcs: usize,
    quota: Sum,
}

/// Every promise, by uid of the VDC.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    grants: BTreeMap<String, Grant>,
    sites: BTreeMap<String, OfSite>,
    bureaus: BTreeMap<String, OfBureau>,
}

impl Ledger {
    /// Promise to a VDC.
    pub fn get(&self, uid: &str) -> Option<&Grant> {
        self.grants.get(uid)
    }

    /// Writes a promise, in place of the VDC's earlier one. Gives the sites where that changes what is promised.
    pub fn set(&mut self, uid: &str, grant: Grant) -> BTreeSet<String> {
        let before = self.remove(uid).map(|g| g.sites).unwrap_or_default();
        let named = before.keys().chain(grant.sites.keys());
        let moved = named.filter(|site| before.get(*site) != grant.sites.get(*site)).cloned().collect();
        let bureau = self.bureaus.entry(grant.bureau.clone()).or_default();
        bureau.vdcs += 1;
        bureau.quota.add(&grant.quota);
        for (name, share) in &grant.sites {
            let site = self.sites.entry(name.clone()).or_default();
            site.hard.add(&share.hard);
            site.reserved.add(&share.reserved);
        }
        self.grants.insert(uid.to_owned(), grant);
        moved
    }

    /// Forgets a VDC that is gone everywhere; gives what it had.
    pub fn remove(&mut self, uid: &str) -> Option<Grant> {
        let grant = self.grants.remove(uid)?;
        if let Some(bureau) = self.bureaus.get_mut(&grant.bureau) {
            bureau.vdcs = bureau.vdcs.saturating_sub(1);
            bureau.quota.take(&grant.quota);
        }
        for (name, share) in &grant.sites {
            if let Some(site) = self.sites.get_mut(name) {
                site.hard.take(&share.hard);
                site.reserved.take(&share.reserved);
            }
        }
        Some(grant)
    }

    /// Promised to the bureau's other VDCs.
    pub fn of_bureau(&self, bureau: &str, except: &str) -> Amounts {
        let own = self.in_bureau(bureau, except).map(|g| &g.quota);
        self.bureaus.get(bureau).map(|b| b.quota.without(own)).unwrap_or_default()
    }

    /// VDCs of the bureau besides this one.
    pub fn count(&self, bureau: &str, except: &str) -> usize {
        let all = self.bureaus.get(bureau).map_or(0, |b| b.vdcs);
        all - usize::from(self.in_bureau(bureau, except).is_some())
    }

    /// Promised at a site to others than this VDC.
    pub fn at_site(&self, site: &str, except: &str) -> Share {
        let Some(sum) = self.sites.get(site) else { return Share::default() };
        let own = self.grants.get(except).and_then(|g| g.sites.get(site));
        Share {
            hard: sum.hard.without(own.map(|s| &s.hard)),
            reserved: sum.reserved.without(own.map(|s| &s.reserved)),
        }
    }

    fn in_bureau(&self, bureau: &str, uid: &str) -> Option<&Grant> {
        self.grants.get(uid).filter(|g| g.bureau == bureau)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn amounts() -> impl Strategy<Value = Amounts> {
        let kind = prop::sample::select(vec![Kind::Cpu, Kind::Memory, Kind::Pods]);
        let amount = prop_oneof![0..100_u64, Just(u64::MAX)];
        prop::collection::vec((kind, amount), 0..3).prop_map(|all| all.into_iter().collect())
    }

    fn grant() -> impl Strategy<Value = Grant> {
        let share = (amounts(), amounts()).prop_map(|(hard, reserved)| Share { hard, reserved });
        let sites = prop::collection::btree_map("[ab]", share, 0..3);
        ("[xy]", amounts(), sites).prop_map(|(bureau, quota, sites)| Grant { bureau, quota, sites })
    }

    /// A promise to one of four VDCs, or the end of it.
    fn change() -> impl Strategy<Value = (String, Option<Grant>)> {
        ("[0-3]", prop::option::of(grant()))
    }

    #[test]
    fn less_of_anything_gives_back_and_a_move_does_at_the_site_that_is_left() {
        let cpu = |n| Amounts::new().with(Kind::Cpu, n);
        let grant = |quota: Amounts, site: &str, hard: u64| Grant {
            bureau: "x".into(),
            quota,
            sites: BTreeMap::from([(site.to_owned(), Share { hard: cpu(hard), reserved: Amounts::new() })]),
        };
        let before = grant(cpu(4), "a", 4);
        let table = [
            (before.clone(), false),
            (grant(cpu(5), "a", 5), false),
            (grant(cpu(3), "a", 4), true),
            (grant(cpu(4), "a", 3), true),
            (grant(cpu(4), "b", 4), true),
            (grant(Amounts::new(), "a", 4), true),
        ];
        for (after, wanted) in table {
            assert_eq!(before.gives_back(&after), wanted, "{after:?}");
        }
    }

    proptest! {
        #[test]
        fn kept_sums_are_those_added_up_anew(changes in prop::collection::vec(change(), 0..20)) {
            let (mut ledger, mut plain) = (Ledger::default(), BTreeMap::new());
            for (uid, grant) in changes {
                let before = ["a", "b"].map(|site| ledger.at_site(site, ""));
                let moved = if let Some(grant) = grant {
                    plain.insert(uid.clone(), grant.clone());
                    ledger.set(&uid, grant)
                } else {
                    plain.remove(&uid);
                    ledger.remove(&uid).map(|g| g.sites.into_keys().collect()).unwrap_or_default()
                };
                for (site, before) in ["a", "b"].into_iter().zip(before) {
                    prop_assert!(moved.contains(site) || ledger.at_site(site, "") == before, "{site}");
                }
            }
            for except in ["", "0", "1", "2", "3"] {
                let others: Vec<&Grant> = plain.iter().filter(|(uid, _)| *uid != except).map(|(_, g)| g).collect();
                for bureau in ["x", "y"] {
                    let own = others.iter().filter(|g| g.bureau == bureau);
                    prop_assert_eq!(ledger.count(bureau, except), own.clone().count());
                    let sum = own.fold(Amounts::new(), |sum, g| sum.plus(&g.quota));
                    prop_assert_eq!(ledger.of_bureau(bureau, except), sum);
                }
                for site in ["a", "b"] {
                    let shares = others.iter().filter_map(|g| g.sites.get(site));
                    let sum = shares.fold(Share::default(), |sum, s| Share {
                        hard: sum.hard.plus(&s.hard),
                        reserved: sum.reserved.plus(&s.reserved),
                    });
                    prop_assert_eq!(ledger.at_site(site, except), sum);
                }
            }
        }
    }
}
