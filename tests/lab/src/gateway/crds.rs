//! The Gateway API's kinds, taken from its Go module through the module proxy.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::Error;

/// The Gateway API's version.
pub const VERSION: &str = "v1.6.3";
/// The module's checksum, so that what a proxy gives is what was looked at.
const SUM: &str = "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=";
/// The kinds this gateway and Yunting use.
const KINDS: [&str; 3] = ["gatewayclasses", "gateways", "httproutes"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Module {
    #[serde(default)]
    dir: String,
    #[serde(default)]
    sum: String,
    #[serde(default)]
    error: String,
}

/// Files with the kinds' definitions, copied into the cache once.
pub fn crds(cache: &Path) -> Result<Vec<PathBuf>, Error> {
    let kept = cache.join("gateway-api").join(VERSION);
    let files: Vec<PathBuf> =
        KINDS.iter().map(|kind| kept.join(format!("gateway.networking.k8s.io_{kind}.yaml"))).collect();
    if files.iter().all(|file| file.exists()) {
        return Ok(files);
    }
    let source = download()?.join("config/crd/standard");
    std::fs::create_dir_all(&kept).map_err(|source| Error::Write { path: kept.clone(), source })?;
    for file in &files {
        let name = file.file_name().unwrap_or_default();
        let partial = file.with_extension("partial");
        // Read and written instead of copied: files in Go's module cache are read-only.
        std::fs::read(source.join(name))
            .and_then(|content| std::fs::write(&partial, content))
            .and_then(|()| std::fs::rename(&partial, file))
            .map_err(|source| Error::Write { path: file.clone(), source })?;
    }
    Ok(files)
}

/// The module's directory in Go's cache.
fn download() -> Result<PathBuf, Error> {
    let output = Command::new("go")
        .args(["mod", "download", "-json", &format!("sigs.k8s.io/gateway-api@{VERSION}")])
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::Kinds(format!("go: {error}")))?;
    let module: Module = serde_json::from_slice(&output.stdout).map_err(|error| {
        Error::Kinds(format!("{error}; {}", String::from_utf8_lossy(&output.stderr).trim()))
    })?;
    if !module.error.is_empty() {
        return Err(Error::Kinds(module.error));
    }
    if module.sum != SUM {
        return Err(Error::Kinds(format!("its checksum is {}, not {SUM}", module.sum)));
    }
    Ok(PathBuf::from(module.dir))
}
