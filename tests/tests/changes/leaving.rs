//! Changes that take something away. Which they are is asked of the plan itself: a change after which an object is
//! planned no more that was planned before. What a sample of all changes says of removals is chance; these are always
//! made.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::Value;
use yunting_crds::bureau::BureauSpec;
use yunting_crds::common::Quota;
use yunting_crds::hall::HallSpec;
use yunting_crds::hall_slice::{HallSliceSpec, SliceSecret};
use yunting_crds::names::SiteName;
use yunting_crds::site::SiteSpec;
use yunting_crds::template::VdcTemplateSpec;
use yunting_crds::vdc::{Effective, SiteRole, VdcSpec};
use yunting_plan::demand::references;
use yunting_plan::hall::{ValidHallSlice, hall_objects};
use yunting_plan::object::Key;
use yunting_plan::quota::split::Share;
use yunting_plan::slices::{HallInput, Identity, VdcInput, effective_amounts, hall_slice, vdc_slice};
use yunting_plan::vdc::access::Residents;
use yunting_plan::vdc::{SiteFacts, ValidVdcSlice, vdc_objects};
use yunting_tests::mutations::{Change, Mutation, TOKEN, Verdict, cleared, schema};
use yunting_tests::plane::SITE;

use super::base::{self, HALL, VDC};

/// Uids of a tenant that is only planned.
const UIDS: [(&str, &str); 2] =
    [(VDC, "11111111-1111-4111-8111-111111111111"), (HALL, "22222222-2222-4222-8222-222222222222")];

/// An object that is planned: its kind, its namespace at the site, its name.
type Planned = (&'static str, String, String);

/// A tenant as it is planned, with one kind otherwise.
struct Specs<'a> {
    kind: &'a str,
    spec: &'a Value,
}

impl Specs<'_> {
    fn of<T: DeserializeOwned>(&self, kind: &str) -> Option<T> {
        let own = if kind == self.kind { self.spec.clone() } else { base::object(kind)["spec"].clone() };
        serde_json::from_value(own).ok()
    }

    /// Everything that is planned for it; nothing where something of it cannot be carried out.
    fn planned(&self) -> Option<BTreeSet<Planned>> {
        let (spec, hall) = (self.of::<VdcSpec>("VirtualDataCenter")?, self.of::<HallSpec>("Hall")?);
        references(&hall, &spec).ok()?;
        let vdc = ValidVdcSlice::try_from(&self.vdc_slice(&spec)?).ok()?;
        let slice = planned_hall(&hall, &spec)?;
        let valid = ValidHallSlice::check(&slice, &vdc).ok()?;
        let residents = Residents::new(&vdc, [&slice], []);
        let facts = SiteFacts { residents, ..SiteFacts::new(SiteName::new(SITE).ok()?) };
        let of_vdc = vdc_objects(&vdc, &facts, &BTreeMap::new()).into_iter().map(|s| s.object.key);
        let of_hall = hall_objects(&valid, &vdc, &facts).into_iter().map(|o| o.key);
        let secret = |namespace: &str, name: &str| ("Secret", namespace.to_owned(), name.to_owned());
        let secrets =
            valid.components.iter().flat_map(|c| c.secrets.values().map(|s| secret(&c.namespace, &s.name)));
        Some(of_vdc.chain(of_hall).map(planned).chain(secrets).collect())
    }

    fn vdc_slice(&self, spec: &VdcSpec) -> Option<yunting_crds::vdc_slice::VdcSliceSpec> {
        let template: VdcTemplateSpec = self.of("VdcTemplate")?;
        let members = self.of::<BureauSpec>("Bureau")?.members;
        let site: SiteSpec = serde_json::from_value(base::site()).ok()?;
        let hard = effective_amounts(spec.quota.or(&template.quota).amounts().ok()?);
        let effective = Effective {
            quota: Quota::from_amounts(&hard),
            dr_reserve: spec.dr_reserve.clone().or(template.dr_reserve).unwrap_or_default(),
            isolation: spec.isolation.clone().or(template.isolation).unwrap_or_default(),
        };
        let input =
            VdcInput { term: 1, identity: &identity(VDC), spec, effective: &effective, members: &members };
        Some(vdc_slice(&input, &site, SiteRole::Active, &Share { hard, ..Share::default() }))
    }
}

fn identity(name: &str) -> Identity {
    let uid = UIDS.iter().find(|(of, _)| *of == name).map(|(_, uid)| *uid).unwrap_or_default();
    Identity { bureau: TOKEN.to_owned(), name: name.to_owned(), uid: uid.to_owned(), generation: 1 }
}

fn planned_hall(hall: &HallSpec, vdc: &VdcSpec) -> Option<HallSliceSpec> {
    let names: BTreeSet<&String> =
        hall.components.iter().flat_map(|c| &c.secret_refs).map(|r| &r.name).collect();
    let secret = |name: &String| SliceSecret { name: name.clone(), copy: name.clone(), hash: "h".to_owned() };
    let secrets: Vec<SliceSecret> = names.into_iter().map(secret).collect();
    let input = HallInput {
        term: 1,
        identity: &identity(HALL),
        spec: hall,
        vdc_uid: &identity(VDC).uid,
        first_namespace: &vdc.namespaces.first()?.name,
        secrets: &secrets,
        host_is_ours: true,
    };
    hall_slice(&input, SiteRole::Active)
}

fn planned(key: Key) -> Planned {
    (key.kind.kind, key.namespace.unwrap_or_default(), key.name)
}

/// What goes with a change: objects that are planned before it and not after, but what is in a namespace that goes
/// with them. Nothing goes where the change cannot be carried out.
pub fn leaving(kind: &str, spec: &Value) -> BTreeSet<Planned> {
    gone(kind, spec).unwrap_or_default()
}

/// The same; nothing at all where the change cannot be carried out.
fn gone(kind: &str, spec: &Value) -> Option<BTreeSet<Planned>> {
    let before = Specs { kind, spec: &base::object(kind)["spec"] }.planned()?;
    let after = Specs { kind, spec }.planned()?;
    let gone: BTreeSet<Planned> = before.difference(&after).cloned().collect();
    let left = |namespace: &String| gone.contains(&("Namespace", String::new(), namespace.clone()));
    Some(gone.iter().filter(|(_, namespace, _)| !left(namespace)).cloned().collect())
}

/// For every kind of object that changes of this kind can take away: the change that takes one away and the least with
/// it. Of those that are the same in this, the first; so another order makes other changes and takes away the same.
pub fn always(kind: &'static str, all: &[Change]) -> Vec<Mutation> {
    let object = base::object(kind);
    // Asked of the plan first, which is quicker than the rules are. What cannot be carried out alone may be with more.
    let may = |c: &&Change| {
        let spec = c.apply(schema(kind), &object["spec"]);
        gone(kind, &spec).is_none_or(|gone| !gone.is_empty())
    };
    let less = all.iter().filter(|c| c.takes_away(&object["spec"])).filter(may);
    let taken = less.flat_map(|c| cleared(kind, &object, c)).filter(|m| m.verdict == Verdict::Accepted);
    let mut found: Vec<(Mutation, BTreeSet<Planned>)> = taken
        .map(|m| {
            let gone = leaving(kind, &m.spec);
            (m, gone)
        })
        .collect();
    found.sort_by_key(|(_, gone)| gone.len());
    let (mut known, mut chosen) = (BTreeSet::new(), Vec::new());
    for (mutation, gone) in found {
        let before = known.len();
        known.extend(gone.into_iter().map(|(kind, ..)| kind));
        if known.len() > before {
            chosen.push(mutation);
        }
    }
    chosen
}
