//! Tests of where a vendor reads.

use super::*;
use crate::object::Object;
use crate::vdc::tests::{facts, slice, valid};
use crate::vdc::vdc_objects;
use proptest::prelude::*;
use serde_json::json;

const APP: &str = "service-hall-app-1b4e28ba";
const SANDBOX: &str = "service-hall-sandbox-1b4e28ba";

fn uid(n: usize) -> String {
    format!("7d444840-9dc0-11d1-b245-{n:012x}")
}

/// A hall with one component in each namespace that is named.
fn hall(n: usize, name: &str, namespaces: &[&str]) -> HallSliceSpec {
    let component = |(i, namespace): (usize, &&str)| {
        json!({"role": "Active", "component": {
            "name": format!("c{i}"), "namespace": namespace, "zone": "Portal", "image": "i",
            "resources": {"cpu": "1", "memory": "1Gi"},
        }})
    };
    let components: Vec<Value> = namespaces.iter().enumerate().map(component).collect();
    serde_json::from_value(json!({
        "term": 1, "source": {"bureau": "government-affairs", "name": name, "uid": uid(n), "generation": 1},
        "vdc": {"name": "service-hall", "uid": crate::vdc::tests::UID}, "desired": "Present", "role": "Active",
        "displayName": name, "availabilityClass": "Gold", "components": components,
    }))
    .unwrap()
}

fn residents(halls: &[HallSliceSpec], standing: &[(&str, &str)]) -> Residents {
    Residents::new(&valid(&slice()), halls, standing.iter().copied())
}

