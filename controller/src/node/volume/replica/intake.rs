//! A stream that is arriving. It is kept in a file, so that what was cut off goes on where it was; and each command of it is
//! carried out as soon as it was looked through, in a directory of its own, while the next ones are on their way.
//!
//! Must never: give a point its place. That is the receiver's, when the whole stream has come and is what was sent.

use std::fs::File;
use std::io::Write as _;

use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio::sync::OwnedMutexGuard;
use tokio::task::block_in_place;

use super::super::error::Error;
use super::check::{Checker, Promised};
use super::disk::{StreamOf, full};
use super::receiver::Receiver;
use super::stream::Receiving;

/// Bytes that are read at once of what has arrived before.
const PIECE: usize = 1 << 18;

/// What has begun to arrive.
pub(super) struct Begun {
    /// Of which replica.
    pub name: String,
    /// From whom.
    pub peer: String,
    /// Which stream.
    pub of: StreamOf,
    /// Bytes that are here.
    pub length: u64,
    /// Bytes that it may have.
    pub longest: u64,
    /// Of those that are here.
    pub hash: Sha256,
}

/// A stream that is arriving.
pub struct Intake<'a> {
    receiver: &'a Receiver,
    begun: Begun,
    file: File,
    checker: Checker,
    receiving: Receiving,
    /// Nobody else sends to the replica meanwhile.
    _turn: OwnedMutexGuard<()>,
}

impl<'a> Intake<'a> {
    /// Goes on behind what has arrived, which is looked through and carried out first: of what was made of it before nothing is
    /// left.
    pub(super) async fn begin(
        receiver: &'a Receiver,
        begun: Begun,
        file: File,
        turn: OwnedMutexGuard<()>,
    ) -> Result<Self, Error> {
        let StreamOf { point, parent } = &begun.of;
        let parent = Some(parent.clone()).filter(|p| !p.is_empty());
        let promised = Promised { name: point.name(), uuid: point.uuid.clone(), parent };
        let incoming = receiver.disk.incoming(&begun.name).await?;
        let receiving = Receiving::begin(&incoming)?;
        let checker = Checker::new(promised);
        let mut intake = Self { receiver, begun, file, checker, receiving, _turn: turn };
        if intake.begun.length > 0 {
            let again = intake.again().await;
            intake.unless_worthless(again).await?;
        }
        Ok(intake)
    }

    async fn again(&mut self) -> Result<(), Error> {
        let place = self.receiver.disk.stream(&self.begun.name);
        let opened = tokio::fs::File::open(&place).await;
        let mut from = opened.map_err(Error::file("open", &place))?.take(self.begun.length);
        let mut piece = vec![0; PIECE];
        loop {
            let read = from.read(&mut piece).await.map_err(Error::file("read", &place))?;
            if read == 0 {
                return Ok(());
            }
            self.carry_out(piece.get(..read).unwrap_or_default()).await?;
        }
    }

    /// Takes the next bytes.
    pub async fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        // A disk that is busy may take its time, in which others of this process go on.
        let taken = match block_in_place(|| self.keep(bytes)) {
            Ok(()) => self.carry_out(bytes).await,
            Err(error) => Err(error),
        };
        self.unless_worthless(taken).await
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Begun { name, length, longest, hash, .. } = &mut self.begun;
        let place = self.receiver.disk.stream(name);
        if full(&place)? {
            return Err(Error::NoRoom(format!(
                "the volume disk is full; what has arrived of {name} is given up"
            )));
        }
        *length += bytes.len() as u64;
        if length > longest {
            return Err(Error::Damaged(format!(
                "a point of {name} is longer than a volume of its size can be; what has arrived is given up"
            )));
        }
        self.file.write_all(bytes).map_err(Error::file("write", place))?;
        hash.update(bytes);
        Ok(())
    }

    async fn carry_out(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let whole = self.checker.take(bytes).map_err(|why| none(&self.begun.name, &why))?;
        self.receiving.put(&whole).await
    }

    /// All has come: makes the point of it. What is not what was sent, or not what was agreed on, is given up.
    pub async fn end(mut self, length: u64, digest: &[u8]) -> Result<(), Error> {
        let made = self.make(length, digest).await;
        self.unless_worthless(made).await
    }

    async fn make(&mut self, length: u64, digest: &[u8]) -> Result<(), Error> {
        // The file is not brought to the disk: what a power cut leaves of it is hashed before anything is sent behind it.
        let Begun { name, peer, of, length: arrived, hash, .. } = &mut self.begun;
        if *arrived != length || hash.finalize_reset().as_slice() != digest {
            return Err(Error::Damaged(format!(
                "{arrived} bytes of a point of {name} have arrived, and they are not the {length} that were sent; they are given up"
            )));
        }
        self.checker.end().map_err(|why| none(name, &why))?;
        self.receiving.end().await?;
        self.receiver.settle(peer, name, of).await
    }

    /// Nothing more comes. What has arrived stays for the next try; what was made of it would be in others' way until then.
    pub async fn cut(mut self) -> Result<(), Error> {
        self.clear().await
    }

    async fn clear(&mut self) -> Result<(), Error> {
        self.receiving.give_up().await;
        self.receiver.disk.clear_incoming(&self.begun.name).await
    }

    /// The same again would end the same, or what is here is in others' way: nothing of it is kept.
    async fn unless_worthless(&mut self, done: Result<(), Error>) -> Result<(), Error> {
        if matches!(done, Err(Error::Damaged(_) | Error::Tool { .. } | Error::NoRoom(_))) {
            self.receiver.disk.end_stream(&self.begun.name)?;
            self.clear().await?;
        }
        done
    }
}

fn none(name: &str, why: &str) -> Error {
    Error::Damaged(format!("what was sent as a point of {name} is none: {why}"))
}
