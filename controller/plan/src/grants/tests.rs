//! Tests of the one judgement of a grant.

use super::*;
use serde_json::{Value, json};

const GRANT: &str = "3c444840-9dc0-11d1-b245-5ffdce74fad2";
const NOW: &str = "2027-01-01T00:00:00Z";

/// Everything that decides, as JSON that a test changes.
#[derive(Clone)]
struct Case {
    grant: Value,
    service: Value,
    vdcs: [Value; 2],
    halls: [Value; 2],
}

fn object(kind: &str, bureau: &str, name: &str, uid: &str, spec: &Value) -> Value {
    json!({"apiVersion": "yunting.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": format!("bureau-{bureau}"), "uid": uid, "generation": 1}, "spec": spec})
}

fn hall(bureau: &str, name: &str, vdc: &str, uid: &str, component: &str, zone: &str) -> Value {
    object(
        "Hall",
        bureau,
        name,
        uid,
        &json!({"vdcRef": {"name": vdc}, "displayName": "厅", "components": [
        {"name": component, "zone": zone, "image": format!("h@sha256:{}", "a".repeat(64)),
         "resources": {"cpu": "1", "memory": "1Gi"}, "ports": [{"name": "http", "port": 8080}, {"name": "admin", "port": 9000}]}]}),
    )
}

