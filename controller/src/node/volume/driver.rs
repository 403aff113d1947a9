//! The life of a volume on its node. Every step can be asked for again, after any crash, and ends the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use rustix::fs::statvfs;
use yunting_crds::SliceRecord;
use yunting_crds::names::{NamespaceName, VdcName, site_namespace};
use yunting_crds::volume_key::WrappedKey;

use super::error::Error;
use super::header::Header;
use super::keys::Keys;
use super::locks::Locks;
use super::store::{Room, Store, name};
use super::{cipher, mounts};
use crate::cache::Cache;
use crate::keys::Place;

/// Serves one node's volumes.
pub(super) struct Driver {
    pub(super) node: String,
    /// Where volumes are open, one directory each.
    pub(super) open: PathBuf,
    records: Cache<SliceRecord>,
    pub(super) store: Arc<Store>,
    pub(super) keys: Keys,
    pub(super) locks: Arc<Locks>,
}

/// A volume that is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) volume: String,
    /// Namespace of the claim: whose it is decides whose key it gets.
    pub(super) namespace: String,
    /// Bytes at least.
    pub(super) least: u64,
    /// Bytes at most; nothing: no bound.
    pub(super) most: Option<u64>,
    /// What it begins with; nothing: it is empty.
    pub(super) source: Option<Source>,
}

/// What a volume is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// Another volume of the same VDC, which may be in use.
    Volume(String),
    /// A snapshot of such a one.
    Snapshot(String),
}

/// How a volume is shown to a pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) staging: &'a Path,
    pub(super) target: &'a Path,
    pub(super) read_only: bool,
    /// To no other pod at the same time.
    pub(super) alone: bool,
}

/// A snapshot.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) volume: String,
    pub(super) size: u64,
    pub(super) made: Timestamp,
}

/// How full a volume is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) bytes: Filled,
    pub(super) inodes: Filled,
}

/// How much there is of something, and how much of it is taken and free.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filled {
    pub(super) total: u64,
    pub(super) used: u64,
    pub(super) free: u64,
}

impl Driver {
    pub(super) fn new(
        node: &str,
        open: PathBuf,
        records: Cache<SliceRecord>,
        store: Arc<Store>,
        keys: Keys,
    ) -> Self {
        Self { node: node.to_owned(), open, records, store, keys, locks: Arc::default() }
    }

    /// Clears away what a process before this one did not finish, and says of each volume how it keeps its key.
    pub(super) async fn tidy(&self) -> Result<(), Error> {
        self.store.tidy().await?;
        for header in self.store.all()?.into_iter().chain(self.store.snapshots()?) {
            let place = Place { vdc: header.vdc, volume: header.volume };
            self.keys.kept(&place, &header.wrapped).await?;
        }
        // Nothing is being made yet, so what has no place on the disk never came to be, or is gone. One whose header is
        // damaged has a place, and its key is kept.
        for asked in self.keys.all() {
            if !self.store.has(&asked.name_any()) {
                self.keys.forget(&asked.name_any()).await?;
            }
        }
        Ok(())
    }

    pub(super) fn at(&self, volume: &str) -> PathBuf {
        self.open.join(volume)
    }

    /// Room of the disk.
    pub(super) fn room(&self) -> Result<Room, Error> {
        self.store.room()
    }

    /// Makes a volume, or finds it made.
    pub(super) async fn create(&self, wanted: &Wanted) -> Result<Header, Error> {
        let volume = name(&wanted.volume)?;
        let vdc = self.vdc(&wanted.namespace)?;
        let _turn = self.locks.take(volume).await;
        if let Some(header) = self.store.find(volume)? {
            let header = same(header, &vdc, wanted)?;
            let place = Place { vdc, volume: header.volume.clone() };
            self.keys.kept(&place, &header.wrapped).await?;
            return Ok(header);
        }
        let source = wanted.source.as_ref().map(|source| self.source(source, &vdc)).transpose()?;
        let size = wanted.least.max(source.as_ref().map_or(0, |(_, header)| header.size));
        if wanted.most.is_some_and(|most| size > most) {
            return Err(Error::Invalid(format!(
                "what volume {volume} is made from has {size} bytes already"
            )));
        }
        // Two that are made at once must not be promised the same room.
        let _room = self.store.promising().await;
        let left = self.store.room()?.left();
        if size > left {
            return Err(Error::NoRoom(format!(
                "node {} has room for a volume of {left} bytes, and {size} are asked for",
                self.node
            )));
        }
        let place = Place { vdc: vdc.clone(), volume: volume.to_owned() };
        // A volume made from another has that one's data key, wrapped for itself.
        let known = source.as_ref().map(|(_, header)| (&header.wrapped, Some(header.volume.as_str())));
        let (_, wrapped) = self.keys.get(&place, known).await?;
        let fresh = if let Some((place, _)) = &source {
            let fresh = self.store.begin_from(volume, place).await?;
            cipher::grow_image(&fresh.place, size)?;
            fresh
        } else {
            let fresh = self.store.begin(volume).await?;
            cipher::create(volume, &fresh.place, size).await?;
            fresh
        };
        let source = source.map(|(_, header)| header.volume);
        let header =
            Header { version: cipher::VERSION, volume: volume.to_owned(), vdc, size, wrapped, source };
        self.store.finish(fresh, &header).await?;
        self.keys.kept(&place, &header.wrapped).await?;
        tracing::info!(volume, vdc = header.vdc, bytes = header.size, "volume made");
        Ok(header)
    }

