//! A table of many pods: what one pod's coming and going costs.

use std::net::Ipv4Addr;
use std::time::Instant;

use anyhow::Context;
use yunting_plan::boundary::table::Table;
use yunting_plan::boundary::{Facts, Link, ruleset};
use yunting_plan::vdc::Uid;
use yunting_tests::node::site::facts;
use yunting_tests::node::world::World;

use crate::report::Ratio;

/// Pods that come and go.
const ROUNDS: usize = 20;
/// The bar, in milliseconds.
const UPDATE: f64 = 10.0;

/// Measures.
pub fn measure(vdcs: usize, pods: usize, say: &dyn Fn(&str)) -> anyhow::Result<Vec<Ratio>> {
    let small = facts();
    let world = World::start(&small)?;
    let large = many(&small, vdcs, pods)?;
    let since = Instant::now();
    let table = Table::of(&large);
    let computed = since.elapsed();
    let since = Instant::now();
    world.nft(&ruleset::whole(&table))?;
    say(&format!(
        "{vdcs} VDCs, {pods} pods: computed in {computed:?}, loaded whole in {:?}",
        since.elapsed()
    ));
    let (mut goes, mut comes, mut anew) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let mut less = large.clone();
        less.pods.remove(round * large.pods.len() / ROUNDS);
        let since = Instant::now();
        let fewer = Table::of(&less);
        anew.push(milliseconds(since));
        goes.push(load(&world, &table, &fewer)?);
        comes.push(load(&world, &fewer, &table)?);
    }
    Ok(vec![
        Ratio::new("a pod comes, ms", comes, UPDATE),
        Ratio::new("a pod goes, ms", goes, UPDATE),
        Ratio::shown("the table computed anew, ms", anew),
    ])
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn load(world: &World, from: &Table, to: &Table) -> anyhow::Result<f64> {
    let text = ruleset::change(from, to).context("nothing changes")?;
    let since = Instant::now();
    world.nft(&text)?;
    Ok(milliseconds(since))
}

/// Copies of the first VDC with its hall, and as many pods, evenly over the VDCs' components.
fn many(small: &Facts, vdcs: usize, pods: usize) -> anyhow::Result<Facts> {
    let (vdc, hall) = small.vdcs.first().zip(small.halls.first()).context("no VDC")?;
    let uid = |kind: u8, i: usize| Uid::new(&format!("{kind:08x}-0000-4000-8000-{i:012x}"));
    let mut all = Facts { vdcs: Vec::new(), halls: Vec::new(), pods: Vec::new(), ..small.clone() };
    for i in 0..vdcs {
        let (mut vdc, mut hall) = (vdc.clone(), hall.clone());
        vdc.owner.uid = uid(1, i)?;
        for namespace in &mut vdc.namespaces {
            namespace.at_site = format!("{}-{i}", namespace.at_site);
        }
        hall.uid = uid(2, i)?;
        hall.owner.uid = vdc.owner.uid.clone();
        for c in &mut hall.components {
            c.namespace = format!("{}-{i}", c.namespace);
        }
        all.vdcs.push(vdc);
        all.halls.push(hall);
    }
    let models: Vec<_> = small.pods.iter().take(hall.components.len()).collect();
    for i in 0..pods {
        let (of, model) = (i % vdcs, models.get(i / vdcs % models.len()).context("no component")?);
        let mut pod = (*model).clone();
        pod.namespace = format!("{}-{of}", pod.namespace);
        pod.name = format!("pod{i}");
        pod.hall_uid = Some(uid(2, of)?.as_str().to_owned());
        pod.address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 20, 0, 1)) + u32::try_from(i)?);
        pod.link = Some(Link::new(&format!("v{i}"))?);
        all.pods.push(pod);
    }
    Ok(all)
}
