//! What one process of a site is: how it is started, what it waits for, and when it counts as ready.

use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::bootstrap::FirstObjects;
use super::etcd_auth::EtcdAuth;
use crate::error::Result;
use crate::spec::{Lab, Site, SiteDir};
use crate::stock::{self, Stock};

/// When a started process counts as ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// As soon as it runs.
    Started,
    /// This loopback port answers 200 to this path, over plain HTTP.
    Http(u16, &'static str),
    /// The same over TLS.
    Https(u16, &'static str),
    /// This address accepts connections.
    Tcp(SocketAddrV4),
    /// This socket accepts.
    Socket(PathBuf),
}

/// What has to be done before a process starts.
#[derive(Clone, Debug, PartialEq)]
pub enum Prepare {
    /// Nothing.
    Nothing,
    /// These objects must be in etcd.
    Objects(FirstObjects),
    /// These objects must be in the hub's etcd, and access control on.
    Hub(FirstObjects, EtcdAuth),
    /// The lab's images must be in containerd.
    Images(Lab, SiteDir),
}

impl Prepare {
    /// Does it.
    pub fn run(&self) -> Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::Objects(objects) => objects.write(),
            Self::Hub(objects, auth) => auth.enable().and_then(|()| objects.write()),
            Self::Images(lab, dir) => stock::import_here(&Stock::read(lab)?, dir),
        }
    }
}

/// One process of a site.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its name, also of its log.
    pub name: &'static str,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment besides the inherited one.
    pub env: Vec<(&'static str, String)>,
    /// Processes that have to be ready first.
    pub after: Vec<&'static str>,
    /// When it is ready.
    pub ready: Ready,
    /// What has to be done each time before it starts.
    pub prepare: Prepare,
    /// Whether it starts with the site; otherwise it waits to be told.
    pub enabled: bool,
}

impl Process {
    /// A process that starts with the site.
    pub fn new(name: &'static str, program: impl Into<PathBuf>, args: Vec<String>) -> Self {
        Self {
            name,
            program: program.into(),
            args,
            env: Vec::new(),
            after: Vec::new(),
            ready: Ready::Started,
            prepare: Prepare::Nothing,
            enabled: true,
        }
    }

    /// Gives it a word of environment.
    #[must_use]
    pub fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Names what has to be ready first.
    #[must_use]
    pub fn after(mut self, names: &[&'static str]) -> Self {
        self.after = names.to_vec();
        self
    }

    /// Says when it is ready.
    #[must_use]
    pub fn ready(mut self, ready: Ready) -> Self {
        self.ready = ready;
        self
    }

    /// Says what has to be done before.
    #[must_use]
    pub fn prepare(mut self, prepare: Prepare) -> Self {
        self.prepare = prepare;
        self
    }

    /// Lets it start with the site or only when told.
    #[must_use]
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }
}

/// How a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It waits for others to be ready.
    Waiting,
    /// It runs and is not ready yet.
    Starting,
    /// It runs and was ready.
    Ready,
    /// It is stopped by SIGSTOP.
    Paused,
    /// It ended and will be started again.
    Failed,
    /// It was told not to run.
    Stopped,
}

/// What the site tells about a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// How it is doing.
    pub phase: Phase,
    /// Its number inside the site, 0 when it does not run.
    pub pid: u32,
    /// How often it ended by itself.
    pub restarts: u32,
}

impl Default for Condition {
    fn default() -> Self {
        Self { phase: Phase::Stopped, pid: 0, restarts: 0 }
    }
}

/// What the specifications of a site's processes are made from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The lab.
    pub lab: Lab,
    /// The site.
    pub site: Site,
    /// Its part of the state.
    pub dir: SiteDir,
}

impl Plan {
    /// A program of the lab's own builds.
    pub fn bin(&self, name: &str) -> PathBuf {
        self.lab.dir.join("bin").join(name)
    }

    /// A file of the site's PKI, as an argument.
    pub fn pki(&self, file: &str) -> String {
        text(&self.dir.pki(file))
    }

    /// A kubeconfig, as an argument.
    pub fn kube(&self, file: &str) -> String {
        text(&self.dir.kube(file))
    }

    /// A rendered configuration file, as an argument.
    pub fn config(&self, file: &str) -> String {
        text(&self.dir.config(file))
    }

    /// A place on the site's disk, as an argument.
    pub fn disk(&self, place: &str) -> String {
        text(&self.dir.disk().join(place))
    }
}

/// A path as an argument; the lab makes its paths itself, so they are text.
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// `--name=value` for each pair.
pub fn flags<V: AsRef<str>>(pairs: impl IntoIterator<Item = (&'static str, V)>) -> Vec<String> {
    pairs.into_iter().map(|(name, value)| format!("--{name}={}", value.as_ref())).collect()
}
