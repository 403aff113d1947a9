//! How nodes send points of volumes to each other, generated from `proto/`. Owns nothing else.

/// `yunting.replication.v1`. Described in `proto/replication.proto`.
// Generated code follows no house style.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod v1 {
    tonic::include_proto!("yunting.replication.v1");
}
