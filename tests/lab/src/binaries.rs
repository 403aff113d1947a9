//! Kubernetes, etcd, CoreDNS and the processes of volumes, built from source through the Go module proxy and kept in
//! the cache.
//!
//! The module files are compiled into this program, so a build needs no checkout. The cache key is the hash of
//! `go.mod`, `go.sum`, `main.go` and the linker's flags: the same sources are never built twice.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::amended::{Amended, VAULT_SDK};
use crate::cmd;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::spec::cache_dir;

/// A Go program, or several in one file, told apart by the name they are called by.
struct GoProgram {
    name: &'static str,
    /// What a person is told.
    about: &'static str,
    files: &'static [(&'static str, &'static str)],
    ldflags: &'static str,
    /// The package that is built.
    package: &'static str,
    /// The names it answers to.
    names: &'static [&'static str],
    /// A module that is not as it was released.
    amended: Option<Amended>,
}

macro_rules! module {
    ($dir:literal $(, $more:literal)*) => {
        &[
            ("go.mod", include_str!(concat!("../go/", $dir, "/go.mod"))),
            ("go.sum", include_str!(concat!("../go/", $dir, "/go.sum"))),
            $(($more, include_str!(concat!("../go/", $dir, "/", $more))),)*
        ]
    };
}

/// A sidecar of CSI drivers. They share one module, so what the first compiles the others find in Go's cache.
macro_rules! sidecar {
    ($name:literal, $package:literal, $version:literal, $time:literal) => {
        GoProgram {
            name: $name,
            about: concat!($name, " ", $version, " (", $time, " the first time)"),
            files: module!("csi"),
            package: concat!("github.com/kubernetes-csi/", $package, "/cmd/", $name),
            ldflags: concat!("-s -w -X main.version=", $version),
            names: &[$name],
            amended: None,
        }
    };
}

const PROGRAMS: [GoProgram; 9] = [
    GoProgram {
        name: "etcd",
        about: "etcd 3.6 (about a minute the first time)",
        files: module!("etcd", "main.go"),
        package: ".",
        ldflags: "-s -w",
        names: &["etcd", "etcdctl"],
        amended: None,
    },
    GoProgram {
        name: "kubernetes",
        about: "Kubernetes 1.36 (5 to 9 minutes the first time)",
        files: module!("kubernetes", "main.go"),
        package: ".",
        ldflags: "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 \
                  -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36",
        names: &[
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
            "kube-proxy",
            "kubectl",
        ],
        amended: None,
    },
    GoProgram {
        name: "coredns",
        about: "CoreDNS 1.14 (about 3 minutes the first time)",
        files: module!("coredns", "main.go"),
        package: ".",
        ldflags: "-s -w",
        names: &["coredns"],
        amended: None,
    },
    GoProgram {
        name: "local-path",
        about: "the local-path provisioner (about a minute the first time)",
        files: module!("local-path"),
        package: "github.com/rancher/local-path-provisioner",
        ldflags: "-s -w",
        names: &["local-path-provisioner"],
        amended: None,
    },
    GoProgram {
        name: "csi-registrar",
        about: "the registrar of the CSI driver (some seconds)",
        files: module!("registrar", "main.go"),
        package: ".",
        ldflags: "-s -w",
        names: &["csi-registrar"],
        amended: None,
    },
    sidecar!("csi-provisioner", "external-provisioner/v6", "v6.4.0", "about 4 minutes"),
    sidecar!("csi-resizer", "external-resizer/v2", "v2.3.0", "some seconds"),
    sidecar!("csi-snapshotter", "external-snapshotter/v8", "v8.7.0", "some seconds"),
    sidecar!("snapshot-controller", "external-snapshotter/v8", "v8.7.0", "some seconds"),
];

/// What tests run beside a site, and no site runs.
const OF_TESTS: [GoProgram; 2] = [
    GoProgram {
        name: "csi-sanity",
        about: "csi-sanity 5.6 (half a minute the first time)",
        files: module!("csi-sanity"),
        package: "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity",
        ldflags: "-s -w -X main.VERSION=v5.6.0",
        names: &["csi-sanity"],
        amended: None,
    },
    GoProgram {
        name: "vault-transit",
        about: "Vault 1.21.4 with its transit engine alone (3 to 5 minutes the first time)",
        files: module!("vault", "main.go"),
        package: ".",
        ldflags: "-s -w",
        names: &["vault-transit"],
        amended: Some(VAULT_SDK),
    },
];

