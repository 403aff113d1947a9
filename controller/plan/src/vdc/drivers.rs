//! Drivers of volumes that are not Yunting's: what a StorageClass of theirs has to say so that volumes are encrypted, and what
//! a key of a VDC is there. Pure, and never more than configuration: nothing of ours looks behind these drivers. Must never:
//! hold a key, or call one driver's promise another's.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use yunting_crds::site::{StorageProvider, StorageReplication};

use super::storage::DRIVER;

/// Name of the Secret in each namespace from which Longhorn takes its key.
pub const LONGHORN_SECRET: &str = "yunting-longhorn-key";
/// What names secrets of a driver in its class.
const SECRETS: &str = "csi.storage.k8s.io/";

/// A driver that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Yunting's own.
    Yunting,
    /// RBD images by Ceph-CSI.
    CephRbd,
    /// Longhorn.
    Longhorn,
    /// Any other.
    Other,
}

/// Which it is, by its name. Rook puts its namespace before that of Ceph-CSI.
pub fn known(driver: &str) -> Known {
    match driver {
        DRIVER => Known::Yunting,
        "driver.longhorn.io" => Known::Longhorn,
        "rbd.csi.ceph.com" => Known::CephRbd,
        _ if driver.ends_with(".rbd.csi.ceph.com") => Known::CephRbd,
        _ => Known::Other,
    }
}

/// What stands behind `encryption: PerVolume` with a driver, for people.
pub fn meaning(driver: &str) -> &'static str {
    match known(driver) {
        Known::Yunting => {
            "each volume has a data key, wrapped with a key of its VDC, which ends with the VDC"
        }
        Known::CephRbd => {
            "Ceph-CSI keeps a passphrase for each image with the KMS that its class names; Yunting's keys take no part, their end is not read back, and a rotation changes a LUKS slot alone"
        }
        Known::Longhorn => {
            "Longhorn takes one passphrase for all volumes of a namespace from a Secret in it; who reads the site's Secrets or etcd reads it, it has no generations, and its end is not read back"
        }
        Known::Other => "how its driver encrypts, and with whose key, is not known here",
    }
}

/// Whether volumes of it are replicated by Yunting: nobody else's are, whatever its entry says.
pub fn native(storage: &StorageProvider) -> bool {
    storage.replication == StorageReplication::Native && storage.driver == DRIVER
}

/// Why a class cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is Yunting's own, or unknown.
    #[error("{0}")]
    Driver(String),
    /// A parameter is missing.
    #[error("StorageClass {class} of {driver} needs parameter {name}: {what}")]
    Missing {
        /// Of which class.
        class: String,
        /// Of which driver.
        driver: String,
        /// Its name.
        name: &'static str,
        /// What it is.
        what: &'static str,
    },
    /// A parameter says something else than what encryption needs.
    #[error("StorageClass {class} of {driver}: {name} is {given:?} and has to be {wanted:?}; leave it out")]
    Other {
        /// Of which class.
        class: String,
        /// Of which driver.
        driver: String,
        /// Its name.
        name: String,
        /// What it says.
        given: String,
        /// What it has to say.
        wanted: String,
    },
}

/// The StorageClass with encryption for a driver. `given` is what only the site knows: pools, clusters, secrets.
pub fn class(name: &str, driver: &str, given: &BTreeMap<String, String>) -> Result<Value, Unfit> {
    let (needed, fixed, usual) = match known(driver) {
        Known::CephRbd => (CEPH_NEEDS.as_slice(), CEPH_FIXED.as_slice(), CEPH_USUAL.as_slice()),
        Known::Longhorn => (&[][..], LONGHORN_FIXED.as_slice(), LONGHORN_USUAL.as_slice()),
        Known::Yunting => {
            let text =
                format!("the class of {DRIVER} is installed with the site: install/site/28-volumes.yaml");
            return Err(Unfit::Driver(text));
        }
        Known::Other => {
            let text = format!("driver {driver} is not known: write its StorageClass as its manual says");
            return Err(Unfit::Driver(text));
        }
    };
    for (parameter, what) in needed {
        if given.get(*parameter).is_none_or(String::is_empty) {
            let (class, driver) = (name.to_owned(), driver.to_owned());
            return Err(Unfit::Missing { class, driver, name: parameter, what });
        }
    }
    let mut parameters: BTreeMap<String, String> =
        usual.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    parameters.extend(given.clone());
    for (parameter, wanted) in fixed {
        let before = parameters.insert((*parameter).to_owned(), (*wanted).to_owned());
        if let Some(given) = before.filter(|given| given != wanted) {
            let (class, driver, wanted) = (name.to_owned(), driver.to_owned(), (*wanted).to_owned());
            return Err(Unfit::Other { class, driver, name: (*parameter).to_owned(), given, wanted });
        }
    }
    Ok(json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "yunting"}},
        "provisioner": driver,
        "parameters": parameters,
        "allowVolumeExpansion": true,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": if known(driver) == Known::CephRbd { "Immediate" } else { "WaitForFirstConsumer" },
    }))
}

