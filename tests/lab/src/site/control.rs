//! The control socket of a site: one line of JSON asks, one line answers.
//!
//! It lies in the lab's state and works across network namespaces, so the host reaches a site that is cut off.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use super::process::Condition;
use crate::error::{Error, Result};
use crate::spec::SiteDir;

/// What the host asks of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do", content = "process")]
pub enum Request {
    /// Tell how every process is.
    Status,
    /// Let a process run.
    Start(String),
    /// End a process and keep it ended until the next start of the site.
    Stop(String),
    /// Stop a process with SIGSTOP: it keeps its connections and answers nothing.
    Pause(String),
    /// Let a paused process go on.
    Resume(String),
    /// Kill a process with SIGKILL; it is started again as after any crash.
    Kill(String),
}

/// What a site answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Why the request was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Every process of the site.
    pub processes: BTreeMap<String, Condition>,
}

/// Asks a site, from the host.
pub fn ask(dir: &SiteDir, request: &Request) -> Result<Answer> {
    let path = dir.control();
    let talk = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(&path)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    };
    let line = talk().map_err(Error::io("ask the site at", &path))?;
    let answer: Answer = serde_json::from_str(&line).map_err(Error::malformed("the site's answer"))?;
    match answer.error {
        Some(why) => Err(Error::Malformed { what: format!("{request:?}"), why }),
        None => Ok(answer),
    }
}
