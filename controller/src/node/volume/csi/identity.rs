//! Who the driver is.

use tonic::{Request, Response, Status, async_trait};
use yunting_csi::csi::identity_server;
use yunting_csi::csi::plugin_capability::{Service, Type, VolumeExpansion, service, volume_expansion};
use yunting_csi::csi::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest, GetPluginInfoResponse,
    PluginCapability, ProbeRequest, ProbeResponse,
};

use crate::node::volume::DRIVER;

/// The service.
pub(super) struct Identity;

#[async_trait]
impl identity_server::Identity for Identity {
    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        Ok(Response::new(GetPluginInfoResponse {
            name: DRIVER.to_owned(),
            vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..GetPluginInfoResponse::default()
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        let service = |service: service::Type| Type::Service(Service { r#type: service.into() });
        let online = Type::VolumeExpansion(VolumeExpansion { r#type: volume_expansion::Type::Online.into() });
        let all = [
            service(service::Type::ControllerService),
            service(service::Type::VolumeAccessibilityConstraints),
            online,
        ];
        let capabilities = all.map(|one| PluginCapability { r#type: Some(one) }).into();
        Ok(Response::new(GetPluginCapabilitiesResponse { capabilities }))
    }

    /// It listens only once it can work.
    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        Ok(Response::new(ProbeResponse { ready: Some(true) }))
    }
}