const CEPH_NEEDS: [(&str, &str); 9] = [
    ("clusterID", "the Ceph cluster, as ceph-csi's configuration calls it"),
    ("pool", "the pool of its images"),
    (
        "encryptionKMSID",
        "an entry of ceph-csi-encryption-kms-config; of type vaulttenantsa, so that a VDC's volumes are opened with the service account ceph-csi-vault-sa of its namespace",
    ),
    ("csi.storage.k8s.io/provisioner-secret-name", "the Secret with the provisioner's account"),
    ("csi.storage.k8s.io/provisioner-secret-namespace", "its namespace: the driver's, never a VDC's"),
    ("csi.storage.k8s.io/controller-expand-secret-name", "the Secret with the account that lets images grow"),
    ("csi.storage.k8s.io/controller-expand-secret-namespace", "its namespace: the driver's, never a VDC's"),
    ("csi.storage.k8s.io/node-stage-secret-name", "the Secret with the nodes' account"),
    ("csi.storage.k8s.io/node-stage-secret-namespace", "its namespace: the driver's, never a VDC's"),
];
const CEPH_FIXED: [(&str, &str); 2] = [("encrypted", "true"), ("encryptionType", "block")];
const CEPH_USUAL: [(&str, &str); 2] = [("imageFeatures", "layering"), ("csi.storage.k8s.io/fstype", "ext4")];

const LONGHORN_FIXED: [(&str, &str); 9] = [
    ("encrypted", "true"),
    ("csi.storage.k8s.io/provisioner-secret-name", LONGHORN_SECRET),
    ("csi.storage.k8s.io/provisioner-secret-namespace", "${pvc.namespace}"),
    ("csi.storage.k8s.io/node-publish-secret-name", LONGHORN_SECRET),
    ("csi.storage.k8s.io/node-publish-secret-namespace", "${pvc.namespace}"),
    ("csi.storage.k8s.io/node-stage-secret-name", LONGHORN_SECRET),
    ("csi.storage.k8s.io/node-stage-secret-namespace", "${pvc.namespace}"),
    ("csi.storage.k8s.io/node-expand-secret-name", LONGHORN_SECRET),
    ("csi.storage.k8s.io/node-expand-secret-namespace", "${pvc.namespace}"),
];
const LONGHORN_USUAL: [(&str, &str); 2] = [("numberOfReplicas", "3"), ("staleReplicaTimeout", "30")];

/// The Secret that a namespace needs before its first claim of Longhorn's class, without its key: whoever keeps keys adds
/// `CRYPTO_KEY_VALUE`. It has to stay until the last volume of the namespace is gone, or its remains are cleared by hand.
pub fn longhorn_secret(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": LONGHORN_SECRET, "namespace": namespace},
        "stringData": {
            "CRYPTO_KEY_PROVIDER": "secret",
            "CRYPTO_KEY_CIPHER": "aes-xts-plain64",
            "CRYPTO_KEY_HASH": "sha256",
            "CRYPTO_KEY_SIZE": "256",
            "CRYPTO_PBKDF": "argon2i",
        },
    })
}

