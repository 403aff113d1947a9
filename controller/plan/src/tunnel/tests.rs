//! Tests of who is a peer, and of what probes show.

use super::*;
use crate::hall::elsewhere::{Abroad, read as read_elsewhere};
use crate::hall::tests::bozhou;
use crate::vdc::tests::{slice, valid};
use yunting_crds::tunnel::{Elsewhere, TunnelEnd};

const OWN: &str = "yunting://site/qiaocheng/node/qiaocheng-1";

fn networks(all: &[&str]) -> BTreeSet<Network> {
    all.iter().map(|n| n.parse().unwrap()).collect()
}

fn end(node: &str, address: &str, networks: &[&str]) -> TunnelEnd {
    TunnelEnd {
        node: node.to_owned(),
        address: address.to_owned(),
        networks: networks.iter().map(|n| (*n).to_owned()).collect(),
    }
}

fn hall(ends: &[(&str, TunnelEnd)]) -> ValidHallSlice {
    let mut hall = ValidHallSlice::check(&bozhou(), &valid(&slice())).unwrap();
    let said: Vec<Elsewhere> = ends
        .iter()
        .map(|(site, end)| Elsewhere { site: (*site).to_owned(), ends: vec![end.clone()], pods: Vec::new() })
        .collect();
    hall.elsewhere = read_elsewhere(&said, &hall.components);
    hall
}

#[test]
fn a_peer_has_only_networks_that_this_node_was_told_of() {
    let abroad = networks(&["10.12.0.0/16", "10.13.0.0/16"]);
    let good = end("g-1", "192.168.77.2:51820", &["10.12.0.0/16"]);
    let found = wanted(OWN, &abroad, &[hall(&[("guoyang", good.clone())])]);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["yunting://site/guoyang/node/g-1"]);
    for bad in [&["10.11.0.0/16"][..], &["10.12.0.0/16", "192.168.0.0/16"], &["10.0.0.0/8"], &["0.0.0.0/0"]] {
        let told = hall(&[("guoyang", end("g-1", "192.168.77.2:51820", bad))]);
        assert!(wanted(OWN, &abroad, &[told]).is_empty(), "{bad:?}");
    }
    // Nor is a node of this site another one's.
    assert!(wanted(OWN, &abroad, &[hall(&[("qiaocheng", good)])]).is_empty());
}

#[test]
fn a_network_that_two_claim_goes_to_neither() {
    let abroad = networks(&["10.12.0.0/16", "10.13.0.0/16"]);
    let told = hall(&[
        ("guoyang", end("g-1", "192.168.77.2:51820", &["10.12.0.0/16"])),
        ("mengcheng", end("m-1", "192.168.77.3:51820", &["10.12.7.0/24"])),
    ]);
    assert!(wanted(OWN, &abroad, &[told]).is_empty());
    let apart = hall(&[
        ("guoyang", end("g-1", "192.168.77.2:51820", &["10.12.0.0/16"])),
        ("mengcheng", end("m-1", "192.168.77.3:51820", &["10.13.0.0/16"])),
    ]);
    assert_eq!(wanted(OWN, &abroad, &[apart]).len(), 2);
}

#[test]
fn what_most_halls_were_told_of_a_node_counts() {
    let abroad = networks(&["10.12.0.0/16"]);
    let told = |address: &str| hall(&[("guoyang", end("g-1", address, &["10.12.0.0/16"]))]);
    let halls = [told("192.168.77.9:1"), told("192.168.77.2:51820"), told("192.168.77.2:51820")];
    let found = wanted(OWN, &abroad, &halls);
    let one = found.values().next().unwrap();
    assert_eq!(one.end.address.to_string(), "192.168.77.2:51820");
}

#[test]
fn both_have_to_say_the_same_of_a_peers_networks() {
    let halls = [hall(&[("guoyang", end("g-1", "192.168.77.2:51820", &["10.12.0.0/16"]))])];
    let found = wanted(OWN, &networks(&["10.12.0.0/16"]), &halls);
    let one = found.values().next().unwrap();
    assert!(agreed(one, &["10.12.0.0/16".to_owned()]).is_ok());
    for said in [&["10.13.0.0/16"][..], &[], &["10.12.0.0/16", "10.13.0.0/16"], &["all"]] {
        let said: Vec<String> = said.iter().map(|s| (*s).to_owned()).collect();
        assert!(agreed(one, &said).is_err(), "{said:?}");
    }
}

#[test]
fn a_probe_proves_only_where_it_would_have_seen_clear_text() {
    let table = [
        ((true, 0, 1), TunnelState::Encrypted),
        ((true, 0, 0), TunnelState::Unproved),
        ((true, 1, 1), TunnelState::Clear),
        ((false, 2, 0), TunnelState::Clear),
        ((false, 0, 1), TunnelState::Down),
    ];
    for ((answered, seen, control), state) in table {
        assert_eq!(read(Evidence { answered, seen, control }).0, state, "{answered} {seen} {control}");
    }
}

#[test]
fn an_old_proof_proves_nothing() {
    let halls = [hall(&[("guoyang", end("g-1", "192.168.77.2:51820", &["10.12.0.0/16"]))])];
    let found = wanted(OWN, &networks(&["10.12.0.0/16"]), &halls);
    let one = found.values().next().unwrap();
    let known = |state, age| Known { last: Some((state, "", age)), ..Known::default() };
    assert_eq!(shown(one, &known(TunnelState::Encrypted, PROVED)).state, TunnelState::Encrypted);
    let old = known(TunnelState::Encrypted, PROVED + Duration::from_secs(1));
    assert_eq!(shown(one, &old).state, TunnelState::Unproved);
    assert_eq!(shown(one, &Known::default()).state, TunnelState::Unproved);
    let lost = Known { why: Some("it does not answer".to_owned()), ..known(TunnelState::Down, PROVED) };
    assert_eq!(
        (shown(one, &lost).state, shown(one, &lost).why.as_str()),
        (TunnelState::Down, "it does not answer")
    );
    assert!(matches!(halls[0].elsewhere.as_slice(), [Abroad { .. }]));
}
