//! One request through a site's front door, as a browser would send it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;

/// What the front door answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub code: u16,
    /// The pod that answered, by its own word.
    pub pod: Option<String>,
    /// Title of the page.
    pub title: Option<String>,
}

/// Asks for `/` of a host at the gateway's forward on the loopback.
pub fn ask(port: u16, host: &str) -> anyhow::Result<Answer> {
    let mut stream =
        TcpStream::connect(("127.0.0.1", port)).context("the front door's forward does not answer")?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).context("the front door did not answer in time")?;
    let text = String::from_utf8_lossy(&bytes);
    let code =
        text.split_whitespace().nth(1).and_then(|c| c.parse().ok()).context("that is no HTTP answer")?;
    let header = |name: &str| {
        let line =
            text.lines().take_while(|l| !l.is_empty()).find(|l| l.to_ascii_lowercase().starts_with(name))?;
        line.split_once(':').map(|(_, v)| v.trim().to_owned())
    };
    let title = text
        .split_once("<title>")
        .and_then(|(_, rest)| rest.split_once("</title>"))
        .map(|(t, _)| t.to_owned());
    Ok(Answer { code, pod: header("x-yunting-pod:"), title })
}
