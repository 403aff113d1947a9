//! Listens to every frame of the node's links for a while, and counts where a text is in the clear.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, RecvFlags, SocketType, eth, recv, socket};

/// What waits to be read.
const BUFFER: usize = 8 << 20;
/// Longest frame, with segments that the kernel has not cut yet.
const FRAME: usize = 128 << 10;
/// Frames that are read at once before others may run.
const AT_ONCE: usize = 4096;

/// Frames since it was opened.
pub(super) struct Wire {
    socket: OwnedFd,
    frame: Vec<u8>,
}

impl Wire {
    /// From now on; needs CAP_NET_RAW.
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket(AddressFamily::PACKET, SocketType::RAW, Some(eth::ALL))?;
        set_socket_recv_buffer_size(&socket, BUFFER)?;
        Ok(Self { socket, frame: vec![0; FRAME] })
    }

    /// Counts frames that hold a text, by the `rest` bytes that follow it.
    pub(super) fn count(
        &mut self,
        text: &[u8],
        rest: usize,
        found: &mut BTreeMap<Vec<u8>, u64>,
    ) -> io::Result<()> {
        for _ in 0..AT_ONCE {
            match recv(&self.socket, self.frame.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((length, _)) => {
                    let frame = self.frame.get(..length).unwrap_or_default();
                    for which in after(frame, text, rest) {
                        *found.entry(which).or_default() += 1;
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// What follows each place of a text in a frame.
fn after(frame: &[u8], text: &[u8], rest: usize) -> Vec<Vec<u8>> {
    let places = memchr::memmem::find_iter(frame, text);
    places.filter_map(|at| frame.get(at + text.len()..at + text.len() + rest)).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_it_is_in_a_frame() {
        assert_eq!(after(b"headerMARKER01trailer MARKER02", b"MARKER", 2), [b"01", b"02"]);
        assert!(after(b"headerMARKER0", b"MARKER", 2).is_empty());
        assert!(after(b"headerMARKE", b"MARKER", 2).is_empty());
    }
}
