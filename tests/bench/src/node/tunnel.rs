//! What the tunnel between sites costs: the same call from site to site through it, and over the same wire in the clear, which
//! only a world without boundaries allows.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use yunting_tests::node::across::Across;

use crate::report::Ratio;
use crate::stats::percentile;

/// Time of one stream.
const STREAM: Duration = Duration::from_millis(1500);
/// Bytes there and back of one measurement.
const ROUNDS: usize = 2000;
/// Bytes of a block of the stream.
const BLOCK: usize = 64 * 1024;

/// Measures in turns, so that a slow moment of the machine falls on both.
pub fn measure(turns: usize, say: &dyn Fn(&str)) -> anyhow::Result<Vec<Ratio>> {
    let clear = Across::start()?;
    let (tunnel, _one, _other) = Across::connected()?;
    let mut rates: [Vec<f64>; 2] = Default::default();
    let mut times: [Vec<f64>; 2] = Default::default();
    for turn in 1..=turns {
        for (i, across) in [&clear, &tunnel].into_iter().enumerate() {
            rates[i].push(stream(across)?);
            times[i].push(there_and_back(across)?);
        }
        say(&format!("turn {turn} of {turns} between sites"));
    }
    let over = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>();
    Ok(vec![
        Ratio::shown(
            "between sites, time per byte through the tunnel ÷ in the clear",
            over(&rates[0], &rates[1]),
        ),
        Ratio::shown(
            "between sites, there and back, p99, through the tunnel ÷ in the clear",
            over(&times[1], &times[0]),
        ),
        Ratio::shown("through the tunnel, MB/s there and back", rates[1].iter().map(|r| r / 1e6).collect()),
        Ratio::shown(
            "through the tunnel, there and back, p99, µs",
            times[1].iter().map(|s| s * 1e6).collect(),
        ),
    ])
}

/// A connection from who may call to who is called, which sends back what comes.
fn connection(across: &Across) -> anyhow::Result<TcpStream> {
    let (away, to) = (&across.away, across.home.at("db", 5432));
    let pod = away.world.pod(away.pod("approval"));
    let connect = away.world.within(&pod, move || TcpStream::connect(to))?;
    let stream = connect.join().map_err(|_| anyhow!("no connection"))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Bytes in a second that go there and come back.
#[allow(clippy::cast_precision_loss)] // far below 2^52
fn stream(across: &Across) -> anyhow::Result<f64> {
    let mut stream = connection(across)?;
    let mut own = stream.try_clone()?;
    let sender = std::thread::spawn(move || {
        let (block, since) = (vec![0_u8; BLOCK], Instant::now());
        while since.elapsed() < STREAM && own.write_all(&block).is_ok() {}
        own.shutdown(std::net::Shutdown::Write)
    });
    let (mut buffer, mut bytes, since) = (vec![0_u8; BLOCK], 0_usize, Instant::now());
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        bytes += n;
    }
    let took = since.elapsed();
    sender.join().map_err(|_| anyhow!("the sender ended"))??;
    Ok(bytes as f64 / took.as_secs_f64())
}

/// Seconds, of the slowest hundredth.
fn there_and_back(across: &Across) -> anyhow::Result<f64> {
    let mut stream = connection(across)?;
    let (mut times, mut byte) = (Vec::with_capacity(ROUNDS), [0]);
    for _ in 0..ROUNDS {
        let since = Instant::now();
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)?;
        times.push(since.elapsed().as_secs_f64());
    }
    percentile(&times, 99.0).context("nothing was measured")
}