/// The references to secrets of a class: whose name and whose namespace.
pub fn secrets(class: &Value) -> BTreeMap<String, (String, String)> {
    let parameters = class["parameters"].as_object();
    let text = |name: String| parameters.and_then(|p| Some(p.get(&name)?.as_str()?.to_owned()));
    let steps = parameters.into_iter().flat_map(|p| p.keys());
    let steps = steps.filter_map(|k| k.strip_prefix(SECRETS)?.strip_suffix("-secret-name"));
    let reference = |step: &str| {
        let name = text(format!("{SECRETS}{step}-secret-name"))?;
        Some((step.to_owned(), (name, text(format!("{SECRETS}{step}-secret-namespace"))?)))
    };
    steps.filter_map(reference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn ceph() -> BTreeMap<String, String> {
        given(&CEPH_NEEDS.map(|(name, _)| (name, "x")))
    }

    #[test]
    fn ceph_gets_what_it_encrypts_with_and_keeps_its_secrets_out_of_vdcs() {
        let class = class("ceph", "rook-ceph.rbd.csi.ceph.com", &ceph()).unwrap();
        let parameters = &class["parameters"];
        assert_eq!(
            (&parameters["encrypted"], &parameters["encryptionType"]),
            (&json!("true"), &json!("block"))
        );
        assert_eq!((&parameters["encryptionKMSID"], &parameters["pool"]), (&json!("x"), &json!("x")));
        assert_eq!(class["provisioner"], "rook-ceph.rbd.csi.ceph.com");
        let secrets = secrets(&class);
        assert_eq!(secrets.keys().collect::<Vec<_>>(), ["controller-expand", "node-stage", "provisioner"]);
        assert!(secrets.values().all(|(_, namespace)| namespace == "x"));
    }

    #[test]
    fn each_parameter_that_a_driver_needs_is_asked_for_by_name() {
        for (name, what) in CEPH_NEEDS {
            for value in [None, Some("")] {
                let mut given = ceph();
                given.remove(name);
                given.extend(value.map(|v| (name.to_owned(), v.to_owned())));
                let error = class("ceph", "rbd.csi.ceph.com", &given).unwrap_err().to_string();
                assert!(error.contains(name) && error.contains(what), "{error}");
            }
        }
    }

    #[test]
    fn longhorn_takes_its_key_from_the_namespace_of_the_claim() {
        let class = class("longhorn", "driver.longhorn.io", &given(&[("numberOfReplicas", "2")])).unwrap();
        let own = (LONGHORN_SECRET.to_owned(), "${pvc.namespace}".to_owned());
        let steps = ["node-expand", "node-publish", "node-stage", "provisioner"];
        assert_eq!(secrets(&class), steps.map(|step| (step.to_owned(), own.clone())).into());
        assert_eq!(class["parameters"]["numberOfReplicas"], "2");
        assert_eq!(class["parameters"]["staleReplicaTimeout"], "30");
        let secret = longhorn_secret("hall-app-12345678");
        assert_eq!(secret["metadata"]["namespace"], "hall-app-12345678");
        assert_eq!(secret["stringData"]["CRYPTO_KEY_CIPHER"], "aes-xts-plain64");
        assert!(secret["stringData"].get("CRYPTO_KEY_VALUE").is_none(), "no key is made here");
    }

    #[test]
    fn nothing_takes_encryption_out_again() {
        for (driver, parameter) in [
            ("rbd.csi.ceph.com", "encrypted"),
            ("rbd.csi.ceph.com", "encryptionType"),
            ("driver.longhorn.io", "encrypted"),
            ("driver.longhorn.io", "csi.storage.k8s.io/node-stage-secret-namespace"),
        ] {
            let mut all = if known(driver) == Known::CephRbd { ceph() } else { BTreeMap::new() };
            all.insert(parameter.to_owned(), "false".to_owned());
            let error = class("c", driver, &all).unwrap_err();
            assert!(matches!(&error, Unfit::Other { name, .. } if name == parameter), "{error}");
        }
        for driver in [DRIVER, "rancher.io/local-path"] {
            assert!(matches!(class("c", driver, &ceph()), Err(Unfit::Driver(_))));
        }
    }

    #[test]
    fn only_our_driver_replicates_and_each_says_what_its_keys_are() {
        let storage = |driver: &str| StorageProvider {
            name: "c".to_owned(),
            driver: driver.to_owned(),
            encryption: yunting_crds::site::StorageEncryption::PerVolume,
            replication: StorageReplication::Native,
        };
        assert!(native(&storage(DRIVER)));
        for driver in ["rbd.csi.ceph.com", "driver.longhorn.io", "x"] {
            assert!(!native(&storage(driver)));
            assert_ne!(meaning(driver), meaning(DRIVER));
        }
        assert!(!native(&StorageProvider { replication: StorageReplication::None, ..storage(DRIVER) }));
        assert_eq!(known("nordbd.rbd.csi.ceph.com.x"), Known::Other);
    }
}
