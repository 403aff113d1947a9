//! PostgreSQL under pgbench with four clients, in an encrypted volume and beside it on the same btrfs disk, in turns.

use std::path::{Path, PathBuf};

use anyhow::Context;
use yunting_layout::command::run;
use yunting_layout::postgres::{Postgres, Server};

use super::disks::Disk;
use crate::report::Ratio;

const DISK: u64 = 6 << 30;
const VOLUME: u64 = 2 << 30;
/// Everything but the socket is as PostgreSQL comes: durable, with its usual caches.
const SETTINGS: &str = "listen_addresses = ''\n";
/// pgbench's size: some 75 MB.
const SCALE: &str = "5";
const SECONDS: &str = "6";
/// The bar: at least 0.75 of the plain disk's transactions.
const BAR: f64 = 1.0 / 0.75;

/// Measures.
pub async fn measure(turns: usize, say: &dyn Fn(&str)) -> anyhow::Result<Vec<Ratio>> {
    let postgres = Postgres::find()?;
    let disk = Disk::new(DISK)?;
    let (plain, ours) = (disk.plain("plain")?, disk.volume("pvc-database", VOLUME).await?);
    let sockets = tempfile::tempdir()?;
    let start = |name: &str, at: &Path| -> anyhow::Result<(Server, PathBuf)> {
        let socket = sockets.path().join(name);
        std::fs::create_dir(&socket)?;
        let server = postgres.create_with(SETTINGS, at, &socket)?;
        run(postgres.client("pgbench", &socket).args(["-q", "-i", "-s", SCALE, "postgres"]))?;
        Ok((server, socket))
    };
    // The user of the database has to come by.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(sockets.path(), open)?;
    for above in ours.ancestors().chain(plain.ancestors()).filter(|p| p.starts_with(disk.files())) {
        if above != ours && above != plain {
            std::fs::set_permissions(above, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        }
    }
    let (beside, inside) = (start("plain", &plain)?, start("ours", &ours)?);
    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for turn in 1..=turns {
        let (a, b) = (transactions(&postgres, &beside.1)?, transactions(&postgres, &inside.1)?);
        ratios.push(a / b);
        rates.push(a);
        say(&format!("turn {turn} of {turns} of the database"));
    }
    Ok(vec![
        Ratio::new("PostgreSQL, time per transaction in a volume ÷ plain btrfs", ratios, BAR),
        Ratio::shown("on plain btrfs, transactions a second", rates),
    ])
}

/// Transactions in a second.
fn transactions(postgres: &Postgres, socket: &Path) -> anyhow::Result<f64> {
    let said = run(postgres
        .client("pgbench", socket)
        .args(["-n", "-c", "4", "-j", "2", "-T", SECONDS, "postgres"]))?;
    let line = said.lines().find_map(|l| l.strip_prefix("tps = "));
    let number = line.and_then(|l| l.split_whitespace().next()).context("pgbench does not say how many")?;
    Ok(number.parse()?)
}
