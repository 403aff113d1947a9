//! What a lab remembers between commands: one JSON file, and a lock so that two commands don't build at once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::pki::write_secret;
use crate::spec::{Lab, Site};

/// The forwards of one site on the host's loopback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SitePorts {
    /// To the site's API server.
    pub site_api: u16,
    /// To the hub API server at the site.
    pub hub_api: u16,
    /// To the site's gateway.
    pub gateway: u16,
}

/// All forwards, by site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports(pub BTreeMap<String, SitePorts>);

impl Ports {
    fn of(&self, site: &Site) -> SitePorts {
        self.0.get(&site.name).copied().unwrap_or_default()
    }

    /// The forward to a site's API server.
    pub fn site_api(&self, site: &Site) -> u16 {
        self.of(site).site_api
    }

    /// The forward to the hub API server at a site.
    pub fn hub_api(&self, site: &Site) -> u16 {
        self.of(site).hub_api
    }

    /// The forward to a site's gateway.
    pub fn gateway(&self, site: &Site) -> u16 {
        self.of(site).gateway
    }
}

/// Where volumes come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Volumes {
    /// From the local-path provisioner only.
    #[default]
    LocalPath,
    /// From the driver of the node controllers, too, whose sidecars a site starts then.
    Driver,
}

/// The file `lab.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// How many sites the lab has.
    pub sites: usize,
    /// Its forwards; empty until the forwarder ran once.
    #[serde(default)]
    pub ports: Ports,
    /// Whether the sites have what gateway and provisioner need, so that a site starts them when it boots.
    #[serde(default)]
    pub addons: bool,
    /// Whether the sites' nodes keep Yunting's network boundary, from before their first pod on.
    #[serde(default)]
    pub boundary: bool,
    /// Where the sites' volumes come from.
    #[serde(default)]
    pub volumes: Volumes,
    /// Whether `install` was done, so that a site starts our controllers when it boots.
    #[serde(default)]
    pub controllers: bool,
}

impl State {
    /// Reads a lab's state; nothing when there is no such lab.
    pub fn read(lab: &Lab) -> Result<Option<Self>> {
        let path = file(lab);
        match fs::read_to_string(&path) {
            Ok(text) => {
                serde_json::from_str(&text).map(Some).map_err(Error::malformed(path.display().to_string()))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", path)(e)),
        }
    }

    /// Writes it, complete or not at all.
    pub fn write(&self, lab: &Lab) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(Error::malformed("the lab's state"))?;
        let fresh = lab.dir.join("lab.json.new");
        write_secret(&fresh, &text)?;
        fs::rename(&fresh, file(lab)).map_err(Error::io("keep", file(lab)))
    }
}

/// Finds an existing lab by name.
pub fn open(name: &str) -> Result<(Lab, State)> {
    let lab = Lab::new(name, 1)?;
    let Some(state) = State::read(&lab)? else {
        return Err(Error::Unsuitable {
            what: format!("there is no lab named `{name}`"),
            next: "start one with `yunting-lab up`".into(),
        });
    };
    Ok((Lab::new(name, state.sites)?, state))
}

/// Takes the lab's lock until the file is dropped; waits for another command to end.
pub fn lock(lab: &Lab) -> Result<File> {
    fs::create_dir_all(&lab.dir).map_err(Error::io("make", &lab.dir))?;
    let path = lab.dir.join("lock");
    let file = File::create(&path).map_err(Error::io("make", &path))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|e| Error::io("lock", &path)(e.into()))?;
    Ok(file)
}

fn file(lab: &Lab) -> PathBuf {
    lab.dir.join("lab.json")
}
