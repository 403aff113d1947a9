//! What replication does to volumes of this node: makes a point of one, and makes one of a point.

use super::super::cipher;
use super::super::driver::Driver;
use super::super::error::Error;
use super::super::header::Header;
use super::super::store::name;
use super::disk::Disk;
use crate::keys::Place;
use yunting_crds::replication::Point;
use yunting_crds::volume_key::WrappedKey;

impl Driver {
    /// Makes a point of a volume, which may be in use unless it is to be closed; its uuid.
    pub(super) async fn point(
        &self,
        disk: &Disk,
        volume: &str,
        replication: &str,
        point: &str,
        closed: bool,
    ) -> Result<String, Error> {
        let volume = name(volume)?;
        let _turn = self.locks.take(volume).await;
        self.header(volume)?;
        if closed && cipher::is_open(&self.at(volume))? {
            return Err(Error::NotNow(format!(
                "volume {volume} is open, and its final point is made when it is closed: stop its pods"
            )));
        }
        disk.make(&self.store.place(volume), replication, point).await
    }

    /// Makes a volume of a point of a replica of the same name, or finds it made.
    pub(super) async fn activate(
        &self,
        disk: &Disk,
        volume: &str,
        vdc: &str,
        point: &Point,
        wrapped: &WrappedKey,
    ) -> Result<Header, Error> {
        let volume = name(volume)?;
        let _turn = self.locks.take(volume).await;
        let from = disk.received(volume, point);
        let source = Some(point.uuid.clone());
        if let Some(header) = self.store.find(volume)? {
            return if header.source == source { whose(header, vdc) } else { Err(taken(volume)) };
        }
        let header = whose(Header::read(&from)?, vdc)?;
        let fresh = self.store.begin_from(volume, &from).await?;
        let header = Header { volume: volume.to_owned(), wrapped: wrapped.clone(), source, ..header };
        self.store.finish(fresh, &header).await?;
        let place = Place { vdc: vdc.to_owned(), volume: volume.to_owned() };
        self.keys.kept(&place, wrapped).await?;
        tracing::info!(volume, sequence = point.sequence, "replica activated");
        Ok(header)
    }
}

/// What is here under that name is not what the replica became.
fn taken(volume: &str) -> Error {
    Error::Other(format!("a volume {volume} is on this node already: give the replica another name"))
}

/// What came from another site says itself whose it is.
fn whose(header: Header, vdc: &str) -> Result<Header, Error> {
    if header.vdc == vdc {
        return Ok(header);
    }
    let Header { volume, vdc: other, .. } = header;
    Err(Error::Other(format!("{volume} is a volume of VDC {other}, and a replica of VDC {vdc} has its name")))
}
