//! The Container Storage Interface 1.13 and the kubelet's plugin registration, generated from their definitions in
//! `proto/`, which are kept as published. Owns nothing else.

/// `csi.v1`: what a cluster asks of a storage driver. Described in `proto/csi.proto`.
#[allow(clippy::all, missing_docs)]
pub mod csi {
    tonic::include_proto!("csi.v1");
}

/// How a driver makes itself known to the kubelet. Described in `proto/pluginregistration.proto`.
#[allow(clippy::all, missing_docs)]
pub mod registration {
    tonic::include_proto!("pluginregistration");
}
