//! The order of things: record, cut, look; take, look; add up.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use crate::Arguments;
use crate::crash::{Cache, Replay, with_disk};
use crate::dice::Dice;
use crate::findings::{Findings, examine};
use crate::layout::Key;
use crate::load::{Acknowledged, Load};
use crate::snapshots;
use crate::stand::{Scratch, Stand};
use yunting_layout::postgres::Postgres;

/// Flushes that the lying disk of the control keeps back: far more than lie between two commits.
const LIED: usize = 200;

/// Set when somebody wants this to end: what is mounted must be unmounted first.
static ENDED: AtomicBool = AtomicBool::new(false);

/// Lets a signal end the run between two looks instead of at once.
fn heed_signals() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    drop(entered);
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        });
        ENDED.store(true, Ordering::SeqCst);
    });
    Ok(())
}

/// One thing to look at: an image or a snapshot, and the greatest number that must be in it.
pub struct Case {
    /// Its index within the batch.
    pub index: usize,
    /// The greatest number a client was told of before.
    pub told: u64,
}

/// Runs all that was asked for; true if nothing was found.
pub fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    heed_signals()?;
    let postgres = Postgres::find()?;
    let mut sound = true;
    for (name, number, batch) in [
        ("crash images", arguments.images, images as Batch),
        ("snapshots", arguments.snapshots, snapshots::batch as Batch),
    ] {
        let (since, mut all, mut round) = (Instant::now(), Findings::default(), 0);
        while all.seen < number {
            let size = arguments.batch.min(number - all.seen);
            let found = batch(arguments, &postgres, size, round)?;
            for text in found.texts().iter().take(20) {
                println!("  {text}");
            }
            all.add(found);
            round += 1;
            let took = since.elapsed().as_secs_f64();
            println!("{:?} {name}: {} ({took:.0} s)", arguments.layout, all.line());
        }
        sound &= all.bad == 0;
    }
    Ok(sound)
}

/// Makes and looks at so many in the round of this number.
type Batch = fn(&Arguments, &Postgres, usize, u64) -> anyhow::Result<Findings>;

fn images(arguments: &Arguments, postgres: &Postgres, number: usize, round: u64) -> anyhow::Result<Findings> {
    let scratch = Scratch::new(&arguments.scratch)?;
    let (root, key, seed) =
        (&scratch.root, Key::of(arguments.seed), arguments.seed.wrapping_add(round << 32));
    let stand = Stand::new(root, arguments.layout, &key, postgres)?;
    let (log, base) = (stand.log.clone(), root.join("base"));
    log.start(|| copy(&stand.backing, &base))?;
    let told = Arc::new(Acknowledged::default());
    let clock = log.clone();
    let load = Load::start(postgres, &stand.socket, told.clone(), move || clock.position())?;
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    while Instant::now() < end && !ENDED.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(50)); // between two looks
    }
    log.stop();
    load.stop()?;
    stand.down()?;
    let mut replay = Replay::new(&log, &base);
    println!("  recorded {} writes and flushes, {} commits told", log.position(), told.by(log.position()));
    let points = replay.points(number, &mut Dice::new(seed, 0));
    let cache = if arguments.lying_disk { Cache::Lying(LIED) } else { Cache::Honest };
    let mut cases = points.into_iter().enumerate().map(|(index, point)| {
        let image = root.join(format!("image-{index}"));
        replay.image(point, cache, &image, &mut Dice::new(seed, index as u64 + 1))?;
        Ok(Case { index, told: told.by(point) })
    });
    in_parallel(arguments.jobs, &mut cases, &|case| {
        let (image, at) =
            (root.join(format!("image-{}", case.index)), root.join(format!("at-{}", case.index)));
        let found = with_disk(&image, &at.join("node"), |node| {
            examine(arguments.layout, &node.join("volume"), &key, &at.join("open"), postgres, case.told)
        });
        std::fs::remove_file(image)?;
        found
    })
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let (from, to) = (std::fs::File::open(from)?, std::fs::File::create(to)?);
    Ok(rustix::fs::ioctl_ficlone(to, from)?)
}

/// Lets `jobs` threads look at what `cases` makes, not far behind it.
pub fn in_parallel(
    jobs: usize,
    cases: &mut dyn Iterator<Item = anyhow::Result<Case>>,
    look: &(dyn Fn(Case) -> anyhow::Result<Findings> + Sync),
) -> anyhow::Result<Findings> {
    let (sender, receiver) = mpsc::sync_channel(jobs);
    let receiver = Mutex::new(receiver);
    let all = Mutex::new(Ok(Findings::default()));
    let next = || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Ok(case) = next() {
                    let found = look(case);
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    match (found, all.as_mut()) {
                        (Ok(found), Ok(all)) => all.add(found),
                        (Err(error), Ok(_)) => *all = Err(error),
                        (_, Err(_)) => {}
                    }
                }
            });
        }
        let handed = hand_out(cases, &sender);
        drop(sender);
        handed
    })?;
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Hands cases to those who look, until there are no more or somebody ends the run.
fn hand_out(
    cases: &mut dyn Iterator<Item = anyhow::Result<Case>>,
    to: &mpsc::SyncSender<Case>,
) -> anyhow::Result<()> {
    for case in cases {
        anyhow::ensure!(!ENDED.load(Ordering::SeqCst), "ended by a signal");
        to.send(case?)?;
    }
    Ok(())
}
