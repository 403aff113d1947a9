//! Probes the open volumes of the node in turns, and says in the node's report what that shows. A volume is probed under its
//! lock, and only while nobody waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};
use yunting_crds::node_report::{VdcVolumes, VolumesReport};
use yunting_plan::object::Key;
use yunting_plan::vdc::encryption::{Open, Outcome, TURN, due, shown};

use super::error::Error;
use super::locks::Locks;
use super::probe::{Texts, look};
use super::store::Store;
use super::{cipher, mounts};
use crate::context::Context;
use crate::error::chain;
use crate::writer::Writer;

/// Field manager of this part of the report.
const MANAGER: &str = "yunting/node-volumes";
/// Time after which a report that says nothing new is written again.
const BEAT: Duration = Duration::from_secs(30);
/// Time until a report that did not arrive is written again.
const AGAIN: Duration = Duration::from_secs(2);
/// Time until the next turn while some were never probed: after a start that may be all.
const SOON: Duration = Duration::from_secs(1);
/// Time until all that a probe has written is on the disk: the file system's commit, and the kernel's 30 s for what is dirty.
const SETTLED: Duration = Duration::from_secs(45);
/// Time after which a volume is written into that nobody else has written into.
const ANEW: Duration = Duration::from_hours(24);
/// Time for one probe, and after which a turn begins none. A disk that needs longer is busy with others.
const LIMIT: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(20);

/// Knows the open volumes of the node.
pub struct Prober {
    store: Arc<Store>,
    /// Where volumes are open, one directory each.
    open: PathBuf,
    locks: Arc<Locks>,
    context: Context,
    known: BTreeMap<String, Known>,
    /// Those of which nobody can say whose they are; told once.
    strange: BTreeSet<String>,
}

/// What is known of one.
struct Known {
    vdc: String,
    proved: Option<(Timestamp, Instant)>,
    last: Option<(Outcome, Instant)>,
    quiet: Option<Quiet>,
}

/// An image since a probe that has shown ciphertext. As long as nothing is written into it, all that is in it was there then,
/// and its directory cannot have become another: it is not written into again, so that points of a volume that nobody uses
/// stay empty.
struct Quiet {
    /// When the probe was.
    since: Instant,
    /// When the image was last changed, once what the probe has written is there.
    changed: Option<SystemTime>,
}

impl Quiet {
    /// Whether nothing was written since. The exact time, and not which is later: clocks are set.
    fn holds(&self, image: &Path) -> bool {
        self.since.elapsed() < ANEW && self.changed.is_some() && self.changed == changed(image)
    }
}

fn changed(image: &Path) -> Option<SystemTime> {
    std::fs::metadata(image).and_then(|m| m.modified()).ok()
}

impl Prober {
    /// Of the volumes of a disk that are open below a directory, each in one of its name; steps of a volume take `locks`.
    pub fn new(store: Arc<Store>, open: PathBuf, locks: Arc<Locks>, context: Context) -> Self {
        Self { store, open, locks, context, known: BTreeMap::new(), strange: BTreeSet::new() }
    }

    /// One turn: probes some of the volumes, and says how all stand. Fails where it cannot be seen which are open.
    pub async fn turn(&mut self) -> Result<Vec<VdcVolumes>, Error> {
        self.look_round()?;
        self.settle();
        let names: Vec<String> = due(&self.all()).into_iter().map(str::to_owned).collect();
        let begun = Instant::now();
        for volume in names {
            if begun.elapsed() < LONG {
                self.probe(&volume).await;
            }
        }
        // Some may be closed by now.
        self.look_round()?;
        let plain = self.known.values().filter(|k| matches!(k.last, Some((Outcome::Plain(_), _)))).count();
        self.context.metrics.plain_volumes.set(i64::try_from(plain).unwrap_or(i64::MAX));
        Ok(shown(&self.all()))
    }

    /// Which are open.
    fn look_round(&mut self) -> Result<(), Error> {
        let name = |at: &Path| {
            (at.parent() == Some(&self.open)).then(|| at.file_name()?.to_str()).flatten().map(str::to_owned)
        };
        let mounted = mounts::all()?;
        // What begins with a dot is being opened, and shown to nobody yet.
        let open: BTreeSet<String> = mounted
            .iter()
            .filter(|m| m.kind == "ext4")
            .filter_map(|m| name(&m.at))
            .filter(|n| !n.starts_with('.'))
            .collect();
        self.known.retain(|volume, _| open.contains(volume));
        self.strange.retain(|volume| open.contains(volume));
        for volume in open {
            if self.known.contains_key(&volume) {
                continue;
            }
            let why = match self.store.find(&volume) {
                Ok(Some(header)) => {
                    self.known
                        .insert(volume, Known { vdc: header.vdc, proved: None, last: None, quiet: None });
                    continue;
                }
                Ok(None) => "there is no volume of that name on the disk".to_owned(),
                Err(error) => chain(&error),
            };
            if self.strange.insert(volume.clone()) {
                tracing::error!(volume, why, "a volume is open and nobody can say whose: it is not probed");
            }
        }
        Ok(())
    }

