//! TCP forwards from the host's loopback into the lab: one process for all of them.
//!
//! API servers are reached from inside their own site, as by a console that does not depend on the WAN, so a site
//! that is cut off can be looked into. Gateways are reached over the WAN, as from outside. Listening sockets are
//! opened in the host's namespace; then one thread per namespace moves there and connects.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpStream;

use crate::cgroup;
use crate::daemon;
use crate::error::{Error, Result};
use crate::spec::{GATEWAY_PORT, HUB_API_PORT, Lab, SITE_API_PORT, Site};
use crate::state::{Ports, SitePorts, State};

/// One forward.
struct Forward {
    listener: TcpListener,
    to: SocketAddrV4,
}

/// Starts the forwarder unless it runs, and gives its ports.
pub fn ensure(lab: &Lab) -> Result<Ports> {
    let pid_file = pid_file(lab);
    if daemon::alive(&pid_file).is_none() {
        let _ = std::fs::remove_file(ready_file(lab));
        let own = lab.own_program();
        let log = lab.dir.join("forward.log");
        let words = [own.as_os_str(), "--name".as_ref(), lab.name.as_ref(), "forward".as_ref()];
        daemon::start(&pid_file, &log, words)?;
    }
    daemon::wait_until("the forwards", Duration::from_secs(10), || {
        if ready_file(lab).is_file() { Ok(()) } else { Err(format!("see {}/forward.log", lab.dir.display())) }
    })?;
    State::read(lab)?.map(|state| state.ports).ok_or_else(|| Error::Malformed {
        what: "the lab's state".into(),
        why: "the forwarder ran and left no ports".into(),
    })
}

/// Where the forwarder's number is kept.
pub fn pid_file(lab: &Lab) -> PathBuf {
    lab.dir.join("forward.pid")
}

fn ready_file(lab: &Lab) -> PathBuf {
    lab.dir.join("forward.ready")
}

/// Runs the forwarder. Ports used before are used again, so that kubeconfigs stay good.
pub fn run(lab: &Lab) -> Result<()> {
    cgroup::enter(&lab.name)?;
    let mut state = State::read(lab)?.unwrap_or_default();
    let mut threads = Vec::new();
    let mut gateways = Vec::new();
    for site in &lab.sites {
        let used = state.ports.0.get(&site.name).copied().unwrap_or_default();
        let (apis, gateway, ports) = bind(site, used)?;
        state.ports.0.insert(site.name.clone(), ports);
        gateways.push(gateway);
        threads.push((lab.site_netns(site), apis));
    }
    threads.push((lab.wan_netns(), gateways));
    state.write(lab)?;
    let handles: Vec<_> = threads
        .into_iter()
        .map(|(netns, forwards)| std::thread::spawn(move || serve(&netns, forwards)))
        .collect();
    let ready = ready_file(lab);
    std::fs::write(&ready, "").map_err(Error::io("write", &ready))?;
    for handle in handles {
        handle
            .join()
            .map_err(|_| Error::Malformed { what: "a forward".into(), why: "it crashed".into() })??;
    }
    Ok(())
}

fn bind(site: &Site, used: SitePorts) -> Result<(Vec<Forward>, Forward, SitePorts)> {
    let one = |port: u16, to: u16| -> Result<(Forward, u16)> {
        let failed = Error::io("listen for", &site.name);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
        let port = listener.local_addr().map(|a| a.port()).map_err(Error::io("listen for", &site.name))?;
        listener.set_nonblocking(true).map_err(Error::io("listen for", &site.name))?;
        Ok((Forward { listener, to: SocketAddrV4::new(site.address(), to) }, port))
    };
    let (site_forward, site_api) = one(used.site_api, SITE_API_PORT)?;
    let (hub_forward, hub_api) = one(used.hub_api, HUB_API_PORT)?;
    let (gateway_forward, gateway) = one(used.gateway, GATEWAY_PORT)?;
    Ok((vec![site_forward, hub_forward], gateway_forward, SitePorts { site_api, hub_api, gateway }))
}

/// Moves this thread into a namespace and serves its forwards from there.
fn serve(netns: &str, forwards: Vec<Forward>) -> Result<()> {
    let path = Lab::netns_file(netns);
    let file = File::open(&path).map_err(Error::io("open the namespace", &path))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|e| Error::io("enter the namespace", &path)(e.into()))?;
    // One thread only: a worker started elsewhere would connect from the host's namespace.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::io("serve forwards from", &path))?;
    runtime.block_on(async {
        let accept = forwards.into_iter().map(Forward::accept);
        futures::future::try_join_all(accept).await.map(drop).map_err(Error::io("serve forwards from", &path))
    })
}

impl Forward {
    async fn accept(self) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let to = SocketAddr::V4(self.to);
        loop {
            let (mut near, _) = listener.accept().await?;
            tokio::spawn(async move {
                // A site without power or a connection that ends is nothing the forwarder could report to anybody.
                if let Ok(mut far) = TcpStream::connect(to).await {
                    let _ = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    }
}