fn case() -> Case {
    let vdc = |bureau: &str, name: &str, uid: &str| {
        object("VirtualDataCenter", bureau, name, uid, &json!({"namespaces": [{"name": "app"}]}))
    };
    Case {
        grant: object(
            "AccessGrant",
            "services",
            "g",
            GRANT,
            &json!({
            "serviceRef": {"bureau": "police", "name": "query"},
            "from": {"vdc": "cloud", "hall": "guoyang", "component": "approval"},
            "purpose": "核验", "expires": "2027-06-30T16:00:00Z"}),
        ),
        service: object(
            "SharedService",
            "police",
            "query",
            "s-1",
            &json!({
            "vdcRef": {"name": "population"}, "hall": "people", "component": "query", "ports": ["http"],
            "displayName": "人口查询", "allowedBureaus": {"mode": "Listed", "names": ["services"]},
            "accepted": [{"bureau": "services", "grant": "g", "uid": GRANT}]}),
        ),
        vdcs: [vdc("services", "cloud", "1b4e28ba-2fa1"), vdc("police", "population", "2b4e28ba-2fa1")],
        halls: [
            hall("services", "guoyang", "cloud", "7d444840-9dc0", "approval", "Approval"),
            hall("police", "people", "population", "8d444840-9dc0", "query", "Data"),
        ],
    }
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
    (!value.is_null()).then(|| serde_json::from_value(value.clone()).unwrap())
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn judged(case: &Case, now: &str) -> Result<Agreed, Refusal> {
    let grant: AccessGrant = read(&case.grant).unwrap();
    let service: Option<SharedService> = read(&case.service);
    let (vdcs, halls): (Vec<Option<VirtualDataCenter>>, Vec<Option<Hall>>) =
        (case.vdcs.iter().map(read).collect(), case.halls.iter().map(read).collect());
    let end = |i: usize| End { vdc: vdcs[i].as_ref(), hall: halls[i].as_ref() };
    let asked = Asked { grant: &grant, service: service.as_ref(), consumer: end(0), producer: end(1) };
    let now = time(now);
    if let Some(wakes) = asked.wakes(now) {
        assert!(wakes > now);
    }
    judge(&asked, now)
}

#[test]
fn what_both_agree_to_stands() {
    let agreed = judged(&case(), NOW).unwrap();
    assert_eq!(agreed.uid, GRANT);
    assert_eq!(agreed.ports.iter().map(|p| (p.name.as_str(), p.port)).collect::<Vec<_>>(), [("http", 8080)]);
    assert_eq!(agreed.until.to_string(), "2027-06-30T16:00:00Z");
    assert!(agreed.address.starts_with("query-") && agreed.address.ends_with(".cloud-app-1b4e28ba.svc"));
    let (out, into) = (agreed.of_hall("7d444840-9dc0").unwrap(), agreed.of_hall("8d444840-9dc0").unwrap());
    assert_eq!((out.side, into.side), (GrantSide::Consumer, GrantSide::Producer));
    assert_eq!((out.peer.hall.as_str(), into.peer.hall.as_str()), ("8d444840-9dc0", "7d444840-9dc0"));
    assert_eq!(agreed.of_hall("another"), None);
}

/// One change each, and what becomes of the grant.
type Changes<const N: usize> = [(&'static str, fn(&mut Case), GrantPhase, &'static str); N];

fn all_refused<const N: usize>(table: Changes<N>) {
    for (what, change, phase, reason) in table {
        let mut case = case();
        change(&mut case);
        let refused = judged(&case, NOW).expect_err(what);
        assert_eq!((refused.phase, refused.reason), (phase, reason), "{what}: {}", refused.message);
    }
}

#[test]
fn nothing_passes_without_both() {
    let table: Changes<13> = [
        (
            "nobody accepted",
            |c| c.service["spec"]["accepted"] = json!([]),
            GrantPhase::Pending,
            reason::NOT_ACCEPTED,
        ),
        (
            "another uid",
            |c| c.service["spec"]["accepted"][0]["uid"] = json!("00000000-0000"),
            GrantPhase::Pending,
            reason::NOT_ACCEPTED,
        ),
        (
            "another name",
            |c| c.service["spec"]["accepted"][0]["grant"] = json!("h"),
            GrantPhase::Pending,
            reason::NOT_ACCEPTED,
        ),
        (
            "another bureau",
            |c| c.service["spec"]["accepted"][0]["bureau"] = json!("education"),
            GrantPhase::Pending,
            reason::NOT_ACCEPTED,
        ),
        (
            "not allowed any more",
            |c| c.service["spec"]["allowedBureaus"] = json!({"mode": "None"}),
            GrantPhase::Refused,
            reason::NOT_SHARED,
        ),
        (
            "others allowed",
            |c| c.service["spec"]["allowedBureaus"]["names"] = json!(["education"]),
            GrantPhase::Refused,
            reason::NOT_SHARED,
        ),
        ("no such service", |c| c.service = Value::Null, GrantPhase::Refused, reason::NOT_SHARED),
        (
            "a service that goes",
            |c| c.service["metadata"]["deletionTimestamp"] = json!(NOW),
            GrantPhase::Refused,
            reason::NOT_SHARED,
        ),
        (
            "withdrawn",
            |c| c.grant["spec"]["state"] = json!("Withdrawn"),
            GrantPhase::Withdrawn,
            reason::WITHDRAWN,
        ),
        (
            "a grant that goes",
            |c| c.grant["metadata"]["deletionTimestamp"] = json!(NOW),
            GrantPhase::Withdrawn,
            reason::WITHDRAWN,
        ),
        ("ended", |c| c.grant["spec"]["expires"] = json!(NOW), GrantPhase::Expired, reason::EXPIRED),
        (
            "no day of any calendar",
            |c| c.grant["spec"]["expires"] = json!("2027-02-30T00:00:00Z"),
            GrantPhase::Expired,
            reason::INVALID,
        ),
        (
            "acceptance ended",
            |c| c.service["spec"]["accepted"][0]["until"] = json!("2026-12-31T23:59:59Z"),
            GrantPhase::Expired,
            reason::EXPIRED,
        ),
    ];
    all_refused(table);
}

#[test]
fn nothing_passes_where_an_end_is_not_there_or_not_in_use() {
    let table: Changes<8> = [
        (
            "consumer frozen",
            |c| c.vdcs[0]["spec"]["lifecycle"] = json!({"state": "Frozen"}),
            GrantPhase::Accepted,
            reason::LIFECYCLE,
        ),
        (
            "producer released",
            |c| c.vdcs[1]["spec"]["lifecycle"] = json!({"state": "Released"}),
            GrantPhase::Accepted,
            reason::LIFECYCLE,
        ),
        ("no consumer", |c| c.halls[0] = Value::Null, GrantPhase::Accepted, reason::REFERENCE),
        (
            "a hall of another VDC",
            |c| c.halls[1]["spec"]["vdcRef"]["name"] = json!("video"),
            GrantPhase::Accepted,
            reason::REFERENCE,
        ),
        (
            "a hall that goes",
            |c| c.halls[1]["metadata"]["deletionTimestamp"] = json!(NOW),
            GrantPhase::Accepted,
            reason::REFERENCE,
        ),
        (
            "no such component",
            |c| c.halls[0]["spec"]["components"][0]["name"] = json!("other"),
            GrantPhase::Accepted,
            reason::REFERENCE,
        ),
        (
            "no such port",
            |c| c.halls[1]["spec"]["components"][0]["ports"][0]["name"] = json!("grpc"),
            GrantPhase::Accepted,
            reason::REFERENCE,
        ),
        (
            "from zone Data",
            |c| c.halls[0]["spec"]["components"][0]["zone"] = json!("Data"),
            GrantPhase::Accepted,
            reason::INVALID,
        ),
    ];
    all_refused(table);
}

#[test]
fn nobody_learns_what_others_have() {
    let (mut none, mut closed) = (case(), case());
    none.service = Value::Null;
    closed.service["spec"]["allowedBureaus"] = json!({"mode": "Listed", "names": ["education"]});
    assert_eq!(judged(&none, NOW), judged(&closed, NOW));
}

#[test]
fn the_earlier_end_counts() {
    let mut case = case();
    case.service["spec"]["accepted"][0]["until"] = json!("2027-02-01T00:00:00Z");
    assert_eq!(judged(&case, NOW).unwrap().until.to_string(), "2027-02-01T00:00:00Z");
    assert_eq!(judged(&case, "2027-02-01T00:00:00Z").unwrap_err().phase, GrantPhase::Expired);
    case.service["spec"]["accepted"][0]["until"] = json!("2029-02-01T00:00:00Z");
    assert_eq!(judged(&case, NOW).unwrap().until.to_string(), "2027-06-30T16:00:00Z");
}

#[test]
fn a_slice_is_narrowed_and_nothing_else_in_it_changes() {
    let mut slice = crate::hall::tests::bozhou();
    let agreed = judged(&case(), NOW).unwrap();
    let grants = of_hall("7d444840-9dc0", [&agreed, &agreed]);
    assert_eq!(grants.len(), 1);
    slice.grants.clone_from(&grants);
    assert_eq!(narrowed(&slice, &grants), None);
    let less = narrowed(&slice, &[]).unwrap();
    assert_eq!(less, HallSliceSpec { grants: Vec::new(), ..slice.clone() });
    // What ends earlier now does so without a break before that.
    let mut earlier = grants.clone();
    "2027-02-01T00:00:00Z".clone_into(&mut earlier[0].until);
    assert_eq!(narrowed(&slice, &earlier).unwrap().grants, earlier);
    slice.grants.clear();
    assert_eq!(narrowed(&slice, &grants), None, "it adds nothing");
}

#[test]
fn a_way_is_open_where_both_run_and_both_were_told() {
    let agreed = judged(&case(), NOW).unwrap();
    let slice = |side: &Side, told: bool| {
        let mut spec = crate::hall::tests::bozhou();
        spec.components[1].component.name.clone_from(&side.component);
        if told {
            spec.grants = of_hall(&side.hall, [&agreed]);
        }
        let mut slice = HallSlice::new("slice", spec);
        slice.metadata.generation = Some(4);
        slice.status =
            Some(yunting_crds::HallSliceStatus { observed_generation: Some(4), ..Default::default() });
        slice
    };
    let (from, to) = (slice(&agreed.consumer, true), slice(&agreed.producer, true));
    assert_eq!(way(&agreed, &from, Some(&to), true), Some(GrantWay::Open));
    assert_eq!(way(&agreed, &from, Some(&to), false), Some(GrantWay::Pending), "a silent site");
    assert_eq!(way(&agreed, &from, Some(&slice(&agreed.producer, false)), true), Some(GrantWay::Pending));
    assert_eq!(way(&agreed, &slice(&agreed.consumer, false), Some(&to), true), Some(GrantWay::Pending));
    assert_eq!(way(&agreed, &from, None, true), Some(GrantWay::SiteApart));
    let mut standby = to.clone();
    standby.spec.components[1].role = HallRole::Standby;
    assert_eq!(way(&agreed, &from, Some(&standby), true), Some(GrantWay::SiteApart));
    let mut idle = from.clone();
    idle.spec.components[1].role = HallRole::Standby;
    assert_eq!(way(&agreed, &idle, Some(&to), true), None);
    let mut failed = from.clone();
    let ready = say(READY, State::False, reason::APPLY_FAILED, "refused");
    let epoch = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH);
    failed.status.as_mut().unwrap().conditions =
        yunting_crds::conditions::conditions(&[], &[ready], None, &epoch);
    assert_eq!(way(&agreed, &failed, Some(&to), true), Some(GrantWay::Pending), "what could not be written");
    let mut late = to;
    late.metadata.generation = Some(5);
    assert_eq!(way(&agreed, &from, Some(&late), true), Some(GrantWay::Pending));
}

#[test]
fn ready_is_never_better_than_the_worst_site() {
    let site = |name: &str, way| GrantSite { site: name.to_owned(), way };
    let said = |sites: &[GrantSite]| {
        let s = ready(sites);
        (s.state, s.reason)
    };
    assert_eq!(said(&[]), (State::False, reason::NO_PLACE));
    assert_eq!(said(&[site("a", GrantWay::Open)]), (State::True, reason::AS_ASKED));
    assert_eq!(
        said(&[site("a", GrantWay::Open), site("b", GrantWay::Pending)]),
        (State::False, reason::IN_PROGRESS)
    );
    let apart = ready(&[site("a", GrantWay::Open), site("b", GrantWay::SiteApart)]);
    assert_eq!((apart.state, apart.reason), (State::False, reason::SITE_APART));
    assert!(apart.message.contains('b'), "{}", apart.message);
}
