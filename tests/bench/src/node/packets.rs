//! TCP from pod to pod: how much in a second, and how long a byte takes there and back.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use yunting_controller::node::gate::{BootTime, Gate};
use yunting_plan::boundary::{Facts, Pod, ruleset};
use yunting_plan::vdc::Uid;
use yunting_tests::node::pins::Pins;
use yunting_tests::node::site::facts;
use yunting_tests::node::world::World;

use crate::report::Ratio;
use crate::stats::percentile;

/// Time of one stream.
const STREAM: Duration = Duration::from_millis(800);
/// Bytes there and back of one measurement.
const ROUNDS: usize = 4000;
const GROUP: &str = "9c444840-9dc0-11d1-b245-5ffdce74fad2";

/// What stands between two pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    Nothing,
    Boundary,
    BoundaryAndGate,
}

/// What was seen in each of them, turn by turn.
#[derive(Default)]
struct Seen {
    rate: Vec<f64>,
    latency: Vec<f64>,
}

/// Measures in turns, so that a slow moment of the machine falls on all.
pub fn measure(turns: usize, say: &dyn Fn(&str)) -> anyhow::Result<Vec<Ratio>> {
    let facts = facts();
    let world = World::start(&facts)?;
    let pins = Pins::new()?;
    let all = [Between::Nothing, Between::Boundary, Between::BoundaryAndGate];
    let mut seen: [Seen; 3] = Default::default();
    for turn in 1..=turns {
        for (between, seen) in all.iter().zip(&mut seen) {
            put(&world, &facts, &pins, *between)?;
            seen.rate.push(stream(&world, &facts)?);
            seen.latency.push(there_and_back(&world, &facts)?);
        }
        say(&format!("turn {turn} of {turns}"));
    }
    let [nothing, boundary, gate] = &seen;
    let over = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>();
    Ok(vec![
        Ratio::new(
            "time per byte with the boundary ÷ without",
            over(&nothing.rate, &boundary.rate),
            1.0 / 0.95,
        ),
        Ratio::new("the same with boundary and gate", over(&nothing.rate, &gate.rate), 1.0 / 0.95),
        Ratio::new(
            "there and back, p99, with the boundary ÷ without",
            over(&boundary.latency, &nothing.latency),
            1.1,
        ),
        Ratio::new("the same with boundary and gate", over(&gate.latency, &nothing.latency), 1.1),
        Ratio::shown("without both, MB/s", nothing.rate.iter().map(|r| r / 1e6).collect()),
        Ratio::shown(
            "without both, there and back, p99, µs",
            nothing.latency.iter().map(|s| s * 1e6).collect(),
        ),
    ])
}

fn put(world: &World, facts: &Facts, pins: &Pins, between: Between) -> anyhow::Result<()> {
    let link = ends(facts)?[1].1.link.clone().context("no link")?;
    let (path, group) = (pins.path(), Uid::new(GROUP)?);
    let guarded = between == Between::BoundaryAndGate;
    let gate = move || -> anyhow::Result<()> {
        let mut gate = Gate::start(&path)?;
        if guarded {
            gate.guard(&link, &group)?;
            gate.open(&group, BootTime::now() + Duration::from_mins(5))?;
        } else {
            gate.release_link(&link)?;
        }
        Ok(())
    };
    world.within(&world.node(), gate)?.join().map_err(|_| anyhow!("the gate's thread ended"))??;
    match between {
        Between::Nothing => world.nft(&ruleset::nothing()),
        Between::Boundary | Between::BoundaryAndGate => world.guard(facts),
    }
}

/// Two pods that may do everything to each other: what is looked up for them is looked up last.
fn ends(facts: &Facts) -> anyhow::Result<[(usize, &Pod); 2]> {
    let vdc = facts.vdcs.first().context("no VDC")?;
    let direct = vdc.namespaces.get(1).context("no Direct namespace")?;
    let own: Vec<_> = facts.pods.iter().enumerate().filter(|(_, p)| p.namespace == direct.at_site).collect();
    own.try_into().map_err(|all: Vec<_>| anyhow!("{} pods where two are wanted", all.len()))
}

/// A connection between them, and its other end.
fn connection(world: &World, facts: &Facts) -> anyhow::Result<(TcpStream, TcpStream)> {
    let [(from, _), (to, pod)] = ends(facts)?;
    let listener = world.within(&world.pod(to), || TcpListener::bind(("0.0.0.0", 0)))?;
    let listener = listener.join().map_err(|_| anyhow!("no listener"))??;
    let address = SocketAddr::new(pod.address.into(), listener.local_addr()?.port());
    let connect = world.within(&world.pod(from), move || TcpStream::connect(address))?;
    let (other, _) = listener.accept()?;
    let own = connect.join().map_err(|_| anyhow!("no connection"))??;
    own.set_nodelay(true)?;
    other.set_nodelay(true)?;
    Ok((own, other))
}

/// Bytes in a second.
#[allow(clippy::cast_precision_loss)] // far below 2^52
fn stream(world: &World, facts: &Facts) -> anyhow::Result<f64> {
    let (mut own, mut other) = connection(world, facts)?;
    let sender = std::thread::spawn(move || {
        let (block, since) = (vec![0_u8; 128 * 1024], Instant::now());
        while since.elapsed() < STREAM && own.write_all(&block).is_ok() {}
    });
    let (mut buffer, mut bytes, since) = (vec![0_u8; 256 * 1024], 0_usize, Instant::now());
    while let Ok(n @ 1..) = other.read(&mut buffer) {
        bytes += n;
    }
    let took = since.elapsed();
    sender.join().map_err(|_| anyhow!("the sender ended"))?;
    Ok(bytes as f64 / took.as_secs_f64())
}

/// Seconds, of the slowest hundredth.
fn there_and_back(world: &World, facts: &Facts) -> anyhow::Result<f64> {
    let (mut own, mut other) = connection(world, facts)?;
    let echo = std::thread::spawn(move || {
        let mut byte = [0];
        while other.read_exact(&mut byte).is_ok() && other.write_all(&byte).is_ok() {}
    });
    let (mut times, mut byte) = (Vec::with_capacity(ROUNDS), [0]);
    for _ in 0..ROUNDS {
        let since = Instant::now();
        own.write_all(&byte)?;
        own.read_exact(&mut byte)?;
        times.push(since.elapsed().as_secs_f64());
    }
    drop(own);
    echo.join().map_err(|_| anyhow!("the echo ended"))?;
    percentile(&times, 99.0).context("nothing was measured")
}
