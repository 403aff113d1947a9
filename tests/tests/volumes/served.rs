//! A node whose real controller serves volumes on a disk of its own, and the site's real controller, which gives them keys.
//! No hub is there, as after a power cut: the site acts on its record of a VDC.

use std::fs;
use std::path::Path;

use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use yunting_controller::keys::vault::Options;
use yunting_crds::names::{NamespaceName, SliceKind, VdcName, site_namespace, slice};
use yunting_crds::{SliceRecord, VolumeKey};
use yunting_tests::node::process::{Node, eventually};
use yunting_tests::plane::process::Process;
use yunting_tests::plane::{self, SITE};

use super::disk::Disk;

/// The VDC whose the volumes are.
pub const UID: &str = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
const VDC: &str = "service-hall";

/// Node, site and disk. The disk goes last.
pub struct Served {
    pub node: Node,
    pub site: Process,
    pub disk: Disk,
}

/// Namespace of the claims.
pub fn namespace() -> String {
    site_namespace(&VdcName::new(VDC).unwrap(), &NamespaceName::new("app").unwrap(), UID)
}

impl Served {
    /// Starts it, and waits until the driver listens.
    pub fn start(bytes: u64) -> anyhow::Result<Self> {
        Self::with_vault(bytes, None)
    }

    /// The same with the VDC's keys in that Vault.
    pub fn with_vault(bytes: u64, vault: Option<&Options>) -> anyhow::Result<Self> {
        let disk = Disk::new(bytes);
        let node = Node::with_volumes(&disk.directory())?;
        Self::of(disk, node, vault)
    }

    /// The same whose driver runs programs of a directory in place of the system's.
    pub fn with_tools(bytes: u64, tools: &Path) -> anyhow::Result<Self> {
        let disk = Disk::new(bytes);
        let node = Node::with_tools(&disk.directory(), tools)?;
        Self::of(disk, node, None)
    }

    fn of(disk: Disk, node: Node, vault: Option<&Options>) -> anyhow::Result<Self> {
        let site = node.block_on(async { site(&node, vault) })?;
        let served = Self { node, site, disk };
        let provider = if vault.is_some() { "Vault" } else { "Embedded" };
        served.record(&json!({"keyProvider": provider}));
        eventually("the driver's socket", || served.node.csi_socket().exists().then_some(()))
            .map_err(|late| anyhow::anyhow!("{late}\n{}", served.tails()))?;
        Ok(served)
    }

    /// The site's record of the VDC, with some fields as they are given.
    pub fn record(&self, fields: &Value) {
        let mut spec = record();
        for (name, value) in fields.as_object().unwrap() {
            spec["vdc"][name] = value.clone();
        }
        let (client, name) = (self.node.server().client(), slice(SliceKind::Vdc, UID));
        self.node.block_on(plane::apply::<SliceRecord>(client, None, &name, spec)).unwrap();
    }

    /// The ends of both logs.
    pub fn tails(&self) -> String {
        format!("--- node ---\n{}\n--- site ---\n{}", self.node.process.tail(15), self.site.tail(15))
    }

    /// Names of all questions for keys.
    pub fn keys(&self) -> Vec<String> {
        let keys: Api<VolumeKey> = Api::all(self.node.server().client().clone());
        let all = self.node.block_on(keys.list(&kube::api::ListParams::default())).unwrap();
        all.items.iter().map(ResourceExt::name_any).collect()
    }
}

/// What is mounted below a directory, by whomever.
pub fn mounts(below: &Path) -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let places = text.lines().filter_map(|l| l.split(' ').nth(4));
    places.filter(|p| Path::new(p).starts_with(below)).map(str::to_owned).collect()
}

impl Drop for Served {
    /// What a failed test has left open would keep the disk.
    fn drop(&mut self) {
        self.node.process.away();
        for mount in mounts(self.node.directory()).iter().rev() {
            let _ = std::process::Command::new("umount").arg("--lazy").arg(mount).status();
        }
    }
}

/// The site's record of the VDC.
fn record() -> Value {
    json!({"uid": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "generation": 1, "vdc": {
        "term": 1, "source": {"bureau": "government-affairs", "name": VDC, "uid": UID, "generation": 1},
        "desired": "Present", "role": "Active", "state": "Active",
        "namespaces": [{"name": "app", "access": "HallsOnly",
            "quota": {"cpu": "8", "memory": "16Gi", "storage": "100Gi", "pods": 100}}],
        "isolation": {}, "members": [],
    }})
}

/// The site's controller, whose hub does not answer.
fn site(node: &Node, vault: Option<&Options>) -> anyhow::Result<Process> {
    let (place, server) = (node.directory(), node.server());
    let own = server.kubeconfig("yunting:site-controller", &["yunting:site-controllers"])?;
    let mut hub = own.clone();
    hub["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:1");
    let mut words = vec!["site".to_owned(), "--site".to_owned(), SITE.to_owned()];
    for (flag, kubeconfig) in [("hub", hub), ("site", own)] {
        let file = place.join(format!("{flag}.json"));
        fs::write(&file, kubeconfig.to_string())?;
        words.extend([format!("--{flag}-kubeconfig"), file.display().to_string()]);
    }
    let keys = place.join("keys").display().to_string();
    words.extend(["--keys".to_owned(), keys, "--listen".to_owned(), "127.0.0.1:0".to_owned()]);
    if let Some(vault) = vault {
        let (token, ca) = (vault.token_file.display(), vault.ca.clone().unwrap_or_default());
        words.extend(["--vault-address".to_owned(), vault.address.clone()]);
        words.extend(["--vault-token-file".to_owned(), token.to_string()]);
        words.extend(["--vault-ca".to_owned(), ca.display().to_string()]);
    }
    Ok(Process::start(&plane::program()?, words, place.join("site.log")))
}
