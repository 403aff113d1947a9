//! Which crate may use which: the borders of the design, read from cargo itself.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand};

/// Everything a crate is built from, itself excluded, without what only its tests use.
struct Closures(BTreeMap<String, BTreeSet<String>>);

impl Closures {
    fn read() -> Self {
        let metadata = metadata();
        let members: Vec<&str> =
            metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
        Self(members.into_iter().map(|name| (name.to_owned(), closure(name))).collect())
    }

    /// What a crate is built from; nothing where the crate does not exist yet.
    fn of(&self, name: &str) -> Option<&BTreeSet<String>> {
        self.0.get(name)
    }

    /// Fails when a crate, if it exists, is built from one of these.
    fn forbid(&self, name: &str, forbidden: &[&str]) {
        let Some(closure) = self.of(name) else { return };
        let found: Vec<_> = forbidden.iter().filter(|crate_| closure.contains(**crate_)).collect();
        assert!(
            found.is_empty(),
            "{name} must not be built from {found:?}; see `cargo tree -p {name} -i <crate>`"
        );
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Read once, without a network: for this machine's platform everything is there.
fn metadata() -> &'static Metadata {
    static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
        let manifest = root().join("Cargo.toml");
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let options = ["--offline", "--filter-platform", &platform].map(str::to_owned).to_vec();
        MetadataCommand::new()
            .manifest_path(manifest)
            .features(CargoOpt::AllFeatures)
            .other_options(options)
            .exec()
            .unwrap()
    });
    &METADATA
}

/// By `cargo tree`, which resolves features for this crate alone: what other crates of the workspace switch on in a
/// shared dependency is not this one's.
fn closure(name: &str) -> BTreeSet<String> {
    let arguments =
        ["tree", "--offline", "--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--package"];
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).arg(name).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|other| *other != name).map(str::to_owned).collect()
}

/// Crates that talk to a Kubernetes API.
const CLIENTS: [&str; 2] = ["kube-client", "kube-runtime"];
/// Crates that run tasks or speak protocols.
const RUNTIMES: [&str; 5] = ["tokio", "hyper", "axum", "async-std", "smol"];

#[test]
fn the_kinds_know_neither_client_nor_runtime() {
    let closures = Closures::read();
    assert!(closures.of("yunting-crds").is_some());
    closures.forbid("yunting-crds", &CLIENTS);
    closures.forbid("yunting-crds", &RUNTIMES);
}

#[test]
fn the_plan_is_pure() {
    let closures = Closures::read();
    let ours: BTreeSet<_> = closures.0.keys().collect();
    let plan = closures.of("yunting-plan").unwrap();
    let used: Vec<_> = plan.iter().filter(|name| ours.contains(name)).collect();
    assert_eq!(used, ["yunting-crds"], "the plan may use the kinds and nothing else of ours");
    closures.forbid("yunting-plan", &CLIENTS);
    closures.forbid("yunting-plan", &RUNTIMES);
    direct("yunting-plan", &["rand", "getrandom", "fastrand", "tracing", "log", "jiff", "chrono", "time"]);
}

#[test]
fn the_authority_is_pure_and_knows_no_kubernetes() {
    let closures = Closures::read();
    assert!(closures.of("yunting-authority").is_some());
    closures.forbid("yunting-authority", &CLIENTS);
    closures.forbid("yunting-authority", &RUNTIMES);
    closures.forbid(
        "yunting-authority",
        &["etcd-client", "tonic", "rustls", "yunting-plan", "yunting-controller"],
    );
    let silent = ["rand", "getrandom", "fastrand", "tracing", "log", "jiff", "chrono", "time", "rustix"];
    direct("yunting-authority", &silent);
    closures
        .forbid("yunting-authority", &["kube", "kube-core", "kube-client", "k8s-openapi", "yunting-crds"]);
}

#[test]
fn the_api_and_the_command_line_stay_at_their_side() {
    let closures = Closures::read();
    closures.forbid("yunting-api", &["yunting-controller", "yunting-authority", "etcd-client"]);
    closures.forbid("vdcctl", &["yunting-controller", "yunting-authority", "etcd-client", "kube-client"]);
}

#[test]
fn nothing_of_the_product_is_built_from_its_tests() {
    let closures = Closures::read();
    for name in closures.0.keys().filter(|name| {
        !["yunting-tests", "yunting-lab", "yunting-hall", "yunting-faults", "yunting-bench", "yunting-model"]
            .contains(&name.as_str())
    }) {
        closures.forbid(
            name,
            &[
                "yunting-tests",
                "yunting-lab",
                "yunting-hall",
                "yunting-faults",
                "yunting-bench",
                "yunting-model",
            ],
        );
    }
    closures.forbid("yunting-tests", &["yunting-bench"]);
    closures.forbid("yunting-lab", &["yunting-tests"]);
    closures
        .forbid("yunting-faults", &["yunting-tests", "yunting-lab", "yunting-controller", "yunting-crds"]);
    closures.forbid("yunting-hall", &["yunting-tests", "yunting-lab", "yunting-controller", "yunting-crds"]);
}

/// Rules of the authority that are not the sound ones: only the model checker has them.
#[test]
fn the_product_has_only_sound_rules() {
    let pattern = r"impl(<[^>]*>)? (\w+::)*Rules for";
    let output = Command::new("git")
        .args(["grep", "-l", "-E", pattern, "--", "*.rs", ":!tests/tests/crate_rules.rs"])
        .current_dir(root())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let found: Vec<_> = text.lines().collect();
    assert_eq!(found, ["controller/authority/src/protocol/rules.rs", "tests/model/src/mutants.rs"]);
    let rules = std::fs::read_to_string(root().join(found[0])).unwrap();
    assert!(rules.contains("impl Rules for Sound {}"), "the sound rules are the defaults, all of them");
}

#[test]
fn one_crypto_provider_and_one_yaml() {
    for (name, closure) in Closures::read().0 {
        for other in ["ring", "openssl", "native-tls", "serde_yaml", "serde_yml"] {
            assert!(!closure.contains(other), "{name} is built from {other}; see `cargo tree -i {other}`");
        }
    }
}

#[test]
fn every_crate_takes_lints_and_versions_from_the_workspace() {
    for package in metadata().workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{}: no `[lints] workspace = true`",
            package.name
        );
        let own = manifest.lines().find(|line| line.contains("version = \""));
        assert!(own.is_none(), "{}: {own:?} names a version; name it in the workspace", package.name);
        assert_eq!(package.publish, Some(Vec::new()), "{} could be published", package.name);
    }
}

/// Fails when a crate itself names one of these, whatever its dependencies do.
fn direct(name: &str, forbidden: &[&str]) {
    let metadata = metadata();
    let package = metadata.workspace_packages().into_iter().find(|package| package.name == name).unwrap();
    let named =
        package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
    let found: Vec<_> =
        named.filter(|dependency| forbidden.contains(&dependency.name.as_str())).map(|d| &d.name).collect();
    assert!(
        found.is_empty(),
        "{name} must not use {found:?}: clock, randomness and logging come from its caller"
    );
}