/// Who is bound as vendor in a namespace.
fn vendors(residents: Residents, namespace: &str) -> Vec<String> {
    let facts = crate::vdc::SiteFacts { residents, ..facts() };
    let all = vdc_objects(&valid(&slice()), &facts, &BTreeMap::new());
    let found = all
        .iter()
        .find(|s| s.object.key.name == VENDOR && s.object.key.namespace.as_deref() == Some(namespace));
    let subjects = found.map(|s| s.object.body["subjects"].as_array().unwrap().clone()).unwrap_or_default();
    subjects.iter().map(|s| s["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_vendor_reads_where_nothing_but_its_halls_is() {
    let own = [hall(1, "guoyang", &["app"]), hall(2, "lixin", &["app"])];
    assert_eq!(vendors(residents(&own, &[]), APP), ["oidc:vendor"]);
    assert_eq!(vendors(residents(&own[..1], &[]), APP), ["oidc:vendor"]);
}

#[test]
fn one_other_hall_in_the_namespace_and_a_vendor_reads_nothing() {
    let halls = [hall(1, "guoyang", &["app"]), hall(2, "mengcheng", &["sandbox", "app"])];
    assert_eq!(vendors(residents(&halls, &[]), APP), [""; 0]);
}

#[test]
fn a_hall_in_another_namespace_keeps_nobody_out() {
    let halls = [hall(1, "guoyang", &["app"]), hall(2, "mengcheng", &["sandbox"])];
    assert_eq!(vendors(residents(&halls, &[]), APP), ["oidc:vendor"]);
}

#[test]
fn an_empty_namespace_and_a_direct_one_give_a_vendor_nothing() {
    assert_eq!(vendors(residents(&[], &[]), APP), [""; 0]);
    assert_eq!(vendors(residents(&[hall(1, "guoyang", &["sandbox"])], &[]), SANDBOX), [""; 0]);
}

#[test]
fn what_still_stands_of_another_hall_keeps_a_vendor_out() {
    let halls = [hall(1, "guoyang", &["app"]), hall(2, "mengcheng", &["sandbox"])];
    let (own, moved, gone) = (uid(1), uid(2), uid(3));
    assert_eq!(vendors(residents(&halls, &[(APP, &own)]), APP), ["oidc:vendor"]);
    assert_eq!(vendors(residents(&halls, &[(APP, &moved)]), APP), [""; 0], "pods of a component that moved");
    assert_eq!(vendors(residents(&halls, &[(APP, &gone)]), APP), [""; 0], "pods of a hall without a record");
}

#[test]
fn a_hall_on_its_way_out_counts_until_its_record_is_gone() {
    let mut leaving = hall(2, "mengcheng", &["app"]);
    leaving.desired = yunting_crds::common::Desired::Absent;
    assert_eq!(vendors(residents(&[hall(1, "guoyang", &["app"]), leaving], &[]), APP), [""; 0]);
}

#[test]
fn a_component_without_a_namespace_counts_in_all() {
    let mut nowhere = hall(2, "mengcheng", &["app"]);
    nowhere.components[0].component.namespace = None;
    assert_eq!(vendors(residents(&[hall(1, "guoyang", &["app"]), nowhere], &[]), APP), [""; 0]);
}

#[test]
fn a_hall_of_another_bureau_is_nobodys() {
    let mut foreign = hall(1, "guoyang", &["app"]);
    foreign.source.bureau = "taxes".to_owned();
    assert_eq!(vendors(residents(&[foreign], &[]), APP), [""; 0]);
}

fn standing(subjects: &[&str]) -> Value {
    let subject = |name: &&str| json!({"kind": "Group", "name": name});
    json!({"subjects": subjects.iter().map(subject).collect::<Vec<_>>()})
}

fn withdrawn(residents: &Residents, subjects: Option<&[&str]>) -> Vec<Object> {
    of_role(VENDOR, APP, &BTreeSet::new(), residents, subjects)
}

/// What is withdrawn where one binding stands, of that role in that namespace.
fn of_role(
    role: &str,
    at_site: &str,
    left_over: &BTreeSet<String>,
    residents: &Residents,
    subjects: Option<&[&str]>,
) -> Vec<Object> {
    let there = |key: &Key| {
        let it = key.name == role && key.namespace.as_deref() == Some(at_site);
        it.then(|| subjects.map(standing)).flatten()
    };
    withdrawals(&valid(&slice()), left_over, residents, there)
}

#[test]
fn whoever_has_a_role_no_more_loses_its_right_and_nobody_gets_one() {
    let none = Residents::default();
    for role in ROLES {
        let gone = of_role(role, APP, &BTreeSet::new(), &none, Some(&["oidc:former"]));
        assert_eq!(gone.iter().map(|o| &o.body["subjects"]).collect::<Vec<_>>(), [&json!([])], "{role}");
    }
    let everybody = Residents::new(&valid(&slice()), &[hall(1, "guoyang", &["app"])], []);
    let facts = crate::vdc::SiteFacts { residents: everybody.clone(), ..facts() };
    for planned in vdc_objects(&valid(&slice()), &facts, &BTreeMap::new()) {
        let key = planned.object.key.clone();
        let stands = |k: &Key| (*k == key).then(|| planned.object.body.clone());
        let all = withdrawals(&valid(&slice()), &BTreeSet::new(), &everybody, stands);
        assert_eq!(all, [], "what is planned stays: {key}");
    }
}

#[test]
fn in_a_namespace_that_is_kept_only_those_stay_who_have_the_role_still() {
    let (none, kept) = (Residents::default(), BTreeSet::from(["service-hall-old-1b4e28ba".to_owned()]));
    let slice = valid(&slice());
    let admin = slice.members.iter().find(|m| m.role == Role::Admin).unwrap();
    let body = |names: &[&str]| {
        let mut body = standing(names);
        for subject in body["subjects"].as_array_mut().unwrap() {
            subject["kind"] = json!(kind_of(admin.kind));
        }
        body
    };
    for role in ["yunting-direct-admin", "yunting-halls-reader"] {
        let there = |key: &Key| {
            let it = key.name == role && key.namespace.as_deref() == Some("service-hall-old-1b4e28ba");
            it.then(|| body(&["oidc:former", &admin.subject]))
        };
        let all = withdrawals(&slice, &kept, &none, there);
        assert_eq!(all.len(), 1, "{role}");
        let subjects = all[0].body["subjects"].as_array().unwrap();
        assert_eq!((subjects.len(), &subjects[0]["name"]), (1, &json!(admin.subject)), "{role}");
    }
}

#[test]
fn a_binding_that_names_too_many_is_narrowed() {
    let alone = residents(&[hall(1, "guoyang", &["app"])], &[]);
    let shared = residents(&[hall(1, "guoyang", &["app"]), hall(2, "mengcheng", &["app"])], &[]);
    assert_eq!(withdrawn(&alone, Some(&["oidc:vendor"])), []);
    assert_eq!(withdrawn(&shared, None), []);
    assert_eq!(withdrawn(&shared, Some(&[])), []);
    let other = withdrawn(&alone, Some(&["oidc:vendor", "oidc:former"]));
    assert_eq!(other[0].body["subjects"][0]["name"], "oidc:vendor");
    let nobody = withdrawn(&shared, Some(&["oidc:vendor"]));
    assert_eq!((nobody.len(), nobody[0].key.name.as_str()), (1, VENDOR));
    assert_eq!(nobody[0].body["subjects"], json!([]));
}

prop_compose! {
    fn any_halls()(
        halls in proptest::collection::btree_map(
            prop::sample::select(vec!["guoyang", "lixin", "mengcheng", "municipal"]),
            proptest::sample::subsequence(vec!["app", "sandbox"], 0..=2), 0..4),
        left in proptest::collection::vec(0usize..6, 0..3),
    ) -> (Vec<HallSliceSpec>, Vec<String>) {
        let halls = halls.iter().enumerate().map(|(i, (name, places))| hall(i, name, places)).collect();
        (halls, left.into_iter().map(uid).collect())
    }
}

proptest! {
    #[test]
    fn no_vendor_ever_reads_where_a_hall_is_that_it_is_not_named_for((halls, left) in any_halls()) {
        let there: Vec<(&str, &str)> = left.iter().map(|u| (APP, u.as_str())).collect();
        let now = residents(&halls, &there);
        let named = |h: &HallSliceSpec| ["guoyang", "lixin"].contains(&h.source.name.as_str());
        let in_app = |h: &&HallSliceSpec| {
            h.components.iter().any(|c| c.component.namespace.as_deref() == Some("app"))
                || left.contains(&h.source.uid)
        };
        let known = left.iter().all(|u| halls.iter().any(|h| h.source.uid == *u));
        let here: Vec<&HallSliceSpec> = halls.iter().filter(in_app).collect();
        let may = known && !here.is_empty() && here.iter().all(|h| named(h));
        prop_assert_eq!(!vendors(now.clone(), APP).is_empty(), may);
        prop_assert_eq!(vendors(now.clone(), SANDBOX), [""; 0]);
        prop_assert_eq!(withdrawn(&now, Some(&["oidc:vendor"])).is_empty(), may);
    }
}
