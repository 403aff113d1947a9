//! Listens to every frame that comes by in a network namespace, and counts where a text is in the clear.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use memchr::memmem::Finder;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::net::{AddressFamily, RecvFlags, SocketType, eth, recv, socket};

use crate::netns::within;

/// Time between looks at whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// What waits to be read: a burst of a busy machine.
const BUFFER: usize = 128 << 20;
/// Longest frame, with segments that the kernel has not cut yet.
const FRAME: usize = 128 << 10;

/// What was heard.
#[derive(Debug, Clone, Copy, Default)]
pub struct Heard {
    /// Bytes of all frames.
    pub bytes: u64,
    /// Frames that held the text.
    pub found: u64,
}

/// Listens until it is asked what it heard.
pub struct Tap {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Heard>>,
}

impl Tap {
    /// Begins, for a text in a namespace.
    ///
    /// # Errors
    /// When the namespace cannot be entered or nothing can be heard there.
    pub fn start(netns: &Path, text: String) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let opened = within(netns, open)?.join().map_err(|_| anyhow!("the tap ended early"))??;
        let end = stop.clone();
        let thread = std::thread::spawn(move || listen(&opened, &text, &end));
        Ok(Self { stop, thread })
    }

    /// Ends, and says what was heard.
    ///
    /// # Errors
    /// When it could not listen to the end.
    pub fn heard(self) -> anyhow::Result<Heard> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the tap ended early"))?
    }
}

/// A socket stays in the namespace that it was made in.
fn open() -> anyhow::Result<OwnedFd> {
    let heard =
        socket(AddressFamily::PACKET, SocketType::RAW, Some(eth::ALL)).context("cannot listen to frames")?;
    set_socket_recv_buffer_size_force(&heard, BUFFER).context("no buffer for frames")?;
    Ok(heard)
}

fn listen(socket: &OwnedFd, text: &str, stop: &AtomicBool) -> anyhow::Result<Heard> {
    let (finder, mut frame, mut heard) = (Finder::new(text), vec![0; FRAME], Heard::default());
    loop {
        match recv(socket, frame.as_mut_slice(), RecvFlags::DONTWAIT) {
            Ok((_, length)) => {
                heard.bytes += u64::try_from(length)?;
                heard.found += u64::from(frame.get(..length).is_some_and(|f| finder.find(f).is_some()));
            }
            Err(Errno::AGAIN) if stop.load(Ordering::Relaxed) => return Ok(heard),
            Err(Errno::AGAIN) => {
                let wait = Timespec::try_from(LOOK)?;
                poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&wait))?;
            }
            Err(Errno::INTR) => (),
            Err(error) => return Err(error).context("listening to frames"),
        }
    }
}
