//! Packets that carry the moment at which they were sent, so that a receiver knows which of them passed however late it
//! reads them.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use yunting_controller::node::gate::BootTime;

use super::world::World;

/// Port of the packets.
const PORT: u16 = 9999;
/// Pause between two packets.
const PAUSE: Duration = Duration::from_micros(300);
/// Time between looks of the receiver at whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    sent: AtomicU64,
    /// When the last one was sent.
    sent_last: AtomicU64,
    passed: AtomicU64,
    /// When the last one that passed was sent.
    passed_last: AtomicU64,
}

/// Packets on their way, all the time.
pub struct Flood {
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    /// From one namespace to an address in another.
    pub fn start(world: &World, from: &str, to: &str, address: std::net::Ipv4Addr) -> anyhow::Result<Self> {
        let counts = Arc::new(Counts::default());
        let (own, others) = (counts.clone(), counts.clone());
        let receiver = world.within(to, move || {
            let socket = UdpSocket::bind(("0.0.0.0", PORT)).unwrap();
            socket.set_read_timeout(Some(LOOK)).unwrap();
            let mut bytes = [0; 8];
            while !own.stop.load(Ordering::Acquire) {
                if socket.recv(&mut bytes).is_ok() {
                    own.passed.fetch_add(1, Ordering::AcqRel);
                    own.passed_last.fetch_max(u64::from_be_bytes(bytes), Ordering::AcqRel);
                }
            }
        })?;
        let to = SocketAddr::new(address.into(), PORT);
        let sender = world.within(from, move || {
            let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
            while !others.stop.load(Ordering::Acquire) {
                let now = BootTime::now().nanoseconds();
                // What the kernel does not take does not pass.
                let _ = socket.send_to(&now.to_be_bytes(), to);
                others.sent.fetch_add(1, Ordering::AcqRel);
                others.sent_last.store(now, Ordering::Release);
                std::thread::sleep(PAUSE);
            }
        })?;
        Ok(Self { counts, threads: vec![sender, receiver] })
    }

    /// Packets that passed so far.
    pub fn passed(&self) -> u64 {
        self.counts.passed.load(Ordering::Acquire)
    }

    /// When the last one that passed was sent.
    pub fn last(&self) -> BootTime {
        BootTime::from_nanoseconds(self.counts.passed_last.load(Ordering::Acquire))
    }

    /// Whether one was sent later than that, so that its not passing shows something.
    pub fn sent_after(&self, moment: BootTime) -> bool {
        BootTime::from_nanoseconds(self.counts.sent_last.load(Ordering::Acquire)) > moment
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.counts.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
