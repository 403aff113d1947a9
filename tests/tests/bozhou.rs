//! The reference case fits: at both scales every VDC finds its sites by the product's own plan, and what the halls
//! ask, with the pods that come on top while they are rolled out, fits into the namespaces they run in.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../crds/tests/support/mod.rs"]
mod support;

use serde::de::DeserializeOwned;
use serde_json::Value;
use yunting_crds::resources::{Amounts, Kind};
use yunting_crds::vdc::{DrReserveMode, SiteRole};
use yunting_crds::{Bureau, Hall, Site, VdcTemplate, VirtualDataCenter};
use yunting_plan::demand;
use yunting_plan::placement::{self, Request, SiteView, place};
use yunting_plan::quota::split::{Reserve, Share, over_namespaces, split};

/// One scale of the sample, as types.
struct City {
    sites: Vec<Site>,
    templates: Vec<VdcTemplate>,
    bureaus: Vec<Bureau>,
    vdcs: Vec<VirtualDataCenter>,
    halls: Vec<Hall>,
}

impl City {
    fn read(scale: &str) -> Self {
        let objects = support::bozhou(scale);
        Self {
            sites: of(&objects, "Site"),
            templates: of(&objects, "VdcTemplate"),
            bureaus: of(&objects, "Bureau"),
            vdcs: of(&objects, "VirtualDataCenter"),
            halls: of(&objects, "Hall"),
        }
    }

    fn template(&self, vdc: &VirtualDataCenter) -> &VdcTemplate {
        let name = &vdc.spec.template_ref.as_ref().unwrap().name;
        self.templates.iter().find(|template| template.metadata.name.as_ref() == Some(name)).unwrap()
    }

    fn quota(&self, vdc: &VirtualDataCenter) -> Amounts {
        vdc.spec.quota.or(&self.template(vdc).spec.quota).amounts().unwrap()
    }

    /// What all halls ask in namespace `app` at a site of that role.
    fn asked(&self, vdc: &VirtualDataCenter, role: SiteRole) -> Amounts {
        let at_site =
            |hall: &Hall| demand::at_site(&hall.spec, &vdc.spec, role).remove("app").unwrap_or_default();
        self.halls.iter().map(at_site).fold(Amounts::new(), |sum, asked| sum.plus(&asked))
    }

    fn reserve(&self, vdc: &VirtualDataCenter) -> Reserve {
        let given = vdc.spec.dr_reserve.as_ref().or(self.template(vdc).spec.dr_reserve.as_ref());
        match given.map(|reserve| reserve.mode) {
            Some(DrReserveMode::Full) => Reserve::Full,
            Some(DrReserveMode::None) | None => Reserve::None,
            Some(DrReserveMode::Fixed) => panic!("the sample has no fixed reserve"),
        }
    }
}

fn of<T: DeserializeOwned>(objects: &[Value], kind: &str) -> Vec<T> {
    let wanted = objects.iter().filter(|object| object["kind"] == kind);
    wanted.map(|object| serde_json::from_value(object.clone()).unwrap()).collect()
}

fn name<T: kube::Resource>(object: &T) -> String {
    object.meta().name.clone().unwrap()
}

fn view(site: &Site) -> SiteView {
    let capacity = &site.spec.capacity;
    let declared = capacity.declared.as_ref().unwrap().amounts().unwrap();
    let percent = |kind| match kind {
        Kind::Cpu => capacity.overcommit_percent.cpu,
        Kind::Memory => capacity.overcommit_percent.memory,
        _ => 100,
    };
    SiteView {
        name: name(site),
        region: site.spec.region.clone(),
        failure_domain: site.spec.failure_domain.clone(),
        state: site.spec.state,
        ready: true,
        room: declared.iter().map(|(kind, amount)| (kind, amount * u64::from(percent(kind)) / 100)).collect(),
        dr_reserve_percent: capacity.dr_reserve_percent,
        promised: Share::default(),
    }
}

