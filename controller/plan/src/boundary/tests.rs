//! Tests of the boundary: the table against the matrix, and what neither may ever open.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

mod granted;

use super::class::{Classes, Seen};
use super::matrix::{Matrix, Party};
use super::table::Table;
use super::*;
use crate::hall::tests::bozhou;
use crate::vdc::Uid;
use crate::vdc::tests::{slice, valid};
use yunting_crds::tunnel::{Elsewhere, HallPod, TunnelEnd};

const OTHER: &str = "2b4e28ba-2fa1-11d2-883f-0016d3cca427";
const OTHER_HALL: &str = "8d444840-9dc0-11d1-b245-5ffdce74fad2";
const PORTS: [u16; 7] = [53, 1053, 443, 5432, 8080, 9000, 22];

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

/// Two VDCs that look the same, each with a hall, at a site with DNS and a front door.
fn facts() -> Facts {
    let one = valid(&slice());
    let mut spec = slice();
    spec.source.uid = OTHER.to_owned();
    let other = valid(&spec);
    let mut second = bozhou();
    second.source.uid = OTHER_HALL.to_owned();
    second.vdc.uid = OTHER.to_owned();
    let halls = vec![
        ValidHallSlice::check(&bozhou(), &one).unwrap(),
        ValidHallSlice::check(&second, &other).unwrap(),
    ];
    let mut facts = Facts {
        vdcs: vec![one, other],
        halls,
        platform: ["kube-system", "yunting-gateway", "local-path-storage"].map(str::to_owned).into(),
        pods: Vec::new(),
        node: Node {
            outer: ["lo", "wan"].map(|l| Link::new(l).unwrap()).into(),
            tunnel: Some(Link::new("yunting0").unwrap()),
            addresses: BTreeSet::from([Ipv4Addr::new(192, 168, 77, 1)]),
        },
        inside: ["192.168.77.0/24", "10.0.0.0/8", "169.254.169.254/32"].map(network).into(),
        abroad: ["10.12.0.0/16"].map(network).into(),
    };
    facts.pods = pods(&facts);
    facts
}

/// Addresses of another site: of the first hall's portal, approval and database there, one that both halls claim, one that nobody
/// does, and one outside the networks that this node was told of.
const ABROAD: [Ipv4Addr; 6] = [
    Ipv4Addr::new(10, 12, 0, 1),
    Ipv4Addr::new(10, 12, 0, 2),
    Ipv4Addr::new(10, 12, 0, 3),
    Ipv4Addr::new(10, 12, 0, 4),
    Ipv4Addr::new(10, 12, 0, 5),
    Ipv4Addr::new(10, 13, 0, 1),
];

/// The same with the halls at another site, too; `home`: where the databases run.
fn across(home: bool) -> Facts {
    let mut facts = facts();
    for (i, hall) in facts.halls.iter_mut().enumerate() {
        hall.components[2].active = home;
        let mut pods: Vec<HallPod> = Vec::new();
        let mut pod = |component: &str, address: Ipv4Addr| {
            pods.push(HallPod { component: component.to_owned(), address: address.to_string(), ready: true });
        };
        if i == 0 {
            ["portal", "approval", "db"].into_iter().zip(ABROAD).for_each(|(c, a)| pod(c, a));
            pod("db", ABROAD[5]);
        }
        pod("approval", ABROAD[3]);
        let networks = ["10.12.0.0/16", "10.13.0.0/16"].map(str::to_owned).to_vec();
        let end = TunnelEnd { node: "g-1".to_owned(), address: "192.168.77.2:51820".to_owned(), networks };
        let said = [Elsewhere { site: "guoyang".to_owned(), ends: vec![end], pods }];
        hall.elsewhere = crate::hall::elsewhere::read(&said, &hall.components);
    }
    facts
}

