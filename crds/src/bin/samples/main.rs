//! Writes the reference case under `crds/samples/bozhou` from `data/bureaus.tsv`, at two scales: `city` with a
//! city's numbers and `lab` with numbers that three sites on one machine can hold.
//!
//! `samples DIRECTORY` writes; `samples --check DIRECTORY` names what is stale and fails, which a test relies on.
#![allow(clippy::print_stdout)]

mod bureaus;
mod data;
mod halls;
mod scale;
mod sites;
mod templates;
mod vdcs;
mod yaml;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use scale::Scale;

/// What stops the generator.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot {action} {path}")]
    File { action: &'static str, path: String, source: std::io::Error },
    #[error("bureaus.tsv, line {line}: {why}")]
    Data { line: usize, why: String },
    #[error("cannot write an object as JSON")]
    Json(#[from] serde_json::Error),
    #[error("cannot write an object as YAML")]
    Yaml(#[from] serde_yaml::ser::Error),
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let check = arguments.next_if(|argument| argument == "--check").is_some();
    let Some(directory) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: samples [--check] DIRECTORY");
        return ExitCode::from(2);
    };
    match run(&directory, check) {
        Ok(stale) if stale.is_empty() => ExitCode::SUCCESS,
        Ok(stale) => {
            eprintln!("stale: {}; run `make generate` and commit", stale.join(", "));
            ExitCode::FAILURE
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            eprintln!("samples: {error}{}", cause.unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

/// Writes every file, or with `check` names those whose content would change.
fn run(directory: &Path, check: bool) -> Result<Vec<String>, Error> {
    let table = directory.join("data/bureaus.tsv");
    let text = std::fs::read_to_string(&table).map_err(file("read", &table))?;
    let bureaus = data::parse(&text)?;
    let mut stale = Vec::new();
    for scale in Scale::ALL {
        for (name, text) in files(scale, &bureaus)? {
            let path = directory.join(&name);
            if !check {
                write(&path, &text)?;
                println!("{name}");
            } else if std::fs::read_to_string(&path).ok().as_deref() != Some(text.as_str()) {
                stale.push(name);
            }
        }
    }
    Ok(stale)
}

/// Name below the directory and content of each file of one scale, in the order in which they are applied.
fn files(scale: Scale, bureaus: &[data::Bureau]) -> Result<Vec<(String, String)>, Error> {
    let folder = scale.folder();
    Ok(vec![
        (format!("{folder}/1-sites.yaml"), yaml::documents(&sites::sites(scale))?),
        (format!("{folder}/2-templates.yaml"), yaml::documents(&templates::templates(scale))?),
        (format!("{folder}/3-bureaus.yaml"), yaml::documents(&bureaus::bureaus(scale, bureaus))?),
        (format!("{folder}/4-vdcs.yaml"), yaml::documents(&vdcs::vdcs(scale))?),
        (format!("{folder}/5-halls.yaml"), yaml::documents(&halls::halls(scale))?),
    ])
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(file("create", parent))?;
    }
    std::fs::write(path, text).map_err(file("write", path))
}

fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |source| Error::File { action, path, source }
}
