//! Tests of what a VDC becomes.

use super::*;
use crate::object::contains;
use proptest::prelude::*;
use serde_json::{Value, json};
use yunting_crds::vdc_slice::VdcSliceSpec;

/// Uid of the VDC in tests.
pub(crate) const UID: &str = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";

/// A slice with everything in it.
pub(crate) fn slice() -> VdcSliceSpec {
    serde_json::from_value(json!({
        "term": 1,
        "source": {"bureau": "government-affairs", "name": "service-hall", "uid": UID, "generation": 1},
        "desired": "Present", "role": "Active", "state": "Active",
        "namespaces": [
            {"name": "app", "access": "HallsOnly", "quota": {"cpu": "8", "memory": "16Gi", "storage": "100Gi", "pods": 1000, "services": 20, "loadBalancers": 1, "gpu": 0}},
            {"name": "sandbox", "access": "Direct", "quota": {"cpu": "1500m", "memory": "3Gi", "pods": 40}},
        ],
        "isolation": {"egress": [{"cidr": "203.0.113.0/24", "ports": [443]}, {"cidr": "169.254.0.0/16"}], "ingressFrom": ["Portal"]},
        "storageClass": "local-path",
        "providers": {
            "storage": [{"name": "local-path", "driver": "rancher.io/local-path"}],
            "ingress": {"kind": "Gateway", "className": "yunting-lab", "sourceCidrs": ["192.168.77.1/32"]},
        },
        "members": [
            {"subject": {"kind": "Group", "name": "gov-it"}, "role": "Admin"},
            {"subject": {"kind": "User", "name": "li"}, "role": "Operator"},
            {"subject": {"kind": "User", "name": "wang"}, "role": "Auditor"},
            {"subject": {"kind": "Group", "name": "vendor"}, "role": "AppVendor", "halls": ["guoyang", "lixin"]},
        ],
    }))
    .unwrap()
}

/// What the site knows in tests.
pub(crate) fn facts() -> SiteFacts {
    SiteFacts::new(SiteName::new("qiaocheng").unwrap())
}

/// A slice that is valid.
pub(crate) fn valid(spec: &VdcSliceSpec) -> ValidVdcSlice {
    ValidVdcSlice::try_from(spec).unwrap()
}

fn objects(spec: &VdcSliceSpec) -> Vec<Staged> {
    vdc_objects(&valid(spec), &facts(), &BTreeMap::new())
}

fn body<'a>(all: &'a [Staged], kind: &str, namespace: &str, name: &str) -> &'a Value {
    let found = all.iter().find(|s| {
        s.object.key.kind.kind == kind
            && s.object.key.name == name
            && s.object.key.namespace.as_deref().unwrap_or("") == namespace
    });
    &found.unwrap_or_else(|| panic!("no {kind} {namespace}/{name}")).object.body
}

const APP: &str = "service-hall-app-1b4e28ba";
const SANDBOX: &str = "service-hall-sandbox-1b4e28ba";

#[test]
fn a_vdc_becomes_these_objects_in_this_order() {
    let all = objects(&slice());
    let lines: Vec<String> = all.iter().map(|s| format!("{:?}: {}", s.stage, s.object.key)).collect();
    insta::assert_yaml_snapshot!(lines);
}

#[test]
fn a_namespace_is_born_closed_with_all_that_policies_look_at() {
    let all = objects(&slice());
    let labels = &body(&all, "Namespace", "", APP)["metadata"]["labels"];
    let expected = json!({
        "app.kubernetes.io/managed-by": "yunting", "yunting.io/bureau": "government-affairs",
        "yunting.io/vdc": "service-hall", "yunting.io/vdc-uid": UID, "yunting.io/access": "HallsOnly",
        "yunting.io/admission": "closed", "yunting.io/storage-class": "local-path",
        "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.36",
        "pod-security.kubernetes.io/audit": "restricted", "pod-security.kubernetes.io/audit-version": "v1.36",
        "pod-security.kubernetes.io/warn": "restricted", "pod-security.kubernetes.io/warn-version": "v1.36",
    });
    assert_eq!(*labels, expected);
}