#[test]
fn what_is_exported_is_called_from_elsewhere_and_nothing_else() {
    let facts = across(true);
    let (table, matrix) = (Table::of(&facts), Matrix::new(&facts));
    let db = |uid: &str| {
        facts.pods.iter().find(|p| {
            p.component.as_deref() == Some("db") && p.hall_uid.as_deref() == Some(uid) && p.link.is_some()
        })
    };
    let own = db(facts.halls[0].uid.as_str()).unwrap();
    let mut open = Vec::new();
    for from in ABROAD {
        for pod in facts.pods.iter().filter(|p| p.link.is_some()) {
            for port in PORTS {
                let (from, to) = (Party::Abroad(from), Party::Pod(pod));
                assert_eq!(
                    judge(&table, from, to, port),
                    matrix.may(from, to, port),
                    "{from:?} {to:?} {port}"
                );
                if matrix.may(from, to, port) {
                    open.push((from, pod.name.clone(), port));
                }
            }
        }
    }
    assert!(matrix.may(Party::Abroad(ABROAD[1]), Party::Pod(own), 5432));
    assert!(
        open.iter()
            .all(|(from, _, port)| matches!(from, Party::Abroad(a) if *a == ABROAD[1]) && *port == 5432),
        "{open:?}"
    );
    // Outwards nothing: what is called runs here.
    assert!(table.calls.iter().all(|(_, a, _)| !ABROAD.contains(a)), "{:?}", table.calls);
}

#[test]
fn what_runs_elsewhere_is_called_by_who_declares_it() {
    let facts = across(false);
    let (table, matrix) = (Table::of(&facts), Matrix::new(&facts));
    let mut open = Vec::new();
    for pod in facts.pods.iter().filter(|p| p.link.is_some()) {
        for to in ABROAD {
            for port in PORTS {
                let (from, to) = (Party::Pod(pod), Party::Abroad(to));
                assert_eq!(
                    judge(&table, from, to, port),
                    matrix.may(from, to, port),
                    "{from:?} {to:?} {port}"
                );
                if matrix.may(from, to, port) {
                    open.push((pod.component.clone().unwrap_or_default(), to, port));
                }
            }
        }
    }
    assert!(!open.is_empty());
    assert!(
        open.iter().all(|(c, to, port)| c == "approval"
            && *port == 5432
            && matches!(to, Party::Abroad(a) if *a == ABROAD[2])),
        "{open:?}"
    );
    // No tunnel, no way: nothing is sent elsewhere.
    let mut none = facts.clone();
    none.node.tunnel = None;
    assert!(Table::of(&none).tunnel.is_empty());
    let text = ruleset::whole(&Table::of(&none));
    assert!(text.contains("oifname @outer ip daddr @abroad counter drop"), "{text}");
}

#[test]
fn an_address_that_is_known_here_is_not_believed_to_be_elsewhere() {
    let mut facts = across(true);
    let own = facts.pods[0].address;
    facts.abroad.insert(network("10.11.0.0/16"));
    facts.halls[0].elsewhere[0].pods[1].address = own;
    let table = Table::of(&facts);
    let seen = Classes::new(&facts).of(&facts.pods[0]).class().unwrap();
    assert_eq!(table.class.get(&own).copied(), Classes::new(&facts).id(&seen));
}

/// A pod of each component, some in each `Direct` namespace and of the platform, and some that are nobody's.
fn pods(facts: &Facts) -> Vec<Pod> {
    let mut all = Vec::new();
    let mut pod = |namespace: &str, labels: Option<(&str, &str)>, probes: &[u16]| {
        let number = u8::try_from(all.len()).unwrap();
        all.push(Pod {
            namespace: namespace.to_owned(),
            name: format!("pod{number}"),
            hall_uid: labels.map(|(hall, _)| hall.to_owned()),
            component: labels.map(|(_, c)| c.to_owned()),
            app: (namespace == "kube-system").then(|| "kube-dns".to_owned()),
            address: Ipv4Addr::new(10, 11, 0, number + 1),
            // Every third runs on another node.
            link: (number % 3 != 2).then(|| Link::new(&format!("veth{number}")).unwrap()),
            probes: probes.iter().copied().collect(),
            names: if namespace == "kube-system" { BTreeSet::from([53, 1053]) } else { BTreeSet::new() },
        });
    };
    for hall in &facts.halls {
        for c in &hall.components {
            for _ in 0..2 {
                pod(&c.namespace, Some((hall.uid.as_str(), c.name.as_str())), &[8080]);
            }
        }
    }
    for vdc in &facts.vdcs {
        let direct = &vdc.namespaces[1].at_site;
        pod(direct, None, &[9000]);
        pod(direct, Some((facts.halls[0].uid.as_str(), "portal")), &[]);
        pod(&vdc.namespaces[0].at_site, None, &[]);
        pod(&vdc.namespaces[0].at_site, Some((facts.halls[0].uid.as_str(), "nothing")), &[8080]);
    }
    for namespace in ["kube-system", "yunting-gateway", "local-path-storage", "default"] {
        pod(namespace, None, &[9000]);
        pod(namespace, Some((facts.halls[0].uid.as_str(), "db")), &[]);
    }
    all
}

