//! A node, its pods and the world outside, each a network namespace of its own with a name of this test's.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::netns;
use anyhow::{Context as _, bail};
use yunting_lab::progress::Progress;
use yunting_lab::spec::Lab;
use yunting_lab::{cmd, packages};
use yunting_plan::boundary::ruleset;
use yunting_plan::boundary::table::Table;
use yunting_plan::boundary::{Facts, Pod};

use super::site::{NODE, OUTSIDE, PORTS};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The namespaces; gone with it.
pub struct World {
    prefix: String,
    pods: usize,
}

impl World {
    /// A node with these pods, each behind a link as the CNI plugin `ptp` makes it, everything listening, and no boundary.
    pub fn start(facts: &Facts) -> anyhow::Result<Self> {
        static TOOLS: Mutex<()> = Mutex::new(());
        {
            // One of the tests that run at once installs what is missing.
            let _one = TOOLS.lock().unwrap_or_else(PoisonError::into_inner);
            packages::ensure(&Progress::new())?;
        }
        let prefix = format!("ytb{}x{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let world = Self { prefix, pods: facts.pods.len() };
        let (node, out) = (world.node(), world.outside());
        world.ip("", &format!("netns add {node}\nnetns add {out}\n"))?;
        let names = (0..world.pods).map(|i| format!("netns add {}\n", world.pod(i)));
        world.ip("", &names.collect::<String>())?;
        let mut links = format!(
            "link set lo up\nlink add wan type veth peer name eth0 netns {out}\nlink set wan up\n\
             addr add {NODE}/24 dev wan\nroute add default dev wan\n"
        );
        for (i, pod) in facts.pods.iter().enumerate() {
            links += &format!(
                "link add veth{i} type veth peer name eth0 netns {}\nlink set veth{i} up\n\
                 addr add 10.11.255.254/32 dev veth{i}\nroute add {} dev veth{i}\n",
                world.pod(i),
                pod.address
            );
        }
        world.ip(&node, &links)?;
        let addresses: String = OUTSIDE.iter().map(|a| format!("addr add {a}/32 dev eth0\n")).collect();
        world.ip(&out, &format!("link set lo up\nlink set eth0 up\n{addresses}route add {NODE} dev eth0\nroute add default via {NODE} dev eth0 onlink\n"))?;
        for (i, pod) in facts.pods.iter().enumerate() {
            let setup = format!(
                "link set lo up\nlink set eth0 up\naddr add {}/32 dev eth0\nroute add 10.11.255.254 dev eth0\n\
                 route add default via 10.11.255.254 dev eth0\n",
                pod.address
            );
            world.ip(&world.pod(i), &setup)?;
        }
        world.run(&node, &["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0"])?;
        world.run(
            &node,
            &["sysctl", "-qw", "net.ipv4.conf.all.proxy_arp=1", "net.ipv4.conf.wan.proxy_arp=1"],
        )?;
        for name in world.names() {
            world.listen(&name)?;
        }
        Ok(world)
    }

    /// Name of the node's namespace.
    pub fn node(&self) -> String {
        format!("{}n", self.prefix)
    }

    /// Name of that of the world outside.
    pub fn outside(&self) -> String {
        format!("{}o", self.prefix)
    }

    /// Name of a pod's.
    pub fn pod(&self, index: usize) -> String {
        format!("{}p{index}", self.prefix)
    }

    fn names(&self) -> Vec<String> {
        let pods = (0..self.pods).map(|i| self.pod(i));
        pods.chain([self.node(), self.outside()]).collect()
    }

    fn ip(&self, netns: &str, batch: &str) -> anyhow::Result<()> {
        let mut ip = Command::new("ip");
        if !netns.is_empty() {
            ip.args(["-n", netns]);
        }
        ip.args(["-batch", "-"]);
        cmd::feed("set up a network", ip, batch).map(drop).map_err(Into::into)
    }

    /// Runs a program in a namespace.
    pub fn run(&self, netns: &str, words: &[&str]) -> anyhow::Result<String> {
        let net = format!("--net=/run/netns/{netns}");
        Ok(cmd::run("run in a namespace", "nsenter", [&[net.as_str()], words].concat())?)
    }

    /// Gives the node's kernel a text.
    pub fn nft(&self, text: &str) -> anyhow::Result<()> {
        let mut nft = Command::new("nsenter");
        nft.arg(format!("--net=/run/netns/{}", self.node())).args(["nft", "-f", "-"]);
        cmd::feed("load a ruleset", nft, text).map(drop).with_context(|| text.to_owned())
    }

    /// Puts the boundary up.
    pub fn guard(&self, facts: &Facts) -> anyhow::Result<()> {
        self.nft(&ruleset::whole(&Table::of(facts)))
    }

    /// What the node's kernel holds.
    pub fn ruleset(&self) -> anyhow::Result<String> {
        self.run(&self.node(), &["nft", "--stateless", "list", "ruleset"])
    }

    /// Does something in a namespace, in a thread of its own.
    pub fn within<T: Send + 'static>(
        &self,
        netns: &str,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> anyhow::Result<thread::JoinHandle<T>> {
        netns::within(&Lab::netns_file(netns), act)
    }

    /// Answers every connection with what comes, at every port. The threads end with the process.
    fn listen(&self, netns: &str) -> anyhow::Result<()> {
        for port in PORTS {
            let bind = move || TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
            let listener = self.within(netns, bind)?.join().map_err(|_| anyhow::anyhow!("no listener"))??;
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    thread::spawn(move || echo(stream));
                }
            });
        }
        Ok(())
    }

    /// Whether one end can open connections to each of these and gets an answer, which some of them are to give.
    pub fn reach(&self, netns: &str, wanted: &[(SocketAddr, bool)]) -> anyhow::Result<Vec<bool>> {
        netns::ways(&Lab::netns_file(netns), wanted, netns::echoes)
    }

    /// One of them, with several chances.
    pub fn reaches(&self, netns: &str, to: impl Into<IpAddr>, port: u16) -> anyhow::Result<bool> {
        Ok(self.reach(netns, &[(SocketAddr::new(to.into(), port), true)])?[0])
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let all: String = self.names().iter().map(|n| format!("netns del {n}\n")).collect();
        let mut ip = Command::new("ip");
        ip.args(["-force", "-batch", "-"]);
        if let Err(error) = cmd::feed("take the namespaces away", ip, &all) {
            eprintln!("{error}");
        }
    }
}

fn echo(mut stream: TcpStream) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(&bytes[..n]).is_err() {
            return;
        }
    }
}

/// A pod by the beginning of its name.
pub fn named<'a>(facts: &'a Facts, name: &str) -> anyhow::Result<(usize, &'a Pod)> {
    let found = facts.pods.iter().enumerate().find(|(_, p)| p.name.starts_with(name));
    let Some(found) = found else { bail!("no pod {name}") };
    Ok(found)
}
