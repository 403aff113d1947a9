//! Who has been promised what, as far as it can still be in force. Built from the slices alone, so a new leader
//! has it before its first decision; changed only together with a decision, under the caller's lock.

use std::collections::BTreeMap;

use yunting_crds::resources::Amounts;

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

/// Every promise, by uid of the VDC.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    grants: BTreeMap<String, Grant>,
}

impl Ledger {
    /// Promise to a VDC.
    pub fn get(&self, uid: &str) -> Option<&Grant> {
        self.grants.get(uid)
    }

    /// Writes a promise, in place of the VDC's earlier one.
    pub fn set(&mut self, uid: &str, grant: Grant) {
        self.grants.insert(uid.to_owned(), grant);
    }

    /// Forgets a VDC that is gone everywhere.
    pub fn remove(&mut self, uid: &str) {
        self.grants.remove(uid);
    }

    /// Promised to the bureau's other VDCs.
    pub fn of_bureau(&self, bureau: &str, except: &str) -> Amounts {
        self.others(except).filter(|g| g.bureau == bureau).fold(Amounts::new(), |sum, g| sum.plus(&g.quota))
    }

    /// VDCs of the bureau besides this one.
    pub fn count(&self, bureau: &str, except: &str) -> usize {
        self.others(except).filter(|g| g.bureau == bureau).count()
    }

    /// Promised at a site to others than this VDC.
    pub fn at_site(&self, site: &str, except: &str) -> Share {
        let shares = self.others(except).filter_map(|g| g.sites.get(site));
        shares.fold(Share::default(), |sum, s| Share {
            hard: sum.hard.plus(&s.hard),
            reserved: sum.reserved.plus(&s.reserved),
        })
    }

    fn others<'a>(&'a self, except: &'a str) -> impl Iterator<Item = &'a Grant> {
        self.grants.iter().filter(move |(uid, _)| uid.as_str() != except).map(|(_, g)| g)
    }
}