/// Judges the first packet of a TCP connection as the chains of the ruleset do.
fn judge(t: &Table, from: Party<'_>, to: Party<'_>, port: u16) -> bool {
    let end = |p: Party<'_>| match p {
        Party::Pod(pod) => (pod.address, pod.link.clone()),
        Party::Node => (Ipv4Addr::new(192, 168, 77, 1), None),
        Party::Other(address) | Party::Abroad(address) => (address, None),
    };
    let is_abroad = |a: Ipv4Addr| t.abroad.iter().any(|n| n.contains(&Network::host(a)));
    // Of what goes through the tunnel one end is abroad; nothing else is.
    let crossing = |p: Party<'_>| matches!(p, Party::Abroad(_));
    let ((source, source_link), (target, target_link)) = (end(from), end(to));
    let on_link = |link: Option<Link>, a| link.is_none_or(|l| t.local.contains(&(l, a)));
    if !on_link(source_link.clone(), source) || !on_link(target_link.clone(), target) {
        return false;
    }
    let entry =
        t.entry.iter().any(|(n, a, p)| n.contains(&Network::host(source)) && *a == target && *p == port);
    for party in [from, to] {
        if let Party::Abroad(address) | Party::Other(address) = party
            && is_abroad(address) != crossing(party)
        {
            return false;
        }
    }
    if crossing(from) || crossing(to) {
        let pods = [from, to].iter().filter(|p| matches!(p, Party::Pod(pod) if pod.link.is_some())).count();
        let id = t.class.get(&source).copied();
        return pods == 1 && id.is_some_and(|id| t.calls.contains(&(id, target, port)));
    }
    match (from, to) {
        (Party::Pod(_), Party::Node) => source_link.is_none() || t.platform.contains(&source),
        (Party::Node, Party::Pod(_)) => {
            target_link.is_none() || t.platform.contains(&target) || t.from_node.contains(&(target, port))
        }
        (Party::Node | Party::Other(_), Party::Node | Party::Other(_)) => true,
        (Party::Abroad(_), _) | (_, Party::Abroad(_)) => false,
        _ => forwarded(t, source, target, port, entry),
    }
}

fn forwarded(t: &Table, source: Ipv4Addr, target: Ipv4Addr, port: u16, entry: bool) -> bool {
    let class = |a: &Ipv4Addr| t.class.get(a).copied();
    let to = Network::host(target);
    if t.platform.contains(&source) && t.platform.contains(&target) || entry {
        return true;
    }
    if t.dns.contains(&(target, port)) {
        return true;
    }
    if let Some(id) = class(&source)
        && (t.calls.contains(&(id, target, port)) || t.same.contains(&(id, target)))
    {
        return true;
    }
    if t.platform.contains(&source) {
        return class(&target).is_none();
    }
    if t.platform.contains(&target) {
        return class(&source).is_none();
    }
    let Some(id) = class(&source).filter(|_| !t.inside.iter().any(|n| n.contains(&to))) else { return false };
    t.egress_any.iter().any(|(i, n)| *i == id && n.contains(&to))
        || t.egress_tcp.iter().any(|(i, n, p)| *i == id && n.contains(&to) && *p == port)
}

fn parties(facts: &Facts) -> Vec<Party<'_>> {
    let others = ["203.0.113.7", "169.254.7.7", "169.254.169.254", "192.168.77.9", "10.99.0.1", "8.8.8.8"];
    let others = others.map(|a| Party::Other(a.parse().unwrap()));
    let abroad = ABROAD.iter().flat_map(|a| [Party::Abroad(*a), Party::Other(*a)]);
    facts.pods.iter().map(Party::Pod).chain([Party::Node]).chain(others).chain(abroad).collect()
}