#[test]
fn every_vdc_finds_the_sites_it_prefers() {
    for scale in ["city", "lab"] {
        let city = City::read(scale);
        let mut sites: Vec<SiteView> = city.sites.iter().map(view).collect();
        for vdc in &city.vdcs {
            let (quota, reserve) = (city.quota(vdc), city.reserve(vdc));
            let request = Request { sites: &vdc.spec.sites, quota: &quota, reserve: &reserve, current: &[] };
            let placement = place(&request, &sites);
            let wanted = &vdc.spec.sites.placement.as_ref().unwrap().preferred;
            assert_eq!(&placement.chosen, wanted, "{scale} {}: {:?}", name(vdc), placement.choices);
            for (chosen, share) in placement.chosen.iter().zip(split(&quota, wanted.len(), &reserve)) {
                let site = sites.iter_mut().find(|site| site.name == *chosen).unwrap();
                site.promised.hard = site.promised.hard.clone().plus(&share.hard);
                site.promised.reserved = site.promised.reserved.clone().plus(&share.reserved);
            }
        }
    }
}

#[test]
fn the_halls_fit_at_every_site_even_while_all_are_rolled_out() {
    for scale in ["city", "lab"] {
        let city = City::read(scale);
        let vdc = city.vdcs.iter().find(|vdc| name(*vdc) == "service-hall").unwrap();
        let shares = split(&city.quota(vdc), 3, &city.reserve(vdc));
        let weights: Vec<u32> = vdc.spec.namespaces.iter().map(|namespace| namespace.weight).collect();
        assert_eq!(vdc.spec.namespaces[0].name, "app");
        for (index, share) in shares.iter().enumerate() {
            let app = over_namespaces(&share.hard, &weights).remove(0);
            let asked = city.asked(vdc, placement::role(index));
            assert_eq!(asked.first_above(&app), None, "{scale}, site {index}: {asked} asked, {app} there");
        }
        let (all, standby) = (city.asked(vdc, SiteRole::Active), shares[1].total());
        assert_eq!(all.first_above(&standby), None, "{scale}: the standby could not take over");
    }
}

#[test]
fn vdcs_and_child_bureaus_fit_into_their_bureaus() {
    for scale in ["city", "lab"] {
        let city = City::read(scale);
        for bureau in &city.bureaus {
            let namespace = format!("bureau-{}", name(bureau));
            let vdcs = city.vdcs.iter().filter(|vdc| vdc.metadata.namespace.as_ref() == Some(&namespace));
            let (count, own) =
                vdcs.fold((0, Amounts::new()), |(n, sum), vdc| (n + 1, sum.plus(&city.quota(vdc))));
            let is_child = |child: &&Bureau| {
                child.spec.parent_ref.as_ref().is_some_and(|parent| parent.name == name(bureau))
            };
            let children =
                city.bureaus.iter().filter(is_child).map(|child| child.spec.quota.amounts().unwrap());
            let promised = children.fold(own, |sum, child| sum.plus(&child));
            let limit = bureau.spec.quota.amounts().unwrap();
            assert_eq!(
                promised.first_above(&limit),
                None,
                "{scale} {}: {promised} promised of {limit}",
                name(bureau)
            );
            assert!(count <= bureau.spec.quota.vdcs.unwrap(), "{scale} {}", name(bureau));
        }
    }
}

#[test]
fn hosts_lie_under_the_bureaus_domain_and_nobody_claims_two_times() {
    let city = City::read("city");
    let bureau = city.bureaus.iter().find(|bureau| name(*bureau) == "government-affairs-service").unwrap();
    let mut hosts: Vec<&str> =
        city.halls.iter().map(|hall| hall.spec.portal.as_ref().unwrap().host.as_str()).collect();
    for host in &hosts {
        let under = bureau.spec.domains.iter().any(|domain| host.ends_with(&format!(".{domain}")));
        assert!(under, "{host} is under none of {:?}", bureau.spec.domains);
    }
    hosts.sort_unstable();
    hosts.dedup();
    assert_eq!(hosts.len(), 6);
    let mut domains: Vec<&String> = city.bureaus.iter().flat_map(|bureau| &bureau.spec.domains).collect();
    let all = domains.len();
    domains.sort_unstable();
    domains.dedup();
    assert_eq!(domains.len(), all, "two bureaus share a domain");
}
