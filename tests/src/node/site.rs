//! What the boundary is told: two VDCs that look the same, each with the hall of the samples, DNS and a front door.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Value, json};
use yunting_controller::node::tunnel;
use yunting_crds::hall_grant::SliceGrant;
use yunting_crds::hall_slice::HallSliceSpec;
use yunting_crds::vdc_slice::VdcSliceSpec;
use yunting_plan::boundary::{Facts, Link, Node, Pod};
use yunting_plan::hall::ValidHallSlice;
use yunting_plan::vdc::ValidVdcSlice;

const VDCS: [&str; 2] = ["1b4e28ba-2fa1-11d2-883f-0016d3cca427", "2b4e28ba-2fa1-11d2-883f-0016d3cca427"];
const HALLS: [&str; 2] = ["7d444840-9dc0-11d1-b245-5ffdce74fad2", "8d444840-9dc0-11d1-b245-5ffdce74fad2"];
const DIGEST: &str = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The node's address, from which the front door calls, too.
pub const NODE: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
/// Addresses outside: opened by declaration, not opened, and inside the cloud though an opened network holds them.
pub const OUTSIDE: [Ipv4Addr; 4] = [
    Ipv4Addr::new(203, 0, 113, 7),
    Ipv4Addr::new(198, 51, 100, 9),
    Ipv4Addr::new(192, 168, 77, 9),
    Ipv4Addr::new(192, 168, 80, 9),
];
/// Ports at which everything listens.
pub const PORTS: [u16; 5] = [53, 443, 5432, 8080, 9000];

fn vdc(uid: &str) -> ValidVdcSlice {
    ValidVdcSlice::try_from(&vdc_slice(uid)).unwrap()
}

fn vdc_slice(uid: &str) -> VdcSliceSpec {
    serde_json::from_value(json!({
        "term": 1, "source": {"bureau": "government-affairs", "name": "service-hall", "uid": uid, "generation": 1},
        "desired": "Present", "role": "Active", "state": "Active",
        "namespaces": [
            {"name": "app", "access": "HallsOnly", "quota": {"cpu": "8", "memory": "16Gi", "storage": "100Gi", "pods": 100}},
            {"name": "sandbox", "access": "Direct", "quota": {"cpu": "8", "memory": "16Gi", "pods": 100}},
        ],
        "isolation": {"egress": [{"cidr": "203.0.113.0/24", "ports": [443]}, {"cidr": "192.168.0.0/16"}], "ingressFrom": ["Portal"]},
        "storageClass": "local-path",
        "providers": {
            "storage": [{"name": "local-path", "driver": "rancher.io/local-path"}],
            "ingress": {"kind": "Gateway", "className": "yunting-lab", "sourceCidrs": [format!("{NODE}/32")]},
        },
        "members": [],
    }))
    .unwrap()
}

/// A hall's slice; `db` says what its database is besides.
fn hall_slice(uid: &str, vdc: &ValidVdcSlice, db: &Value) -> HallSliceSpec {
    let component = |name: &str, zone: &str, port: u16, calls: &[&str]| -> Value {
        let calls: Vec<Value> = calls.iter().map(|c| json!({"component": c})).collect();
        json!({"role": "Active", "component": {
            "name": name, "namespace": "app", "zone": zone, "image": format!("localhost/{name}{DIGEST}"), "replicas": 1,
            "resources": {"cpu": "250m", "memory": "256Mi"}, "ports": [{"name": "main", "port": port}],
            "probes": {"ready": {"tcp": "Open"}}, "calls": calls,
        }})
    };
    let mut database = component("db", "Data", 5432, &[]);
    for (field, value) in db.as_object().into_iter().flatten() {
        match field.as_str() {
            "role" => database["role"] = value.clone(),
            field => database["component"][field] = value.clone(),
        }
    }
    serde_json::from_value(json!({
        "term": 1, "source": {"bureau": "government-affairs", "name": "guoyang", "uid": uid, "generation": 1},
        "vdc": {"name": "service-hall", "uid": vdc.owner.uid.as_str()},
        "desired": "Present", "role": "Active", "displayName": "涡阳厅", "availabilityClass": "Platinum",
        "portal": {"host": "guoyang.hall.bozhou.example", "paths": ["/"], "component": "portal"},
        "components": [
            component("portal", "Portal", 8080, &["approval"]),
            component("approval", "Approval", 8080, &["db"]),
            database,
        ],
    }))
    .unwrap()
}

