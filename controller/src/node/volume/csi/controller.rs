//! Volumes that come and go. Every node serves its own, so the sidecars run on every node; growing is the node service's
//! alone, because a resizer would ask any node.

use std::collections::HashMap;
use std::sync::Arc;

use prost_types::Timestamp;
use tonic::{Request, Response, Status, async_trait};
use yunting_csi::csi::controller_service_capability::rpc::Type as Rpc;
use yunting_csi::csi::controller_service_capability::{self, Type};
use yunting_csi::csi::validate_volume_capabilities_response::Confirmed;
use yunting_csi::csi::{
    ControllerGetCapabilitiesRequest, ControllerGetCapabilitiesResponse, ControllerServiceCapability,
    CreateSnapshotRequest, CreateSnapshotResponse, CreateVolumeRequest, CreateVolumeResponse,
    DeleteSnapshotRequest, DeleteSnapshotResponse, DeleteVolumeRequest, DeleteVolumeResponse,
    GetCapacityRequest, GetCapacityResponse, Snapshot, Topology, ValidateVolumeCapabilitiesRequest,
    ValidateVolumeCapabilitiesResponse, Volume, VolumeContentSource, controller_server,
    volume_content_source,
};

use super::{TOPOLOGY, bytes, check, given, id, missing, signed};
use crate::node::volume::driver::{Driver, Source, Wanted};

/// Where the provisioner says which namespace a claim is in (`--extra-create-metadata`).
const NAMESPACE: &str = "csi.storage.k8s.io/pvc/namespace";

/// The service.
pub(super) struct Controller(pub(super) Arc<Driver>);

impl Controller {
    fn topology(&self) -> Topology {
        Topology { segments: HashMap::from([(TOPOLOGY.to_owned(), self.0.node.clone())]) }
    }

    /// What is asked for on another node is that node's.
    fn here(&self, asked: &CreateVolumeRequest) -> Result<(), Status> {
        let Some(where_) = &asked.accessibility_requirements else { return Ok(()) };
        let (own, asked) = (self.topology(), where_.requisite.iter().chain(&where_.preferred));
        let mut asked = asked.peekable();
        if asked.peek().is_none() || asked.any(|t| *t == own) {
            return Ok(());
        }
        Err(Status::resource_exhausted(format!("node {} is not among those that are asked for", self.0.node)))
    }
}

#[async_trait]
impl controller_server::Controller for Controller {
    async fn create_volume(
        &self,
        request: Request<CreateVolumeRequest>,
    ) -> Result<Response<CreateVolumeResponse>, Status> {
        let asked = request.into_inner();
        let volume = id(&asked.name)?;
        if asked.volume_capabilities.is_empty() {
            return Err(missing("volume_capabilities"));
        }
        asked.volume_capabilities.iter().try_for_each(|c| check(Some(c)))?;
        self.here(&asked)?;
        let content_source = asked.volume_content_source;
        let source = content_source.as_ref().map(source).transpose()?;
        let namespace = asked.parameters.get(NAMESPACE).cloned().ok_or_else(|| {
            Status::invalid_argument(format!(
                "parameter {NAMESPACE} is missing: start the provisioner with --extra-create-metadata"
            ))
        })?;
        let (least, most) = bytes(asked.capacity_range.as_ref())?;
        let header = self.0.create(&Wanted { volume, namespace, least, most, source }).await?;
        let volume = Volume {
            capacity_bytes: signed(header.size),
            volume_id: header.volume,
            accessible_topology: vec![self.topology()],
            content_source,
            ..Volume::default()
        };
        Ok(Response::new(CreateVolumeResponse { volume: Some(volume) }))
    }

    async fn delete_volume(
        &self,
        request: Request<DeleteVolumeRequest>,
    ) -> Result<Response<DeleteVolumeResponse>, Status> {
        let asked = request.into_inner();
        self.0.delete(given("volume_id", &asked.volume_id)?).await?;
        Ok(Response::new(DeleteVolumeResponse {}))
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<ValidateVolumeCapabilitiesRequest>,
    ) -> Result<Response<ValidateVolumeCapabilitiesResponse>, Status> {
        let asked = request.into_inner();
        self.0.header(given("volume_id", &asked.volume_id)?)?;
        if asked.volume_capabilities.is_empty() {
            return Err(missing("volume_capabilities"));
        }
        let refused = asked.volume_capabilities.iter().find_map(|c| check(Some(c)).err());
        let answer = match refused {
            Some(why) => {
                ValidateVolumeCapabilitiesResponse { confirmed: None, message: why.message().to_owned() }
            }
            None => ValidateVolumeCapabilitiesResponse {
                confirmed: Some(Confirmed {
                    volume_capabilities: asked.volume_capabilities,
                    ..Confirmed::default()
                }),
                message: String::new(),
            },
        };
        Ok(Response::new(answer))
    }

    async fn get_capacity(
        &self,
        request: Request<GetCapacityRequest>,
    ) -> Result<Response<GetCapacityResponse>, Status> {
        let elsewhere = request.into_inner().accessible_topology.is_some_and(|t| t != self.topology());
        let left = if elsewhere { 0 } else { signed(self.0.room()?.left()) };
        Ok(Response::new(GetCapacityResponse {
            available_capacity: left,
            maximum_volume_size: Some(left),
            minimum_volume_size: Some(1),
        }))
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<ControllerGetCapabilitiesRequest>,
    ) -> Result<Response<ControllerGetCapabilitiesResponse>, Status> {
        let all = [
            Rpc::CreateDeleteVolume,
            Rpc::GetCapacity,
            Rpc::CreateDeleteSnapshot,
            Rpc::CloneVolume,
            Rpc::SingleNodeMultiWriter,
        ];
        let capability = |rpc: Rpc| ControllerServiceCapability {
            r#type: Some(Type::Rpc(controller_service_capability::Rpc { r#type: rpc.into() })),
        };
        Ok(Response::new(ControllerGetCapabilitiesResponse { capabilities: all.map(capability).into() }))
    }

    async fn create_snapshot(
        &self,
        request: Request<CreateSnapshotRequest>,
    ) -> Result<Response<CreateSnapshotResponse>, Status> {
        let asked = request.into_inner();
        let (volume, snapshot_id) = (given("source_volume_id", &asked.source_volume_id)?, id(&asked.name)?);
        let made = self.0.snapshot(volume, &snapshot_id).await?;
        let snapshot = Snapshot {
            size_bytes: signed(made.size),
            snapshot_id,
            source_volume_id: made.volume,
            creation_time: Some(Timestamp { seconds: made.made.as_second(), nanos: 0 }),
            ready_to_use: true,
            ..Snapshot::default()
        };
        Ok(Response::new(CreateSnapshotResponse { snapshot: Some(snapshot) }))
    }

    async fn delete_snapshot(
        &self,
        request: Request<DeleteSnapshotRequest>,
    ) -> Result<Response<DeleteSnapshotResponse>, Status> {
        let asked = request.into_inner();
        self.0.delete_snapshot(given("snapshot_id", &asked.snapshot_id)?).await?;
        Ok(Response::new(DeleteSnapshotResponse {}))
    }
}

fn source(content: &VolumeContentSource) -> Result<Source, Status> {
    use volume_content_source::Type;
    match &content.r#type {
        Some(Type::Volume(volume)) => Ok(Source::Volume(given("volume_id", &volume.volume_id)?.to_owned())),
        Some(Type::Snapshot(s)) => Ok(Source::Snapshot(given("snapshot_id", &s.snapshot_id)?.to_owned())),
        None => Err(missing("volume_content_source.type")),
    }
}
