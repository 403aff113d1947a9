//! What kubelet and sidecars ask a driver of volumes, each with a connection of its own: a driver that died has another.

use std::path::Path;

use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use yunting_csi::csi::controller_client::ControllerClient;
use yunting_csi::csi::node_client::NodeClient;
use yunting_csi::csi::volume_capability::access_mode::Mode;
use yunting_csi::csi::volume_capability::{AccessMode, AccessType, MountVolume};
use yunting_csi::csi::volume_content_source::{SnapshotSource, Type};
use yunting_csi::csi::{
    CapacityRange, CreateSnapshotRequest, CreateVolumeRequest, DeleteSnapshotRequest, DeleteVolumeRequest,
    NodeStageVolumeRequest, NodeUnstageVolumeRequest, VolumeCapability, VolumeContentSource,
};

use super::served::{Served, namespace};

/// Size of every volume.
const SIZE: i64 = 32 << 20;

type Said<T> = Result<T, String>;

fn words(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

fn capability() -> VolumeCapability {
    VolumeCapability {
        access_type: Some(AccessType::Mount(MountVolume::default())),
        access_mode: Some(AccessMode { mode: Mode::SingleNodeWriter.into() }),
    }
}

impl Served {
    async fn channel(&self) -> Said<Channel> {
        let address = format!("unix://{}", self.node.csi_socket().display());
        Endpoint::try_from(address).unwrap().connect().await.map_err(|e| e.to_string())
    }

    async fn controller(&self) -> Said<ControllerClient<Channel>> {
        self.channel().await.map(ControllerClient::new)
    }

    async fn node(&self) -> Said<NodeClient<Channel>> {
        self.channel().await.map(NodeClient::new)
    }

    /// Makes a volume, of a snapshot where one is named.
    pub fn create(&self, name: &str, of: Option<&str>) -> Said<()> {
        let source = |id: &str| Type::Snapshot(SnapshotSource { snapshot_id: id.to_owned() });
        let asked = CreateVolumeRequest {
            name: name.to_owned(),
            capacity_range: Some(CapacityRange { required_bytes: SIZE, limit_bytes: 0 }),
            volume_capabilities: vec![capability()],
            parameters: [("csi.storage.k8s.io/pvc/namespace".to_owned(), namespace())].into(),
            volume_content_source: of.map(|id| VolumeContentSource { r#type: Some(source(id)) }),
            ..CreateVolumeRequest::default()
        };
        self.node.block_on(async {
            self.controller().await?.create_volume(asked).await.map(drop).map_err(|s| words(&s))
        })
    }

    pub fn delete(&self, volume: &str) -> Said<()> {
        let asked = DeleteVolumeRequest { volume_id: volume.to_owned(), ..Default::default() };
        self.node.block_on(async {
            self.controller().await?.delete_volume(asked).await.map(drop).map_err(|s| words(&s))
        })
    }

    /// Takes a snapshot; its name for the driver.
    pub fn snapshot(&self, volume: &str, name: &str) -> Said<String> {
        let asked = CreateSnapshotRequest {
            source_volume_id: volume.to_owned(),
            name: name.to_owned(),
            ..CreateSnapshotRequest::default()
        };
        self.node.block_on(async {
            let made = self.controller().await?.create_snapshot(asked).await.map_err(|s| words(&s))?;
            made.into_inner().snapshot.map(|s| s.snapshot_id).ok_or_else(|| "no snapshot".to_owned())
        })
    }

    pub fn delete_snapshot(&self, snapshot: &str) -> Said<()> {
        let asked = DeleteSnapshotRequest { snapshot_id: snapshot.to_owned(), ..Default::default() };
        self.node.block_on(async {
            self.controller().await?.delete_snapshot(asked).await.map(drop).map_err(|s| words(&s))
        })
    }

    pub fn stage(&self, volume: &str, at: &Path) -> Said<()> {
        let asked = NodeStageVolumeRequest {
            volume_id: volume.to_owned(),
            staging_target_path: at.display().to_string(),
            volume_capability: Some(capability()),
            ..NodeStageVolumeRequest::default()
        };
        self.node.block_on(async {
            self.node().await?.node_stage_volume(asked).await.map(drop).map_err(|s| words(&s))
        })
    }

    pub fn unstage(&self, volume: &str, at: &Path) -> Said<()> {
        let (volume_id, staging_target_path) = (volume.to_owned(), at.display().to_string());
        let asked = NodeUnstageVolumeRequest { volume_id, staging_target_path };
        self.node.block_on(async {
            self.node().await?.node_unstage_volume(asked).await.map(drop).map_err(|s| words(&s))
        })
    }
}
