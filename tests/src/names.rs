//! Asking a name server as a resolver does, from whichever network namespace.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::Context;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

/// Time until a question is asked again, and how often: datagrams are lost.
const PATIENCE: Duration = Duration::from_secs(1);
const TIMES: usize = 5;

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// There are records of it.
    Found,
    /// There is nothing of that name and kind.
    Nothing,
}

/// Asks for a name's addresses.
///
/// # Errors
/// When nobody answers, or what is answered is neither yes nor no.
pub fn address(server: SocketAddr, name: &str) -> anyhow::Result<Answer> {
    ask(server, name, TYPE::A)
}

/// Asks for an address's names.
///
/// # Errors
/// As [`address`].
pub fn backwards(server: SocketAddr, of: IpAddr) -> anyhow::Result<Answer> {
    let IpAddr::V4(v4) = of else { anyhow::bail!("{of} is no address of version 4") };
    let [a, b, c, d] = v4.octets();
    ask(server, &format!("{d}.{c}.{b}.{a}.in-addr.arpa"), TYPE::PTR)
}

fn ask(server: SocketAddr, name: &str, of: TYPE) -> anyhow::Result<Answer> {
    let mut packet = Packet::new_query(1);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let question =
        Question::new(Name::new(name)?.into_owned(), QTYPE::TYPE(of), QCLASS::CLASS(CLASS::IN), false);
    packet.questions.push(question);
    let asked = packet.build_bytes_vec()?;
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 1500];
    let answered = (0..TIMES).find_map(|_| {
        socket.send(&asked).ok()?;
        socket.recv(&mut buffer).ok()
    });
    let length = answered.with_context(|| format!("{server} does not answer what {name} is"))?;
    let packet = Packet::parse(buffer.get(..length).unwrap_or_default())?;
    match packet.rcode() {
        RCODE::NoError if !packet.answers.is_empty() => Ok(Answer::Found),
        RCODE::NoError | RCODE::NameError => Ok(Answer::Nothing),
        other => anyhow::bail!("{server} answers {other:?} to {name}"),
    }
}
