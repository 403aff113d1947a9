//! The Container Storage Interface 1.13, generated from its definition in `proto/`, which is kept as published. Owns
//! nothing else.

/// `csi.v1`: what a cluster asks of a storage driver. Described in `proto/csi.proto`.
// Generated code follows no house style.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod csi {
    tonic::include_proto!("csi.v1");
}
