//! How the kubelet finds the driver.

use std::path::PathBuf;

use tonic::{Request, Response, Status, async_trait};
use yunting_csi::registration::{
    InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse, registration_server,
};

use crate::node::volume::DRIVER;

/// The service.
pub(super) struct Registration {
    /// Where the driver listens.
    pub(super) endpoint: PathBuf,
}

#[async_trait]
impl registration_server::Registration for Registration {
    async fn get_info(&self, _: Request<InfoRequest>) -> Result<Response<PluginInfo>, Status> {
        Ok(Response::new(PluginInfo {
            r#type: "CSIPlugin".to_owned(),
            name: DRIVER.to_owned(),
            endpoint: self.endpoint.display().to_string(),
            supported_versions: vec!["1.0.0".to_owned()],
        }))
    }

    async fn notify_registration_status(
        &self,
        request: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        let told = request.into_inner();
        if told.plugin_registered {
            tracing::info!("the kubelet knows the driver");
        } else {
            tracing::error!(why = told.error, "the kubelet does not take the driver");
        }
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}
