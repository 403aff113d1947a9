//! Keys and certificates of a lab: made once at the first `up`, never shared between trust domains.
//!
//! Separate authorities exist for each site's cluster and etcd, for the hub's clients, the hub's serving
//! certificates, the hub's etcd, the authority's etcd, each front proxy and Yunting's machines. No certificate
//! made here carries the group `system:masters`; a test looks at all of them.

mod authority;
mod plan;

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub use authority::{Authority, Pair, Subject};
pub use plan::{ADMIN, ADMINS, Hub, KUBELET_CLIENT, SiteAuthorities};

use crate::error::{Error, Result};
use crate::kubeconfig;
use crate::spec::Lab;

/// Makes everything that is missing: all of it at the first `up`, nothing afterwards.
pub fn ensure(lab: &Lab) -> Result<()> {
    let complete = lab.pki().join("complete");
    if complete.is_file() {
        return Ok(());
    }
    let hub = plan::Hub::make(lab)?;
    for site in &lab.sites {
        let authorities = plan::site(lab, site, &hub)?;
        kubeconfig::write_site(lab, site, &authorities, &hub)?;
    }
    write_secret(&complete, "made by `up`; `down` removes it with the lab\n")
}

/// Writes a file that only root may read, with the directories above it.
pub fn write_secret(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(Error::io("make", parent))?;
    }
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(Error::io("write", path))
}
