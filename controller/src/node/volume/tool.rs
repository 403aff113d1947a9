//! Programs of the node: btrfs-progs, e2fsprogs, losetup and xfs_io. Secrets go to their standard input, never into arguments.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::error::Error;

/// Time for one call. A subvolume is made, snapshot and removed in milliseconds.
const LIMIT: Duration = Duration::from_mins(1);
/// Longest text of a program that is kept.
const WORDS: usize = 500;

/// A call that ended, whatever it said.
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) words: String,
}

/// Runs it to its end and wants it to end well; what it printed.
pub(super) async fn run<S: AsRef<OsStr>>(
    what: &str,
    program: &'static str,
    arguments: impl IntoIterator<Item = S>,
) -> Result<String, Error> {
    let ended = end(what, program, arguments, &[]).await?;
    match ended.code {
        Some(0) => Ok(ended.out),
        _ => Err(failed(what, program, &ended)),
    }
}

/// The error of a call that ended badly.
pub(super) fn failed(what: &str, program: &'static str, ended: &Ended) -> Error {
    let how = || ended.code.map_or_else(|| "was killed".to_owned(), |code| format!("ended with {code}"));
    let said = if ended.words.is_empty() { how() } else { ended.words.clone() };
    Error::Tool { what: what.to_owned(), program, said }
}

/// Runs it to its end with `input` at its standard input.
pub(super) async fn end<S: AsRef<OsStr>>(
    what: &str,
    program: &'static str,
    arguments: impl IntoIterator<Item = S>,
    input: &[u8],
) -> Result<Ended, Error> {
    end_within(LIMIT, what, program, arguments, input).await
}

/// The same, for what may take longer.
pub(super) async fn end_within<S: AsRef<OsStr>>(
    limit: Duration,
    what: &str,
    program: &'static str,
    arguments: impl IntoIterator<Item = S>,
    input: &[u8],
) -> Result<Ended, Error> {
    let fail = |said: String| Error::Tool { what: what.to_owned(), program, said };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| fail(e.to_string()))?;
    let stdin = child.stdin.take();
    let work = async {
        if let Some(mut stdin) = stdin {
            // Who ends before it has read everything says why.
            let _ = stdin.write_all(input).await;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(limit, work).await;
    let output = output.map_err(|_| fail(format!("took longer than {limit:?}")))?;
    let output = output.map_err(|e| fail(e.to_string()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let words: String = text(&output.stderr).chars().take(WORDS).collect();
    Ok(Ended { code: output.status.code(), out: text(&output.stdout), words })
}
