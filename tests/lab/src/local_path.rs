//! Volumes of a site: Rancher's local-path provisioner as one of the site's processes.
//!
//! It makes a directory on the site's volume disk for each claim. It has no snapshots and does not enforce
//! sizes; it stands in for a storage system until a site has one.

use std::path::Path;

use serde_json::json;

/// The namespace of the provisioner's helper pods.
pub const NAMESPACE: &str = "yunting-local-path";
/// The class that claims name.
pub const STORAGE_CLASS: &str = "local-path";
/// Namespace, class, scripts, and the rights of user `yunting:local-path`.
pub const MANIFESTS: &str = include_str!("local_path/manifests.yaml");

/// The provisioner's configuration: all volumes lie below `volumes`, a directory in the site's view.
pub fn config(volumes: &Path) -> String {
    let paths = json!([{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [volumes]}]);
    format!("{:#}\n", json!({"nodePathMap": paths}))
}

/// The pod that makes and removes directories; `image` is the busybox image by digest.
pub fn helper_pod(image: &str) -> String {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {
            "priorityClassName": "system-node-critical",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "helper-pod",
                "image": image,
                "imagePullPolicy": "Never",
                "securityContext": {"readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false},
            }],
        },
    });
    format!("{pod:#}\n")
}

/// The provisioner's arguments, given where [`config`] and [`helper_pod`] were written. The files' names must
/// end in `.json` and `.yaml`: the provisioner tells a file from its content by that.
pub fn arguments(kubeconfig: &Path, config: &Path, helper_pod: &Path, image: &str) -> Vec<String> {
    let path = |path: &Path| path.display().to_string();
    let mut arguments = vec!["start".to_owned()];
    for (flag, value) in [
        ("kubeconfig", path(kubeconfig)),
        ("config", path(config)),
        ("helper-pod-file", path(helper_pod)),
        ("helper-image", image.to_owned()),
        ("namespace", NAMESPACE.to_owned()),
        ("service-account-name", "helper".to_owned()),
        ("configmap-name", "local-path-config".to_owned()),
        ("provisioner-name", "rancher.io/local-path".to_owned()),
    ] {
        arguments.extend([format!("--{flag}"), value]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_lie_where_the_site_has_its_disk() {
        let config: serde_json::Value = serde_json::from_str(&config(Path::new("/site/volumes"))).unwrap();
        assert_eq!(config["nodePathMap"][0]["paths"][0], "/site/volumes");
    }

    #[test]
    fn the_manifests_name_what_the_arguments_name() {
        let arguments = arguments(Path::new("/k"), Path::new("/c.json"), Path::new("/h.yaml"), "i");
        for name in [NAMESPACE, "helper", "local-path-config", "rancher.io/local-path"] {
            assert!(arguments.iter().any(|argument| argument == name), "{name}");
            assert!(MANIFESTS.contains(name), "{name}");
        }
        assert!(MANIFESTS.contains(&format!("name: {STORAGE_CLASS}\n")));
    }
}
