//! What the suites and the lab need of this machine, made ready before anything is timed or tested: Debian packages
//! and the programs built from source; with `of-tests` those that only tests run, instead. Everything that is there already
//! costs nothing.

use anyhow::bail;
use yunting_lab::progress::Progress;
use yunting_lab::{binaries, packages};

fn main() -> anyhow::Result<()> {
    let progress = Progress::new();
    match std::env::args().nth(1).as_deref() {
        None => {
            packages::ensure(&progress)?;
            let links = tempfile::tempdir()?;
            binaries::ensure(links.path(), &progress)?;
        }
        Some("of-tests") => binaries::ensure_of_tests(&progress)?,
        Some(other) => bail!("{other:?} is not known: say nothing, or of-tests"),
    }
    Ok(())
}
