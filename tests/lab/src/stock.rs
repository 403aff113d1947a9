//! The images a lab has in stock: built once, noted in the state, and in the containerd of every site.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::cmd;
use crate::error::{Error, Result};
use crate::images;
use crate::manifests::Variables;
use crate::pki::write_secret;
use crate::progress::Progress;
use crate::site::node::CONTAINERD_SOCKET;
use crate::spec::{Lab, Site, SiteDir, cache_dir};

/// Archives and references by short name, as kept in the state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// OCI archives.
    pub archives: BTreeMap<String, PathBuf>,
    /// References by digest.
    pub refs: BTreeMap<String, String>,
}

/// Builds what is missing and notes it in the lab's state.
pub fn ensure(lab: &Lab, hall: &Path, progress: &Progress) -> Result<Stock> {
    if !hall.is_file() {
        return Err(Error::Unsuitable {
            what: format!("the demo workload {} is not built", hall.display()),
            next: "run `cargo build -p yunting-hall` or name it with --hall-bin".into(),
        });
    }
    let say = |message: &str| progress.say("images", message);
    let images::Lock { archives, refs } =
        images::build(&cache_dir(), hall, &say).map_err(Error::part("building the images"))?;
    let mut stock = Stock { archives, refs };
    let coredns = lab.dir.join("bin/coredns");
    let (archive, reference) = coredns_image(&coredns).map_err(Error::part("building CoreDNS's image"))?;
    stock.archives.insert("coredns".into(), archive);
    stock.refs.insert("coredns".into(), reference);
    write_secret(&file(lab), &json(&stock)?)?;
    write_secret(&lab.images_lock(), &json(&stock.refs)?)?;
    Ok(stock)
}

impl Stock {
    /// The stock of a lab; empty before the first build.
    pub fn read(lab: &Lab) -> Result<Self> {
        match fs::read_to_string(file(lab)) {
            Ok(text) => serde_json::from_str(&text).map_err(Error::malformed("the lab's list of images")),
            Err(_) => Ok(Self::default()),
        }
    }

    /// References as `${name}` of manifests.
    pub fn variables(&self) -> Variables {
        self.refs.clone()
    }
}

/// Brings missing images into the containerd of the site this runs in, and onto its disk: containerd syncs only its
/// own index, so after a power cut an image would be known and empty.
pub fn import_here(stock: &Stock, dir: &SiteDir) -> Result<()> {
    let ctr = ["ctr", "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", "images"];
    let known = cmd::run("list images", ctr[0], ctr[1..].iter().chain(&["list", "--quiet"]))?;
    let missing = |name: &String| stock.refs.get(name).is_some_and(|r| !known.lines().any(|line| line == r));
    let mut new = false;
    for (name, archive) in stock.archives.iter().filter(|(name, _)| missing(name)) {
        let words = ctr[1..].iter().map(AsRef::as_ref).chain(["import".as_ref(), archive.as_os_str()]);
        cmd::run(&format!("import the image {name}"), ctr[0], words)?;
        new = true;
    }
    if new {
        let disk = dir.disk();
        let file = File::open(&disk).map_err(Error::io("open", &disk))?;
        rustix::fs::syncfs(&file).map_err(|e| Error::io("sync", &disk)(e.into()))?;
    }
    Ok(())
}

/// The same from the host, for a site that already runs.
pub fn import(lab: &Lab, site: &Site) -> Result<()> {
    let pid = crate::power::first_process(lab, site)?.to_string();
    let mut nsenter = Command::new("nsenter");
    nsenter.args(["--target", &pid, "--mount", "--pid", "--net", "--"]);
    nsenter.arg(lab.own_program()).args(["--name", &lab.name, "site-images", &site.name]);
    cmd::output(&format!("bring images into {}", site.name), nsenter).map(drop)
}

fn coredns_image(binary: &Path) -> std::result::Result<(PathBuf, String), images::Error> {
    // The link's target has the hash of its sources in its name.
    let target = fs::read_link(binary).unwrap_or_else(|_| binary.to_owned());
    let stem = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let archive = cache_dir().join("images").join(format!("{stem}.tar"));
    let note = archive.with_extension("ref");
    if let (true, Ok(reference)) = (archive.is_file(), fs::read_to_string(&note)) {
        return Ok((archive, reference));
    }
    let packed = images::from_binary("localhost/coredns", "coredns", &target)?.pack()?;
    packed.write(&archive)?;
    fs::write(&note, packed.reference())
        .map_err(|source| images::Error::WriteCache { path: note, source })?;
    Ok((archive, packed.reference()))
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(Error::malformed("the lab's list of images"))
}

fn file(lab: &Lab) -> PathBuf {
    lab.dir.join("images.json")
}
