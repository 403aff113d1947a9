//! What can go wrong in the lab, said as: what failed, on what, why, and what to do next.

use std::path::PathBuf;
use std::time::Duration;

/// The one result type of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can stop the lab.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine or the user lacks something the lab can't work without.
    #[error("{what}; {next}")]
    Unsuitable {
        /// What is missing.
        what: String,
        /// What to do about it.
        next: String,
    },
    /// A program ended with an error.
    #[error("could not {doing}: `{program}` ended with {status}{}", tail(stderr))]
    Command {
        /// What the lab was doing.
        doing: String,
        /// The command line.
        program: String,
        /// How it ended.
        status: String,
        /// What it said.
        stderr: String,
    },
    /// A file or socket operation failed.
    #[error("could not {doing} {}", path.display())]
    Io {
        /// What the lab was doing.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A Kubernetes API request failed.
    #[error("could not {doing}")]
    Kube {
        /// What the lab was doing.
        doing: String,
        /// Why it failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// A key or certificate could not be made.
    #[error("could not make the certificate {name}")]
    Certificate {
        /// The certificate's file name.
        name: String,
        /// Why it failed.
        #[source]
        source: rcgen::Error,
    },
    /// A condition did not come true in time.
    #[error("waited {} s for {what}, last seen: {last}; {next}", after.as_secs())]
    Timeout {
        /// The condition.
        what: String,
        /// How long it was waited for.
        after: Duration,
        /// What was seen last.
        last: String,
        /// Where to look.
        next: String,
    },
    /// A part of the lab with errors of its own failed.
    #[error("{what} failed")]
    Part {
        /// The part.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file of the lab can't be understood.
    #[error("{what} can't be used: {why}")]
    Malformed {
        /// The file or argument.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// For `map_err` on file operations.
    pub fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    /// For `map_err` on API requests.
    pub fn kube(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Kube { doing, source: Box::new(source) }
    }

    /// For `map_err` on parts with errors of their own.
    pub fn part<E: std::error::Error + Send + Sync + 'static>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Part { what, source: Box::new(source) }
    }

    /// For `map_err` on anything that parses.
    pub fn malformed<E: std::fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |why| Self::Malformed { what, why: why.to_string() }
    }
}

/// The last lines a program wrote, on lines of their own.
fn tail(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let start = lines.len().saturating_sub(12);
    if lines.is_empty() { String::new() } else { format!(":\n  {}", lines[start..].join("\n  ")) }
}
