//! Writes an image as an OCI archive that `ctr images import` loads.
//!
//! One uncompressed layer, no times, no owners: the digest depends on the content alone and not on a
//! compressor's version. The format is small enough that writing it is shorter than driving umoci and skopeo.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Error;
use super::rootfs::{Node, Rootfs};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// How an image starts.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// First words of the command line.
    pub entrypoint: Vec<String>,
    /// The rest, which a pod may replace.
    pub command: Vec<String>,
    /// Environment as `NAME=value`.
    pub environment: Vec<String>,
    /// Numeric `uid:gid`, so that `runAsNonRoot` can be decided without reading the image.
    pub user: String,
    /// Signal that asks the program to stop; empty means SIGTERM.
    pub stop_signal: String,
}

/// An image: its name without tag, what it contains and how it starts.
#[derive(Debug, Clone)]
pub struct Image {
    /// For example `localhost/yunting-hall`.
    pub name: String,
    /// Its files.
    pub rootfs: Rootfs,
    /// Its start.
    pub start: Start,
}

/// An image laid out as blobs, ready to be written.
pub struct Packed {
    name: String,
    digest: String,
    manifest_size: usize,
    blobs: BTreeMap<String, Vec<u8>>,
}

impl Image {
    /// Lays the image out; pure.
    pub fn pack(&self) -> Result<Packed, Error> {
        let layer = layer(&self.rootfs).map_err(Error::WriteLayer)?;
        let layer_digest = digest(&layer);
        let config = self.config(&layer_digest).to_string().into_bytes();
        let config_digest = digest(&config);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config_digest, config.len()),
            "layers": [descriptor(LAYER, &layer_digest, layer.len())],
        })
        .to_string()
        .into_bytes();
        let digest = digest(&manifest);
        let manifest_size = manifest.len();
        let blobs =
            BTreeMap::from([(layer_digest, layer), (config_digest, config), (digest.clone(), manifest)]);
        Ok(Packed { name: self.name.clone(), digest, manifest_size, blobs })
    }

    fn config(&self, layer_digest: &str) -> Value {
        let start = &self.start;
        let mut config = json!({
            "Env": start.environment,
            "Entrypoint": start.entrypoint,
            "Cmd": start.command,
            "WorkingDir": "/",
        });
        if !start.user.is_empty() {
            config["User"] = json!(start.user);
        }
        if !start.stop_signal.is_empty() {
            config["StopSignal"] = json!(start.stop_signal);
        }
        json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": architecture(),
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "yunting-lab"}],
        })
    }
}

impl Packed {
    /// The reference a pod uses: `name@sha256:…`.
    pub fn reference(&self) -> String {
        format!("{}@{}", self.name, self.digest)
    }

    /// Writes the archive. The index names the image twice: an import records the names it finds there, and
    /// a reference by digest resolves only when it is recorded.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let mut archive = tar::Builder::new(Vec::new());
        let written = self.append_all(&mut archive).and_then(|()| archive.into_inner());
        let temporary = path.with_extension("partial");
        written
            .and_then(|bytes| std::fs::write(&temporary, bytes))
            .and_then(|()| std::fs::rename(&temporary, path))
            .map_err(|source| Error::WriteCache { path: path.to_owned(), source })
    }

    fn append_all(&self, archive: &mut tar::Builder<Vec<u8>>) -> std::io::Result<()> {
        append_file(archive, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append_file(archive, "index.json", 0o644, self.index().to_string().as_bytes())?;
        for (digest, blob) in &self.blobs {
            append_file(archive, &format!("blobs/{}", digest.replace(':', "/")), 0o644, blob)?;
        }
        Ok(())
    }

    fn index(&self) -> Value {
        let named = |name: String| {
            let mut entry = descriptor(MANIFEST, &self.digest, self.manifest_size);
            entry["platform"] = json!({"architecture": architecture(), "os": "linux"});
            entry["annotations"] = json!({"io.containerd.image.name": name});
            entry
        };
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [named(tagged(&self.name)), named(self.reference())],
        })
    }
}

/// The name an import records beside the digest.
pub fn tagged(name: &str) -> String {
    format!("{name}:lab")
}

/// SHA-256 in the form OCI uses.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)))
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

fn descriptor(media_type: &str, digest: &str, size: usize) -> Value {
    json!({"mediaType": media_type, "digest": digest, "size": size})
}

fn layer(rootfs: &Rootfs) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, node) in rootfs.iter() {
        match node {
            Node::Directory(mode) => {
                let mut header = header(tar::EntryType::Directory, *mode, 0);
                archive.append_data(&mut header, format!("{path}/"), std::io::empty())?;
            }
            Node::File(mode, content) => append_file(&mut archive, path, *mode, content)?,
            Node::Symlink(target) => {
                let mut header = header(tar::EntryType::Symlink, 0o777, 0);
                archive.append_link(&mut header, path, target)?;
            }
        }
    }
    archive.into_inner()
}

fn append_file(
    archive: &mut tar::Builder<Vec<u8>>,
    path: &str,
    mode: u32,
    content: &[u8],
) -> std::io::Result<()> {
    let mut header = header(tar::EntryType::Regular, mode, content.len() as u64);
    archive.append_data(&mut header, path, content)
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image {
            name: "localhost/x".into(),
            rootfs: Rootfs::new().file("/b", 0o755, *b"b").file("/a/c", 0o644, *b"c").symlink("/s", "b"),
            start: Start { entrypoint: vec!["/b".into()], user: "70:70".into(), ..Start::default() },
        }
    }

    #[test]
    fn the_same_content_gives_the_same_digest_whatever_the_order() {
        let mut other = image();
        other.rootfs = Rootfs::new().symlink("/s", "b").file("/a/c", 0o644, *b"c").file("/b", 0o755, *b"b");
        assert_eq!(image().pack().unwrap().reference(), other.pack().unwrap().reference());
        other.start.user = "71:71".into();
        assert_ne!(image().pack().unwrap().reference(), other.pack().unwrap().reference());
    }

    #[test]
    fn the_archive_names_the_image_by_tag_and_by_digest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.tar");
        let packed = image().pack().unwrap();
        packed.write(&path).unwrap();
        let mut archive = Rootfs::new();
        archive.add_tar(std::fs::File::open(&path).unwrap(), |_| true).unwrap();
        let index: Value = serde_json::from_slice(archive.read("index.json").unwrap()).unwrap();
        let name = |i: usize| index["manifests"][i]["annotations"]["io.containerd.image.name"].clone();
        assert_eq!(name(0), json!("localhost/x:lab"));
        assert_eq!(name(1), json!(packed.reference()));
        let blob = format!("blobs/{}", packed.digest.replace(':', "/"));
        assert_eq!(digest(archive.read(&blob).unwrap()), packed.digest);
    }
}
