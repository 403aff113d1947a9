//! Which sites a VDC lives at, and why not at the others. Chosen sites stay chosen as long as they can: a VDC
//! moves by a recovery run, never by a better score.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use yunting_crds::resources::{Amounts, Kind};
use yunting_crds::site::SiteState;
use yunting_crds::vdc::{SiteChoice, SiteRole, Sites, Spread};

use crate::quota::split::{Reserve, Share, split};

/// A site as placement sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteView {
    /// Name.
    pub name: String,
    /// Region.
    pub region: String,
    /// Failure domain.
    pub failure_domain: String,
    /// Whether it takes work.
    pub state: SiteState,
    /// Its beat is fresh and its policies are enforced.
    pub ready: bool,
    /// Room times overcommitment; a resource that is not named is not limited.
    pub room: Amounts,
    /// Percent of the room that only reserves may use.
    pub dr_reserve_percent: u32,
    /// Promised to other VDCs.
    pub promised: Share,
}

/// What is asked of placement.
#[derive(Debug, Clone, PartialEq)]
pub struct Request<'a> {
    /// The VDC's wish.
    pub sites: &'a Sites,
    /// Its quota.
    pub quota: &'a Amounts,
    /// What is kept at the standby.
    pub reserve: &'a Reserve,
    /// Sites chosen before, in the order of their roles.
    pub current: &'a [String],
}

/// The answer: sites in the order of their roles, and a reason for every site there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Chosen sites: active, standby, members. Empty when not all asked could be found.
    pub chosen: Vec<String>,
    /// Reason for every site.
    pub choices: Vec<SiteChoice>,
    /// What was missing, for the condition, when nothing is chosen.
    pub failure: Option<String>,
}

/// Role of the n-th chosen site.
pub fn role(index: usize) -> SiteRole {
    match index {
        0 => SiteRole::Active,
        1 => SiteRole::Standby,
        _ => SiteRole::Member,
    }
}

/// Chooses sites.
pub fn place(request: &Request<'_>, sites: &[SiteView]) -> Placement {
    let wanted = wanted(request.sites);
    let mut search = Search {
        request,
        shares: split(request.quota, wanted, request.reserve),
        chosen: Vec::new(),
        domains: BTreeSet::new(),
        refused: Vec::new(),
    };
    let missing = named(request.sites).into_iter().find(|n| !sites.iter().any(|s| s.name == **n));
    if let Some(name) = missing {
        let failure = format!("sites names {name:?}, which is no site; `kubectl get sites` lists them");
        return search.failed(sites, failure);
    }
    for name in candidates(request, sites) {
        if search.chosen.len() == wanted {
            break;
        }
        if let Some(site) = sites.iter().find(|s| s.name == name) {
            search.consider(site);
        }
    }
    let must = must(request.sites);
    if let Some(lost) = must.iter().find(|n| !search.chosen.contains(n)) {
        let why = search
            .refused
            .iter()
            .find(|c| c.site == *lost)
            .map_or_else(String::new, |c| format!(": {}", c.message));
        return search.failed(sites, format!("site {lost} is demanded but does not fit{why}"));
    }
    if search.chosen.len() < wanted {
        let found = search.chosen.len();
        return search.failed(
            sites,
            format!("{wanted} sites asked, {found} fit; see status.placement for each site's reason"),
        );
    }
    search.done(sites)
}

fn wanted(sites: &Sites) -> usize {
    match (&sites.placement, sites.names.len()) {
        (Some(rule), _) => usize::try_from(rule.count).unwrap_or(1).max(1),
        (None, 0) => 1,
        (None, n) => n,
    }
}

fn named(sites: &Sites) -> Vec<&String> {
    let rule = sites.placement.iter().flat_map(|p| p.required.iter().chain(&p.preferred));
    sites.names.iter().chain(rule).collect()
}

fn must(sites: &Sites) -> Vec<String> {
    let rule = sites.placement.iter().flat_map(|p| p.required.iter());
    sites.names.iter().chain(rule).cloned().collect()
}

/// Sites in the order in which they are tried. Explicit names fix the order and so the roles; otherwise those
/// chosen before stay first, then demanded, preferred, and the emptiest.
fn candidates(request: &Request<'_>, sites: &[SiteView]) -> Vec<String> {
    if !request.sites.names.is_empty() {
        return request.sites.names.clone();
    }
    let none = Vec::new();
    let (required, preferred, limit) = match &request.sites.placement {
        Some(rule) => (&rule.required, &rule.preferred, wanted(request.sites)),
        None => (&none, &none, 1),
    };
    let mut open: Vec<&SiteView> = sites.iter().collect();
    let free_cpu =
        |s: &SiteView| s.room.amount(Kind::Cpu).saturating_sub(s.promised.total().amount(Kind::Cpu));
    open.sort_by_key(|s| (Reverse(free_permille(s)), Reverse(free_cpu(s)), s.name.clone()));
    // Room is left for demanded sites: those chosen before give way only to them.
    let keep = |name: &&String| required.contains(*name) || request.current.len() <= limit;
    let mut order: Vec<String> = Vec::new();
    let current = request.current.iter().filter(keep).cloned();
    let reserved_for_required = required.iter().filter(|r| !request.current.contains(r)).count();
    let kept: Vec<String> = current.take(limit.saturating_sub(reserved_for_required)).collect();
    let rest = open.iter().map(|s| s.name.clone());
    // Preferred sites lead among the required, so that the order of preference also gives the roles.
    let preferred_required = preferred.iter().filter(|p| required.contains(p)).cloned();
    for name in kept
        .into_iter()
        .chain(preferred_required)
        .chain(required.iter().cloned())
        .chain(preferred.iter().cloned())
        .chain(rest)
    {
        if !order.contains(&name) {
            order.push(name);
        }
    }
    order
}

