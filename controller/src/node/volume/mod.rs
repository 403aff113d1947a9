//! Volumes of the node: CSI driver `volumes.yunting.io`. One btrfs subvolume per volume holds nothing but a file system of
//! ciphertext and a header with its wrapped key; the clear text exists in a mount only, while a pod uses it.
//!
//! [`replica`] sends them to other sites. `store` keeps subvolumes, `cipher` opens and closes them, `keys` asks the site for data keys, `csi` is what kubelet and
//! sidecars speak with. `prober` looks all the time whether
//! what is open is ciphertext on the disk. Each step of a volume's life can be done again after a crash at any point.

pub mod cipher;
mod csi;
mod driver;
pub mod error;
pub mod header;
mod json;
mod keys;
pub mod locks;
mod mounts;
pub mod probe;
pub mod prober;
pub mod replica;
pub mod store;
mod tool;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use kube::Client;
use tokio_util::sync::CancellationToken;
use yunting_crds::SliceRecord;
use yunting_plan::object::Key;
use yunting_plan::vdc::storage;

use crate::cache::Cache;
use crate::context::Context;
use crate::metrics::Metrics;
use crate::writer::Writer;
use driver::Driver;
use prober::Prober;

/// Name of the driver.
pub const DRIVER: &str = storage::DRIVER;

/// Where things are.
#[derive(Debug, Clone)]
pub struct Options {
    /// A directory of a btrfs file system of this node, for ciphertext.
    pub directory: PathBuf,
    /// The kubelet's root directory, where it looks for drivers.
    pub kubelet: PathBuf,
    /// Replication to and from other sites; without it there is none.
    pub replicas: Option<replica::Options>,
}

/// What the rest of the node's controller lends.
pub(super) struct Lent<'a> {
    pub(super) node: &'a str,
    pub(super) client: &'a Client,
    pub(super) writer: &'a Writer,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) records: &'a Cache<SliceRecord>,
    pub(super) context: &'a Context,
    /// The node's report.
    pub(super) report: &'a Key,
    /// Directory of this process that is empty after a boot, where volumes are mounted.
    pub(super) run: &'a Path,
}

/// Serves until it cannot.
pub(super) async fn serve(options: &Options, lent: Lent<'_>, stop: &CancellationToken) -> anyhow::Result<()> {
    let store = store::Store::open(&options.directory);
    let store = store.with_context(|| format!("volumes in {}", options.directory.display()))?;
    let keys = keys::Keys::start(&lent, stop).await;
    let disk = replica::disk::Disk::open(&options.directory).context("replicas")?;
    let store = Arc::new(store);
    let driver = Driver::new(lent.node, lent.run.join("volumes"), lent.records.clone(), store.clone(), keys);
    driver.tidy().await.context("volumes that were not finished")?;
    tracing::info!(directory = %options.directory.display(), "volumes are served");
    let driver = Arc::new(driver);
    let replicas = async {
        match &options.replicas {
            Some(options) => replica::serve(options, driver.clone(), store, disk, &lent, stop).await,
            None => std::future::pending().await,
        }
    };
    let prober =
        Prober::new(driver.store.clone(), driver.open.clone(), driver.locks.clone(), lent.context.clone());
    tokio::select! {
        () = prober::keep(prober, lent.report, lent.writer) => Ok(()),
        ended = csi::serve(driver.clone(), &options.kubelet) => ended,
        ended = replicas => ended,
    }
}
