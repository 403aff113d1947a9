//! Volumes of a VDC whose keys are in Vault, through the real controllers of node and site.

use std::path::Path;

use kube::Api;
use serde_json::json;
use tonic::transport::{Channel, Endpoint};
use yunting_crds::VolumeKey;
use yunting_csi::csi::controller_client::ControllerClient;
use yunting_csi::csi::node_client::NodeClient;
use yunting_csi::csi::volume_capability::access_mode::Mode;
use yunting_csi::csi::volume_capability::{AccessMode, AccessType, MountVolume};
use yunting_csi::csi::{
    CapacityRange, CreateVolumeRequest, NodeStageVolumeRequest, NodeUnstageVolumeRequest, VolumeCapability,
};
use yunting_tests::node::process::eventually;

use super::super::served::{Served, UID, mounts, namespace};
use super::server::Server;

fn channel(served: &Served) -> Channel {
    let endpoint = Endpoint::try_from(format!("unix://{}", served.node.csi_socket().display())).unwrap();
    served.node.block_on(endpoint.connect()).unwrap()
}

fn capability() -> VolumeCapability {
    VolumeCapability {
        access_type: Some(AccessType::Mount(MountVolume::default())),
        access_mode: Some(AccessMode { mode: Mode::SingleNodeWriter.into() }),
    }
}

fn create(served: &Served, channel: &Channel, name: &str) -> Result<(), String> {
    let asked = CreateVolumeRequest {
        name: name.to_owned(),
        capacity_range: Some(CapacityRange { required_bytes: 32 << 20, limit_bytes: 0 }),
        volume_capabilities: vec![capability()],
        parameters: [("csi.storage.k8s.io/pvc/namespace".to_owned(), namespace())].into(),
        ..CreateVolumeRequest::default()
    };
    let made = served.node.block_on(ControllerClient::new(channel.clone()).create_volume(asked));
    made.map(drop).map_err(|status| status.message().to_owned())
}

fn stage(served: &Served, channel: &Channel, volume: &str, at: &Path) -> Result<(), String> {
    let asked = NodeStageVolumeRequest {
        volume_id: volume.to_owned(),
        staging_target_path: at.display().to_string(),
        volume_capability: Some(capability()),
        ..NodeStageVolumeRequest::default()
    };
    let staged = served.node.block_on(NodeClient::new(channel.clone()).node_stage_volume(asked));
    staged.map(drop).map_err(|status| status.message().to_owned())
}

fn unstage(served: &Served, channel: &Channel, volume: &str, at: &Path) {
    let (volume_id, staging_target_path) = (volume.to_owned(), at.display().to_string());
    let asked = NodeUnstageVolumeRequest { volume_id, staging_target_path };
    served.node.block_on(NodeClient::new(channel.clone()).node_unstage_volume(asked)).unwrap();
}

/// Generation of the key that the volume keeps.
fn generation(served: &Served, volume: &str) -> Option<u32> {
    let keys: Api<VolumeKey> = Api::all(served.node.server().client().clone());
    Some(served.node.block_on(keys.get(volume)).ok()?.spec.wrapped?.generation)
}

#[test]
fn what_is_open_stays_open_without_vault_and_what_is_not_says_why() {
    let mut vault = Server::start().unwrap();
    let served = Served::with_vault(2 << 30, Some(&vault.options())).unwrap();
    let (channel, places) = (channel(&served), tempfile::tempdir().unwrap());
    let (one, two) = (places.path().join("one"), places.path().join("two"));
    for name in ["one", "two"] {
        eventually("a volume", || create(&served, &channel, name).ok()).unwrap_or_else(|late| {
            panic!("{late}: {:?}\n{}", create(&served, &channel, name), served.tails())
        });
    }
    stage(&served, &channel, "one", &one).unwrap();
    std::fs::write(one.join("before"), "kept").unwrap();
    let key = format!("transit/keys/yunting-{}-{UID}", yunting_tests::plane::SITE);
    let shown = vault.keeper("GET", &key, &json!({})).unwrap();
    assert_eq!(shown["data"]["latest_version"], 1, "{shown}");

    vault.stop();
    std::fs::write(one.join("meanwhile"), "kept").unwrap();
    let said = stage(&served, &channel, "two", &two).unwrap_err();
    assert!(said.contains("Vault at") && said.contains("cannot be reached"), "{said}");
    assert_eq!(std::fs::read_to_string(one.join("before")).unwrap(), "kept");
    assert!(mounts(&two).is_empty());
    vault.start_again().unwrap();
    eventually("the volume opens", || stage(&served, &channel, "two", &two).ok()).unwrap();

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
    unstage(&served, &channel, "one", &one);
    stage(&served, &channel, "one", &one).unwrap();
    assert_eq!(std::fs::read_to_string(one.join("meanwhile")).unwrap(), "kept");
    for (volume, at) in [("one", &one), ("two", &two)] {
        unstage(&served, &channel, volume, at);
    }
}

#[test]
fn a_site_without_vault_says_so() {
    let served = Served::start(1 << 30).unwrap();
    served.record(&vault_record(1));
    let channel = channel(&served);
    let said = create(&served, &channel, "one").unwrap_err();
    assert!(said.contains("this site has none: start its controller with --vault-address"), "{said}");
    assert!(served.disk.subvolumes().is_empty());
}

/// The VDC with keys in Vault.
fn vault_record(generation: u32) -> serde_json::Value {
    json!({"keyProvider": "Vault", "keyGeneration": generation})
}