/// Whether an end is on this node.
fn here(party: &Party<'_>) -> bool {
    match party {
        Party::Pod(pod) => pod.link.is_some(),
        Party::Node => true,
        Party::Other(_) | Party::Abroad(_) => false,
    }
}

/// Every pair at every port, of which one end is here.
fn agrees(facts: &Facts) {
    let (table, matrix, parties) = (Table::of(facts), Matrix::new(facts), parties(facts));
    for (i, from) in parties.iter().enumerate() {
        let others = parties.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, p)| p);
        for to in others.filter(|to| here(from) || here(to)) {
            for port in PORTS {
                let (is, may) = (judge(&table, *from, *to, port), matrix.may(*from, *to, port));
                assert_eq!(is, may, "{from:?} to {to:?} at {port}");
            }
        }
    }
}

#[test]
fn the_table_is_what_was_declared() {
    let facts = facts();
    agrees(&facts);
    let table = Table::of(&facts);
    assert!(!table.calls.is_empty() && !table.same.is_empty() && !table.entry.is_empty());
    assert!(!table.egress_tcp.is_empty() && !table.egress_any.is_empty() && !table.from_node.is_empty());
}

#[test]
fn the_text_of_a_small_site() {
    let mut facts = facts();
    facts.pods.retain(|p| [0, 2, 4, 12, 20].contains(&p.address.octets()[3].wrapping_sub(1)));
    insta::assert_snapshot!(ruleset::whole(&Table::of(&facts)));
}

#[test]
fn labels_take_nobody_into_another_vdc() {
    let facts = facts();
    let classes = Classes::new(&facts);
    let mut pod = facts.pods[0].clone();
    assert!(matches!(classes.of(&pod), Seen::Component(..)));
    pod.namespace = facts.vdcs[1].namespaces[0].at_site.clone();
    assert_eq!(classes.of(&pod), Seen::Unknown, "the hall is another VDC's");
    pod.namespace = facts.vdcs[1].namespaces[1].at_site.clone();
    assert!(matches!(classes.of(&pod), Seen::Direct(v) if v.owner.uid == Uid::new(OTHER).unwrap()));
    pod.namespace = "default".to_owned();
    assert_eq!(classes.of(&pod), Seen::Unknown);
}

#[test]
fn an_address_that_two_have_is_nobodys_or_whose_link_is_here() {
    let mut facts = facts();
    let mut twin = facts.pods[12].clone();
    twin.link = None;
    facts.pods[0].link = Some(Link::new("veth0").unwrap());
    twin.address = facts.pods[0].address;
    facts.pods.push(twin.clone());
    let (address, classes) = (twin.address, Classes::new(&facts));
    let id = |pod| classes.id(&classes.of(pod).class().unwrap());
    assert_eq!(Table::of(&facts).class.get(&address).copied(), id(&facts.pods[0]));
    facts.pods[0].link = None;
    let table = Table::of(&facts);
    assert!(!table.class.contains_key(&address) && !table.calls.iter().any(|(_, a, _)| *a == address));
}

