//! Rules of the house that no compiler knows: length of files, words that must not be in them, a heading for
//! every module. Read from the files git tracks.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest source file, in lines.
const LINES: usize = 500;

struct File {
    path: String,
    text: String,
}

impl File {
    fn ends(&self, ending: &str) -> bool {
        self.path.ends_with(ending)
    }

    /// `path:line: text` of each line that `bad` points at.
    fn lines(&self, bad: impl Fn(&str) -> bool) -> Vec<String> {
        let found = self.text.lines().enumerate().filter(|(_, line)| bad(line));
        found.map(|(number, line)| format!("{}:{}: {}", self.path, number + 1, line.trim())).collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every tracked text file as it lies in the work tree.
fn tracked() -> Vec<File> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "git: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    let read = |path: &str| {
        std::fs::read_to_string(root().join(path)).ok().map(|text| File { path: path.to_owned(), text })
    };
    let files: Vec<File> = names.split('\0').filter(|path| !path.is_empty()).filter_map(read).collect();
    assert!(files.len() > 50, "only {} tracked files were found", files.len());
    files
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// Words of a rule, so that this file does not break the rules it holds others to.
fn word(parts: &[&str]) -> String {
    parts.concat()
}

#[test]
fn no_source_file_is_long() {
    let sources = [".rs", ".go", ".sh", ".py", ".css", ".js"];
    let long = |file: &File| {
        let lines = file.text.lines().count();
        (sources.iter().any(|ending| file.ends(ending)) && lines >= LINES)
            .then(|| format!("{}: {lines}", file.path))
    };
    none("source files of 500 lines or more", &tracked().iter().filter_map(long).collect::<Vec<_>>());
}

#[test]
fn every_module_says_what_it_is() {
    let silent = |file: &File| {
        let first = file.text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!"));
        // The tests of a module belong to the module beside them.
        (file.ends(".rs") && !file.ends("/tests.rs") && !first.is_some_and(|line| line.starts_with("//! ")))
            .then(|| file.path.clone())
    };
    none("modules without `//!`", &tracked().iter().filter_map(silent).collect::<Vec<_>>());
}

#[test]
fn no_placeholder_is_left() {
    let words =
        [word(&["//! place", "holder"]), word(&["TO", "DO"]), word(&["FIX", "ME"]), word(&["T", "BD"])];
    let bad = |file: &File| file.lines(|line| words.iter().any(|word| line.contains(word.as_str())));
    let files = tracked();
    let read = files.iter().filter(|file| file.ends(".rs") || file.ends(".md") || file.ends(".yaml"));
    none("placeholders", &read.flat_map(bad).collect::<Vec<_>>());
}

#[test]
fn no_test_is_switched_off() {
    let ignored = word(&["#[ign", "ore"]);
    let found: Vec<_> = tracked()
        .iter()
        .flat_map(|file| file.lines(|line| line.trim_start().starts_with(&ignored)))
        .collect();
    none("ignored tests", &found);
}

#[test]
fn tests_wait_for_conditions_not_for_time() {
    let sleep = word(&["sle", "ep("]);
    let is_test = |file: &&File| {
        file.ends(".rs")
            && (file.path.contains("/tests/") || file.ends("tests.rs"))
            && !file.path.starts_with("tests/lab/src")
            && !file.path.starts_with("tests/hall/src")
    };
    let files = tracked();
    // A pause between two looks at a condition says so on its line.
    let bare = |line: &str| line.contains(&sleep) && !line.contains("// between two looks");
    none(
        "sleeps in tests",
        &files.iter().filter(is_test).flat_map(|file| file.lines(bare)).collect::<Vec<_>>(),
    );
}

#[test]
fn no_path_or_host_of_one_machine_is_in_a_file() {
    let words = [
        word(&["/ro", "ot/"]),
        word(&["/wo", "rk/"]),
        word(&["/ho", "me/"]),
        word(&["crates", ".io/api"]),
        word(&["proxy.gol", "ang"]),
    ];
    // Inside an image or a site's own mount namespace such a path is everybody's.
    let own = |line: &str| line.contains("root:x:") || line.contains("// inside the image");
    let bad =
        |file: &File| file.lines(|line| words.iter().any(|word| line.contains(word.as_str())) && !own(line));
    let files = tracked();
    let read = files.iter().filter(|file| !file.ends("Cargo.lock") && !file.ends("go.sum"));
    none("paths or hosts of one machine", &read.flat_map(bad).collect::<Vec<_>>());
}

/// One that no longer fits breaks nothing, and so shows nothing.
#[test]
fn every_mutant_fits_the_tree() {
    let (mutants, fits) = (tracked().into_iter().filter(|f| f.ends(".patch")), |file: &File| {
        let check =
            Command::new("git").args(["apply", "--check", &file.path]).current_dir(root()).output().unwrap();
        check.status.success()
    });
    let (fitting, others): (Vec<File>, Vec<File>) = mutants.partition(fits);
    assert!(!fitting.is_empty(), "no mutant was found");
    none("mutants that do not fit", &others.into_iter().map(|f| f.path).collect::<Vec<_>>());
}
