//! What kubelet and sidecars speak with: the three services of CSI on one socket. Checks what is asked and translates;
//! what is done is in `driver`.
//!
//! The kubelet is told of the driver by a registrar beside it: it calls registrars with the socket's path as host, which
//! HTTP/2 servers outside Go refuse (kubernetes/kubernetes#109081).

mod controller;
mod identity;
mod node;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::Status;
use tonic::transport::Server;
use yunting_csi::csi::controller_server::ControllerServer;
use yunting_csi::csi::identity_server::IdentityServer;
use yunting_csi::csi::node_server::NodeServer;
use yunting_csi::csi::volume_capability::access_mode::Mode;
use yunting_csi::csi::volume_capability::{AccessMode, AccessType, MountVolume};
use yunting_csi::csi::{CapacityRange, VolumeCapability};

use super::driver::Driver;
use super::{DRIVER, store};

/// Key of the topology: a volume is on its node.
const TOPOLOGY: &str = "volumes.yunting.io/node";
/// Bytes of a volume for which no size is asked.
const DEFAULT_SIZE: u64 = 1 << 30;

/// Serves until it cannot, and keeps keys as they are wrapped anew meanwhile.
pub(super) async fn serve(driver: Arc<Driver>, kubelet: &Path) -> anyhow::Result<()> {
    let endpoint = kubelet.join("plugins").join(DRIVER).join("csi.sock");
    let services = Server::builder()
        .add_service(IdentityServer::new(identity::Identity))
        .add_service(ControllerServer::new(controller::Controller(driver.clone())))
        .add_service(NodeServer::new(node::Node(driver.clone())))
        .serve_with_incoming(listen(&endpoint)?);
    tokio::select! {
        served = services => served.context("the driver's socket"),
        () = driver.follow_keys() => Ok(()),
    }
}

/// For root alone: whoever speaks here mounts volumes.
fn listen(socket: &PathBuf) -> anyhow::Result<UnixListenerStream> {
    let at = || socket.display().to_string();
    if let Some(directory) = socket.parent() {
        fs::create_dir_all(directory).with_context(at)?;
    }
    // One of a process before this one.
    match fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(at),
        _ => (),
    }
    let listener = UnixListener::bind(socket).with_context(at)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600)).with_context(at)?;
    Ok(UnixListenerStream::new(listener))
}

/// Only file systems, only on one node at a time.
fn check(capability: Option<&VolumeCapability>) -> Result<(), Status> {
    let capability = capability.ok_or_else(|| missing("volume_capability"))?;
    match &capability.access_type {
        Some(AccessType::Mount(MountVolume { fs_type, mount_flags, .. })) => {
            if !fs_type.is_empty() {
                let text = format!("fsType {fs_type:?} cannot be chosen: leave it out of the StorageClass");
                return Err(Status::invalid_argument(text));
            }
            if !mount_flags.is_empty() {
                return Err(Status::invalid_argument("mountOptions are not taken: leave them out"));
            }
        }
        Some(AccessType::Block(_)) => {
            return Err(Status::invalid_argument("volumeMode: Block is not served; use Filesystem"));
        }
        None => return Err(missing("volume_capability.access_type")),
    }
    let mode = capability.access_mode.as_ref().map_or(Mode::Unknown, AccessMode::mode);
    match mode {
        Mode::SingleNodeWriter
        | Mode::SingleNodeReaderOnly
        | Mode::SingleNodeSingleWriter
        | Mode::SingleNodeMultiWriter => Ok(()),
        _ => Err(Status::invalid_argument(
            "a volume is on one node: accessModes ReadWriteOnce or ReadWriteOncePod",
        )),
    }
}

/// Bytes at least and at most.
fn bytes(range: Option<&CapacityRange>) -> Result<(u64, Option<u64>), Status> {
    let Some(range) = range else { return Ok((DEFAULT_SIZE, None)) };
    let of = |value: i64| {
        u64::try_from(value).map_err(|_| Status::invalid_argument(format!("{value} bytes are no size")))
    };
    let (least, most) = (of(range.required_bytes)?, Some(of(range.limit_bytes)?).filter(|most| *most > 0));
    let least = if least == 0 { most.unwrap_or(DEFAULT_SIZE).min(DEFAULT_SIZE) } else { least };
    if most.is_some_and(|most| least > most) {
        return Err(Status::out_of_range("capacity_range asks for more than it allows"));
    }
    Ok((least, most))
}

fn missing(field: &str) -> Status {
    Status::invalid_argument(format!("{field} is missing"))
}

/// What a volume or snapshot of that name is called here: Kubernetes' names are kept as they are, others, which the
/// interface allows as well, are not fit for objects and directories.
fn id(name: &str) -> Result<String, Status> {
    if given("name", name)?.len() > 128 {
        return Err(Status::invalid_argument("name is longer than 128 bytes"));
    }
    if store::name(name).is_ok() {
        return Ok(name.to_owned());
    }
    let hash = Sha256::digest(name);
    Ok(format!("named-{}", HEXLOWER.encode(hash.get(..16).unwrap_or_default())))
}

/// A field that has to be there.
fn given<'a>(field: &str, value: &'a str) -> Result<&'a str, Status> {
    if value.is_empty() { Err(missing(field)) } else { Ok(value) }
}

/// Bytes as the interface counts them.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_gets_a_place_of_its_own() {
        let longest = "A".repeat(128);
        for name in ["pvc-1", "Snapshot_1", "../../etc", &longest] {
            let id = id(name).unwrap();
            assert!(store::name(&id).is_ok(), "{name}: {id}");
        }
        assert_eq!(id("pvc-1").unwrap(), "pvc-1");
        assert_ne!(id("Snapshot_1").unwrap(), id("snapshot_1").unwrap());
        assert!(id("").is_err() && id(&"a".repeat(129)).is_err());
    }

    #[test]
    fn a_size_is_what_was_asked_or_one_that_fits() {
        let range = |required_bytes, limit_bytes| CapacityRange { required_bytes, limit_bytes };
        assert_eq!(bytes(None).unwrap(), (DEFAULT_SIZE, None));
        assert_eq!(bytes(Some(&range(5, 0))).unwrap(), (5, None));
        assert_eq!(bytes(Some(&range(0, 7))).unwrap(), (7, Some(7)));
        assert!(bytes(Some(&range(9, 7))).is_err() && bytes(Some(&range(-1, 0))).is_err());
    }
}