    /// Subvolume and header of what a volume is made from. Nothing of one VDC gets into another.
    fn source(&self, source: &Source, vdc: &str) -> Result<(PathBuf, Header), Error> {
        let (place, found, what) = match source {
            Source::Volume(n) => (self.store.place(name(n)?), self.store.find(n)?, format!("volume {n}")),
            Source::Snapshot(n) => {
                (self.store.content(name(n)?), self.store.find_snapshot(n)?, format!("snapshot {n}"))
            }
        };
        let header = found.ok_or_else(|| Error::Missing(format!("{what} is not on node {}", self.node)))?;
        if header.vdc == vdc {
            return Ok((place, header));
        }
        Err(Error::Invalid(format!("{what} belongs to VDC {}, and the claim to VDC {vdc}", header.vdc)))
    }

    /// Makes a snapshot of a volume, or finds it made. A pod may write meanwhile: what it has synced is in it.
    pub(super) async fn snapshot(&self, volume: &str, snapshot: &str) -> Result<Snapshot, Error> {
        let (volume, snapshot) = (name(volume)?, name(snapshot)?);
        let _turn = self.locks.take(volume).await;
        if self.store.find_snapshot(snapshot)?.is_none() {
            let header = self.header(volume)?;
            let _room = self.store.promising().await;
            // What it keeps counts once; a new volume counts twice.
            let left = self.store.room()?.left().saturating_mul(2);
            if header.size > left {
                return Err(Error::NoRoom(format!(
                    "node {} has room for a snapshot of {left} bytes, and volume {volume} has {}",
                    self.node, header.size
                )));
            }
            // A snapshot may outlive its volume, and keys are wrapped anew: it has its data key wrapped for itself.
            let place = Place { vdc: header.vdc.clone(), volume: snapshot.to_owned() };
            let (_, wrapped) = self.keys.get(&place, Some((&header.wrapped, Some(volume)))).await?;
            let own =
                Header { volume: snapshot.to_owned(), source: Some(volume.to_owned()), wrapped, ..header };
            self.store.snapshot(volume, &own).await?;
            self.keys.kept(&place, &own.wrapped).await?;
            tracing::info!(volume, snapshot, "snapshot made");
        }
        let missing = || Error::Missing(format!("snapshot {snapshot} is gone again"));
        let found = self.store.find_snapshot(snapshot)?.ok_or_else(missing)?;
        match found.source {
            Some(source) if source == volume => {
                Ok(Snapshot { volume: source, size: found.size, made: self.store.made(snapshot).await? })
            }
            other => Err(Error::Other(format!("snapshot {snapshot} is one of volume {other:?}"))),
        }
    }

    /// Removes a snapshot. What is not there is removed.
    pub(super) async fn delete_snapshot(&self, snapshot: &str) -> Result<(), Error> {
        let snapshot = name(snapshot)?;
        self.store.remove_snapshot(snapshot).await?;
        self.keys.forget(snapshot).await
    }

    /// The VDC that a namespace of the site belongs to.
    fn vdc(&self, namespace: &str) -> Result<String, Error> {
        let owner = |record: &SliceRecord| {
            let slice = record.spec.vdc.as_ref().filter(|_| !record.spec.absent())?;
            let vdc = VdcName::new(&slice.source.name).ok()?;
            let own = slice.namespaces.iter().any(|n| {
                let name = NamespaceName::new(&n.name);
                name.is_ok_and(|name| site_namespace(&vdc, &name, &slice.source.uid) == namespace)
            });
            own.then(|| slice.source.uid.clone())
        };
        self.records.all().iter().find_map(|record| owner(record)).ok_or_else(|| {
            Error::Invalid(format!(
                "namespace {namespace} belongs to no VDC of this site: volumes of {} are a VDC's",
                super::DRIVER
            ))
        })
    }

