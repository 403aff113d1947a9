//! Bodies of answers: whole, cut off, stopped, or the events of a watch.

use std::io;

use futures::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use tokio::sync::mpsc;

/// What may go wrong below HTTP.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A body on its way to the process.
pub(crate) type Out = UnsyncBoxBody<Bytes, io::Error>;

/// All of it.
pub(crate) fn whole(bytes: Bytes) -> Out {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// Half of it, then the connection breaks.
pub(crate) fn cut_off(bytes: &Bytes) -> Out {
    let half = bytes.slice(..bytes.len() / 2);
    let broken =
        futures::stream::iter([Ok(Frame::data(half)), Err(io::Error::other("cut off by the proxy"))]);
    StreamBody::new(broken).boxed_unsync()
}

/// Half of it, then nothing, for ever.
pub(crate) fn stopped(bytes: &Bytes) -> Out {
    let half = bytes.slice(..bytes.len() / 2);
    let first = futures::stream::once(std::future::ready(Ok(Frame::data(half))));
    StreamBody::new(first.chain(futures::stream::pending())).boxed_unsync()
}

/// What comes through a channel, until its sender goes.
pub(crate) fn channel(mut receiver: mpsc::Receiver<io::Result<Bytes>>) -> Out {
    let stream = futures::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    StreamBody::new(stream.map(|part| part.map(Frame::data))).boxed_unsync()
}

/// Cuts a stream of bytes into lines.
#[derive(Default)]
pub(crate) struct Lines(Vec<u8>);

impl Lines {
    /// The lines that are complete now, without their ends.
    pub(crate) fn push(&mut self, part: &[u8]) -> Vec<String> {
        self.0.extend_from_slice(part);
        let mut lines = Vec::new();
        while let Some(end) = self.0.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.0.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_the_bytes_come() {
        let mut lines = Lines::default();
        assert!(lines.push(b"{\"a\":").is_empty());
        assert_eq!(lines.push(b"1}\n{}\n{"), ["{\"a\":1}", "{}"]);
        assert_eq!(lines.push(b"}\n"), ["{}"]);
    }
}
