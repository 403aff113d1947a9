//! Routes of other sites' pod networks lead into the link. They go with it; where nothing stands in their place the boundary
//! still lets nothing out.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkPayload};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use yunting_plan::vdc::cidr::Network;

use crate::node::gate::netlink::ask;

/// Leads a network into a link, in the place of whatever leads there with the same preference.
pub(super) fn put(link: u32, network: Network) -> io::Result<()> {
    let mut route = RouteMessage::default();
    route.header.address_family = AddressFamily::Inet;
    route.header.destination_prefix_length = network.prefix();
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.protocol = RouteProtocol::Static;
    route.header.scope = RouteScope::Link;
    route.header.kind = RouteType::Unicast;
    route.attributes.push(RouteAttribute::Destination(RouteAddress::Inet(network.base())));
    route.attributes.push(RouteAttribute::Oif(link));
    let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    match ask(RouteNetlinkMessage::NewRoute(route), flags)? {
        NetlinkPayload::Error(said) if said.code.is_some() => Err(said.to_io()),
        _ => Ok(()),
    }
}