    /// Notes when images were last changed whose probes have settled.
    fn settle(&mut self) {
        for (volume, known) in &mut self.known {
            let Some(quiet) = known.quiet.as_mut().filter(|q| q.changed.is_none()) else { continue };
            if quiet.since.elapsed() >= SETTLED {
                quiet.changed = changed(&cipher::image(&self.store.place(volume)));
            }
        }
    }

    /// Whether nothing was written into it since ciphertext was found: that is shown again then.
    fn is_quiet(&mut self, volume: &str) -> bool {
        let image = cipher::image(&self.store.place(volume));
        let Some(known) = self.known.get_mut(volume) else { return false };
        let proved = matches!(known.last, Some((Outcome::Encrypted, _)));
        let quiet = proved && known.quiet.as_ref().is_some_and(|q| q.holds(&image));
        if quiet {
            let now = Instant::now();
            known.proved = Some((self.context.timestamp(), now));
            known.last = Some((Outcome::Encrypted, now));
        }
        quiet
    }

    fn all(&self) -> Vec<Open<'_>> {
        let open = self.known.iter().map(|(volume, known)| Open {
            volume,
            vdc: &known.vdc,
            proved: known.proved.map(|(at, since)| (at, since.elapsed())),
            last: known.last.as_ref().map(|(outcome, since)| (outcome, since.elapsed())),
        });
        open.collect()
    }

    /// Some were never probed.
    fn is_behind(&self) -> bool {
        self.known.values().any(|known| known.last.is_none())
    }

    async fn probe(&mut self, volume: &str) {
        if self.is_quiet(volume) {
            return;
        }
        // Whoever works with it has it now; its turn comes again.
        let Some(turn) = self.locks.take_free(volume) else { return };
        let (subvolume, place) = (self.store.place(volume), self.open.join(volume));
        if !cipher::is_open(&place).unwrap_or_default() {
            return;
        }
        let (locks, name, context) = (self.locks.clone(), volume.to_owned(), self.context.clone());
        let work = tokio::task::spawn_blocking(move || {
            let outcome = twice(&context, &subvolume, &place, &|| locks.wanted(&name));
            drop(turn);
            outcome
        });
        let outcome = match tokio::time::timeout(LIMIT, work).await {
            Ok(Ok(Some(outcome))) => outcome,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => Outcome::Unproved(format!("the probe ended: {error}")),
            Err(_) => Outcome::Unproved(format!(
                "a probe takes longer than {LIMIT:?}: the disk is busy, or stands still"
            )),
        };
        self.keep(volume, outcome);
    }

    fn keep(&mut self, volume: &str, outcome: Outcome) {
        let Some(known) = self.known.get_mut(volume) else { return };
        let same = known.last.as_ref().is_some_and(|(before, _)| *before == outcome);
        let now = Instant::now();
        known.quiet = None;
        match &outcome {
            Outcome::Encrypted => {
                known.proved = Some((self.context.timestamp(), now));
                known.quiet = Some(Quiet { since: now, changed: None });
            }
            Outcome::Plain(why) => {
                known.proved = None;
                tracing::error!(volume, vdc = known.vdc, why, "a volume is not encrypted");
            }
            Outcome::Unproved(why) if !same => tracing::warn!(volume, why, "a volume could not be probed"),
            Outcome::Unproved(_) => (),
        }
        known.last = Some((outcome, now));
    }
}

/// Clear text is told when it was found twice.
fn twice(context: &Context, subvolume: &Path, place: &Path, leave: &dyn Fn() -> bool) -> Option<Outcome> {
    let once = || match Texts::fresh(context) {
        Ok(texts) => look(subvolume, place, &texts, leave),
        Err(error) => Some(Outcome::Unproved(error.to_string())),
    };
    match once()? {
        Outcome::Plain(_) => once(),
        other => Some(other),
    }
}

/// Probes and says what that shows. Never ends.
pub(super) async fn keep(mut prober: Prober, report: &Key, writer: &Writer) {
    let mut tick = interval(TURN);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut written: Option<(Instant, Vec<VdcVolumes>)> = None;
    loop {
        tick.tick().await;
        let found = match prober.turn().await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(error = chain(&error), "nobody can say which volumes are open");
                continue;
            }
        };
        if prober.is_behind() {
            tick.reset_after(SOON);
        }
        if written.as_ref().is_some_and(|(at, said)| *said == found && at.elapsed() < BEAT) {
            continue;
        }
        let said = VolumesReport { observed_at: prober.context.now(), vdcs: found };
        written = match writer.status(MANAGER, report, None, &json!({"volumes": said})).await {
            Ok(_) => Some((Instant::now(), said.vdcs)),
            // The prober of the network makes the report.
            Err(error) => {
                tracing::info!(error = chain(&error), "the report of volumes did not arrive");
                tick.reset_after(AGAIN);
                None
            }
        };
    }
}
