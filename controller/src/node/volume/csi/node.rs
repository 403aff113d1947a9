//! Volumes on their way into pods.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tonic::{Request, Response, Status, async_trait};
use yunting_csi::csi::node_service_capability::rpc::Type as Rpc;
use yunting_csi::csi::node_service_capability::{self, Type};
use yunting_csi::csi::volume_capability::access_mode::Mode;
use yunting_csi::csi::volume_usage::Unit;
use yunting_csi::csi::{
    NodeExpandVolumeRequest, NodeExpandVolumeResponse, NodeGetCapabilitiesRequest,
    NodeGetCapabilitiesResponse, NodeGetInfoRequest, NodeGetInfoResponse, NodeGetVolumeStatsRequest,
    NodeGetVolumeStatsResponse, NodePublishVolumeRequest, NodePublishVolumeResponse, NodeServiceCapability,
    NodeStageVolumeRequest, NodeStageVolumeResponse, NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse,
    NodeUnstageVolumeRequest, NodeUnstageVolumeResponse, Topology, VolumeUsage, node_server,
};

use super::{TOPOLOGY, bytes, check, given, signed};
use crate::node::volume::driver::{Driver, Filled, Shown};

/// The service.
pub(super) struct Node(pub(super) Arc<Driver>);

#[async_trait]
impl node_server::Node for Node {
    async fn node_stage_volume(
        &self,
        request: Request<NodeStageVolumeRequest>,
    ) -> Result<Response<NodeStageVolumeResponse>, Status> {
        let asked = request.into_inner();
        let volume = given("volume_id", &asked.volume_id)?;
        let staging = given("staging_target_path", &asked.staging_target_path)?;
        check(asked.volume_capability.as_ref())?;
        self.0.stage(volume, Path::new(staging)).await?;
        Ok(Response::new(NodeStageVolumeResponse {}))
    }

    async fn node_unstage_volume(
        &self,
        request: Request<NodeUnstageVolumeRequest>,
    ) -> Result<Response<NodeUnstageVolumeResponse>, Status> {
        let asked = request.into_inner();
        let volume = given("volume_id", &asked.volume_id)?;
        let staging = given("staging_target_path", &asked.staging_target_path)?;
        self.0.unstage(volume, Path::new(staging)).await?;
        Ok(Response::new(NodeUnstageVolumeResponse {}))
    }

    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Result<Response<NodePublishVolumeResponse>, Status> {
        let asked = request.into_inner();
        let volume = given("volume_id", &asked.volume_id)?;
        let staging = given("staging_target_path", &asked.staging_target_path)?;
        let target = given("target_path", &asked.target_path)?;
        check(asked.volume_capability.as_ref())?;
        let mode = asked.volume_capability.as_ref().and_then(|c| c.access_mode.as_ref());
        let shown = Shown {
            staging: Path::new(staging),
            target: Path::new(target),
            read_only: asked.readonly,
            alone: mode.is_some_and(|m| m.mode() == Mode::SingleNodeSingleWriter),
        };
        self.0.publish(volume, shown).await?;
        Ok(Response::new(NodePublishVolumeResponse {}))
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<NodeUnpublishVolumeRequest>,
    ) -> Result<Response<NodeUnpublishVolumeResponse>, Status> {
        let asked = request.into_inner();
        let volume = given("volume_id", &asked.volume_id)?;
        let target = given("target_path", &asked.target_path)?;
        self.0.unpublish(volume, Path::new(target)).await?;
        Ok(Response::new(NodeUnpublishVolumeResponse {}))
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<NodeGetVolumeStatsRequest>,
    ) -> Result<Response<NodeGetVolumeStatsResponse>, Status> {
        let asked = request.into_inner();
        let volume = given("volume_id", &asked.volume_id)?;
        let shown = given("volume_path", &asked.volume_path)?;
        let usage = self.0.usage(volume, Path::new(shown))?;
        let of = |filled: Filled, unit: Unit| VolumeUsage {
            available: signed(filled.free),
            total: signed(filled.total),
            used: signed(filled.used),
            unit: unit.into(),
        };
        let usage = vec![of(usage.bytes, Unit::Bytes), of(usage.inodes, Unit::Inodes)];
        Ok(Response::new(NodeGetVolumeStatsResponse { usage }))
    }

    async fn node_expand_volume(
        &self,
        request: Request<NodeExpandVolumeRequest>,
    ) -> Result<Response<NodeExpandVolumeResponse>, Status> {
        let asked = request.into_inner();
        let volume = given("volume_id", &asked.volume_id)?;
        given("volume_path", &asked.volume_path)?;
        let (least, most) = bytes(asked.capacity_range.as_ref())?;
        // Promised first: what cannot grow while it is in use grows when it is opened next.
        self.0.grow(volume, least, most).await?;
        let capacity_bytes = signed(self.0.fill(volume).await?);
        Ok(Response::new(NodeExpandVolumeResponse { capacity_bytes }))
    }

    async fn node_get_capabilities(
        &self,
        _: Request<NodeGetCapabilitiesRequest>,
    ) -> Result<Response<NodeGetCapabilitiesResponse>, Status> {
        let all =
            [Rpc::StageUnstageVolume, Rpc::GetVolumeStats, Rpc::ExpandVolume, Rpc::SingleNodeMultiWriter];
        let capability = |rpc: Rpc| NodeServiceCapability {
            r#type: Some(Type::Rpc(node_service_capability::Rpc { r#type: rpc.into() })),
        };
        Ok(Response::new(NodeGetCapabilitiesResponse { capabilities: all.map(capability).into() }))
    }

    async fn node_get_info(
        &self,
        _: Request<NodeGetInfoRequest>,
    ) -> Result<Response<NodeGetInfoResponse>, Status> {
        let node = self.0.node.clone();
        let segments = HashMap::from([(TOPOLOGY.to_owned(), node.clone())]);
        let accessible_topology = Some(Topology { segments });
        let info =
            NodeGetInfoResponse { node_id: node, accessible_topology, ..NodeGetInfoResponse::default() };
        Ok(Response::new(info))
    }
}