fn hall(uid: &str, vdc: &ValidVdcSlice) -> ValidHallSlice {
    ValidHallSlice::check(&hall_slice(uid, vdc, &json!({})), vdc).unwrap()
}

/// One end of a grant by which the first hall's approval calls the second's database.
fn grant(side: &str, until: Timestamp) -> SliceGrant {
    let (own, (vdc, hall, other)) = match side {
        "Consumer" => ("approval", (VDCS[1], HALLS[1], "db")),
        _ => ("db", (VDCS[0], HALLS[0], "approval")),
    };
    serde_json::from_value(json!({
        "uid": "3c444840-9dc0-11d1-b245-5ffdce74fad2", "side": side, "component": own,
        "peer": {"vdc": vdc, "hall": hall, "component": other},
        "service": {"bureau": "public-security", "name": "query"}, "ports": [{"name": "main", "port": 5432}],
        "until": until.to_string(),
    }))
    .unwrap()
}

/// The slices of both VDCs and of both halls with their ends of that grant.
pub fn slices(until: Timestamp) -> Vec<(VdcSliceSpec, HallSliceSpec)> {
    let one = |((vdc, hall), side): ((&str, &str), &str)| {
        let spec = vdc_slice(vdc);
        let mut slice = hall_slice(hall, &ValidVdcSlice::try_from(&spec).unwrap(), &json!({}));
        slice.grants = vec![grant(side, until)];
        (spec, slice)
    };
    VDCS.into_iter().zip(HALLS).zip(["Consumer", "Producer"]).map(one).collect()
}

/// What is known of the site at a time with the ends of the grant that are said.
pub fn granted(until: Timestamp, now: Timestamp, said: [bool; 2]) -> Facts {
    let mut facts = facts();
    for ((hall, (vdc, mut slice)), said) in facts.halls.iter_mut().zip(slices(until)).zip(said) {
        slice.grants.retain(|_| said);
        let vdc = ValidVdcSlice::try_from(&vdc).unwrap();
        *hall = ValidHallSlice::check(&slice, &vdc).unwrap().with_grants(&slice, &vdc, now);
    }
    facts
}

/// One of two sites of the same halls, whose databases run at the first: what its boundary knows, with the tunnel to the other.
pub fn site_of_two(home: bool) -> Facts {
    let mut facts = facts();
    let (own, other) = if home { (11, 12) } else { (12, 11) };
    // Fewer pods: each is a namespace. A stranger's and the second VDC's are among them.
    let kept = [0, 1, 2, 3, 5, 7, 8, 12, 15];
    let mut all = facts.pods.clone().into_iter().enumerate().filter(|(i, _)| kept.contains(i));
    facts.pods = all.by_ref().map(|(_, pod)| pod).collect();
    for (number, pod) in (0_u8..).zip(&mut facts.pods) {
        pod.address = Ipv4Addr::new(10, own, 0, number + 1);
        pod.link = Some(Link::new(&format!("veth{number}")).unwrap());
    }
    facts.node.outer.insert(Link::new(BETWEEN).unwrap());
    facts.node.tunnel = tunnel::link();
    facts.abroad = [format!("10.{other}.0.0/16").parse().unwrap()].into();
    let db = json!({"kind": "Stateful", "role": if home { "Active" } else { "Standby" }});
    let there = |pod: &Pod| match pod.address.octets() {
        [a, _, c, d] => Ipv4Addr::new(a, other, c, d).to_string(),
    };
    for ((hall, vdc), uid) in facts.halls.iter_mut().zip(&facts.vdcs).zip(HALLS) {
        let mut spec = hall_slice(uid, vdc, &db);
        let of = facts.pods.iter().filter(|p| p.hall_uid.as_deref() == Some(uid));
        let pods: Vec<Value> = of
            .filter(|p| p.component.as_deref() == Some(if home { "approval" } else { "db" }))
            .map(|p| json!({"component": p.component, "address": there(p), "ready": true}))
            .collect();
        let end =
            json!({"node": "n-1", "address": end_address(!home), "networks": [format!("10.{other}.0.0/16")]});
        let elsewhere = json!([{"site": SITES[usize::from(home)], "ends": [end], "pods": pods}]);
        spec.elsewhere = serde_json::from_value(elsewhere).unwrap();
        *hall = ValidHallSlice::check(&spec, vdc).unwrap();
    }
    facts
}

