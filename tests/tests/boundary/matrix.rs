//! Every end to every end at every port, as packets and as declared.

use std::net::{IpAddr, SocketAddr};

use yunting_plan::boundary::Facts;
use yunting_plan::boundary::matrix::{Matrix, Party};

use yunting_tests::node::site::{NODE, OUTSIDE, PORTS, facts};
use yunting_tests::node::world::World;

struct End<'a> {
    netns: String,
    address: IpAddr,
    party: Party<'a>,
}

fn ends<'a>(world: &World, facts: &'a Facts) -> Vec<End<'a>> {
    let pods = facts.pods.iter().enumerate().map(|(i, pod)| End {
        netns: world.pod(i),
        address: pod.address.into(),
        party: Party::Pod(pod),
    });
    let node = End { netns: world.node(), address: NODE.into(), party: Party::Node };
    let outside =
        OUTSIDE.iter().map(|a| End { netns: world.outside(), address: (*a).into(), party: Party::Other(*a) });
    pods.chain([node]).chain(outside).collect()
}

/// What differs from what was declared, and how many of all were let through.
fn compare(world: &World, facts: &Facts) -> anyhow::Result<(Vec<String>, usize)> {
    let (matrix, ends) = (Matrix::new(facts), ends(world, facts));
    let (mut wrong, mut open) = (Vec::new(), 0);
    // From outside only the first address asks: what a packet's source is decides the route.
    let askers = ends.iter().filter(|e| !matches!(e.party, Party::Other(a) if a != OUTSIDE[0]));
    for from in askers {
        let others: Vec<_> = ends.iter().filter(|e| e.netns != from.netns).collect();
        let pairs = others.iter().flat_map(|to| PORTS.map(|port| (to, port)));
        let wanted = pairs
            .clone()
            .map(|(to, port)| (SocketAddr::new(to.address, port), matrix.may(from.party, to.party, port)));
        let wanted: Vec<_> = wanted.collect();
        let seen = world.reach(&from.netns, &wanted)?;
        for ((to, port), (reached, (_, may))) in pairs.zip(seen.into_iter().zip(wanted)) {
            open += usize::from(reached);
            if reached != may {
                wrong.push(format!("{:?} to {:?} at {port}: {reached}", from.party, to.party));
            }
        }
    }
    Ok((wrong, open))
}

#[test]
fn the_kernel_lets_through_what_was_declared_and_nothing_else() {
    let facts = facts();
    let world = World::start(&facts).unwrap();
    world.guard(&facts).unwrap();
    let (wrong, open) = compare(&world, &facts).unwrap();
    assert!(wrong.is_empty(), "{} differ:\n{}\n{}", wrong.len(), wrong.join("\n"), world.ruleset().unwrap());
    println!("{open} ways are open");
    assert!(open > 100, "{open} ways are open: what was declared does not work");
}

/// The probe can fail: without the boundary it finds what must not be.
#[test]
fn without_the_boundary_what_was_not_declared_gets_through() {
    let facts = facts();
    let world = World::start(&facts).unwrap();
    let (wrong, _) = compare(&world, &facts).unwrap();
    println!("{} ways are open that must not be", wrong.len());
    assert!(wrong.len() > 1000, "{}", wrong.len());
}
