//! Takes links down and up by their numbers. No program is started and nothing is read for it: it has to work while a disk
//! does not.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;

/// Of this thread's network namespace.
pub(super) fn set(number: u32, up: bool) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = number;
    link.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    link.header.change_mask = LinkFlags::Up;
    match ask(RouteNetlinkMessage::SetLink(link), NLM_F_REQUEST | NLM_F_ACK)? {
        NetlinkPayload::Error(said) if said.code.is_some() => Err(said.to_io()),
        _ => Ok(()),
    }
}

/// Whether a link is up.
pub(super) fn is_up(number: u32) -> io::Result<bool> {
    let mut link = LinkMessage::default();
    link.header.index = number;
    match ask(RouteNetlinkMessage::GetLink(link), NLM_F_REQUEST)? {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
            Ok(link.header.flags.contains(LinkFlags::Up))
        }
        NetlinkPayload::Error(said) => Err(said.to_io()),
        _ => Err(io::Error::other("the kernel's answer about a link is not understood")),
    }
}

pub(in crate::node) fn ask(
    question: RouteNetlinkMessage,
    flags: u16,
) -> io::Result<NetlinkPayload<RouteNetlinkMessage>> {
    let mut message = NetlinkMessage::from(question);
    message.header.flags = flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    Ok(answer.payload)
}
