//! Volumes of a VDC whose keys are in Vault, through the real controllers of node and site.

use kube::Api;
use serde_json::json;
use yunting_crds::VolumeKey;
use yunting_tests::node::process::eventually;

use super::super::served::{Served, UID, mounts};
use super::server::Server;

/// Generation of the key that the volume keeps.
fn generation(served: &Served, volume: &str) -> Option<u32> {
    let keys: Api<VolumeKey> = Api::all(served.node.server().client().clone());
    Some(served.node.block_on(keys.get(volume)).ok()?.spec.wrapped?.generation)
}

#[test]
fn what_is_open_stays_open_without_vault_and_what_is_not_says_why() {
    let mut vault = Server::start().unwrap();
    let served = Served::with_vault(2 << 30, Some(&vault.options())).unwrap();
    let places = tempfile::tempdir().unwrap();
    let (one, two) = (places.path().join("one"), places.path().join("two"));
    for name in ["one", "two"] {
        eventually("a volume", || served.create(name, None).ok())
            .unwrap_or_else(|late| panic!("{late}: {:?}\n{}", served.create(name, None), served.tails()));
    }
    served.stage("one", &one).unwrap();
    std::fs::write(one.join("before"), "kept").unwrap();
    let key = format!("transit/keys/yunting-{}-{UID}", yunting_tests::plane::SITE);
    let shown = vault.keeper("GET", &key, &json!({})).unwrap();
    assert_eq!(shown["data"]["latest_version"], 1, "{shown}");

    vault.stop();
    std::fs::write(one.join("meanwhile"), "kept").unwrap();
    let said = served.stage("two", &two).unwrap_err();
    assert!(said.contains("Vault at") && said.contains("cannot be reached"), "{said}");
    assert_eq!(std::fs::read_to_string(one.join("before")).unwrap(), "kept");
    assert!(mounts(&two).is_empty());
    vault.start_again().unwrap();
    eventually("the volume opens", || served.stage("two", &two).ok()).unwrap();

    // A new generation mounts nothing anew, and the old one ends.
    let before = mounts(&one);
    served.record(&vault_record(2));
    for volume in ["one", "two"] {
        let newer = || (generation(&served, volume) == Some(2)).then_some(());
        eventually("a newer key", newer).unwrap_or_else(|late| panic!("{late}\n{}", served.tails()));
    }
    let ended = || {
        let shown = vault.keeper("GET", &key, &json!({})).ok()?;
        (shown["data"]["min_available_version"] == 2).then_some(())
    };
    eventually("the old generation's end", ended).unwrap_or_else(|late| panic!("{late}\n{}", served.tails()));
    assert_eq!(mounts(&one), before);
    served.unstage("one", &one).unwrap();
    served.stage("one", &one).unwrap();
    assert_eq!(std::fs::read_to_string(one.join("meanwhile")).unwrap(), "kept");
    for (volume, at) in [("one", &one), ("two", &two)] {
        served.unstage(volume, at).unwrap();
    }
}

#[test]
fn a_site_without_vault_says_so() {
    let served = Served::start(1 << 30).unwrap();
    served.record(&vault_record(1));
    let said = served.create("one", None).unwrap_err();
    assert!(said.contains("this site has none: start its controller with --vault-address"), "{said}");
    assert!(served.disk.subvolumes().is_empty());
}

/// The VDC with keys in Vault.
fn vault_record(generation: u32) -> serde_json::Value {
    json!({"keyProvider": "Vault", "keyGeneration": generation})
}