/// Builds what the cache lacks and links every program into `bin` by the name it is called by.
pub fn ensure(bin: &Path, progress: &Progress) -> Result<()> {
    fs::create_dir_all(bin).map_err(Error::io("make", bin))?;
    for program in &PROGRAMS {
        let built = program.ensure(progress)?;
        for name in program.names {
            link(&built, &bin.join(name))?;
        }
    }
    Ok(())
}

/// The same for what only tests run.
pub fn ensure_of_tests(progress: &Progress) -> Result<()> {
    OF_TESTS.iter().try_for_each(|program| program.ensure(progress).map(drop))
}

/// A program that only tests run, built if the cache lacks it.
pub fn of_tests(name: &str, progress: &Progress) -> Result<Option<PathBuf>> {
    OF_TESTS.iter().find(|program| program.name == name).map(|program| program.ensure(progress)).transpose()
}

impl GoProgram {
    fn ensure(&self, progress: &Progress) -> Result<PathBuf> {
        let built = cache_dir().join("bin").join(format!("{}-{}", self.name, self.key()));
        if !built.is_file() {
            let since = Instant::now();
            progress.say("binaries", &format!("building {}", self.about));
            self.build(&built)?;
            progress.done("binaries", &format!("built {}", self.name), since);
        }
        Ok(built)
    }

    fn key(&self) -> String {
        let mut hash = Sha256::new();
        for (name, text) in self.files.iter().chain([&("ldflags", self.ldflags)]) {
            hash.update(name);
            hash.update([0]);
            hash.update(text);
            hash.update([0]);
        }
        if let Some(amended) = &self.amended {
            hash.update(amended.key());
        }
        data_encoding::HEXLOWER.encode(&hash.finalize()[..8])
    }

    fn build(&self, built: &Path) -> Result<()> {
        let bin = cache_dir().join("bin");
        fs::create_dir_all(&bin).map_err(Error::io("make", &bin))?;
        let source =
            tempfile::tempdir_in(cache_dir()).map_err(Error::io("make a directory in", cache_dir()))?;
        for (name, text) in self.files {
            let file = source.path().join(name);
            fs::write(&file, text).map_err(Error::io("write", &file))?;
        }
        if let Some(amended) = &self.amended {
            amended.lay(source.path())?;
        }
        let fresh = source.path().join("program");
        let mut go = Command::new("go");
        go.args(["build", "-trimpath", "-ldflags", self.ldflags, "-o"]).arg(&fresh).arg(self.package);
        go.current_dir(source.path()).env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=readonly");
        cmd::output(&format!("build {}", self.name), go)?;
        fs::rename(&fresh, built).map_err(Error::io("keep the build as", built))
    }
}

/// Copies a program of ours to where the lab runs it from. Whether it differs from what was there.
///
/// The copy takes the old one's place by name, so what runs keeps running.
pub fn adopt(source: &Path, place: &Path) -> Result<bool> {
    let new = fs::read(source).map_err(Error::io("read the program", source))?;
    if fs::read(place).is_ok_and(|old| old == new) {
        return Ok(false);
    }
    let fresh = place.with_extension("new");
    fs::copy(source, &fresh).map_err(Error::io("copy the program to", &fresh))?;
    fs::rename(&fresh, place).map_err(Error::io("keep", place))?;
    Ok(true)
}

/// Points `link` at `target`, also when it already points elsewhere. Sites that start at once may all do so: each takes the
/// place by name.
pub fn link(target: &Path, link: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|now| now == target) {
        return Ok(());
    }
    let directory = link.parent().unwrap_or(Path::new("."));
    let fresh = tempfile::Builder::new().make_in(directory, |fresh| symlink(target, fresh));
    let fresh = fresh.map_err(Error::io("link in", directory))?.into_temp_path();
    fresh.persist(link).map_err(|e| Error::io("link", link)(e.error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_that_start_at_once_may_all_set_the_same_link() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("plugin");
        let one = |target: &'static str| {
            let place = place.clone();
            move || (0..200).map(|_| link(Path::new(target), &place)).collect::<Result<Vec<()>>>()
        };
        let threads = ["/a", "/b", "/a"].map(|target| std::thread::spawn(one(target)));
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
        link(Path::new("/c"), &place).unwrap();
        assert_eq!(fs::read_link(&place).unwrap(), Path::new("/c"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
