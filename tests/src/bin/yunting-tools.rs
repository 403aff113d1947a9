//! What the suites and the lab need of this machine, made ready before anything is timed or tested: Debian packages
//! and the programs built from source. Everything that is there already costs nothing.

use yunting_lab::progress::Progress;
use yunting_lab::{binaries, packages};

fn main() -> anyhow::Result<()> {
    let progress = Progress::new();
    packages::ensure(&progress)?;
    let links = tempfile::tempdir()?;
    binaries::ensure(links.path(), &progress)?;
    binaries::ensure_of_tests(&progress)?;
    Ok(())
}
