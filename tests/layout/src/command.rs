//! Runs the tools that make disks and file systems, and says what they said when they fail.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// A command from words.
pub fn command<S: AsRef<std::ffi::OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Runs it to its end; its standard output without the last newline.
pub fn run(command: &mut Command) -> anyhow::Result<String> {
    feed(command, b"")
}

/// Runs it with `input` on its standard input.
pub fn feed(command: &mut Command, input: &[u8]) -> anyhow::Result<String> {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading says why itself.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().with_context(|| format!("cannot wait for {shown}"))?;
    let said = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    if !output.status.success() {
        bail!("{shown}: {}: {said} {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(said)
}