    /// Opens a volume and shows it at `staging`.
    pub(super) async fn stage(&self, volume: &str, staging: &Path) -> Result<(), Error> {
        let volume = name(volume)?;
        let _turn = self.locks.take(volume).await;
        let header = self.header(volume)?;
        let (subvolume, at) = (self.store.place(volume), self.at(volume));
        if !cipher::is_open(&at)? {
            // What shows a volume that was closed shows nothing of the one that is opened.
            mounts::take_away(staging)?;
            let place = Place { vdc: header.vdc.clone(), volume: volume.to_owned() };
            let (key, wrapped) = self.keys.get(&place, Some((&header.wrapped, None))).await?;
            cipher::grow_image(&subvolume, header.size)?;
            cipher::open(volume, &subvolume, &key, &at).await?;
            self.keep(header, &place, wrapped).await?;
            tracing::info!(volume, "volume opened");
        }
        mounts::bind(&cipher::data(&at), staging, false)
    }

    /// The volume keeps its key as the site wraps it now.
    async fn keep(&self, header: Header, place: &Place, wrapped: WrappedKey) -> Result<(), Error> {
        if header.wrapped != wrapped {
            let header = Header { wrapped: wrapped.clone(), ..header };
            let (volume, snapshot) =
                (self.store.place(&header.volume), self.store.snapshot_place(&header.volume));
            header.write(if volume.exists() { &volume } else { &snapshot })?;
        }
        self.keys.kept(place, &wrapped).await
    }

    /// Closes a volume: the clear text is gone from this node.
    pub(super) async fn unstage(&self, volume: &str, staging: &Path) -> Result<(), Error> {
        let volume = name(volume)?;
        let _turn = self.locks.take(volume).await;
        mounts::take_away(staging)?;
        cipher::trim(volume, &self.at(volume)).await;
        cipher::close_probed(&self.at(volume)).await?;
        tracing::info!(volume, "volume closed");
        Ok(())
    }

    /// Shows an open volume to a pod.
    pub(super) async fn publish(&self, volume: &str, shown: Shown<'_>) -> Result<(), Error> {
        let volume = name(volume)?;
        let _turn = self.locks.take(volume).await;
        let Shown { staging, target, read_only, alone } = shown;
        let Some(staged) = mounts::at(staging)? else {
            return Err(Error::NotNow(format!("volume {volume} is not staged at {}", staging.display())));
        };
        let own = [staging, target, &self.at(volume)];
        let mut others = mounts::all()?.into_iter().filter(|m| m.source == staged.source);
        if let Some(other) = others.find(|m| alone && !own.contains(&m.at.as_path())) {
            let text =
                format!("volume {volume} is one pod's alone, and one has it at {}", other.at.display());
            return Err(Error::NotNow(text));
        }
        mounts::bind(staging, target, read_only)
    }

    /// Takes it from a pod.
    pub(super) async fn unpublish(&self, volume: &str, target: &Path) -> Result<(), Error> {
        let _turn = self.locks.take(name(volume)?).await;
        mounts::remove(target)
    }

