//! Delay on the WAN: a relay in a site's cable that holds every frame for a while, in both directions.
//!
//! `netem` is not in every kernel, so the cable is led through this program: the site's end goes to a small bridge
//! with one TAP device, the other TAP device takes its place on the WAN's bridge. Order is kept; what doesn't fit
//! into the queue is lost, as on a real line.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::cgroup;
use crate::cmd;
use crate::daemon;
use crate::error::{Error, Result};
use crate::spec::{Lab, Site};
use crate::wan::BRIDGE;

/// Frames on their way in one direction: 40 MB/s at 100 ms.
const QUEUE: usize = 4096;
/// The longest Ethernet frame there is, with room.
const FRAME: usize = 65_536;

/// Sets the delay of a site's cable, one way; zero takes the relay out again.
pub fn set(lab: &Lab, site: &Site, delay: Duration) -> Result<()> {
    stop(lab, site)?;
    if delay.is_zero() {
        return Ok(());
    }
    let _ = std::fs::remove_file(ready_file(lab, site));
    let net = format!("--net={}", Lab::netns_file(&lab.wan_netns()).display());
    let own = lab.own_program();
    let own = own.to_string_lossy();
    let millis = delay.as_millis().to_string();
    let words = ["nsenter", &net, own.as_ref(), "--name", &lab.name, "relay", &site.name, &millis];
    daemon::start(&pid_file(lab, site), &lab.dir.join("relay.log"), words)?;
    daemon::wait_until(&format!("the relay of {}", site.name), Duration::from_secs(10), || {
        if ready_file(lab, site).is_file() { Ok(()) } else { Err("see relay.log".into()) }
    })
}

/// Ends a site's relay and puts the cable back.
pub fn stop(lab: &Lab, site: &Site) -> Result<()> {
    let pid_file = pid_file(lab, site);
    if !pid_file.exists() {
        return Ok(());
    }
    daemon::kill(&pid_file)?;
    let ip = |args: &[&str]| {
        cmd::run("put the cable back", "ip", [&["-n", &lab.wan_netns()], args].concat()).map(drop)
    };
    ip(&["link", "set", &site.wan_port(), "master", BRIDGE])?;
    ip(&["link", "del", &small_bridge(site)])?;
    std::fs::remove_file(&pid_file).map_err(Error::io("remove", pid_file))
}

/// The delay of a site's cable, when it has one.
pub fn delay(lab: &Lab, site: &Site) -> Option<String> {
    daemon::alive(&pid_file(lab, site))?;
    std::fs::read_to_string(ready_file(lab, site)).ok()
}

/// Runs the relay. Called inside the WAN's network namespace.
pub fn run(lab: &Lab, site: &Site, delay: Duration) -> Result<()> {
    cgroup::enter(&lab.name)?;
    let (near_name, far_name, bridge) = (format!("n{}", site.index), site.relay_port(), small_bridge(site));
    let (near, far) = (tap(&near_name)?, tap(&far_name)?);
    let ip = |args: &[&str]| cmd::run("lead the cable through the relay", "ip", args).map(drop);
    // A relay that was killed leaves its bridge behind.
    let _ = ip(&["link", "del", &bridge]);
    ip(&["link", "add", &bridge, "type", "bridge"])?;
    for (port, master) in
        [(site.wan_port().as_str(), bridge.as_str()), (&near_name, &bridge), (&far_name, BRIDGE)]
    {
        ip(&["link", "set", port, "master", master])?;
    }
    for link in [&bridge, &near_name, &far_name] {
        ip(&["link", "set", link, "up"])?;
    }
    let threads =
        [(Arc::clone(&near), Arc::clone(&far)), (far, near)].map(|(from, to)| direction(from, to, delay));
    let ready = ready_file(lab, site);
    std::fs::write(&ready, format!("{} ms", delay.as_millis())).map_err(Error::io("write", &ready))?;
    for handle in threads {
        let ended = handle.join().map_err(|_| std::io::Error::other("it crashed"));
        ended.flatten().map_err(Error::io("relay frames of", &site.name))?;
    }
    Ok(())
}

fn tap(name: &str) -> Result<Arc<SyncDevice>> {
    let device = DeviceBuilder::new().name(name).layer(Layer::L2).build_sync();
    device.map(Arc::new).map_err(Error::io("make the TAP device", name))
}

/// Two threads per direction: one reads and stamps, one waits and writes. The reader ends with the device.
fn direction(
    from: Arc<SyncDevice>,
    to: Arc<SyncDevice>,
    delay: Duration,
) -> thread::JoinHandle<std::io::Result<()>> {
    let (send, receive) = sync_channel(QUEUE);
    thread::spawn(move || write(&to, &receive));
    thread::spawn(move || read(&from, &send, delay))
}

type Frame = (Instant, Vec<u8>);

fn read(from: &SyncDevice, queue: &SyncSender<Frame>, delay: Duration) -> std::io::Result<()> {
    let mut buffer = vec![0; FRAME];
    loop {
        let length = from.recv(&mut buffer)?;
        let frame = (Instant::now() + delay, buffer[..length].to_vec());
        match queue.try_send(frame) {
            // A full line drops.
            Ok(()) | Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Disconnected(_)) => return Ok(()),
        }
    }
}

fn write(to: &SyncDevice, queue: &Receiver<Frame>) {
    while let Ok((due, frame)) = queue.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // A device that is down refuses: the frame is lost, the line goes on.
        let _ = to.send(&frame);
    }
}

fn small_bridge(site: &Site) -> String {
    format!("brd{}", site.index)
}

fn pid_file(lab: &Lab, site: &Site) -> PathBuf {
    lab.dir.join(format!("relay-{}.pid", site.name))
}

fn ready_file(lab: &Lab, site: &Site) -> PathBuf {
    lab.dir.join(format!("relay-{}.ready", site.name))
}
