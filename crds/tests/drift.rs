//! What is generated and committed is what would be generated now.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

use yunting_crds::generate;

#[test]
fn the_committed_crds_are_current() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    let files = generate::files().unwrap();
    for (name, text) in &files {
        let committed = std::fs::read_to_string(directory.join(name)).unwrap_or_default();
        assert!(committed == *text, "crds/yaml/{name} is stale: run `make generate` and commit");
    }
    let mut there = 0;
    for place in ["hub", "site"] {
        there += std::fs::read_dir(directory.join(place)).unwrap().count();
    }
    assert_eq!(there, files.len(), "crds/yaml has files that nothing generates");
}

#[test]
fn the_committed_samples_are_current() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/bozhou");
    let output = Command::new(env!("CARGO_BIN_EXE_samples")).arg("--check").arg(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
