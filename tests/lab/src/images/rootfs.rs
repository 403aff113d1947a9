//! A file system held in memory: what an image's one layer will contain.
//!
//! It keeps its entries sorted and knows neither owners nor times, so the same content always gives the
//! same bytes. It never touches the disk.

use std::collections::BTreeMap;
use std::io::Read;

use super::Error;

/// One entry of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory with its mode.
    Directory(u32),
    /// A regular file with its mode and content.
    File(u32, Vec<u8>),
    /// A symbolic link and where it points.
    Symlink(String),
}

/// A tree of files by absolute path without the leading slash.
#[derive(Debug, Default, Clone)]
pub struct Rootfs {
    nodes: BTreeMap<String, Node>,
}

impl Rootfs {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a directory with `mode`, and its parents where they are missing.
    #[must_use]
    pub fn directory(mut self, path: &str, mode: u32) -> Self {
        self.insert(path, Node::Directory(mode));
        self
    }

    /// Puts a file.
    #[must_use]
    pub fn file(mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        self.insert(path, Node::File(mode, content.into()));
        self
    }

    /// Puts a symbolic link.
    #[must_use]
    pub fn symlink(mut self, path: &str, target: &str) -> Self {
        self.insert(path, Node::Symlink(target.to_owned()));
        self
    }

    /// Puts any node, replacing what was there, and makes missing parents.
    pub fn insert(&mut self, path: &str, node: Node) {
        let path = normal(path);
        let mut parent = path.as_str();
        while let Some((head, _)) = parent.rsplit_once('/') {
            self.nodes.entry(head.to_owned()).or_insert(Node::Directory(0o755));
            parent = head;
        }
        self.nodes.insert(path, node);
    }

    /// Adds the entries of a tar stream that `wanted` accepts, by their path.
    pub fn add_tar(&mut self, stream: impl Read, wanted: impl Fn(&str) -> bool) -> Result<(), Error> {
        let mut archive = tar::Archive::new(stream);
        for entry in archive.entries().map_err(Error::ReadPackage)? {
            let mut entry = entry.map_err(Error::ReadPackage)?;
            let path = normal(&entry.path().map_err(Error::ReadPackage)?.to_string_lossy());
            if path.is_empty() || !wanted(&path) {
                continue;
            }
            if let Some(node) = read_node(&mut entry).map_err(Error::ReadPackage)? {
                self.insert(&path, node);
            }
        }
        Ok(())
    }

    /// The node at `path`, if any.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(&normal(path))
    }

    /// All entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Content of the file at `path`, following symbolic links inside the tree.
    pub fn read(&self, path: &str) -> Option<&[u8]> {
        let mut path = normal(path);
        for _ in 0..8 {
            match self.nodes.get(&path)? {
                Node::File(_, content) => return Some(content),
                Node::Directory(_) => return None,
                Node::Symlink(target) => path = resolve(&path, target),
            }
        }
        None
    }
}

/// Reads one tar entry; kinds an image has no use for (devices, hard links) are left out.
fn read_node(entry: &mut tar::Entry<'_, impl Read>) -> std::io::Result<Option<Node>> {
    let mode = if entry.header().mode()? & 0o111 == 0 { 0o644 } else { 0o755 };
    let kind = entry.header().entry_type();
    if kind.is_dir() {
        return Ok(Some(Node::Directory(0o755)));
    }
    if kind.is_symlink() {
        let target = entry.link_name()?.map(|target| target.to_string_lossy().into_owned());
        return Ok(target.map(Node::Symlink));
    }
    if !kind.is_file() {
        return Ok(None);
    }
    let mut content = Vec::new();
    entry.read_to_end(&mut content)?;
    Ok(Some(Node::File(mode, content)))
}

/// Path without leading `./` or `/` and without a trailing slash.
fn normal(path: &str) -> String {
    path.trim_start_matches("./").trim_matches('/').to_owned()
}

/// Where a link at `path` with `target` leads.
fn resolve(path: &str, target: &str) -> String {
    if target.starts_with('/') {
        return normal(target);
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_inside_the_tree() {
        let tree = Rootfs::new()
            .file("/usr/lib/libx.so.1.2", 0o644, *b"elf")
            .symlink("/usr/lib/libx.so.1", "libx.so.1.2")
            .symlink("/lib/libx.so", "../usr/lib/libx.so.1")
            .symlink("/loop", "loop");
        assert_eq!(tree.read("/lib/libx.so"), Some(b"elf".as_slice()));
        assert_eq!(tree.read("/loop"), None);
        assert_eq!(tree.get("usr"), Some(&Node::Directory(0o755)));
    }
}