/// How empty a site is, in thousandths of its scarcest resource.
fn free_permille(site: &SiteView) -> u64 {
    let promised = site.promised.total();
    let free = |(kind, room): (Kind, u64)| {
        let left = u128::from(room.saturating_sub(promised.amount(kind)));
        u64::try_from(left * 1000 / u128::from(room.max(1))).unwrap_or(0)
    };
    site.room.iter().map(free).min().unwrap_or(1000)
}

struct Search<'a> {
    request: &'a Request<'a>,
    shares: Vec<Share>,
    chosen: Vec<String>,
    domains: BTreeSet<String>,
    refused: Vec<SiteChoice>,
}

impl Search<'_> {
    fn consider(&mut self, site: &SiteView) {
        let kept = self.request.current.contains(&site.name);
        if let Some((reason, message)) = self.refusal(site, kept) {
            self.refused.push(choice(&site.name, SiteRole::NotChosen, reason, message));
            return;
        }
        self.domains.insert(site.failure_domain.clone());
        self.chosen.push(site.name.clone());
    }

    fn refusal(&self, site: &SiteView, kept: bool) -> Option<(&'static str, String)> {
        let name = &site.name;
        if site.state == SiteState::Forgotten {
            return Some(("Forgotten", format!("site {name} has been given up")));
        }
        let residency = self.request.sites.placement.as_ref().map_or(&[][..], |p| &p.residency);
        if !residency.is_empty() && !residency.contains(&site.region) {
            return Some((
                "Residency",
                format!("region {} is not among {}", site.region, residency.join(", ")),
            ));
        }
        if self.request.sites.spread == Spread::FailureDomain && self.domains.contains(&site.failure_domain) {
            return Some((
                "FailureDomain",
                format!("failure domain {} already has a chosen site", site.failure_domain),
            ));
        }
        if kept {
            // What it has, it keeps: a full, silent or cordoned site is no reason to leave it.
            return None;
        }
        if site.state == SiteState::Cordoned {
            return Some(("Cordoned", format!("site {name} takes nothing new; set spec.state to Enabled")));
        }
        if !site.ready {
            return Some((
                "NotReady",
                format!("site {name} is silent or its policies are not enforced; see its conditions"),
            ));
        }
        self.lack(site).map(|message| ("NoRoom", message))
    }

    fn lack(&self, site: &SiteView) -> Option<String> {
        let share = self.shares.get(self.chosen.len())?;
        let ordinary = site.room.scaled(u64::from(100u32.saturating_sub(site.dr_reserve_percent)), 100);
        let hard = site.promised.hard.clone().plus(&share.hard);
        let total = site.promised.total().plus(&share.total());
        let excess = hard.first_above(&ordinary).or_else(|| total.first_above(&site.room))?;
        Some(format!("site {} has too little room: {} in all with this VDC", site.name, excess))
    }

    fn done(mut self, sites: &[SiteView]) -> Placement {
        let choices = self.choices(sites);
        Placement { chosen: std::mem::take(&mut self.chosen), choices, failure: None }
    }

    fn failed(mut self, sites: &[SiteView], failure: String) -> Placement {
        self.chosen.clear();
        Placement { chosen: Vec::new(), choices: self.choices(sites), failure: Some(failure) }
    }

    fn choices(&mut self, sites: &[SiteView]) -> Vec<SiteChoice> {
        let mut all: Vec<SiteChoice> = sites.iter().map(|s| self.choice_of(s)).collect();
        all.sort_by(|a, b| a.site.cmp(&b.site));
        all
    }

    fn choice_of(&self, site: &SiteView) -> SiteChoice {
        if let Some(index) = self.chosen.iter().position(|c| *c == site.name) {
            let (reason, message) = if self.request.current.contains(&site.name) {
                ("Kept", "chosen before")
            } else if must(self.request.sites).contains(&site.name) {
                ("Required", "demanded by the VDC")
            } else if self.request.sites.placement.as_ref().is_some_and(|p| p.preferred.contains(&site.name))
            {
                ("Preferred", "preferred by the VDC")
            } else {
                ("Headroom", "has the most free room of those that fit")
            };
            return choice(&site.name, role(index), reason, message.to_owned());
        }
        if let Some(refused) = self.refused.iter().find(|r| r.site == site.name) {
            return refused.clone();
        }
        choice(
            &site.name,
            SiteRole::NotChosen,
            "NotNeeded",
            "enough sites were found before this one".to_owned(),
        )
    }
}

fn choice(site: &str, role: SiteRole, reason: &str, message: String) -> SiteChoice {
    SiteChoice { site: site.to_owned(), role, reason: reason.to_owned(), message }
}

#[cfg(test)]
mod tests;
