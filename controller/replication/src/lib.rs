//! What nodes of different sites say to each other: how they send points of volumes, and how they agree on a tunnel. Generated
//! from `proto/`. Owns nothing else.

/// `yunting.replication.v1`. Described in `proto/replication.proto`.
// Generated code follows no house style.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod v1 {
    tonic::include_proto!("yunting.replication.v1");
}

/// `yunting.tunnel.v1`. Described in `proto/tunnel.proto`.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod tunnel {
    tonic::include_proto!("yunting.tunnel.v1");
}
