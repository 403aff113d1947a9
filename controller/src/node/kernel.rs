//! Brings the table into the kernel, and sees that it stays there.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::Instant;
use yunting_plan::boundary::ruleset;
use yunting_plan::boundary::table::Table;

use super::world::World;
use crate::ops::Readiness;

/// Time for which changes are gathered: many pods start together.
const GATHER: Duration = Duration::from_millis(2);
/// Time between looks at whether somebody else has changed the table, or a grant has ended.
const LOOK: Duration = Duration::from_secs(1);
/// So long before its end a grant is taken out: the look that sees the end coming, and the transaction, take their time, and
/// nothing may pass when a prober, or anybody else, holds it to the end.
const AHEAD: Duration = Duration::from_secs(2);
/// Time for one transaction. A table of thousands of pods takes a fifth of a second.
const TRANSACTION: Duration = Duration::from_secs(10);
/// Time until a failed transaction is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Does so until it cannot.
pub(super) async fn keep(world: &World, readiness: &Readiness) -> anyhow::Result<()> {
    let mut changes = world.changes.follow();
    let mut look = tokio::time::interval(LOOK);
    let mut stands: Option<Stands> = None;
    loop {
        let number = *changes.borrow_and_update();
        let since = Instant::now();
        let facts = world.facts_at(world.ahead(AHEAD));
        let (table, ends) = (Table::of(&facts), facts.next_end());
        let brought = bring(stands.take(), table).await;
        world.count("boundary", since, brought.is_ok());
        match brought {
            Ok(now) => {
                stands = Some(now);
                world.changes.done(number);
                readiness.set(true);
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the boundary cannot be changed; what stands goes on"
                );
                readiness.set(false);
                tokio::time::sleep(RETRY).await;
                continue;
            }
        }
        loop {
            tokio::select! {
                watched = changes.changed() => {
                    watched.context("nobody watches any more")?;
                    tokio::time::sleep(GATHER).await;
                    break;
                }
                () = world.renew.notified() => {
                    tracing::error!("a probe has passed that must not; the boundary is put back whole");
                    stands = None;
                    break;
                }
                _ = look.tick() => {
                    // A grant ends by the clock, which may be put forward, too: it is read, not waited for.
                    if ends.is_some_and(|end| end <= world.ahead(AHEAD)) {
                        break;
                    }
                    let here = chains().await;
                    if stands.as_ref().is_none_or(|s| here.as_ref().ok() != Some(&s.chains)) {
                        tracing::error!("somebody else has changed the boundary; it is put back whole");
                        stands = None;
                        break;
                    }
                }
            }
        }
    }
}

/// What the kernel has of us.
struct Stands {
    table: Table,
    /// The chains as it lists them.
    chains: String,
}

/// Leads from what stands to a table; by the difference where that is known and fits, whole otherwise.
async fn bring(stands: Option<Stands>, table: Table) -> anyhow::Result<Stands> {
    if let Some(stands) = stands {
        let Some(change) = ruleset::change(&stands.table, &table) else { return Ok(stands) };
        match load(&change).await {
            Ok(()) => return Ok(Stands { table, ..stands }),
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "a change of the boundary did not fit; it is put back whole"
                );
            }
        }
    }
    load(&ruleset::whole(&table)).await?;
    Ok(Stands { table, chains: chains().await? })
}

async fn load(text: &str) -> anyhow::Result<()> {
    let mut child = nft(&["-f", "-"]).stdin(Stdio::piped()).spawn().context("nft cannot be started")?;
    let mut input = child.stdin.take().context("nft has no input")?;
    let text = text.to_owned();
    let feed = tokio::spawn(async move { input.write_all(text.as_bytes()).await });
    finished(child).await?;
    feed.await?.context("nft did not read its input")
}

/// The chains and their rules without what they counted; elements are not listed.
async fn chains() -> anyhow::Result<String> {
    let child = nft(&["--stateless", "--terse", "list", "table", "inet", "yunting"]).spawn();
    finished(child.context("nft cannot be started")?).await
}

fn nft(words: &[&str]) -> Command {
    let mut command = Command::new("nft");
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn finished(child: tokio::process::Child) -> anyhow::Result<String> {
    let out = tokio::time::timeout(TRANSACTION, child.wait_with_output()).await;
    let out =
        out.with_context(|| format!("nft did not end within {TRANSACTION:?}"))?.context("nft was lost")?;
    if !out.status.success() {
        let said: String = String::from_utf8_lossy(&out.stderr).chars().take(2000).collect();
        bail!("nft refused it ({}): {said}", out.status);
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
