//! Replicas of volumes at other sites: points of a volume go from its node to the node of its replica as they lie on the disk,
//! and one of them becomes a volume there when it is asked for.
//!
//! `sender` and `receiver` are the two ends, `service` and `tls` how they reach each other, `disk` what each keeps, `intake`
//! what becomes of a stream while it arrives, `check` what it may hold, `keep` and `tend` what the objects `VolumeReplication` and `VolumeReplica` ask for, `local` what
//! is done to volumes of this node, `room` what the site is told of this one.

pub mod check;
pub mod disk;
mod intake;
mod keep;
mod local;
pub mod receiver;
mod room;
pub mod sender;
pub mod service;
mod stream;
mod tend;
pub mod tls;

use std::net::SocketAddr;
use std::num::NonZeroU32;

/// How replicas are served.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who this machine is to other nodes.
    pub machine: tls::Machine,
    /// Where other nodes' points come in.
    pub listen: SocketAddr,
    /// Where nodes of other sites reach it, `<host or address>:<port>`.
    pub address: String,
    /// Bytes in a second that all volumes together may send.
    pub bytes_per_second: Option<NonZeroU32>,
}

pub(super) use keep::serve;
