//! Reads the samples and what they expect. Shared with the suite that asks a real API server.
// Each suite uses its part.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use serde_json::Value;

/// What is expected of a sample, from its leading comments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Accepted, by creation or, where there are two objects, by the change from the first to the second.
    Accepted,
    /// `# refuse: TEXT`: creation is refused by everybody with TEXT in the message.
    Refused(String),
    /// `# refuse-update: TEXT`: the first object is accepted, the change to the second refused.
    UpdateRefused(String),
}

/// One file of `good` or `bad`.
#[derive(Debug, Clone)]
pub struct Sample {
    /// File name without its ending.
    pub name: String,
    /// One object, or what it was and what it is to become.
    pub objects: Vec<Value>,
    /// What is expected.
    pub expected: Expected,
    /// `# remedy: TEXT`: what our own message says on top.
    pub remedy: Option<String>,
}

impl Sample {
    /// Kind of the object.
    pub fn kind(&self) -> &str {
        self.objects[0]["kind"].as_str().unwrap_or_default()
    }
}

/// `crds/samples`.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|up| up.join("crds/samples"))
        .find(|d| d.is_dir())
        .unwrap()
}

/// Every file of `good` or `bad`, by name.
pub fn samples(folder: &str) -> Vec<Sample> {
    let mut samples: Vec<Sample> = files(&directory().join(folder)).iter().map(|path| sample(path)).collect();
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    samples
}

/// Every object of the Bozhou sample of one scale, with digests where the lab puts them.
pub fn bozhou(scale: &str) -> Vec<Value> {
    let mut files = files(&directory().join("bozhou").join(scale));
    files.sort();
    files.iter().flat_map(|path| documents(&rendered(&std::fs::read_to_string(path).unwrap()))).collect()
}

/// The text with every `${name}` filled in.
fn rendered(text: &str) -> String {
    let digest = "0".repeat(64);
    let mut text = text.to_owned();
    for name in ["hall", "postgres"] {
        text = text.replace(&format!("${{{name}}}"), &format!("localhost/{name}@sha256:{digest}"));
    }
    for site in ["qiaocheng", "guoyang", "mengcheng"] {
        text = text.replace(&format!("${{gateway-{site}}}"), "127.0.0.1:18080");
    }
    assert!(!text.contains("${"), "a placeholder is left");
    text
}

fn sample(path: &Path) -> Sample {
    let text = std::fs::read_to_string(path).unwrap();
    let said = |what: &str| {
        text.lines().find_map(|line| line.strip_prefix(&format!("# {what}: "))).map(str::to_owned)
    };
    let expected = match (said("refuse"), said("refuse-update")) {
        (Some(text), None) => Expected::Refused(text),
        (None, Some(text)) => Expected::UpdateRefused(text),
        (None, None) => Expected::Accepted,
        (Some(_), Some(_)) => panic!("{} expects two things", path.display()),
    };
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let objects = documents(&text);
    assert!(matches!(objects.len(), 1 | 2), "{name} has {} objects", objects.len());
    Sample { name, objects, expected, remedy: said("remedy") }
}

fn documents(text: &str) -> Vec<Value> {
    let documents = text.split("---\n").filter(|part| part.lines().any(|line| !line.starts_with('#')));
    documents.map(|part| serde_yaml::from_str(part).unwrap()).collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect()
}
