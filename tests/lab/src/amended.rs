//! A Go module as it was never released by itself: Vault is built from one repository whose parts have versions of their own,
//! and the registry proxy has none of `sdk` that is exactly what Vault 1.21.4 was built with. What differs is named here.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::cmd;
use crate::error::{Error, Result};

/// A released version, with files of another and texts changed.
pub struct Amended {
    /// The module.
    module: &'static str,
    /// Its version.
    version: &'static str,
    /// Files that are taken from another version.
    files: &'static [(&'static str, &'static str)],
    /// Files in which a text stands for another.
    texts: &'static [(&'static str, &'static str, &'static str)],
    /// Directory that `go.mod` replaces the module with.
    place: &'static str,
}

/// What Vault 1.21.4 is built with.
pub const VAULT_SDK: Amended = Amended {
    module: "github.com/hashicorp/vault/sdk",
    version: "v0.21.0",
    files: &[("helper/keysutil/lock_manager.go", "v0.24.0")],
    texts: &[(
        "framework/backend.go",
        "ActivationFunc func(context.Context, *logical.Request, string) error",
        "ActivationFunc func(context.Context, *logical.Request) error",
    )],
    place: "sdk",
};

/// Where a module was downloaded to.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    dir: std::path::PathBuf,
}

impl Amended {
    /// What tells it from others.
    pub fn key(&self) -> String {
        format!("{} {} {:?} {:?}", self.module, self.version, self.files, self.texts)
    }

    /// Puts it beside the `go.mod` that replaces the module with it.
    pub fn lay(&self, source: &Path) -> Result<()> {
        let place = source.join(self.place);
        let mut copy = Command::new("cp");
        copy.args(["-r", "--no-preserve=mode"]).arg(self.download(self.version)?).arg(&place);
        cmd::output(&format!("copy {}", self.module), copy)?;
        for (file, version) in self.files {
            let (from, to) = (self.download(version)?.join(file), place.join(file));
            let text = std::fs::read(&from).map_err(Error::io("read", &from))?;
            std::fs::write(&to, text).map_err(Error::io("write", &to))?;
        }
        for (file, from, to) in self.texts {
            let file = place.join(file);
            let text = std::fs::read_to_string(&file).map_err(Error::io("read", &file))?;
            std::fs::write(&file, text.replace(from, to)).map_err(Error::io("write", &file))?;
        }
        Ok(())
    }

    /// Where that version is; verified by Go's checksum database.
    fn download(&self, version: &str) -> Result<std::path::PathBuf> {
        // Outside of any module, which could replace it.
        let outside = tempfile::tempdir().map_err(Error::io("make a directory in", std::env::temp_dir()))?;
        let mut go = Command::new("go");
        go.args(["mod", "download", "-json", &format!("{}@{version}", self.module)]);
        go.current_dir(outside.path());
        let said = cmd::output(&format!("download {} {version}", self.module), go)?;
        let read: std::result::Result<Downloaded, _> = serde_json::from_str(&said);
        read.map(|d| d.dir).map_err(|e| Error::io("read what Go said of", self.module)(e.into()))
    }
}