/// Names of the two sites; the first has the databases.
pub const SITES: [&str; 2] = ["qiaocheng", "guoyang"];
/// The link between their nodes.
pub const BETWEEN: &str = "between";

/// Where a site's end of the tunnel is.
pub fn end_address(home: bool) -> String {
    format!("192.168.90.{}:51820", if home { 1 } else { 2 })
}

/// Everything the boundary knows.
pub fn facts() -> Facts {
    let vdcs: Vec<_> = VDCS.into_iter().map(vdc).collect();
    let halls: Vec<_> = HALLS.into_iter().zip(&vdcs).map(|(uid, vdc)| hall(uid, vdc)).collect();
    let mut facts = Facts {
        vdcs,
        halls,
        platform: ["kube-system", "yunting-gateway", "local-path-storage"].map(str::to_owned).into(),
        pods: Vec::new(),
        node: Node {
            outer: ["lo", "wan"].map(|l| Link::new(l).unwrap()).into(),
            tunnel: None,
            addresses: BTreeSet::from([NODE]),
        },
        inside: ["192.168.77.0/24", "10.0.0.0/8", "169.254.169.254/32"].map(|n| n.parse().unwrap()).into(),
        abroad: BTreeSet::new(),
    };
    facts.pods = pods(&facts);
    facts
}

/// A pod of each component, two in each `Direct` namespace, one that is nobody's in the VDC, and one of each of the
/// platform; last, one of no known namespace.
fn pods(facts: &Facts) -> Vec<Pod> {
    let mut all = Vec::new();
    let mut pod = |namespace: &str, labels: Option<(&str, &str)>, probes: &[u16]| {
        let number = u8::try_from(all.len()).unwrap();
        all.push(Pod {
            namespace: namespace.to_owned(),
            name: labels.map_or_else(|| format!("pod{number}"), |(_, c)| format!("{c}{number}")),
            hall_uid: labels.map(|(hall, _)| hall.to_owned()),
            component: labels.map(|(_, c)| c.to_owned()),
            app: (namespace == "kube-system").then(|| "kube-dns".to_owned()),
            address: Ipv4Addr::new(10, 11, 0, number + 1),
            link: Some(Link::new(&format!("veth{number}")).unwrap()),
            probes: probes.iter().copied().collect(),
            names: if namespace == "kube-system" { BTreeSet::from([53]) } else { BTreeSet::new() },
        });
    };
    for (vdc, hall) in facts.vdcs.iter().zip(&facts.halls) {
        for (component, port) in [("portal", 8080), ("approval", 8080), ("db", 5432)] {
            pod(&vdc.namespaces[0].at_site, Some((hall.uid.as_str(), component)), &[port]);
        }
        pod(&vdc.namespaces[1].at_site, None, &[9000]);
        pod(&vdc.namespaces[1].at_site, Some((hall.uid.as_str(), "portal")), &[]);
        pod(&vdc.namespaces[0].at_site, None, &[8080]);
    }
    for namespace in ["kube-system", "yunting-gateway", "local-path-storage", "default"] {
        pod(namespace, None, &[9000]);
    }
    all
}
