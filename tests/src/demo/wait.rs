//! Waits for what the hub says, with a line of progress.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::bail;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use yunting_crds::conditions::{READY, State, find, state_of};
use yunting_crds::{Hall, Site, VirtualDataCenter};

/// How often the hub is asked.
const LOOK: Duration = Duration::from_secs(1);

/// What stands at the hub at one moment.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    /// Sites that are ready, and all.
    pub sites: (usize, usize),
    /// VDCs that are ready, and all.
    pub vdcs: (usize, usize),
    /// Halls that are ready, and all.
    pub halls: (usize, usize),
    /// Why something is not ready.
    pub reasons: Vec<String>,
}

impl Picture {
    /// Asks the hub.
    pub async fn take(client: &Client) -> anyhow::Result<Self> {
        let all = ListParams::default();
        let mut reasons = Vec::new();
        let sites: Vec<Site> = Api::<Site>::all(client.clone()).list(&all).await?.items;
        let vdcs: Vec<VirtualDataCenter> =
            Api::<VirtualDataCenter>::all(client.clone()).list(&all).await?.items;
        let halls: Vec<Hall> = Api::<Hall>::all(client.clone()).list(&all).await?.items;
        let mut count = |name: String, conditions: &[_]| {
            let ready = state_of(conditions, READY) == State::True;
            if !ready {
                let why = find(conditions, READY)
                    .map(|c| format!("{}: {}", c.reason, c.message))
                    .unwrap_or_default();
                reasons.push(format!("{name}: {why}"));
            }
            usize::from(ready)
        };
        let ready = |n: usize, all: usize| (n, all);
        let s = sites
            .iter()
            .map(|s| {
                count(format!("site {}", s.name_any()), s.status.as_ref().map_or(&[], |s| &s.conditions))
            })
            .sum();
        let v = vdcs
            .iter()
            .map(|v| count(format!("VDC {}", v.name_any()), v.status.as_ref().map_or(&[], |s| &s.conditions)))
            .sum();
        let h = halls
            .iter()
            .map(|h| {
                count(format!("hall {}", h.name_any()), h.status.as_ref().map_or(&[], |s| &s.conditions))
            })
            .sum();
        Ok(Self {
            sites: ready(s, sites.len()),
            vdcs: ready(v, vdcs.len()),
            halls: ready(h, halls.len()),
            reasons,
        })
    }

    fn line(&self) -> String {
        let Self { sites, vdcs, halls, .. } = self;
        format!("sites {}/{}  VDCs {}/{}  halls {}/{}", sites.0, sites.1, vdcs.0, vdcs.1, halls.0, halls.1)
    }

    /// Everything is ready, and there is something.
    pub fn all_ready(&self) -> bool {
        self.reasons.is_empty() && self.halls.1 > 0
    }
}

/// Waits until a picture is as wanted; says what is missing when it takes too long.
pub async fn until(
    client: &Client,
    patience: Duration,
    wanted: impl Fn(&Picture) -> bool,
) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let mut shown = String::new();
    loop {
        // One server may be away for a moment; the patience bounds it all.
        let picture = Picture::take(client).await;
        if let Ok(picture) = &picture {
            let line = picture.line();
            if line != shown {
                show(began.elapsed(), &line);
                shown = line;
            }
            if wanted(picture) {
                return Ok(began.elapsed());
            }
        }
        if began.elapsed() > patience {
            match picture {
                Ok(picture) => {
                    bail!("not reached within {} s:\n  {}", patience.as_secs(), picture.reasons.join("\n  "))
                }
                Err(error) => return Err(error.context("the hub does not answer")),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn show(elapsed: Duration, line: &str) {
    let dim = if std::io::stdout().is_terminal() { ("\u{1b}[2m", "\u{1b}[0m") } else { ("", "") };
    println!("{}{:>4} s{}  {line}", dim.0, elapsed.as_secs(), dim.1);
}
