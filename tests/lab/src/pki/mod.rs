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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use data_encoding::BASE64;

    use super::*;

    /// Every certificate of a lab as DER, by file; those inside kubeconfigs, too.
    fn certificates(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                found.extend(certificates(&path));
                continue;
            }
            let mut text = fs::read_to_string(&path).unwrap();
            if let Ok(config) = serde_json::from_str::<serde_json::Value>(&text)
                && let Some(data) = config["users"][0]["user"]["client-certificate-data"].as_str()
            {
                text = String::from_utf8(BASE64.decode(data.as_bytes()).unwrap()).unwrap();
            }
            if let Some(body) = text.strip_prefix("-----BEGIN CERTIFICATE-----") {
                let body: String = body.lines().take_while(|line| !line.starts_with("---")).collect();
                found.insert(path, BASE64.decode(body.as_bytes()).unwrap());
            }
        }
        found
    }

    fn contains(der: &[u8], text: &str) -> bool {
        der.windows(text.len()).any(|window| window == text.as_bytes())
    }

    #[test]
    fn nobody_is_a_master_and_nothing_is_shared_between_sites() {
        let dir = tempfile::tempdir().unwrap();
        let lab = Lab::in_dir("test", 3, dir.path()).unwrap();
        ensure(&lab).unwrap();
        let all = certificates(&lab.dir);
        assert!(all.len() > 90, "{} certificates", all.len());
        let masters: Vec<_> = all.iter().filter(|(_, der)| contains(der, "system:masters")).collect();
        assert!(masters.is_empty(), "{masters:?}");
        let of = |site: &str, file: &str| &all[&lab.site_dir(lab.site(site).unwrap()).pki(file)];
        for file in ["cluster-ca.crt", "etcd-ca.crt", "front-proxy-ca.crt"] {
            assert_ne!(of("qiaocheng", file), of("guoyang", file), "{file}");
        }
        for file in ["hub-serving-ca.crt", "hub-clients-ca.crt", "hub-etcd-ca.crt", "authority-etcd-ca.crt"] {
            assert_eq!(of("qiaocheng", file), of("guoyang", file), "{file}");
        }
        let agent = &all[&lab.site_dir(lab.site("guoyang").unwrap()).kube("site-hub.yaml")];
        for wanted in ["yunting:site:guoyang", "yunting:sites", "yunting://site/guoyang"] {
            assert!(contains(agent, wanted), "{wanted}");
        }
    }

    #[test]
    fn a_second_call_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let lab = Lab::in_dir("test", 1, dir.path()).unwrap();
        ensure(&lab).unwrap();
        let before = certificates(&lab.dir);
        ensure(&lab).unwrap();
        assert_eq!(certificates(&lab.dir), before);
    }
}
