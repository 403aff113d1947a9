//! `btrfs send` and `btrfs receive`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::super::error::Error;
use super::super::store::BTRFS;

/// Time for what has come to be on its way to the disk.
const RECEIVE: Duration = Duration::from_mins(30);
/// Longest text of a program that is kept.
const WORDS: u64 = 500;

/// Bytes that one end of a pipe may be ahead by; an unprivileged process may have as many.
const PIPE: usize = 1 << 20;

/// A stream that is being made.
pub struct Made {
    child: Child,
    out: ChildStdout,
    what: String,
}

impl Made {
    /// Of a read-only subvolume, as what differs from another one, or whole.
    pub fn begin(point: &Path, parent: Option<&Path>) -> Result<Self, Error> {
        let what = format!("send {}", point.display());
        let fail = |said: String| Error::Tool { what: what.clone(), program: BTRFS, said };
        let mut command = Command::new(BTRFS);
        command.args(["send", "-q", "--proto", "1"]);
        if let Some(parent) = parent {
            command.arg("-p").arg(parent);
        }
        command.arg(point).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().map_err(|e| fail(e.to_string()))?;
        let out = child.stdout.take().ok_or_else(|| fail("it has no output".to_owned()))?;
        // Where it is not given, the stream comes in smaller pieces.
        let _ = rustix::pipe::fcntl_setpipe_size(&out, PIPE);
        Ok(Self { child, out, what })
    }

    /// The next bytes, as many as fit; none at the end.
    pub async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.out.read(rest).await {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) => return Err(Error::file("read what is sent from", self.what.clone())(error)),
            }
        }
        Ok(filled)
    }

    /// Reads it to its end; how many bytes it has.
    pub async fn length(mut self) -> Result<u64, Error> {
        let (mut length, mut part) = (0, vec![0; 1 << 18]);
        loop {
            match self.read(&mut part).await? {
                0 => return self.end().await.map(|()| length),
                read => length += read as u64,
            }
        }
    }

    /// Whether it was made to its end: what was read of one that was not is worth nothing.
    pub async fn end(self) -> Result<(), Error> {
        let Self { child, out, what } = self;
        drop(out);
        let fail = |said: String| Error::Tool { what, program: BTRFS, said };
        let output = match child.wait_with_output().await {
            Ok(output) => output,
            Err(error) => return Err(fail(error.to_string())),
        };
        if output.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&output.stderr).trim().chars().take(500).collect();
        Err(fail(words))
    }
}

/// A subvolume that is being made from a stream.
pub struct Receiving {
    child: Child,
    /// Nothing: the stream has ended, or nobody takes it.
    input: Option<ChildStdin>,
    what: String,
}

impl Receiving {
    /// In a directory.
    pub fn begin(into: &Path) -> Result<Self, Error> {
        let what = format!("receive into {}", into.display());
        let fail = |said: String| Error::Tool { what: what.clone(), program: BTRFS, said };
        let mut command = Command::new(BTRFS);
        command.args(["receive", "-q", "-e"]).arg(into);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| fail(e.to_string()))?;
        let input = child.stdin.take();
        if let Some(input) = &input {
            let _ = rustix::pipe::fcntl_setpipe_size(input, PIPE);
        }
        Ok(Self { child, input, what })
    }

    /// The next bytes of the stream.
    pub async fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let taken = match &mut self.input {
            Some(input) => input.write_all(bytes).await.is_ok(),
            None => false,
        };
        if taken {
            return Ok(());
        }
        // Who ends before it has read everything says why.
        self.end().await?;
        Err(self.failed("it took no more".to_owned()))
    }

    /// That was all of it: whether the subvolume is made.
    pub async fn end(&mut self) -> Result<(), Error> {
        drop(self.input.take());
        let mut words = String::new();
        let Self { child, what: _, input: _ } = self;
        let said = child.stderr.take();
        let work = async {
            if let Some(said) = said {
                let _ = said.take(WORDS).read_to_string(&mut words).await;
            }
            child.wait().await
        };
        match tokio::time::timeout(RECEIVE, work).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) if words.trim().is_empty() => Err(self.failed(status.to_string())),
            Ok(Ok(_)) => Err(self.failed(words.trim().to_owned())),
            Ok(Err(error)) => Err(self.failed(error.to_string())),
            Err(_) => Err(self.failed(format!("it took longer than {RECEIVE:?} after all had come"))),
        }
    }

    /// It is not to be made.
    pub async fn give_up(&mut self) {
        // One that has ended cannot be ended.
        let _ = self.child.kill().await;
    }

    fn failed(&self, said: String) -> Error {
        Error::Tool { what: self.what.clone(), program: BTRFS, said }
    }
}
