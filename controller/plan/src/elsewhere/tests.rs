//! Tests of what sites are told of each other.

use super::*;
use crate::hall::tests::bozhou;
use serde_json::json;
use yunting_crds::HallSliceStatus;

fn pod(component: &str, address: &str) -> HallPod {
    HallPod { component: component.to_owned(), address: address.to_owned(), ready: true }
}

fn end(node: &str) -> TunnelEnd {
    TunnelEnd {
        node: node.to_owned(),
        address: "192.168.77.1:51820".to_owned(),
        networks: vec!["10.11.0.0/16".to_owned()],
    }
}

fn spec(class: AvailabilityClass) -> HallSpec {
    let components: Vec<_> = bozhou().components.into_iter().map(|c| c.component).collect();
    serde_json::from_value(json!({
        "vdcRef": {"name": "service-hall"}, "displayName": "Hall", "availabilityClass": class, "components": components,
    }))
    .unwrap()
}

/// What the hub is about to write for both sites, and the slices as they stand.
fn sites() -> (Vec<(String, HallSliceSpec)>, Vec<HallSlice>) {
    let mut standby = bozhou();
    standby.components[2].role = HallRole::Standby;
    let wanted = vec![("home".to_owned(), bozhou()), ("away".to_owned(), standby)];
    let pods = [vec![pod("db", "10.11.0.7"), pod("portal", "10.11.0.5")], vec![pod("approval", "10.12.0.3")]];
    let standing = wanted.iter().zip(pods).map(|((site, spec), pods)| {
        let mut slice = HallSlice::new(site, spec.clone());
        slice.metadata.generation = Some(1);
        slice.status = Some(HallSliceStatus {
            observed_generation: Some(1),
            pods: Some(pods),
            ..HallSliceStatus::default()
        });
        slice
    });
    let standing = standing.collect();
    (wanted, standing)
}

fn filled(
    class: AvailabilityClass,
    standing: &[HallSlice],
    ends: Option<&[TunnelEnd]>,
) -> [Vec<Elsewhere>; 2] {
    let (mut wanted, _) = sites();
    let places = [("home", &standing[0]), ("away", &standing[1])]
        .map(|(site, slice)| (site.to_owned(), Place { slice: Some(slice), ends }));
    fill(&spec(class), &mut wanted, &BTreeMap::from(places));
    [wanted[0].1.elsewhere.clone(), wanted[1].1.elsewhere.clone()]
}

#[test]
fn each_site_is_told_what_it_has_to_do_with() {
    let (_, standing) = sites();
    let ends = [end("n-1")];
    let [home, away] = filled(AvailabilityClass::Platinum, &standing, Some(&ends));
    assert_eq!((home[0].site.as_str(), &home[0].pods), ("away", &vec![pod("approval", "10.12.0.3")]));
    assert_eq!((away[0].site.as_str(), &away[0].pods), ("home", &vec![pod("db", "10.11.0.7")]));
    assert_eq!(away[0].ends, ends);
    let [home, away] = filled(AvailabilityClass::Gold, &standing, Some(&ends));
    assert!(home.is_empty() && away.is_empty());
}

#[test]
fn what_was_not_heard_changes_nothing() {
    let (_, mut standing) = sites();
    let before = vec![Elsewhere {
        site: "home".to_owned(),
        ends: vec![end("n-1")],
        pods: vec![pod("db", "10.11.0.7")],
    }];
    standing[1].spec.elsewhere.clone_from(&before);
    standing[0].status.as_mut().unwrap().observed_generation = Some(0);
    let [_, away] = filled(AvailabilityClass::Platinum, &standing, None);
    assert_eq!(away, before);
    standing[0].status = None;
    let [_, away] = filled(AvailabilityClass::Platinum, &standing, None);
    assert_eq!(away, before);
    // What was said does.
    let (_, heard) = sites();
    standing[0].status.clone_from(&heard[0].status);
    standing[0].status.as_mut().unwrap().pods = Some(Vec::new());
    let [_, away] = filled(AvailabilityClass::Platinum, &standing, Some(&[]));
    assert!(away[0].pods.is_empty() && away[0].ends.is_empty());
}