#[test]
fn quotas_are_in_the_servers_own_text() {
    let all = objects(&slice());
    let hard = &body(&all, "ResourceQuota", APP, quota::QUOTA)["spec"]["hard"];
    let expected = json!({
        "requests.cpu": "8", "limits.cpu": "16", "requests.memory": "16Gi", "limits.memory": "16Gi", "pods": "1k",
        "services": "20", "services.loadbalancers": "0", "services.nodeports": "0", "requests.storage": "100Gi",
        "local-path.storageclass.storage.k8s.io/requests.storage": "100Gi", "requests.nvidia.com/gpu": "0",
    });
    assert_eq!(*hard, expected);
    let sandbox = &body(&all, "ResourceQuota", SANDBOX, quota::QUOTA)["spec"]["hard"];
    assert_eq!(
        (&sandbox["requests.cpu"], &sandbox["limits.cpu"], &sandbox["requests.storage"]),
        (&json!("1500m"), &json!("3"), &json!("0"))
    );
    assert!(sandbox.get("services").is_none() && sandbox.get("requests.nvidia.com/gpu").is_none());
}

#[test]
fn openings_are_the_declared_ones() {
    let all = objects(&slice());
    let egress = &body(&all, "NetworkPolicy", APP, "yunting-egress")["spec"];
    assert_eq!(
        egress["egress"][0],
        json!({"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"protocol": "TCP", "port": 443}]})
    );
    assert_eq!(
        egress["egress"][1]["to"][0]["ipBlock"],
        json!({"cidr": "169.254.0.0/16", "except": ["169.254.169.254/32"]})
    );
    assert_eq!(egress["podSelector"]["matchExpressions"][0]["operator"], "NotIn");
    let portal = &body(&all, "NetworkPolicy", APP, "yunting-portal")["spec"];
    assert_eq!(portal["podSelector"]["matchLabels"], json!({"yunting.io/zone": "Portal"}));
    assert_eq!(portal["ingress"][0]["from"][1]["ipBlock"]["cidr"], "192.168.77.1/32");
    assert!(!all.iter().any(|s| s.object.key.name == "yunting-own-vdc" && s.object.key.namespace.as_deref() == Some(APP)));
    assert_eq!(
        body(&all, "NetworkPolicy", SANDBOX, "yunting-own-vdc")["spec"]["ingress"][0]["from"][0]["namespaceSelector"]
            ["matchLabels"],
        json!({"yunting.io/vdc-uid": UID, "yunting.io/access": "Direct"})
    );
}

#[test]
fn roles_follow_the_table() {
    use yunting_crds::common::Role::{Admin, AppVendor, Auditor, Operator, Viewer};
    let table = [
        (Admin, Some("yunting-halls-reader"), Some("yunting-direct-admin")),
        (Operator, Some("yunting-halls-reader"), Some("yunting-direct-operator")),
        (AppVendor, Some("yunting-halls-vendor"), None),
        (Viewer, Some("yunting-reader"), Some("yunting-reader")),
        (Auditor, Some("yunting-reader"), Some("yunting-reader")),
    ];
    for (role, halls, direct) in table {
        assert_eq!(access::cluster_role(role, Access::HallsOnly), halls, "{role:?}");
        assert_eq!(access::cluster_role(role, Access::Direct), direct, "{role:?}");
    }
    let all = objects(&slice());
    let subjects = &body(&all, "RoleBinding", APP, "yunting-halls-reader")["subjects"];
    let names: Vec<&str> = subjects.as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["oidc:li", "oidc:gov-it"]);
    assert!(!all.iter().any(|s| s.object.body.to_string().contains("oidc:vendor")));
}

#[test]
fn what_cannot_be_carried_out_is_named() {
    let change = |path: &str, value: Value| {
        let mut body = serde_json::to_value(slice()).unwrap();
        *body.pointer_mut(path).unwrap() = value;
        serde_json::from_value::<VdcSliceSpec>(body).unwrap()
    };
    let table = [
        ("/source/uid", json!("../etc"), "spec.source.uid: \"../etc\" is no uid"),
        ("/source/name", json!("Bad Name"), "spec.source.name:"),
        ("/namespaces/1/name", json!("app"), "names \"app\" twice"),
        ("/namespaces/0/quota", json!({"cpu": "1", "memory": "1Gi"}), "quota.pods is missing"),
        ("/namespaces/0/quota/cpu", json!("lots"), "quota.cpu: \"lots\""),
        ("/isolation/egress/0/cidr", json!("169.254.169.254/32"), "may never be opened"),
        ("/isolation/egress/0/cidr", json!("0.0.0.0/0"), "may never be opened"),
        ("/isolation/egress/1/cidr", json!("999.0.0.0/8"), "spec.isolation.egress[1].cidr: \"999.0.0.0/8\""),
        ("/members/0/subject/name", json!("system:masters"), "spec.members names \"system:masters\""),
        ("/members/3/halls/0", json!("Bad Hall"), "spec.members[].halls: hall \"Bad Hall\""),
        ("/storageClass", json!("a b"), "spec.storageClass \"a b\""),
    ];
    for (path, value, expected) in table {
        let error = ValidVdcSlice::try_from(&change(path, value)).unwrap_err().to_string();
        assert!(error.contains(expected), "{path}: {error}");
    }
}

prop_compose! {
    fn any_slice()(
        names in proptest::collection::btree_set("[a-z]([a-z0-9-]{0,8}[a-z0-9])?", 1..8),
        cpu in 0u32..100_000, memory in 0u64..1 << 40, pods in 0u32..10_000, direct in any::<bool>(),
        cidrs in proptest::collection::vec((any::<[u8; 4]>(), 1u8..32), 0..6), portal in any::<bool>(),
    ) -> VdcSliceSpec {
        let mut spec = slice();
        let template = spec.namespaces[0].clone();
        spec.namespaces = names.into_iter().map(|name| {
            let mut n = template.clone();
            n.name = name;
            n.access = if direct { Access::Direct } else { Access::HallsOnly };
            n.quota.cpu = Some(format!("{cpu}m"));
            n.quota.memory = Some(memory.to_string());
            n.quota.pods = Some(pods);
            n
        }).collect();
        spec.isolation.egress = cidrs.into_iter()
            .map(|(o, p)| yunting_crds::vdc::EgressRule { cidr: format!("{}.{}.{}.{}/{p}", o[0], o[1], o[2], o[3]), ports: vec![] })
            .collect();
        if !portal { spec.isolation.ingress_from.clear(); }
        spec
    }
}

proptest! {
    #[test]
    fn every_namespace_is_denied_limited_and_its_own(spec in any_slice()) {
        let slice = valid(&spec);
        let all = vdc_objects(&slice, &facts(), &BTreeMap::new());
        for n in &slice.namespaces {
            let deny = &body(&all, "NetworkPolicy", &n.at_site, network::DEFAULT_DENY)["spec"];
            prop_assert_eq!(deny, &json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
            let hard = &body(&all, "ResourceQuota", &n.at_site, quota::QUOTA)["spec"]["hard"];
            let read = |key: &str, kind: Kind| kind.parse(hard[key].as_str().unwrap()).unwrap();
            prop_assert_eq!(read("requests.cpu", Kind::Cpu), n.quota.amount(Kind::Cpu));
            prop_assert_eq!(read("limits.memory", Kind::Memory), n.quota.amount(Kind::Memory));
            prop_assert_eq!(read("pods", Kind::Pods), n.quota.amount(Kind::Pods));
        }
        let own: BTreeSet<&str> = slice.namespaces.iter().map(|n| n.at_site.as_str()).collect();
        prop_assert_eq!(own.len(), slice.namespaces.len());
        for s in &all {
            let place = s.object.key.namespace.as_deref().unwrap_or(&s.object.key.name);
            prop_assert!(own.contains(place), "{} is outside", s.object.key);
        }
    }

    #[test]
    fn nothing_ever_opens_the_metadata_address(spec in any_slice()) {
        for s in objects(&spec).iter().filter(|s| s.object.key.kind.kind == "NetworkPolicy") {
            for rule in s.object.body["spec"]["egress"].as_array().into_iter().flatten() {
                for to in rule["to"].as_array().unwrap() {
                    let Some(cidr) = to["ipBlock"]["cidr"].as_str() else { continue };
                    let network: cidr::Network = cidr.parse().unwrap();
                    let except = to["ipBlock"]["except"].to_string();
                    prop_assert!(!network.contains(&cidr::Network::METADATA) || except.contains("169.254.169.254/32"));
                }
            }
        }
    }

    #[test]
    fn the_same_slice_gives_the_same_objects(spec in any_slice()) {
        let (first, second) = (objects(&spec), objects(&spec));
        prop_assert_eq!(&first, &second);
        for s in &first {
            prop_assert!(s.object.stands_in(&s.object.body) && contains(&s.object.body, &s.object.body));
        }
    }
}