#[test]
fn a_link_is_called_what_it_may_be_called() {
    for good in ["lo", "veth1a2b3c4d", "eth0.100", "cali-1_2"] {
        assert!(Link::new(good).is_ok(), "{good}");
    }
    for bad in ["", "sixteen-letters1", "a b", "a\"", "a;drop", "é"] {
        assert!(Link::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_does_not_change_is_not_said() {
    let facts = facts();
    let table = Table::of(&facts);
    assert_eq!(ruleset::change(&table, &table), None);
    let mut less = facts.clone();
    let gone = less.pods.remove(0);
    let text = ruleset::change(&table, &Table::of(&less)).unwrap();
    assert!(
        text.lines()
            .all(|l| l.starts_with("delete element inet yunting ") && l.contains(&gone.address.to_string()))
    );
    let text = ruleset::change(&Table::of(&less), &table).unwrap();
    assert!(
        text.lines()
            .all(|l| l.starts_with("add element inet yunting ") && l.contains(&gone.address.to_string()))
    );
}

proptest! {
    #[test]
    fn any_site_is_what_was_declared(
        kept in subsequence((0_usize..28).collect::<Vec<_>>(), 0..=20),
        portal in any::<bool>(),
        egress in subsequence(vec!["203.0.113.0/24", "203.0.113.0/28", "8.0.0.0/8", "192.168.0.0/16", "10.0.0.0/8", "169.254.0.0/16"], 0..=6),
        port in select(vec![0_u16, 443, 8080]),
        gateways in subsequence(vec!["192.168.77.0/24", "192.168.77.1/32", "203.0.113.7/32"], 0..=3),
    ) {
        let mut facts = facts();
        let vdc = &mut facts.vdcs[0];
        vdc.portal = portal;
        vdc.gateway_networks = gateways.iter().map(|n| network(n)).collect();
        vdc.egress = egress.iter().enumerate().map(|(i, n)| crate::vdc::Egress {
            network: network(n),
            ports: if port == 0 || i % 2 == 0 { BTreeSet::new() } else { BTreeSet::from([port, 9000]) },
        }).collect();
        facts.pods = facts.pods.into_iter().enumerate().filter(|(i, _)| kept.contains(i)).map(|(_, p)| p).collect();
        agrees(&facts);
    }

    #[test]
    fn no_element_overlaps_another(
        egress in subsequence(vec!["203.0.113.0/24", "203.0.113.0/28", "203.0.0.0/16", "8.0.0.0/8", "8.8.0.0/16"], 0..=5),
    ) {
        let mut facts = facts();
        facts.vdcs[0].egress = egress.iter().map(|n| crate::vdc::Egress { network: network(n), ports: BTreeSet::from([443]) }).collect();
        let table = Table::of(&facts);
        for (id, n, port) in &table.egress_tcp {
            let within = |(i, o, p): &&(_, Network, _)| i == id && p == port && o != n && o.contains(n);
            prop_assert!(!table.egress_tcp.iter().any(|e| within(&e)), "{n} lies in another");
        }
    }
}

/// At a small site a turn tries every pod of others from every class here, and something that may pass.
#[test]
fn a_turn_tries_every_class_and_something_that_may_pass() {
    let facts = facts();
    let classes = Classes::new(&facts);
    let beyond = [(Ipv4Addr::new(169, 254, 169, 254), 80)];
    let here = facts.pods.iter().filter(|p| p.link.is_some()).filter_map(|p| classes.of(p).class());
    let here: BTreeSet<_> = here.collect();
    for turn in 0..5 {
        let ways = ways::ways(&facts, &beyond, turn);
        let of = |w: &ways::Way<'_>| classes.of(w.from).class();
        assert_eq!(ways.iter().filter_map(of).collect::<BTreeSet<_>>(), here, "turn {turn}");
        for class in &here {
            let own: Vec<_> = ways.iter().filter(|w| of(w).as_ref() == Some(class)).collect();
            assert!(own.iter().any(|w| w.may) && own.iter().any(|w| !w.may), "{class:?}");
            assert!(own.iter().any(|w| w.to.is_none() && w.address == beyond[0].0), "{class:?}");
            let asked: BTreeSet<_> = own.iter().map(|w| w.address).collect();
            let listening =
                facts.pods.iter().filter(|p| !p.probes.is_empty() && p.address != own[0].from.address);
            assert!(listening.into_iter().all(|p| asked.contains(&p.address)), "{class:?} in turn {turn}");
        }
        assert!(ways.iter().all(|w| w.from.link.is_some() && w.from.address != w.address));
    }
    let askers = (0..5).flat_map(|turn| ways::ways(&facts, &beyond, turn)).map(|w| w.from.name.clone());
    assert!(askers.collect::<BTreeSet<_>>().len() > here.len(), "always the same pods ask");
}

#[test]
fn classes_keep_their_numbers_when_others_go() {
    let facts = facts();
    let mut less = facts.clone();
    less.vdcs.pop();
    less.halls.pop();
    let (all, few) = (Classes::new(&facts), Classes::new(&less));
    for class in [facts.pods[0].clone(), facts.pods[12].clone()].iter().filter_map(|p| all.of(p).class()) {
        assert_eq!(all.id(&class), few.id(&class));
    }
}