    /// How full it is, as it is shown at a place.
    pub(super) fn usage(&self, volume: &str, shown: &Path) -> Result<Usage, Error> {
        self.header(name(volume)?)?;
        let at = self.at(volume);
        if !cipher::is_open(&at)? {
            return Err(Error::NotNow(format!("volume {volume} is not open on node {}", self.node)));
        }
        // What is asked for is what is there: another volume's numbers, or the node's own disk's, would be believed.
        let own = mounts::at(&at)?;
        let there = fs::canonicalize(shown).ok().map(|place| mounts::at(&place)).transpose()?.flatten();
        if there.is_none_or(|there| own.is_none_or(|own| there.source != own.source)) {
            return Err(Error::Missing(format!("volume {volume} is not at {}", shown.display())));
        }
        let seen = statvfs(&at).map_err(|e| Error::file("look at", &at)(e.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(seen.f_frsize);
        let used = seen.f_blocks.saturating_sub(seen.f_bfree);
        let taken = seen.f_files.saturating_sub(seen.f_ffree);
        Ok(Usage {
            bytes: Filled { total: bytes(seen.f_blocks), used: bytes(used), free: bytes(seen.f_bavail) },
            inodes: Filled { total: seen.f_files, used: taken, free: seen.f_favail },
        })
    }

    /// Lets an open volume fill the bytes it was given.
    pub(super) async fn fill(&self, volume: &str) -> Result<u64, Error> {
        let volume = name(volume)?;
        let _turn = self.locks.take(volume).await;
        let header = self.header(volume)?;
        if cipher::grow_open(volume, &self.at(volume)).await? {
            return Ok(header.size);
        }
        Err(Error::NotNow(format!(
            "volume {volume} grows to {} bytes when it is opened next: this node may not grow file systems that are in use (CAP_SYS_RESOURCE). Start its pod anew",
            header.size
        )))
    }

    /// Gives a volume more room; the bytes it has then.
    pub(super) async fn grow(&self, volume: &str, least: u64, most: Option<u64>) -> Result<u64, Error> {
        let volume = name(volume)?;
        let _turn = self.locks.take(volume).await;
        let header = self.header(volume)?;
        if least <= header.size {
            return Ok(header.size);
        }
        if most.is_some_and(|most| least > most) {
            return Err(Error::Invalid(format!(
                "at least {least} bytes and at most {most:?} cannot be both"
            )));
        }
        let _room = self.store.promising().await;
        let (more, left) = (least - header.size, self.store.room()?.left());
        if more > left {
            return Err(Error::NoRoom(format!(
                "volume {volume} is to have {more} bytes more, and node {} has room for {left}",
                self.node
            )));
        }
        // The promise is on the disk before the file is larger: it is counted from then.
        let subvolume = self.store.place(volume);
        Header { size: least, ..header }.write(&subvolume)?;
        cipher::grow_image(&subvolume, least)?;
        tracing::info!(volume, bytes = least, "volume grown");
        Ok(least)
    }

    /// Removes a volume that nobody uses. What is not there is removed.
    pub(super) async fn delete(&self, volume: &str) -> Result<(), Error> {
        let volume = name(volume)?;
        let _turn = self.locks.take(volume).await;
        if mounts::at(&self.at(volume))?.is_some() {
            return Err(Error::NotNow(format!("volume {volume} is in use on node {}", self.node)));
        }
        self.store.remove(volume).await?;
        self.keys.forget(volume).await?;
        tracing::info!(volume, "volume removed");
        Ok(())
    }

    /// The key of what is not here is not asked for any more.
    pub(super) async fn forget_unless_here(&self, volume: &str) -> Result<(), Error> {
        let volume = name(volume)?;
        let _turn = self.locks.take(volume).await;
        if self.store.has(volume) { Ok(()) } else { self.keys.forget(volume).await }
    }

    /// Whether the volume is here.
    pub(super) fn header(&self, volume: &str) -> Result<Header, Error> {
        let missing = || {
            if self.store.is_replica(volume) {
                return Error::NotNow(format!(
                    "volume {volume} is a replica on node {} and not activated: its site writes it",
                    self.node
                ));
            }
            Error::Missing(format!("volume {volume} is not on node {}", self.node))
        };
        self.store.find(volume)?.ok_or_else(missing)
    }

    /// Keeps data keys as the site wraps them anew, for ever. Nothing is mounted anew: the data key stays what it is.
    pub(super) async fn follow_keys(&self) {
        let mut changes = self.keys.follow();
        loop {
            changes.borrow_and_update();
            for asked in self.keys.all() {
                let answered = asked.status.as_ref().and_then(|s| s.wrapped.clone());
                let newer = answered.filter(|w| asked.spec.wrapped.as_ref().is_some_and(|s| s != w));
                let (Some(wrapped), None) = (newer, &asked.spec.recipient) else { continue };
                if let Err(error) = self.rewrapped(&asked.name_any(), wrapped).await {
                    tracing::warn!(
                        volume = asked.name_any(),
                        error = crate::error::chain(&error),
                        "a new wrap of a key was not kept"
                    );
                }
            }
            if changes.changed().await.is_err() {
                // The process is ending.
                return std::future::pending().await;
            }
        }
    }

    async fn rewrapped(&self, volume: &str, wrapped: WrappedKey) -> Result<(), Error> {
        let volume = name(volume)?;
        let _turn = self.locks.take(volume).await;
        let found =
            self.store.find(volume)?.map_or_else(|| self.store.find_snapshot(volume), |h| Ok(Some(h)))?;
        if found.is_none() && self.store.is_replica(volume) {
            // Kept with the replica, by who tends it.
            return Ok(());
        }
        let missing =
            || Error::Missing(format!("neither a volume nor a snapshot {volume} is on node {}", self.node));
        let header = found.ok_or_else(missing)?;
        let place = Place { vdc: header.vdc.clone(), volume: volume.to_owned() };
        tracing::info!(volume, generation = wrapped.generation, "the volume's key is wrapped anew");
        self.keep(header, &place, wrapped).await
    }
}

/// The volume that stands under a name, if it is what is wanted.
fn same(header: Header, vdc: &str, wanted: &Wanted) -> Result<Header, Error> {
    let fits = header.size >= wanted.least && wanted.most.is_none_or(|most| header.size <= most);
    if header.vdc == vdc && fits {
        return Ok(header);
    }
    Err(Error::Other(format!(
        "volume {} is here with {} bytes for VDC {}, and {} bytes for VDC {vdc} are asked for",
        header.volume, header.size, header.vdc, wanted.least
    )))
}
