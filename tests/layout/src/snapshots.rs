//! Takes read-only snapshots of a volume in mid-write, as fast as it goes, and opens a writable copy of each.

use std::path::Path;
use std::sync::Arc;

use crate::Arguments;
use crate::findings::{Findings, examine};
use crate::layout::Key;
use crate::load::{Acknowledged, Load};
use crate::stand::{Scratch, Stand};
use crate::work::{Case, in_parallel};
use yunting_layout::command::{command, run};
use yunting_layout::postgres::Postgres;

/// Takes `number` snapshots under load, then looks at each without it.
pub fn batch(arguments: &Arguments, postgres: &Postgres, number: usize, _: u64) -> anyhow::Result<Findings> {
    let scratch = Scratch::new(&arguments.scratch)?;
    let (root, key) = (&scratch.root, Key::of(arguments.seed));
    let stand = Stand::new(root, arguments.layout, &key, postgres)?;
    let told = Arc::new(Acknowledged::default());
    let load = Load::start(postgres, &stand.socket, told.clone(), || 0)?;
    let node = &stand.node;
    let mut cases = Vec::new();
    while cases.len() < number {
        let case = Case { index: cases.len(), told: told.greatest() };
        snapshot(&["-r"], &node.join("volume"), &node.join(format!("snapshot-{}", case.index)))?;
        cases.push(Ok(case));
    }
    load.stop()?;
    println!("  {} commits told meanwhile", told.greatest());
    let found = in_parallel(arguments.jobs, &mut cases.into_iter(), &|case| {
        let (taken, copy) =
            (node.join(format!("snapshot-{}", case.index)), node.join(format!("copy-{}", case.index)));
        snapshot(&[], &taken, &copy)?;
        let at = root.join(format!("at-{}", case.index));
        let found = examine(arguments.layout, &copy, &key, &at, postgres, case.told);
        run(command("btrfs", ["-q", "subvolume", "delete"]).arg(copy).arg(taken))?;
        Ok(found)
    })?;
    stand.down()?;
    Ok(found)
}

fn snapshot(options: &[&str], from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut btrfs = command("btrfs", ["-q", "subvolume", "snapshot"]);
    run(btrfs.args(options).arg(from).arg(to)).map(drop)
}
