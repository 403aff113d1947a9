//! Running other programs and reading what they say.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::error::{Error, Result};

/// Runs a program to its end and gives what it wrote to standard output.
pub fn run<S: AsRef<OsStr>>(doing: &str, program: &str, args: impl IntoIterator<Item = S>) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args);
    output(doing, command)
}

/// Runs a prepared command to its end and gives what it wrote to standard output.
pub fn output(doing: &str, mut command: Command) -> Result<String> {
    let line = line(&command);
    let out = command.stdin(Stdio::null()).output().map_err(|e| not_started(doing, &line, &e))?;
    finished(doing, line, &out)
}

/// Runs a prepared command that reads `input`.
pub fn feed(doing: &str, mut command: Command, input: &str) -> Result<String> {
    let line = line(&command);
    let failed = |e: &std::io::Error| not_started(doing, &line, e);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| failed(&e))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(|e| failed(&e))?;
    }
    let out = child.wait_with_output().map_err(|e| failed(&e))?;
    finished(doing, line, &out)
}

/// Whether a program of that name can be started.
pub fn present(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(program).is_file())
}

fn finished(doing: &str, program: String, out: &Output) -> Result<String> {
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let mut stderr = String::from_utf8_lossy(&out.stdout).into_owned();
    stderr.push_str(&String::from_utf8_lossy(&out.stderr));
    Err(Error::Command { doing: doing.into(), program, status: out.status.to_string(), stderr })
}

fn not_started(doing: &str, program: &str, error: &std::io::Error) -> Error {
    Error::Command {
        doing: doing.into(),
        program: program.into(),
        status: format!("no start: {error}"),
        stderr: String::new(),
    }
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
