//! Writes the CRDs as YAML, one file each, into the directory given (`crds/yaml`).
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: crdgen DIRECTORY");
        return ExitCode::from(2);
    };
    match write_all(&directory) {
        Ok(count) => {
            println!("{count} CRDs written");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("crdgen: cannot write into {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}

fn write_all(directory: &std::path::Path) -> Result<usize, Box<dyn std::error::Error>> {
    let files = yunting_crds::generate::files()?;
    for (name, text) in &files {
        let path = directory.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)?;
    }
    Ok(files.len())
}
