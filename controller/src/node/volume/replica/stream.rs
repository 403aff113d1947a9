//! `btrfs send` and `btrfs receive`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};

use super::super::error::Error;
use super::super::store::BTRFS;
use super::super::tool::{end_within, failed};

/// Time for a stream to be received: it is on the disk already, a terabyte takes less.
const RECEIVE: Duration = Duration::from_hours(6);

/// Bytes that `btrfs send` may be ahead by; an unprivileged process may have as many.
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

/// Makes a subvolume in a directory from a stream in a file.
pub async fn receive(file: &Path, into: &Path) -> Result<(), Error> {
    let what = format!("receive {}", file.display());
    let words = ["receive".as_ref(), "-q".as_ref(), "-e".as_ref(), "-f".as_ref(), file, into];
    let ended = end_within(RECEIVE, &what, BTRFS, words, &[]).await?;
    if ended.code == Some(0) { Ok(()) } else { Err(failed(&what, BTRFS, &ended)) }
}
